// Packed layers: what is made of a layer once (pack.cpp) and read by the kernels of its level.
//
// A packed layer is one block of memory: a header, then arrays at byte offsets from its beginning.
// Weights and per-channel numbers lie in panels of output columns, in the order in which the level's
// pack instructions put columns side by side again, so that no shuffle is needed behind a product.
#pragma once

#include "common.h"

namespace rq {

// Rows that go through a chain of layers together: their codes stay in the first-level cache.
constexpr int64_t kTile = 48;

// What a pointwise or depthwise layer writes.
enum Target : int32_t {
  kBytes = 0,  // unsigned codes of at most 8 bits, uint8
  kWords = 1,  // integers of 9 bits and more, or the input of a layer that reads words, int16
};

// Of a layer, in the column order of its level: [columns].
struct Rounding {
  int64_t start;  // bias, half a unit of what the shift keeps, and what offset codes add; int32
  int64_t down;   // right shift, int32
  int64_t up;     // left shift, int32
  int64_t odd;    // 1 where down > 0: there ties go to even; int32
  int32_t rare;  // some channel shifts left, or leaves int32 when a row is added to it
  int32_t low, high;  // clamp
};

struct Pointwise {
  int64_t bytes;    // of the packed layer
  int32_t level;    // whose kernels read it
  int32_t narrow;   // codes are bytes: integer + offset; else int16 integers
  int32_t cin, cout;
  int32_t groups;   // of 4 bytes or 2 words that one dot product takes: ceil(cin / 4 or 2)
  int32_t columns;  // cout rounded up to whole panels
  int32_t target;   // Target
  int32_t identity; // the quantizer below changes nothing: 16-bit rows are codes
  Rounding rounding;
  int64_t weight;
  // Quantizer of the rows that the layer reads: [cin rounded up to 64], int16.
  int64_t multiplier;  // 2^(15 - shift) of a right shift, which vpmulhrsw divides by; 0 for 16
  int64_t left;        // left shift, int16
  int64_t least, most; // beyond them a left shift leaves int16
  int64_t right;       // -1 where there is a right shift, else 0
  int32_t any_left, any_right;
  int32_t q_low, q_high, q_offset;
};

struct Depthwise {
  int64_t bytes;
  int32_t level;
  int32_t channels;
  int32_t columns;  // channels rounded up to 64
  int32_t target;
  Rounding rounding;
  int64_t weight;
};

template <typename T, typename L>
RQ_INLINE const T* part(const L& layer, int64_t offset) {
  return reinterpret_cast<const T*>(reinterpret_cast<const unsigned char*>(&layer) + offset);
}

// Quantizer of a layer's rows, by channel.
struct Quantizer {
  const int16_t *multiplier, *left, *least, *most, *right;
  bool any_left, any_right;

  explicit Quantizer(const Pointwise& layer)
      : multiplier(part<int16_t>(layer, layer.multiplier)),
        left(part<int16_t>(layer, layer.left)),
        least(part<int16_t>(layer, layer.least)),
        most(part<int16_t>(layer, layer.most)),
        right(part<int16_t>(layer, layer.right)),
        any_left(layer.any_left != 0),
        any_right(layer.any_right != 0) {}
};

RQ_INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Bytes between the rows of codes of a layer's input in a tile.
RQ_INLINE int64_t code_stride(const Pointwise& layer) {
  return round_up(layer.cin, 64) * (layer.narrow ? 1 : 2);
}

// Result of a product: codes of the target, or rows onto which it is added.
enum Mode { kToBytes, kToWords, kOnto };

// The kernels of a level. All take at most kTile rows, by pointers.
struct Kernels {
  // Rows of `first` int16 channels, and of the rest from `more`, to codes `stride` bytes apart.
  void (*quantize)(const Pointwise&, const int16_t* const* rows, const int16_t* const* more,
                   int32_t first, unsigned char* codes, int64_t stride, int64_t count);
  // Codes to codes of the target; `room` columns may be written of each row.
  void (*requantize)(const Pointwise&, const unsigned char* const* codes,
                     unsigned char* const* targets, int64_t room, int64_t count);
  // Codes onto int16 rows of cout channels.
  void (*accumulate)(const Pointwise&, const unsigned char* const* codes, int16_t* const* rows,
                     int64_t count);
  // 3x3 around bytes in a field whose rows of positions are `pitch` bytes apart and whose positions
  // are layer.columns bytes apart; `stride` bytes between the rows written.
  void (*depthwise)(const Depthwise&, const unsigned char* const* centres, int64_t pitch,
                    unsigned char* codes, int64_t stride, int64_t count);
};

extern const Kernels kPlainKernels;
#if RQ_X86
extern const Kernels kAvx2Kernels;
extern const Kernels kVnniKernels;
extern const Kernels kAmxKernels;
#endif

RQ_INLINE const Kernels& kernels_of(int32_t level) {
#if RQ_X86
  if (level == kAmx) return kAmxKernels;
  if (level == kVnni) return kVnniKernels;
  if (level == kAvx2) return kAvx2Kernels;
#endif
  (void)level;
  return kPlainKernels;
}

// Codes of the rows of a tile.
using Codes = const unsigned char* [kTile];

// Codes of rows: the rows themselves, or quantized into `memory`.
RQ_INLINE void codes_of(const Pointwise& layer, const int16_t* const* rows,
                        const int16_t* const* more, int32_t first, unsigned char* memory,
                        Codes& codes, int64_t count) {
  if (layer.identity && !more) {
    for (int64_t n = 0; n < count; ++n)
      codes[n] = reinterpret_cast<const unsigned char*>(rows[n]);
    return;
  }
  const int64_t stride = code_stride(layer);
  kernels_of(layer.level).quantize(layer, rows, more, first, memory, stride, count);
  for (int64_t n = 0; n < count; ++n) codes[n] = memory + n * stride;
}

}  // namespace rq
