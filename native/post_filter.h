// What the forms of the post-filter share.
#pragma once

#include "common.h"

namespace rq {
namespace post_filter {

constexpr int kActivities = 16, kDirections = 9, kTurns = 4, kTaps = 12, kSwitches = 8;
constexpr int kPairs = 2 * kTaps;  // Weights of a filter.
constexpr int32_t kNoFilter = kActivities * kDirections * kTurns;  // Row of zeros in the table.
constexpr int kShift = 8;
constexpr int32_t kHalf = 1 << (kShift - 1);

// Row and column of the taps; the opposite sample has the same weights.
constexpr int kOffsets[kTaps][2] = {{0, 1}, {0, 2}, {0, 3}, {1, -2}, {1, -1}, {1, 0},
                                    {1, 1}, {1, 2}, {2, -1}, {2, 0}, {2, 1}, {3, 0}};

constexpr int64_t kMargin = 8;    // Samples around a band, of which 5 are read.
constexpr int64_t kAtOnce = 8;    // Blocks that the widest form filters at a time.

// Blocks of a row, filled up to what any form takes at a time.
RQ_INLINE int64_t padded_blocks(int64_t blocks) { return (blocks + kAtOnce - 1) / kAtOnce * kAtOnce; }

// Four rows of samples, and how their blocks are filtered. There are padded_blocks of `filter` and
// `bound`, and as many samples to read, but only 4 * blocks in a row of `out`.
struct Strip {
  const int16_t* rows;
  int64_t stride;
  int64_t blocks;
  const int16_t* table;
  const int32_t* filter;
  const int16_t* bound;
  uint8_t* out;
  int64_t out_stride;
};

RQ_INLINE void copy_blocks(const Strip& s, int64_t first, int64_t count) {
  for (int line = 0; line < 4; ++line)
    for (int64_t x = 4 * first; x < 4 * (first + count); ++x)
      s.out[line * s.out_stride + x] = static_cast<uint8_t>(s.rows[line * s.stride + x]);
}

using FilterStrip = void(const Strip&);

FilterStrip filter_avx2, filter_avx512;

}  // namespace post_filter
}  // namespace rq
