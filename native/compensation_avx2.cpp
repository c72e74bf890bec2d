// Overlapped block motion compensation with AVX2.
//
// A row of 16 samples is one load; a byte shuffle lays the two samples of a pair of taps side by
// side, and their products are added at once. Down the columns, two rows are interleaved likewise.
#include "compensation.h"

#if RQ_X86
#include <immintrin.h>

namespace rq {
namespace compensation {

namespace {

constexpr int kLoad = 16;  // Samples that a load reads of a row.

struct Source {
  const uint8_t* samples;
  int64_t stride;
};

// `rows` rows of at least kLoad readable samples from (left, top) on; at the edges from a copy.
RQ_AVX2 RQ_INLINE Source source(const Plane& plane, int64_t left, int64_t top, int rows,
                                uint8_t* copy) {
  if (left >= 0 && top >= 0 && left + kLoad <= plane.width && top + rows <= plane.height)
    return {plane.samples + top * plane.width + left, plane.width};
  for (int i = 0; i < rows; ++i) {
    const uint8_t* line = plane.samples + clamp<int64_t>(top + i, 0, plane.height - 1) * plane.width;
    for (int j = 0; j < kLoad; ++j)
      copy[i * kLoad + j] = line[clamp<int64_t>(left + j, 0, plane.width - 1)];
  }
  return {copy, kLoad};
}

RQ_AVX2 RQ_INLINE int32_t pair(const int16_t* taps) {
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(taps[0])) |
                              static_cast<uint32_t>(static_cast<uint16_t>(taps[1])) << 16);
}

RQ_AVX2 RQ_INLINE int16_t byte_pair(const int16_t* taps) {
  return static_cast<int16_t>((taps[0] & 255) | (taps[1] & 255) << 8);
}

RQ_AVX2 RQ_INLINE __m128i load16(const uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

// Weighted sums along rows: 8 results of 8 taps, or 4 (in the low half) of 4 taps.
template <int T, int Rows>
RQ_AVX2 RQ_INLINE void filter_across(Source from, const int16_t* taps, int fraction,
                                     __m128i* across) {
  if (fraction == 0) {
    for (int i = 0; i < Rows; ++i) {
      const uint8_t* middle = from.samples + i * from.stride + T / 2 - 1;
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(middle));
      across[i] = _mm_slli_epi16(_mm_cvtepu8_epi16(bytes), 6);
    }
    return;
  }
  const __m128i pairs = _mm_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8);
  if (T == 8) {
    const __m128i two = _mm_set1_epi8(2);
    const __m128i at1 = _mm_add_epi8(pairs, two), at2 = _mm_add_epi8(at1, two);
    const __m128i at3 = _mm_add_epi8(at2, two);
    const __m128i w0 = _mm_set1_epi16(byte_pair(taps)), w1 = _mm_set1_epi16(byte_pair(taps + 2));
    const __m128i w2 = _mm_set1_epi16(byte_pair(taps + T / 2));
    const __m128i w3 = _mm_set1_epi16(byte_pair(taps + T - 2));
    for (int i = 0; i < Rows; ++i) {
      const __m128i row = load16(from.samples + i * from.stride);
      const __m128i one = _mm_add_epi16(_mm_maddubs_epi16(_mm_shuffle_epi8(row, pairs), w0),
                                        _mm_maddubs_epi16(_mm_shuffle_epi8(row, at1), w1));
      const __m128i other = _mm_add_epi16(_mm_maddubs_epi16(_mm_shuffle_epi8(row, at2), w2),
                                          _mm_maddubs_epi16(_mm_shuffle_epi8(row, at3), w3));
      across[i] = _mm_add_epi16(one, other);
    }
  } else {
    const __m128i both = _mm_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 2, 3, 3, 4, 4, 5, 5, 6);
    const __m128i w = _mm_unpacklo_epi64(_mm_set1_epi16(byte_pair(taps)),
                                         _mm_set1_epi16(byte_pair(taps + 2)));
    for (int i = 0; i < Rows; ++i) {
      const __m128i row = load16(from.samples + i * from.stride);
      const __m128i sums = _mm_maddubs_epi16(_mm_shuffle_epi8(row, both), w);
      across[i] = _mm_add_epi16(sums, _mm_srli_si128(sums, 8));
    }
  }
}

RQ_AVX2 RQ_INLINE __m256i clamp8(__m256i sums) {
  return _mm256_min_epi32(_mm256_max_epi32(sums, _mm256_setzero_si256()),
                          _mm256_set1_epi32(255 * 4096));
}

