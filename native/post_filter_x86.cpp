// The post-filter's strips with AVX2 and AVX-512.
//
// In a register of 16-bit samples, unpacking the plain with the clipped differences leaves one
// block in each 128 bits: the even blocks in the low halves, the odd ones in the high halves. A
// block's weights are loaded to the same place, and a shuffle repeats the pair of one tap.
#include "post_filter.h"

#if RQ_X86
#include <immintrin.h>

#if !defined(__clang__)
// gcc's own headers leave the lanes undefined that an unmasked intrinsic overwrites.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace rq {
namespace post_filter {

namespace {

// All blocks of a group stay as they are.
RQ_INLINE bool none(const int32_t* filter, int64_t count) {
  for (int64_t b = 0; b < count; ++b)
    if (filter[b] != kNoFilter) return false;
  return true;
}

RQ_INLINE const __m128i* quad(const Strip& s, int64_t block, int at) {
  return reinterpret_cast<const __m128i*>(s.table + s.filter[block] * kPairs + 8 * at);
}

}  // namespace

#define TAP_AVX2(TAP)                                                                            \
  {                                                                                              \
    const int64_t step = kOffsets[TAP][0] * s.stride + kOffsets[TAP][1];                         \
    const __m256i one = _mm256_sub_epi16(                                                        \
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + step)), middle);                 \
    const __m256i other = _mm256_sub_epi16(                                                      \
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p - step)), middle);                 \
    const __m256i plain = _mm256_add_epi16(one, other);                                          \
    const __m256i clipped =                                                                      \
        _mm256_add_epi16(_mm256_max_epi16(_mm256_min_epi16(one, high), low),                     \
                         _mm256_max_epi16(_mm256_min_epi16(other, high), low));                  \
    const __m256i even_w = _mm256_shuffle_epi32(even[TAP / 4], TAP % 4 * 0x55);                  \
    const __m256i odd_w = _mm256_shuffle_epi32(odd[TAP / 4], TAP % 4 * 0x55);                    \
    even_sum = _mm256_add_epi32(                                                                 \
        even_sum, _mm256_madd_epi16(_mm256_unpacklo_epi16(plain, clipped), even_w));             \
    odd_sum = _mm256_add_epi32(                                                                  \
        odd_sum, _mm256_madd_epi16(_mm256_unpackhi_epi16(plain, clipped), odd_w));               \
  }

RQ_AVX2 void filter_avx2(const Strip& s) {
  constexpr int64_t group = 4;
  for (int64_t b = 0; b < s.blocks; b += group) {
    const int64_t samples = 4 * (s.blocks - b < group ? s.blocks - b : group);
    if (none(s.filter + b, group)) {
      copy_blocks(s, b, samples / 4);
      continue;
    }
    __m256i even[3], odd[3];
    for (int k = 0; k < 3; ++k) {
      even[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(quad(s, b, k))),
                                        _mm_loadu_si128(quad(s, b + 2, k)), 1);
      odd[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(quad(s, b + 1, k))),
                                       _mm_loadu_si128(quad(s, b + 3, k)), 1);
    }
    const int16_t* bound = s.bound + b;
    const __m256i high = _mm256_set_epi64x(
        bound[3] * 0x0001000100010001, bound[2] * 0x0001000100010001,
        bound[1] * 0x0001000100010001, bound[0] * 0x0001000100010001);
    const __m256i low = _mm256_sub_epi16(_mm256_setzero_si256(), high);
    for (int line = 0; line < 4; ++line) {
      const int16_t* p = s.rows + line * s.stride + 4 * b;
      const __m256i middle = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      __m256i even_sum = _mm256_set1_epi32(kHalf), odd_sum = even_sum;
      TAP_AVX2(0) TAP_AVX2(1) TAP_AVX2(2) TAP_AVX2(3)
      TAP_AVX2(4) TAP_AVX2(5) TAP_AVX2(6) TAP_AVX2(7)
      TAP_AVX2(8) TAP_AVX2(9) TAP_AVX2(10) TAP_AVX2(11)
      const __m256i change = _mm256_packs_epi32(_mm256_srai_epi32(even_sum, kShift),
                                                _mm256_srai_epi32(odd_sum, kShift));
      const __m256i sum = _mm256_adds_epi16(middle, change);
      const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(sum, sum), 0x08);
      const __m128i result = _mm256_castsi256_si128(bytes);
      uint8_t* out = s.out + line * s.out_stride + 4 * b;
      if (samples == 4 * group) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), result);
      } else {
        uint8_t last[4 * group];
        _mm_storeu_si128(reinterpret_cast<__m128i*>(last), result);
        std::memcpy(out, last, static_cast<size_t>(samples));
      }
    }
  }
}

