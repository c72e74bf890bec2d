// Matching of displaced units with AVX-512: all four blocks of a unit at once, row i of the upper two
// in the low half of vector i, of the lower two in the high half.
#include "match.h"

#if RQ_X86

// Undefined vectors in the headers of gcc 12.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace rq {
namespace match {

namespace {

RQ_VNNI RQ_INLINE __m256i two_rows(const uint8_t* from, int64_t apart) {
  return _mm256_inserti128_si256(
      _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))),
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + apart)), 1);
}

RQ_VNNI RQ_INLINE void transform(__m512i* v) {
  const __m512i s0 = _mm512_add_epi16(v[0], v[7]), s1 = _mm512_add_epi16(v[1], v[6]);
  const __m512i s2 = _mm512_add_epi16(v[2], v[5]), s3 = _mm512_add_epi16(v[3], v[4]);
  const __m512i d0 = _mm512_sub_epi16(v[0], v[7]), d1 = _mm512_sub_epi16(v[1], v[6]);
  const __m512i d2 = _mm512_sub_epi16(v[2], v[5]), d3 = _mm512_sub_epi16(v[3], v[4]);
  const __m512i a0 = _mm512_add_epi16(s0, s3), a1 = _mm512_add_epi16(s1, s2);
  const __m512i a2 = _mm512_sub_epi16(s0, s3), a3 = _mm512_sub_epi16(s1, s2);
  const __m512i a4 = _mm512_add_epi16(_mm512_add_epi16(d1, d2),
                                      _mm512_add_epi16(d0, _mm512_srai_epi16(d0, 1)));
  const __m512i a5 = _mm512_sub_epi16(_mm512_sub_epi16(d0, d3),
                                      _mm512_add_epi16(d2, _mm512_srai_epi16(d2, 1)));
  const __m512i a6 = _mm512_sub_epi16(_mm512_add_epi16(d0, d3),
                                      _mm512_add_epi16(d1, _mm512_srai_epi16(d1, 1)));
  const __m512i a7 = _mm512_add_epi16(_mm512_sub_epi16(d1, d2),
                                      _mm512_add_epi16(d3, _mm512_srai_epi16(d3, 1)));
  v[0] = _mm512_add_epi16(a0, a1);
  v[1] = _mm512_add_epi16(a4, _mm512_srai_epi16(a7, 2));
  v[2] = _mm512_add_epi16(a2, _mm512_srai_epi16(a3, 1));
  v[3] = _mm512_add_epi16(a5, _mm512_srai_epi16(a6, 2));
  v[4] = _mm512_sub_epi16(a0, a1);
  v[5] = _mm512_sub_epi16(a6, _mm512_srai_epi16(a5, 2));
  v[6] = _mm512_sub_epi16(_mm512_srai_epi16(a2, 1), a3);
  v[7] = _mm512_sub_epi16(_mm512_srai_epi16(a4, 2), a7);
}

// Transpose the 8x8 values in each quarter.
RQ_VNNI RQ_INLINE void transpose(__m512i* v) {
  __m512i a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm512_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      b[4 * i + 2 * j] = _mm512_unpacklo_epi32(a[4 * i + j], a[4 * i + 2 + j]);
      b[4 * i + 2 * j + 1] = _mm512_unpackhi_epi32(a[4 * i + j], a[4 * i + 2 + j]);
    }
  for (int j = 0; j < 4; ++j) {
    v[2 * j] = _mm512_unpacklo_epi64(b[j], b[4 + j]);
    v[2 * j + 1] = _mm512_unpackhi_epi64(b[j], b[4 + j]);
  }
}

RQ_VNNI RQ_INLINE __m512i worth(__m512i sum, __m512i pairs, __m512 scale) {
  const __m512 energy = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_madd_epi16(pairs, pairs)), scale);
  const __m512i bits = _mm512_castps_si512(_mm512_add_ps(energy, _mm512_set1_ps(1.0f)));
  return _mm512_add_epi32(sum, _mm512_srli_epi32(bits, 7));
}

RQ_VNNI RQ_INLINE void unit_prices(const Frame& frame, int64_t row, int64_t column,
                                   motion::Vector vector, int32_t* prices) {
  int64_t stride;
  const uint8_t* from = displaced(frame, row, column, vector, &stride);
  const int64_t at = row * kUnit * frame.width + column * kUnit;
  const uint8_t* current = frame.current + at;
  uint8_t uses[kSplits] = {1, 1, 1, 1};
  __mmask32 both = 0;
  if (frame.uses) {
    for (int k = 0; k < kSplits; ++k) {
      uses[k] = frame.uses[(2 * row + k / 2) * (frame.width / 8) + 2 * column + k % 2];
      if (uses[k] == 2) both |= __mmask32{0xff} << (8 * k);
    }
  }
  __m512i v[8];
  for (int i = 0; i < 8; ++i) {
    __m256i one = two_rows(from + i * stride, 8 * stride);
    if (both) {
      const __m256i other = two_rows(frame.beside + at + i * frame.width, 8 * frame.width);
      one = _mm256_mask_avg_epu8(one, both, one, other);
    }
    v[i] = _mm512_sub_epi16(_mm512_cvtepu8_epi16(one),
                            _mm512_cvtepu8_epi16(two_rows(current + i * frame.width, 8 * frame.width)));
  }
  transform(v);
  transpose(v);
  transform(v);
  // Values 0..3 of each row in the low sums, 4..7 in the high ones.
  const __m512i zero = _mm512_setzero_si512();
  __m512i sum = zero, other = zero;
  for (int i = 0; i < 8; ++i) {
    const __m512 low = _mm512_broadcast_f32x4(_mm_loadu_ps(frame.scales + 8 * i));
    const __m512 high = _mm512_broadcast_f32x4(_mm_loadu_ps(frame.scales + 8 * i + 4));
    sum = worth(sum, _mm512_unpacklo_epi16(v[i], zero), low);
    other = worth(other, _mm512_unpackhi_epi16(v[i], zero), high);
  }
  sum = _mm512_add_epi32(sum, other);
  sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_BADC));
  sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_CDAB));
  // The first sum of each quarter.
  const __m128i four = _mm512_castsi512_si128(
      _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), sum));
  const __m128i bits = _mm_srai_epi32(_mm_sub_epi32(four, _mm_set1_epi32(64 * kOne)), 7);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(prices), bits);
  for (int k = 0; k < kSplits; ++k)
    if (!uses[k]) prices[k] = 0;
}

#define RQ_TARGET RQ_VNNI
#include "match_units.h"

}  // namespace

RQ_VNNI void prices_avx512(const Frame& frame, const int32_t* units, const motion::Vector* vectors,
                           int64_t count, int32_t* prices) {
  prices_of(frame, units, vectors, count, prices);
}

RQ_VNNI void refine_avx512(const Refinement& job) { refine_rows(job); }

}  // namespace match
}  // namespace rq

#endif