RQ_AVX2 RQ_INLINE __m128i clamp4(__m128i sums) {
  return _mm_min_epi32(_mm_max_epi32(sums, _mm_setzero_si128()), _mm_set1_epi32(255 * 4096));
}

// Weighted sums down the columns, of 8 columns by 8 taps.
template <int R>
RQ_AVX2 RQ_INLINE void filter_down8(const __m128i* across, const int16_t* taps, int fraction,
                                    __m256i* sums) {
  if (fraction == 0) {
    for (int i = 0; i < R; ++i)
      sums[i] = clamp8(_mm256_slli_epi32(_mm256_cvtepi16_epi32(across[i + 3]), 6));
    return;
  }
  __m256i rows[R + 6];
  for (int i = 0; i < R + 6; ++i)
    rows[i] = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_unpacklo_epi16(across[i], across[i + 1])),
        _mm_unpackhi_epi16(across[i], across[i + 1]), 1);
  const __m256i w0 = _mm256_set1_epi32(pair(taps)), w1 = _mm256_set1_epi32(pair(taps + 2));
  const __m256i w2 = _mm256_set1_epi32(pair(taps + 4)), w3 = _mm256_set1_epi32(pair(taps + 6));
  for (int i = 0; i < R; ++i)
    sums[i] = clamp8(_mm256_add_epi32(
        _mm256_add_epi32(_mm256_madd_epi16(rows[i], w0), _mm256_madd_epi16(rows[i + 2], w1)),
        _mm256_add_epi32(_mm256_madd_epi16(rows[i + 4], w2), _mm256_madd_epi16(rows[i + 6], w3))));
}

// The same of 4 columns, by 8 or 4 taps.
template <int T, int R>
RQ_AVX2 RQ_INLINE void filter_down4(const __m128i* across, const int16_t* taps, int fraction,
                                    __m128i* sums) {
  if (fraction == 0) {
    for (int i = 0; i < R; ++i)
      sums[i] = clamp4(_mm_slli_epi32(_mm_cvtepi16_epi32(across[i + T / 2 - 1]), 6));
    return;
  }
  __m128i rows[R + T - 2], w[T / 2];
  for (int i = 0; i < R + T - 2; ++i) rows[i] = _mm_unpacklo_epi16(across[i], across[i + 1]);
  for (int k = 0; k < T / 2; ++k) w[k] = _mm_set1_epi32(pair(taps + 2 * k));
  for (int i = 0; i < R; ++i) {
    __m128i sum = _mm_madd_epi16(rows[i], w[0]);
    for (int k = 1; k < T / 2; ++k)
      sum = _mm_add_epi32(sum, _mm_madd_epi16(rows[i + 2 * k], w[k]));
    sums[i] = clamp4(sum);
  }
}

// R x C samples from (x, y) on, displaced by a vector; out has a stride of C.
template <typename Kind, int R, int C>
RQ_AVX2 RQ_INLINE void predict(const Plane& plane, int64_t x, int64_t y, Vector vector,
                               int32_t* RQ_RESTRICT out) {
  constexpr int T = Kind::taps, rows = R + T - 1, unit = 1 << Kind::fraction_bits;
  const int fx = vector.x & (unit - 1), fy = vector.y & (unit - 1);
  const int64_t left = x + (vector.x >> Kind::fraction_bits) - (T / 2 - 1);
  const int64_t top = y + (vector.y >> Kind::fraction_bits) - (T / 2 - 1);
  uint8_t copy[rows * kLoad];
  const Source from = source(plane, left, top, rows, copy);
  __m128i across[rows];
  filter_across<T, rows>(from, Kind::filters[fx], fx, across);
  if (C == 8) {
    __m256i sums[R];
    filter_down8<R>(across, Kind::filters[fy], fy, sums);
    for (int i = 0; i < R; ++i)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i * C), sums[i]);
    return;
  }
  __m128i sums[R];
  filter_down4<T, R>(across, Kind::filters[fy], fy, sums);
  for (int i = 0; i < R; ++i) {
    if (C == 4)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i * C), sums[i]);
    else
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i * C), sums[i]);
  }
}

#define RQ_TARGET RQ_AVX2
#include "compensation_blocks.h"

}  // namespace

RQ_AVX2 void compensate_avx2(const Job& job) { compensate(job); }

}  // namespace compensation
}  // namespace rq
#endif