#define TAP_AVX512(TAP)                                                                          \
  {                                                                                              \
    const int64_t step = kOffsets[TAP][0] * s.stride + kOffsets[TAP][1];                         \
    const __m512i one = _mm512_sub_epi16(_mm512_loadu_si512(p + step), middle);                  \
    const __m512i other = _mm512_sub_epi16(_mm512_loadu_si512(p - step), middle);                \
    const __m512i plain = _mm512_add_epi16(one, other);                                          \
    const __m512i clipped =                                                                      \
        _mm512_add_epi16(_mm512_max_epi16(_mm512_min_epi16(one, high), low),                     \
                         _mm512_max_epi16(_mm512_min_epi16(other, high), low));                  \
    even_sum = _mm512_dpwssd_epi32(                                                              \
        even_sum, _mm512_unpacklo_epi16(plain, clipped),                                         \
        _mm512_shuffle_epi32(even[TAP / 4], static_cast<_MM_PERM_ENUM>(TAP % 4 * 0x55)));        \
    odd_sum = _mm512_dpwssd_epi32(                                                               \
        odd_sum, _mm512_unpackhi_epi16(plain, clipped),                                          \
        _mm512_shuffle_epi32(odd[TAP / 4], static_cast<_MM_PERM_ENUM>(TAP % 4 * 0x55)));         \
  }

namespace {

RQ_VNNI inline __m512i four(const Strip& s, int64_t block, int at) {
  __m512i all = _mm512_castsi128_si512(_mm_loadu_si128(quad(s, block, at)));
  all = _mm512_inserti32x4(all, _mm_loadu_si128(quad(s, block + 2, at)), 1);
  all = _mm512_inserti32x4(all, _mm_loadu_si128(quad(s, block + 4, at)), 2);
  return _mm512_inserti32x4(all, _mm_loadu_si128(quad(s, block + 6, at)), 3);
}

}  // namespace

RQ_VNNI void filter_avx512(const Strip& s) {
  constexpr int64_t group = 8;
  const __m512i repeat = _mm512_set_epi16(7, 7, 7, 7, 6, 6, 6, 6, 5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3,
                                          3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  for (int64_t b = 0; b < s.blocks; b += group) {
    const int64_t samples = 4 * (s.blocks - b < group ? s.blocks - b : group);
    if (none(s.filter + b, group)) {
      copy_blocks(s, b, samples / 4);
      continue;
    }
    __m512i even[3], odd[3];
    for (int k = 0; k < 3; ++k) {
      even[k] = four(s, b, k);
      odd[k] = four(s, b + 1, k);
    }
    const __m128i bounds = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s.bound + b));
    const __m512i high = _mm512_permutexvar_epi16(repeat, _mm512_castsi128_si512(bounds));
    const __m512i low = _mm512_sub_epi16(_mm512_setzero_si512(), high);
    const __mmask32 inside = samples == 32 ? ~0u : (1u << samples) - 1;
    for (int line = 0; line < 4; ++line) {
      const int16_t* p = s.rows + line * s.stride + 4 * b;
      const __m512i middle = _mm512_loadu_si512(p);
      __m512i even_sum = _mm512_set1_epi32(kHalf), odd_sum = even_sum;
      TAP_AVX512(0) TAP_AVX512(1) TAP_AVX512(2) TAP_AVX512(3)
      TAP_AVX512(4) TAP_AVX512(5) TAP_AVX512(6) TAP_AVX512(7)
      TAP_AVX512(8) TAP_AVX512(9) TAP_AVX512(10) TAP_AVX512(11)
      const __m512i change = _mm512_packs_epi32(_mm512_srai_epi32(even_sum, kShift),
                                                _mm512_srai_epi32(odd_sum, kShift));
      const __m512i sum = _mm512_max_epi16(_mm512_adds_epi16(middle, change),
                                           _mm512_setzero_si512());
      uint8_t* out = s.out + line * s.out_stride + 4 * b;
      _mm256_mask_storeu_epi8(out, inside, _mm512_cvtusepi16_epi8(sum));
    }
  }
}

}  // namespace post_filter
}  // namespace rq
#endif
