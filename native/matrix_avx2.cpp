// Matrix layers with AVX2: codes are words, vpmaddwd adds two exact products in 32 bits. (The
// instruction for bytes, vpmaddubsw, saturates at 16.) 6 rows by 16 columns in registers.
#include "layer.h"

#if RQ_X86

#include <immintrin.h>

namespace {

constexpr int kRows = 6;
constexpr int64_t kPanel = 16;

using rq::kOnto;
using rq::kToBytes;
using rq::kToWords;
using rq::Mode;
using rq::part;
using rq::Quantizer;

RQ_AVX2 RQ_INLINE __m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

RQ_AVX2 RQ_INLINE void store(void* to, __m256i x) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), x);
}

struct Columns {
  const int32_t *down, *up, *odd;
  bool rare;
};

RQ_AVX2 RQ_INLINE __m256i rounded(__m256i acc, const Columns& c, int64_t at) {
  if (c.rare) acc = _mm256_sllv_epi32(acc, load(c.up + at));
  const __m256i down = load(c.down + at);
  const __m256i pull = _mm256_and_si256(_mm256_srav_epi32(acc, down), load(c.odd + at));
  return _mm256_srav_epi32(_mm256_sub_epi32(acc, pull), down);
}

RQ_AVX2 RQ_INLINE __m256i rounded_onto(__m256i acc, __m256i x, const Columns& c, int64_t at) {
  if (c.rare) acc = _mm256_sllv_epi32(acc, load(c.up + at));
  const __m256i down = load(c.down + at);
  const __m256i sum = _mm256_add_epi32(_mm256_srav_epi32(acc, down), x);
  acc = _mm256_sub_epi32(acc, _mm256_and_si256(sum, load(c.odd + at)));
  acc = _mm256_srav_epi32(acc, down);
  if (c.rare) {
    acc = _mm256_max_epi32(acc, _mm256_set1_epi32(-65536));
    acc = _mm256_min_epi32(acc, _mm256_set1_epi32(65535));
  }
  return _mm256_add_epi32(acc, x);
}

// --- Quantize -----------------------------------------------------------------------------------

// 16 channels from c on, before they are clamped.
RQ_AVX2 RQ_INLINE __m256i scaled(__m256i x, const Quantizer& q, int64_t c) {
  if (q.any_left) {
    const __m256i beyond = _mm256_cmpgt_epi16(x, load(q.most + c));
    // There is no shift of words by vectors: of dwords, the even words and the odd ones.
    const __m256i kept = _mm256_max_epi16(x, load(q.least + c));
    const __m256i by = load(q.left + c);
    const __m256i low_half = _mm256_set1_epi32(0xffff);
    const __m256i even = _mm256_sllv_epi32(kept, _mm256_and_si256(by, low_half));
    const __m256i odd =
        _mm256_sllv_epi32(_mm256_andnot_si256(low_half, kept), _mm256_srli_epi32(by, 16));
    x = _mm256_blend_epi16(even, odd, 0xaa);
    x = _mm256_blendv_epi8(x, _mm256_set1_epi16(32767), beyond);
  }
  if (q.any_right) {
    const __m256i m = load(q.multiplier + c);
    const __m256i odd = _mm256_and_si256(_mm256_mulhrs_epi16(x, m), _mm256_set1_epi16(1));
    const __m256i even = _mm256_mulhrs_epi16(_mm256_subs_epi16(x, odd), m);
    x = _mm256_blendv_epi8(x, even, load(q.right + c));
  }
  return x;
}

RQ_AVX2 void quantize(const rq::Pointwise& layer, const int16_t* const* rows,
                      const int16_t* const* more, int32_t first, unsigned char* codes,
                      int64_t stride, int64_t count) {
  const Quantizer q(layer);
  const __m256i low = _mm256_set1_epi16(static_cast<int16_t>(layer.q_low));
  const __m256i high = _mm256_set1_epi16(static_cast<int16_t>(layer.q_high));
  const int32_t total = layer.cin;
  for (int64_t n = 0; n < count; ++n) {
    for (int32_t c = 0; c < total; c += 16) {
      __m256i x;
      if (c + 16 <= first) {
        x = load(rows[n] + c);
      } else if (c >= first && c + 16 <= total) {
        x = load(more[n] + (c - first));
      } else {
        int16_t mixed[16] = {};
        for (int32_t i = 0; i < 16 && c + i < total; ++i)
          mixed[i] = c + i < first ? rows[n][c + i] : more[n][c + i - first];
        x = load(mixed);
      }
      x = _mm256_min_epi16(_mm256_max_epi16(scaled(x, q, c), low), high);
      store(codes + n * stride + 2 * c, x);
    }
  }
}

