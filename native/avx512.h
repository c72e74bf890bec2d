// What the forms with AVX-512 share: rounding of accumulators, and what becomes of them.
#pragma once

#include "layer.h"

#if RQ_X86

// Undefined vectors in the headers of gcc 12.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace rq {

RQ_VNNI RQ_INLINE __m512i load(const void* from) { return _mm512_loadu_si512(from); }

RQ_INLINE uint64_t first_bits(int64_t n) {
  return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << (n < 0 ? 0 : n)) - 1;
}

// The numbers of a panel's columns, in memory: where registers hold accumulators.
struct Columns {
  const int32_t *down_, *up_, *odd_;
  bool rare;

  RQ_VNNI RQ_INLINE_MEMBER __m512i down(int v) const { return load(down_ + 16 * v); }
  RQ_VNNI RQ_INLINE_MEMBER __m512i up(int v) const { return load(up_ + 16 * v); }
  RQ_VNNI RQ_INLINE_MEMBER __m512i odd(int v) const { return load(odd_ + 16 * v); }
};

template <class C>
RQ_VNNI RQ_INLINE __m512i rounded(__m512i acc, const C& c, int v) {
  if (c.rare) acc = _mm512_sllv_epi32(acc, c.up(v));
  const __m512i down = c.down(v);
  const __m512i pull = _mm512_and_si512(_mm512_srav_epi32(acc, down), c.odd(v));
  return _mm512_srav_epi32(_mm512_sub_epi32(acc, pull), down);
}

template <class C>
RQ_VNNI RQ_INLINE __m512i rounded_onto(__m512i acc, __m512i x, const C& c, int v) {
  if (c.rare) acc = _mm512_sllv_epi32(acc, c.up(v));
  const __m512i down = c.down(v);
  const __m512i sum = _mm512_add_epi32(_mm512_srav_epi32(acc, down), x);
  acc = _mm512_sub_epi32(acc, _mm512_and_si512(sum, c.odd(v)));
  acc = _mm512_srav_epi32(acc, down);
  if (c.rare) {
    acc = _mm512_max_epi32(acc, _mm512_set1_epi32(-65536));
    acc = _mm512_min_epi32(acc, _mm512_set1_epi32(65535));
  }
  return _mm512_add_epi32(acc, x);
}

struct Clamp {
  __m512i low, high;
};

// A row's accumulators of a panel to its target, of which `room` columns may be written.
template <int V, Mode M, class C>
RQ_VNNI RQ_INLINE void finish(const __m512i (&acc)[V], const C& c, int64_t panel,
                              const Clamp& clamp, unsigned char* to, int64_t room) {
  const uint64_t mask = first_bits(room);
  if (M == kToBytes) {
    if (V == 4) {
      const __m512i a = _mm512_packs_epi32(rounded(acc[0], c, 0), rounded(acc[1], c, 1));
      const __m512i b = _mm512_packs_epi32(rounded(acc[V - 2], c, V - 2),
                                           rounded(acc[V - 1], c, V - 1));
      const __m512i code = _mm512_min_epu8(_mm512_packus_epi16(a, b), clamp.high);
      _mm512_mask_storeu_epi8(to + panel, mask, code);
    } else {
      __m512i a = _mm512_packs_epi32(rounded(acc[0], c, 0), rounded(acc[1], c, 1));
      a = _mm512_max_epi16(a, _mm512_setzero_si512());
      const __m256i code =
          _mm256_min_epu8(_mm512_cvtusepi16_epi8(a), _mm512_castsi512_si256(clamp.high));
      _mm256_mask_storeu_epi8(to + panel, static_cast<__mmask32>(mask), code);
    }
    return;
  }
  int16_t* words = reinterpret_cast<int16_t*>(to) + panel;
#pragma GCC unroll 4
  for (int v = 0; v < V; v += 2) {
    const auto own = static_cast<__mmask32>(mask >> (16 * v));
    __m512i code;
    if (M == kToWords) {
      code = _mm512_packs_epi32(rounded(acc[v], c, v),
                                rounded(acc[v + 1], c, v + 1));
      code = _mm512_min_epi16(_mm512_max_epi16(code, clamp.low), clamp.high);
    } else {
      const __m512i x = _mm512_maskz_loadu_epi16(own, words + 16 * v);
      const __m512i x0 = _mm512_srai_epi32(_mm512_unpacklo_epi16(x, x), 16);
      const __m512i x1 = _mm512_srai_epi32(_mm512_unpackhi_epi16(x, x), 16);
      code = _mm512_packs_epi32(rounded_onto(acc[v], x0, c, v),
                                rounded_onto(acc[v + 1], x1, c, v + 1));
    }
    _mm512_mask_storeu_epi16(words + 16 * v, own, code);
  }
}

// The limits of a layer's target, as `finish` needs them.
template <Mode M>
RQ_VNNI RQ_INLINE Clamp clamp_of(const Pointwise& layer) {
  if (M == kToBytes) {
    return {_mm512_setzero_si512(), _mm512_set1_epi8(static_cast<char>(layer.rounding.high))};
  }
  return {_mm512_set1_epi16(static_cast<int16_t>(layer.rounding.low)),
          _mm512_set1_epi16(static_cast<int16_t>(layer.rounding.high))};
}

// The numbers of a layer's columns from `panel` on.
template <class L>
RQ_INLINE Columns columns_at(const L& layer, int64_t panel) {
  const Rounding& r = layer.rounding;
  return {part<int32_t>(layer, r.down) + panel, part<int32_t>(layer, r.up) + panel,
          part<int32_t>(layer, r.odd) + panel, r.rare != 0};
}

}  // namespace rq

#endif
