// Matrix layers with AVX-512 and VNNI: 6 rows by 64 columns of accumulators in registers.
#include "avx512.h"

#if RQ_X86

// gcc 12 copies and spills the accumulators of the intrinsics of dot products; with an operand that
// is read and written in place it keeps them.
#define RQ_DOT_BYTES(acc, unsigned_, signed_) \
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(unsigned_), "v"(signed_))
#define RQ_DOT_WORDS(acc, a, b) __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))

namespace {

constexpr int kRows = 6;

using rq::Clamp;
using rq::Columns;
using rq::finish;
using rq::first_bits;
using rq::load;
using rq::Mode;
using rq::part;
using rq::Quantizer;
using rq::rounded;

RQ_VNNI RQ_INLINE __m512i broadcast(const unsigned char* from) {
  int32_t word;
  std::memcpy(&word, from, 4);
  return _mm512_set1_epi32(word);
}

// --- Quantize -----------------------------------------------------------------------------------

// 32 channels from c on, before they are clamped.
RQ_VNNI RQ_INLINE __m512i scaled(__m512i x, const Quantizer& q, int64_t c) {
  if (q.any_left) {
    const __mmask32 beyond = _mm512_cmpgt_epi16_mask(x, load(q.most + c));
    x = _mm512_sllv_epi16(_mm512_max_epi16(x, load(q.least + c)), load(q.left + c));
    x = _mm512_mask_mov_epi16(x, beyond, _mm512_set1_epi16(32767));
  }
  if (q.any_right) {
    const __m512i m = load(q.multiplier + c);
    const __m512i odd = _mm512_and_si512(_mm512_mulhrs_epi16(x, m), _mm512_set1_epi16(1));
    const __m512i even = _mm512_mulhrs_epi16(_mm512_subs_epi16(x, odd), m);
    x = _mm512_mask_mov_epi16(x, _mm512_movepi16_mask(load(q.right + c)), even);
  }
  return x;
}

// 32 channels of a row that begins in one array and goes on in another.
RQ_VNNI RQ_INLINE __m512i channels(const int16_t* row, const int16_t* more, int32_t first,
                                   int32_t total, int64_t c) {
  const int64_t here = first - c;
  if (here >= 32) return load(row + c);
  if (here <= 0) {
    const auto mask = static_cast<__mmask32>(first_bits(total - c < 32 ? total - c : 32));
    return _mm512_maskz_loadu_epi16(mask, more + (c - first));
  }
  const auto mask = static_cast<__mmask32>(first_bits(here));
  const __m512i head = _mm512_maskz_loadu_epi16(mask, row + c);
  const auto rest = static_cast<__mmask32>(first_bits(total - c < 32 ? total - c : 32));
  return _mm512_mask_loadu_epi16(head, rest & ~mask, more + (c - first));
}

RQ_VNNI void quantize(const rq::Pointwise& layer, const int16_t* const* rows,
                      const int16_t* const* more, int32_t first, unsigned char* codes,
                      int64_t stride, int64_t count) {
  const Quantizer q(layer);
  const int32_t total = layer.cin;
  if (layer.narrow) {
    const __m512i low = _mm512_set1_epi8(static_cast<char>(layer.q_low));
    // The unsigned 8 bits are beyond what a signed pack holds; they need no lower clamp.
    const bool whole = layer.q_high > 127;
    const __m512i high = _mm512_set1_epi8(static_cast<char>(layer.q_high));
    const __m512i offset = _mm512_set1_epi8(static_cast<char>(layer.q_offset));
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    for (int64_t n = 0; n < count; ++n) {
      const int16_t* another = more ? more[n] : rows[n] + first;
      for (int64_t c = 0; c < total; c += 64) {
        __m512i a = scaled(channels(rows[n], another, first, total, c), q, c);
        __m512i b = _mm512_setzero_si512();
        if (c + 32 < total) b = scaled(channels(rows[n], another, first, total, c + 32), q, c + 32);
        __m512i code;
        if (whole) {
          code = _mm512_packus_epi16(a, b);
        } else {
          code = _mm512_packs_epi16(a, b);
          code = _mm512_min_epi8(_mm512_max_epi8(code, low), high);
          code = _mm512_add_epi8(code, offset);
        }
        _mm512_storeu_si512(codes + n * stride + c, _mm512_permutexvar_epi64(order, code));
      }
    }
    return;
  }
  const __m512i low = _mm512_set1_epi16(static_cast<int16_t>(layer.q_low));
  const __m512i high = _mm512_set1_epi16(static_cast<int16_t>(layer.q_high));
  for (int64_t n = 0; n < count; ++n) {
    const int16_t* another = more ? more[n] : rows[n] + first;
    for (int64_t c = 0; c < total; c += 32) {
      __m512i a = scaled(channels(rows[n], another, first, total, c), q, c);
      a = _mm512_min_epi16(_mm512_max_epi16(a, low), high);
      _mm512_storeu_si512(codes + n * stride + 2 * c, a);
    }
  }
}

// --- Products -----------------------------------------------------------------------------------

// Accumulators of kRows rows and V vectors of columns, `start` in them.
template <int V, bool Narrow>
RQ_VNNI RQ_INLINE void multiply(__m512i (&acc)[kRows][V], const unsigned char* const* rows,
                                const unsigned char* weight, const int32_t* start,
                                int64_t groups) {
  const unsigned char *r0 = rows[0], *r1 = rows[1], *r2 = rows[2];
  const unsigned char *r3 = rows[3], *r4 = rows[4], *r5 = rows[5];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const __m512i first = load(start + 16 * v);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) acc[r][v] = first;
  }
  for (int64_t k = 0; k < groups; ++k, weight += 64 * V) {
    __m512i b[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) b[v] = load(weight + 64 * v);
#define RQ_ROW(R, FROM)                      \
  {                                          \
    const __m512i a = broadcast(FROM + 4 * k); \
    _Pragma("GCC unroll 8") for (int v = 0; v < V; ++v) { \
      if (Narrow)                            \
        RQ_DOT_BYTES(acc[R][v], a, b[v]);    \
      else                                   \
        RQ_DOT_WORDS(acc[R][v], a, b[v]);    \
    }                                        \
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

template <int V, bool Narrow, Mode M>
RQ_VNNI RQ_INLINE void run_panel(const rq::Pointwise& layer, const Clamp& clamp, int64_t panel,
                                 const unsigned char* const* codes, unsigned char* const* targets,
                                 int64_t room, int64_t count) {
  const unsigned char* weight =
      part<unsigned char>(layer, layer.weight) + 4 * int64_t{layer.groups} * panel;
  const int32_t* start = part<int32_t>(layer, layer.rounding.start) + panel;
  const Columns columns = rq::columns_at(layer, panel);
  for (int64_t n = 0; n < count; n += kRows) {
    const unsigned char* rows[kRows];
    for (int64_t r = 0; r < kRows; ++r) rows[r] = codes[n + r < count ? n + r : count - 1];
    __m512i acc[kRows][V];
    multiply<V, Narrow>(acc, rows, weight, start, layer.groups);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if (n + r < count) finish<V, M>(acc[r], columns, panel, clamp, targets[n + r], room - panel);
    }
  }
}

template <bool Narrow, Mode M>
RQ_VNNI void run(const rq::Pointwise& layer, const unsigned char* const* codes,
                 unsigned char* const* targets, int64_t room, int64_t count) {
  const Clamp clamp = rq::clamp_of<M>(layer);
  int64_t panel = 0;
  for (; layer.columns - panel >= 64; panel += 64)
    run_panel<4, Narrow, M>(layer, clamp, panel, codes, targets, room, count);
  if (panel < layer.columns)
    run_panel<2, Narrow, M>(layer, clamp, panel, codes, targets, room, count);
}

void requantize(const rq::Pointwise& layer, const unsigned char* const* codes,
                unsigned char* const* targets, int64_t room, int64_t count) {
  if (layer.target == rq::kBytes) {
    if (layer.narrow)
      run<true, rq::kToBytes>(layer, codes, targets, room, count);
    else
      run<false, rq::kToBytes>(layer, codes, targets, room, count);
  } else if (layer.narrow) {
    run<true, rq::kToWords>(layer, codes, targets, room, count);
  } else {
    run<false, rq::kToWords>(layer, codes, targets, room, count);
  }
}

void accumulate(const rq::Pointwise& layer, const unsigned char* const* codes, int16_t* const* rows,
                int64_t count) {
  unsigned char* targets[rq::kTile];
  for (int64_t n = 0; n < count; ++n) targets[n] = reinterpret_cast<unsigned char*>(rows[n]);
  if (layer.narrow)
    run<true, rq::kOnto>(layer, codes, targets, layer.cout, count);
  else
    run<false, rq::kOnto>(layer, codes, targets, layer.cout, count);
}

// --- Depthwise ----------------------------------------------------------------------------------

// Four taps of 64 channels, put side by side: dot products with 4 bytes of weights a channel.
RQ_VNNI RQ_INLINE void four_taps(__m512i (&acc)[4], __m512i t0, __m512i t1, __m512i t2, __m512i t3,
                                 const unsigned char* weight) {
  const __m512i low01 = _mm512_unpacklo_epi8(t0, t1), high01 = _mm512_unpackhi_epi8(t0, t1);
  const __m512i low23 = _mm512_unpacklo_epi8(t2, t3), high23 = _mm512_unpackhi_epi8(t2, t3);
  RQ_DOT_BYTES(acc[0], _mm512_unpacklo_epi16(low01, low23), load(weight));
  RQ_DOT_BYTES(acc[1], _mm512_unpackhi_epi16(low01, low23), load(weight + 64));
  RQ_DOT_BYTES(acc[2], _mm512_unpacklo_epi16(high01, high23), load(weight + 128));
  RQ_DOT_BYTES(acc[3], _mm512_unpackhi_epi16(high01, high23), load(weight + 192));
}

RQ_VNNI void depthwise(const rq::Depthwise& layer, const unsigned char* const* centres,
                       int64_t pitch, unsigned char* codes, int64_t stride, int64_t count) {
  const int32_t* start = part<int32_t>(layer, layer.rounding.start);
  const unsigned char* weights = part<unsigned char>(layer, layer.weight);
  const int64_t step = layer.columns;
  const __m512i byte_high = _mm512_set1_epi8(static_cast<char>(layer.rounding.high));
  const __m512i word_low = _mm512_set1_epi16(static_cast<int16_t>(layer.rounding.low));
  const __m512i word_high = _mm512_set1_epi16(static_cast<int16_t>(layer.rounding.high));
  const __m512i ones = _mm512_set1_epi8(-1);
  for (int64_t c = 0; c < step; c += 64) {
    const unsigned char* w = weights + 12 * c;
    const Columns columns = rq::columns_at(layer, c);
    for (int64_t n = 0; n < count; ++n) {
      const unsigned char* at = centres[n] + c;
      __m512i acc[4];
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) acc[v] = load(start + c + 16 * v);
      four_taps(acc, load(at - pitch - step), load(at - pitch), load(at - pitch + step),
                load(at - step), w);
      four_taps(acc, load(at), load(at + step), load(at + pitch - step), load(at + pitch), w + 256);
      // The last tap alone: the other three weights of its dwords are 0.
      const __m512i last = load(at + pitch + step);
      const __m512i low = _mm512_unpacklo_epi8(last, ones), high = _mm512_unpackhi_epi8(last, ones);
      RQ_DOT_BYTES(acc[0], _mm512_unpacklo_epi16(low, ones), load(w + 512));
      RQ_DOT_BYTES(acc[1], _mm512_unpackhi_epi16(low, ones), load(w + 576));
      RQ_DOT_BYTES(acc[2], _mm512_unpacklo_epi16(high, ones), load(w + 640));
      RQ_DOT_BYTES(acc[3], _mm512_unpackhi_epi16(high, ones), load(w + 704));
      const __m512i a = _mm512_packs_epi32(rounded(acc[0], columns, 0), rounded(acc[1], columns, 1));
      const __m512i b =
          _mm512_packs_epi32(rounded(acc[2], columns, 2), rounded(acc[3], columns, 3));
      if (layer.target == rq::kBytes) {
        const __m512i code = _mm512_min_epu8(_mm512_packus_epi16(a, b), byte_high);
        _mm512_storeu_si512(codes + n * stride + c, code);
      } else {
        // 8 columns of a, then 8 of b, lane by lane.
        const __m512i first =
            _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), b);
        const __m512i second =
            _mm512_permutex2var_epi64(a, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), b);
        unsigned char* to = codes + n * stride + 2 * c;
        _mm512_storeu_si512(
            to, _mm512_min_epi16(_mm512_max_epi16(first, word_low), word_high));
        _mm512_storeu_si512(
            to + 64, _mm512_min_epi16(_mm512_max_epi16(second, word_low), word_high));
      }
    }
  }
}

}  // namespace

const rq::Kernels rq::kVnniKernels = {quantize, requantize, accumulate, depthwise};

#endif