// --- Products -----------------------------------------------------------------------------------

RQ_AVX2 RQ_INLINE __m256i broadcast(const unsigned char* from) {
  int32_t words;
  std::memcpy(&words, from, 4);
  return _mm256_set1_epi32(words);
}

RQ_AVX2 RQ_INLINE void multiply(__m256i (&acc)[kRows][2], const unsigned char* const* rows,
                                const unsigned char* weight, const int32_t* start,
                                int64_t groups) {
  const unsigned char *r0 = rows[0], *r1 = rows[1], *r2 = rows[2];
  const unsigned char *r3 = rows[3], *r4 = rows[4], *r5 = rows[5];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    acc[r][0] = load(start);
    acc[r][1] = load(start + 8);
  }
  for (int64_t k = 0; k < groups; ++k, weight += 64) {
    const __m256i b0 = load(weight), b1 = load(weight + 32);
#define RQ_ROW(R, FROM)                                                        \
  {                                                                            \
    const __m256i a = broadcast(FROM + 4 * k);                                 \
    acc[R][0] = _mm256_add_epi32(acc[R][0], _mm256_madd_epi16(a, b0));         \
    acc[R][1] = _mm256_add_epi32(acc[R][1], _mm256_madd_epi16(a, b1));         \
  }
    RQ_ROW(0, r0)
    RQ_ROW(1, r1)
    RQ_ROW(2, r2)
    RQ_ROW(3, r3)
    RQ_ROW(4, r4)
    RQ_ROW(5, r5)
#undef RQ_ROW
  }
}

struct Clamp {
  __m256i low, high;
};

RQ_AVX2 RQ_INLINE __m128i bytes_of(__m256i words) {
  const __m256i packed = _mm256_packus_epi16(words, words);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

template <Mode M>
RQ_AVX2 RQ_INLINE void finish(const __m256i (&acc)[2], const Columns& c, int64_t panel,
                              const Clamp& clamp, unsigned char* to, int64_t room) {
  if (M == kOnto) {
    int16_t* words = reinterpret_cast<int16_t*>(to) + panel;
    int16_t some[kPanel] = {};
    const bool whole = room >= kPanel;
    if (!whole) std::memcpy(some, words, static_cast<size_t>(2 * room));
    const __m256i x = load(whole ? words : some);
    const __m256i x0 = _mm256_srai_epi32(_mm256_unpacklo_epi16(x, x), 16);
    const __m256i x1 = _mm256_srai_epi32(_mm256_unpackhi_epi16(x, x), 16);
    const __m256i sum = _mm256_packs_epi32(rounded_onto(acc[0], x0, c, panel),
                                           rounded_onto(acc[1], x1, c, panel + 8));
    store(whole ? words : some, sum);
    if (!whole) std::memcpy(words, some, static_cast<size_t>(2 * room));
    return;
  }
  __m256i code =
      _mm256_packs_epi32(rounded(acc[0], c, panel), rounded(acc[1], c, panel + 8));
  code = _mm256_min_epi16(_mm256_max_epi16(code, clamp.low), clamp.high);
  unsigned char some[32];
  if (M == kToBytes) {
    const __m128i narrow = bytes_of(code);
    if (room >= kPanel) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + panel), narrow);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(some), narrow);
      std::memcpy(to + panel, some, static_cast<size_t>(room));
    }
  } else if (room >= kPanel) {
    store(to + 2 * panel, code);
  } else {
    store(some, code);
    std::memcpy(to + 2 * panel, some, static_cast<size_t>(2 * room));
  }
}

