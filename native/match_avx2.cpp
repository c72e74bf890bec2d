// Matching of displaced units with AVX2: the two blocks of a row of a unit lie side by side.
#include "match.h"

#if RQ_X86
#include <immintrin.h>

namespace rq {
namespace match {

namespace {

RQ_AVX2 RQ_INLINE __m256i widened(const uint8_t* from) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

RQ_AVX2 RQ_INLINE int32_t pair(const int16_t* taps) {
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(taps[0])) |
                              static_cast<uint32_t>(static_cast<uint16_t>(taps[1])) << 16);
}

// Sixteen sums of eight rows of 16-bit values times taps, rounded to samples.
RQ_AVX2 RQ_INLINE __m128i down(const __m256i* low, const __m256i* high, const int16_t* taps) {
  const __m256i half = _mm256_set1_epi32(2048);
  __m256i a = half, b = half;
  for (int k = 0; k < 4; ++k) {
    const __m256i w = _mm256_set1_epi32(pair(taps + 2 * k));
    a = _mm256_add_epi32(a, _mm256_madd_epi16(low[k], w));
    b = _mm256_add_epi32(b, _mm256_madd_epi16(high[k], w));
  }
  const __m256i words = _mm256_packs_epi32(_mm256_srai_epi32(a, 12), _mm256_srai_epi32(b, 12));
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

RQ_AVX2 RQ_INLINE void transform(__m256i* v) {
  const __m256i s0 = _mm256_add_epi16(v[0], v[7]), s1 = _mm256_add_epi16(v[1], v[6]);
  const __m256i s2 = _mm256_add_epi16(v[2], v[5]), s3 = _mm256_add_epi16(v[3], v[4]);
  const __m256i d0 = _mm256_sub_epi16(v[0], v[7]), d1 = _mm256_sub_epi16(v[1], v[6]);
  const __m256i d2 = _mm256_sub_epi16(v[2], v[5]), d3 = _mm256_sub_epi16(v[3], v[4]);
  const __m256i a0 = _mm256_add_epi16(s0, s3), a1 = _mm256_add_epi16(s1, s2);
  const __m256i a2 = _mm256_sub_epi16(s0, s3), a3 = _mm256_sub_epi16(s1, s2);
  const __m256i a4 = _mm256_add_epi16(_mm256_add_epi16(d1, d2),
                                      _mm256_add_epi16(d0, _mm256_srai_epi16(d0, 1)));
  const __m256i a5 = _mm256_sub_epi16(_mm256_sub_epi16(d0, d3),
                                      _mm256_add_epi16(d2, _mm256_srai_epi16(d2, 1)));
  const __m256i a6 = _mm256_sub_epi16(_mm256_add_epi16(d0, d3),
                                      _mm256_add_epi16(d1, _mm256_srai_epi16(d1, 1)));
  const __m256i a7 = _mm256_add_epi16(_mm256_sub_epi16(d1, d2),
                                      _mm256_add_epi16(d3, _mm256_srai_epi16(d3, 1)));
  v[0] = _mm256_add_epi16(a0, a1);
  v[1] = _mm256_add_epi16(a4, _mm256_srai_epi16(a7, 2));
  v[2] = _mm256_add_epi16(a2, _mm256_srai_epi16(a3, 1));
  v[3] = _mm256_add_epi16(a5, _mm256_srai_epi16(a6, 2));
  v[4] = _mm256_sub_epi16(a0, a1);
  v[5] = _mm256_sub_epi16(a6, _mm256_srai_epi16(a5, 2));
  v[6] = _mm256_sub_epi16(_mm256_srai_epi16(a2, 1), a3);
  v[7] = _mm256_sub_epi16(_mm256_srai_epi16(a4, 2), a7);
}

// Transpose the 8x8 values in each half.
RQ_AVX2 RQ_INLINE void transpose(__m256i* v) {
  __m256i a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      b[4 * i + 2 * j] = _mm256_unpacklo_epi32(a[4 * i + j], a[4 * i + 2 + j]);
      b[4 * i + 2 * j + 1] = _mm256_unpackhi_epi32(a[4 * i + j], a[4 * i + 2 + j]);
    }
  for (int j = 0; j < 4; ++j) {
    v[2 * j] = _mm256_unpacklo_epi64(b[j], b[4 + j]);
    v[2 * j + 1] = _mm256_unpackhi_epi64(b[j], b[4 + j]);
  }
}

RQ_AVX2 RQ_INLINE __m256i worth(__m256i sum, __m256i pairs, __m256 scale) {
  const __m256 energy = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, pairs)), scale);
  const __m256i bits = _mm256_castps_si256(_mm256_add_ps(energy, _mm256_set1_ps(1.0f)));
  return _mm256_add_epi32(sum, _mm256_srli_epi32(bits, 7));
}

