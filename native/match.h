// Estimated bits of a residual after displaced prediction, and refinement of vectors by them.
//
// Blocks are priced as if their neighbours did not overlap them. All arithmetic is of integers, or
// of single floats rounded after every operation, so every form and every machine agrees.
#pragma once

#include "motion.h"

namespace rq {
namespace match {

constexpr int kUnit = 16;     // Side of a unit of 2x2 blocks, in luma samples.
constexpr int kMargin = 24;   // Samples around the interpolated reference, its edge repeated.
constexpr int kSplits = 4;    // Blocks of a unit.
constexpr int kMost = 32;     // Vectors that a unit may try.
constexpr int kMemory = 24;   // Vectors of a unit whose prices are remembered.
constexpr int32_t kOne = 0x3f800000 >> 7;  // The bits of 1.0f, as they are summed.

// A frame and its reference at all quarter samples, [16, height + 48, width + 48]; phase fx + 4 fy.
struct Frame {
  const uint8_t* current;
  int64_t height, width;
  const uint8_t* phases;
  const uint8_t* beside;  // Prediction to average with, [height, width], or null.
  const uint8_t* uses;    // A block each: 0 not predicted by this reference, 1 so, 2 by the average.
  const float* scales;    // Worth of each squared coefficient of `transform`, [64].
};

// Displaced unit of the reference; rows are `stride` apart.
RQ_INLINE const uint8_t* displaced(const Frame& frame, int64_t row, int64_t column,
                                   motion::Vector v, int64_t* stride) {
  const int64_t width = frame.width + 2 * kMargin, height = frame.height + 2 * kMargin;
  const int64_t x = clamp<int64_t>(column * kUnit + (v.x >> 2), 4 - kMargin,
                                   frame.width + kMargin - kUnit - 4);
  const int64_t y = clamp<int64_t>(row * kUnit + (v.y >> 2), 4 - kMargin,
                                   frame.height + kMargin - kUnit - 4);
  const int64_t phase = (v.x & 3) + 4 * (v.y & 3);
  *stride = width;
  return frame.phases + (phase * height + y + kMargin) * width + x + kMargin;
}

struct Refinement {
  Frame frame;
  motion::Units units;
  motion::Vector (*blocks)[kSplits];
  int32_t* isnew;
  motion::Previous before;
  motion::Context base;
  const int32_t* costs;    // Of the choices of a base, [leaves, 5], in 1/1024 bit.
  const int32_t* lengths;  // Of the absolute value of a difference, [8192].
  int32_t weight;          // Of a bit of motion, in 1/1024.
  const motion::Vector* ring;
  int64_t rings;
  int32_t* memory;         // [units, 1 + 5 * kMemory]: number of vectors; packed vector, prices.
  int64_t colour, first, last;
};

constexpr int32_t kSplitBits = 5120, kWholeBits = 307, kSameBits = 819, kOtherBits = 3072,
                  kNewBits = 5120, kDifferenceBits = 3379;

void interpolate_avx2(const uint8_t* padded, int64_t height, int64_t width, int64_t first,
                      int64_t last, uint8_t* phases, int16_t* scratch);
void prices_avx2(const Frame& frame, const int32_t* units, const motion::Vector* vectors,
                 int64_t count, int32_t* prices);
void refine_avx2(const Refinement& job);
void prices_avx512(const Frame& frame, const int32_t* units, const motion::Vector* vectors,
                   int64_t count, int32_t* prices);
void refine_avx512(const Refinement& job);

// Source of the interpolation filters.
constexpr int16_t kTaps[4][8] = {{0, 0, 0, 64, 0, 0, 0, 0},
                                 {-1, 4, -10, 58, 17, -5, 1, 0},
                                 {-1, 4, -11, 40, 40, -11, 4, -1},
                                 {0, 1, -5, 17, 58, -10, 4, -1}};

}  // namespace match
}  // namespace rq