template <Mode M>
RQ_AVX2 void run(const rq::Pointwise& layer, const unsigned char* const* codes,
                 unsigned char* const* targets, int64_t room, int64_t count) {
  const Columns columns = {part<int32_t>(layer, layer.rounding.down),
                           part<int32_t>(layer, layer.rounding.up),
                           part<int32_t>(layer, layer.rounding.odd), layer.rounding.rare != 0};
  const Clamp clamp = {_mm256_set1_epi16(static_cast<int16_t>(layer.rounding.low)),
                       _mm256_set1_epi16(static_cast<int16_t>(layer.rounding.high))};
  for (int64_t panel = 0; panel < layer.columns && panel < room; panel += kPanel) {
    const unsigned char* weight =
        part<unsigned char>(layer, layer.weight) + 4 * int64_t{layer.groups} * panel;
    const int32_t* start = part<int32_t>(layer, layer.rounding.start) + panel;
    for (int64_t n = 0; n < count; n += kRows) {
      const unsigned char* rows[kRows];
      for (int64_t r = 0; r < kRows; ++r) rows[r] = codes[n + r < count ? n + r : count - 1];
      __m256i acc[kRows][2];
      multiply(acc, rows, weight, start, layer.groups);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        if (n + r < count) finish<M>(acc[r], columns, panel, clamp, targets[n + r], room - panel);
      }
    }
  }
}

void requantize(const rq::Pointwise& layer, const unsigned char* const* codes,
                unsigned char* const* targets, int64_t room, int64_t count) {
  if (layer.target == rq::kBytes)
    run<kToBytes>(layer, codes, targets, room, count);
  else
    run<kToWords>(layer, codes, targets, room, count);
}

void accumulate(const rq::Pointwise& layer, const unsigned char* const* codes, int16_t* const* rows,
                int64_t count) {
  unsigned char* targets[rq::kTile];
  for (int64_t n = 0; n < count; ++n) targets[n] = reinterpret_cast<unsigned char*>(rows[n]);
  run<kOnto>(layer, codes, targets, layer.cout, count);
}

// --- Depthwise ----------------------------------------------------------------------------------

RQ_AVX2 RQ_INLINE __m256i widened(const unsigned char* from) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

RQ_AVX2 RQ_INLINE void two_taps(__m256i (&acc)[2], __m256i t0, __m256i t1,
                                const unsigned char* weight) {
  const __m256i low = _mm256_unpacklo_epi16(t0, t1), high = _mm256_unpackhi_epi16(t0, t1);
  acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(low, load(weight)));
  acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(high, load(weight + 32)));
}

RQ_AVX2 void depthwise(const rq::Depthwise& layer, const unsigned char* const* centres,
                       int64_t pitch, unsigned char* codes, int64_t stride, int64_t count) {
  const Columns columns = {part<int32_t>(layer, layer.rounding.down),
                           part<int32_t>(layer, layer.rounding.up),
                           part<int32_t>(layer, layer.rounding.odd), layer.rounding.rare != 0};
  const int32_t* start = part<int32_t>(layer, layer.rounding.start);
  const unsigned char* weights = part<unsigned char>(layer, layer.weight);
  const int64_t step = layer.columns;
  const __m256i low = _mm256_set1_epi16(static_cast<int16_t>(layer.rounding.low));
  const __m256i high = _mm256_set1_epi16(static_cast<int16_t>(layer.rounding.high));
  for (int64_t c = 0; c < step; c += kPanel) {
    const unsigned char* w = weights + 20 * c;
    for (int64_t n = 0; n < count; ++n) {
      const unsigned char* at = centres[n] + c;
      __m256i acc[2] = {load(start + c), load(start + c + 8)};
      two_taps(acc, widened(at - pitch - step), widened(at - pitch), w);
      two_taps(acc, widened(at - pitch + step), widened(at - step), w + 64);
      two_taps(acc, widened(at), widened(at + step), w + 128);
      two_taps(acc, widened(at + pitch - step), widened(at + pitch), w + 192);
      two_taps(acc, widened(at + pitch + step), _mm256_setzero_si256(), w + 256);
      __m256i code =
          _mm256_packs_epi32(rounded(acc[0], columns, c), rounded(acc[1], columns, c + 8));
      code = _mm256_min_epi16(_mm256_max_epi16(code, low), high);
      if (layer.target == rq::kBytes) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + n * stride + c), bytes_of(code));
      } else {
        store(codes + n * stride + 2 * c, code);
      }
    }
  }
}

}  // namespace

const rq::Kernels rq::kAvx2Kernels = {quantize, requantize, accumulate, depthwise};

#endif