RQ_AVX2 RQ_INLINE void unit_prices(const Frame& frame, int64_t row, int64_t column,
                                   motion::Vector vector, int32_t* prices) {
  int64_t stride;
  const uint8_t* shifted = displaced(frame, row, column, vector, &stride);
  for (int half = 0; half < 2; ++half) {
    const int64_t at = (row * kUnit + 8 * half) * frame.width + column * kUnit;
    const uint8_t* current = frame.current + at;
    const uint8_t* from = shifted + 8 * half * stride;
    __m256i v[8];
    uint8_t uses[2] = {1, 1};
    if (frame.uses) {
      const uint8_t* use = frame.uses + (2 * row + half) * (frame.width / 8) + 2 * column;
      uses[0] = use[0];
      uses[1] = use[1];
    }
    if (uses[0] == 2 || uses[1] == 2) {
      const uint8_t* beside = frame.beside + at;
      const __m128i both = _mm_set_epi64x(uses[1] == 2 ? -1 : 0, uses[0] == 2 ? -1 : 0);
      for (int i = 0; i < 8; ++i) {
        const __m128i one = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * stride));
        const __m128i other =
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(beside + i * frame.width));
        const __m128i mixed = _mm_blendv_epi8(one, _mm_avg_epu8(one, other), both);
        v[i] = _mm256_sub_epi16(_mm256_cvtepu8_epi16(mixed), widened(current + i * frame.width));
      }
    } else {
      for (int i = 0; i < 8; ++i)
        v[i] = _mm256_sub_epi16(widened(from + i * stride), widened(current + i * frame.width));
    }
    transform(v);
    transpose(v);
    transform(v);
    // Values 0..3 of each row in the low sums, 4..7 in the high ones.
    const __m256i zero = _mm256_setzero_si256();
    __m256i sum = zero;
    for (int i = 0; i < 8; ++i) {
      const __m256 low = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(frame.scales + 8 * i));
      const __m256 high =
          _mm256_broadcast_ps(reinterpret_cast<const __m128*>(frame.scales + 8 * i + 4));
      sum = worth(sum, _mm256_unpacklo_epi16(v[i], zero), low);
      sum = worth(sum, _mm256_unpackhi_epi16(v[i], zero), high);
    }
    sum = _mm256_hadd_epi32(sum, sum);
    sum = _mm256_hadd_epi32(sum, sum);
    const int32_t left = _mm256_extract_epi32(sum, 0), right = _mm256_extract_epi32(sum, 4);
    prices[2 * half] = uses[0] ? (left - 64 * kOne) >> 7 : 0;
    prices[2 * half + 1] = uses[1] ? (right - 64 * kOne) >> 7 : 0;
  }
}

#define RQ_TARGET RQ_AVX2
#include "match_units.h"

}  // namespace

RQ_AVX2 void interpolate_avx2(const uint8_t* padded, int64_t height, int64_t width, int64_t first,
                              int64_t last, uint8_t* phases, int16_t* scratch) {
  const int64_t wide = width + 2 * kMargin, stride = wide + 8;
  const int64_t rows = last - first + 7, plane = (height + 2 * kMargin) * wide;
  for (int64_t row = 0; row < rows; ++row) {
    const uint8_t* from = padded + row * stride + 1;
    int16_t* out = scratch + row * wide;
    for (int64_t x = 0; x < wide; x += 16) {
      __m256i shifted[8];
      for (int k = 0; k < 8; ++k) shifted[k] = widened(from + x + k);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x), _mm256_slli_epi16(shifted[3], 6));
      for (int fx = 1; fx < 4; ++fx) {
        __m256i sum = _mm256_setzero_si256();
        for (int k = 0; k < 8; ++k)
          sum = _mm256_add_epi16(sum,
                                 _mm256_mullo_epi16(shifted[k], _mm256_set1_epi16(kTaps[fx][k])));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + fx * rows * wide + x), sum);
      }
    }
  }
  for (int64_t row = first; row < last; ++row)
    for (int fx = 0; fx < 4; ++fx) {
      const int16_t* from = scratch + (fx * rows + row - first) * wide;
      uint8_t* out = phases + fx * plane + row * wide;
      for (int64_t x = 0; x < wide; x += 16) {
        __m256i low[4], high[4];
        for (int k = 0; k < 4; ++k) {
          const auto* at = reinterpret_cast<const __m256i*>(from + 2 * k * wide + x);
          const __m256i one = _mm256_loadu_si256(at);
          const __m256i two = _mm256_loadu_si256(
              reinterpret_cast<const __m256i*>(from + (2 * k + 1) * wide + x));
          low[k] = _mm256_unpacklo_epi16(one, two);
          high[k] = _mm256_unpackhi_epi16(one, two);
        }
        for (int fy = 0; fy < 4; ++fy)
          _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4 * fy * plane + x),
                           down(low, high, kTaps[fy]));
      }
    }
}

RQ_AVX2 void prices_avx2(const Frame& frame, const int32_t* units, const motion::Vector* vectors,
                         int64_t count, int32_t* prices) {
  prices_of(frame, units, vectors, count, prices);
}

RQ_AVX2 void refine_avx2(const Refinement& job) { refine_rows(job); }

}  // namespace match
}  // namespace rq
#endif
