// The post-filter of docs/format.md: classes of 4x4 blocks, their filters, and the switches.
//
// Everything is an integer. A block's twelve pairs of weights lie side by side in the table, one
// for the difference from the middle sample and one for the clipped difference, so that a pair of
// 16-bit products is one multiply-add.
#include "post_filter.h"

#include "bands.h"
#include "scratch.h"

namespace {

using namespace rq::post_filter;

// Rows of samples as int16, with margins that repeat the plane's edges.
struct Band {
  int16_t* first;  // Sample (top, 0) of the band.
  int64_t stride;

  const int16_t* row(int64_t y) const { return first + y * stride; }
};

RQ_INLINE void widen_row(const uint8_t* RQ_RESTRICT from, int16_t* RQ_RESTRICT to, int64_t width,
                         int64_t right) {
  for (int64_t x = 0; x < width; ++x) to[x] = from[x];
  for (int64_t x = 1; x <= kMargin; ++x) to[-x] = from[0];
  for (int64_t x = width; x < width + right; ++x) to[x] = from[width - 1];
}

// |2 middle - one - other|, at most 510.
RQ_INLINE int16_t curvature(int16_t middle, int16_t one, int16_t other) {
  const int16_t bend = static_cast<int16_t>(2 * middle - one - other);
  return static_cast<int16_t>(bend < 0 ? -bend : bend);
}

// Second differences of four rows, summed by block: vertical, horizontal, and both diagonals.
RQ_INLINE void block_sums(Band band, int64_t y, int64_t blocks, int16_t* RQ_RESTRICT columns,
                          int32_t* RQ_RESTRICT sums) {
  const int64_t width = 4 * blocks;
  int16_t* RQ_RESTRICT ver = columns;
  int16_t* RQ_RESTRICT hor = columns + width;
  int16_t* RQ_RESTRICT one = columns + 2 * width;
  int16_t* RQ_RESTRICT two = columns + 3 * width;
  const int16_t* RQ_RESTRICT p = band.row(y);
  const int64_t s = band.stride;
  for (int64_t x = 0; x < width; ++x) {
    int16_t v = 0, h = 0, d = 0, e = 0;
    for (int line = 0; line < 4; ++line) {
      const int64_t at = x + line * s;
      v = static_cast<int16_t>(v + curvature(p[at], p[at - s], p[at + s]));
      h = static_cast<int16_t>(h + curvature(p[at], p[at - 1], p[at + 1]));
      d = static_cast<int16_t>(d + curvature(p[at], p[at - s - 1], p[at + s + 1]));
      e = static_cast<int16_t>(e + curvature(p[at], p[at - s + 1], p[at + s - 1]));
    }
    ver[x] = v;
    hor[x] = h;
    one[x] = d;
    two[x] = e;
  }
  for (int64_t b = 0; b < 4 * blocks; ++b) {
    // Four sums of at most 2040 each; their total comes out on top.
    uint64_t four;
    std::memcpy(&four, columns + 4 * b, sizeof four);
    sums[b] = static_cast<int32_t>(four * 0x0001000100010001u >> 48);
  }
}

// The sum of a block, twice, and of the four beside it; those beyond the plane are the block's own.
RQ_INLINE void beside(const int32_t* RQ_RESTRICT above, const int32_t* RQ_RESTRICT own,
                      const int32_t* RQ_RESTRICT below, int64_t blocks,
                      int32_t* RQ_RESTRICT out) {
  for (int64_t b = 1; b + 1 < blocks; ++b)
    out[b] = 2 * own[b] + own[b - 1] + own[b + 1] + above[b] + below[b];
  const int64_t last = blocks - 1;
  out[0] = 3 * own[0] + own[blocks > 1 ? 1 : 0] + above[0] + below[0];
  out[last] = 3 * own[last] + own[blocks > 1 ? last - 1 : 0] + above[last] + below[last];
}

RQ_INLINE int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
RQ_INLINE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

// Filter and activity of a row of blocks, from the four sums of each.
RQ_INLINE void classify(const int32_t* RQ_RESTRICT v, const int32_t* RQ_RESTRICT h,
                        const int32_t* RQ_RESTRICT d, const int32_t* RQ_RESTRICT e, int64_t blocks,
                        const int32_t* RQ_RESTRICT levels, int32_t* RQ_RESTRICT activity,
                        int32_t* RQ_RESTRICT filter) {
  for (int64_t b = 0; b < blocks; ++b) {
    int32_t reached = 0;
    for (int k = 0; k < kActivities - 1; ++k) reached += levels[k] <= v[b] + h[b];
    activity[b] = reached;
    const int32_t s_strong = larger(h[b], v[b]), s_weak = smaller(h[b], v[b]);
    const int32_t o_strong = larger(d[b], e[b]), o_weak = smaller(d[b], e[b]);
    // Sums are at most 48960, their products below 2^32.
    const bool straight = static_cast<uint32_t>(s_strong) * static_cast<uint32_t>(o_weak) >
                          static_cast<uint32_t>(o_strong) * static_cast<uint32_t>(s_weak);
    const int32_t strong = 4 * (straight ? s_strong : o_strong);
    const int32_t weak = straight ? s_weak : o_weak;
    const int32_t contrast =
        (strong > 5 * weak) + (strong > 8 * weak) + (strong > 12 * weak) + (strong > 24 * weak);
    const int32_t direction = contrast > 0 ? 2 * contrast - straight : 0;
    const int32_t turn = 2 * (e[b] >= d[b]) + (v[b] >= h[b]);
    filter[b] = (reached * kDirections + direction) * kTurns + turn;
  }
}

// Four rows of blocks' samples, one block at a time.
void filter_plain(const Strip& s) {
  for (int64_t b = 0; b < s.blocks; ++b) {
    const int16_t* pairs = s.table + s.filter[b] * kPairs;
    if (s.filter[b] == kNoFilter) {
      copy_blocks(s, b, 1);
      continue;
    }
    const int32_t high = s.bound[b];
    for (int line = 0; line < 4; ++line) {
      const int16_t* p = s.rows + line * s.stride + 4 * b;
      uint8_t* out = s.out + line * s.out_stride + 4 * b;
      int32_t total[4] = {kHalf, kHalf, kHalf, kHalf};
      for (int tap = 0; tap < kTaps; ++tap) {
        const int64_t step = kOffsets[tap][0] * s.stride + kOffsets[tap][1];
        const int32_t w = pairs[2 * tap], clipped = pairs[2 * tap + 1];
        for (int x = 0; x < 4; ++x) {
          const int32_t one = p[x + step] - p[x], other = p[x - step] - p[x];
          total[x] += w * (one + other) +
                      clipped * (rq::clamp(one, -high, high) + rq::clamp(other, -high, high));
        }
      }
      for (int x = 0; x < 4; ++x)
        out[x] = static_cast<uint8_t>(rq::clamp((total[x] >> kShift) + p[x], 0, 255));
    }
  }
}

struct Job {
  const uint8_t* plane;
  int64_t height, width;
  const int16_t* table;
  const int32_t* levels;
  const int32_t* bounds;
  int32_t switches;
  int64_t top, bottom;  // Of blocks.
  uint8_t* out;
  uint8_t* activity;
};

constexpr int64_t kBandBlocks = 16;

struct Scratch {
  Band band;
  int16_t* columns;      // Second differences by column, four kinds.
  int32_t* sums;         // Of three rows of blocks, four kinds each.
  int32_t* near;         // Sums with their neighbours, four kinds.
  int32_t* activity;
  int32_t* filter;
  int16_t* bound;
};

// Where a row of blocks keeps its sums: rows take three places in turn.
RQ_INLINE int32_t* sums_of(const Scratch& s, int64_t row, int64_t blocks) {
  return s.sums + row % 3 * 4 * blocks;
}

RQ_INLINE void run(const Job& job, const Scratch& s, FilterStrip* filter) {
  const int64_t blocks = job.width / 4, padded = padded_blocks(blocks);
  const int64_t last = job.height / 4 - 1;
  int16_t bounds[kActivities];
  for (int k = 0; k < kActivities; ++k)
    bounds[k] = static_cast<int16_t>(rq::clamp(job.bounds[k], 0, 255));
  for (int64_t b = blocks; b < padded; ++b) {
    s.filter[b] = kNoFilter;
    s.bound[b] = 0;
  }
  for (int64_t top = job.top; top < job.bottom; top += kBandBlocks) {
    const int64_t bottom = top + kBandBlocks < job.bottom ? top + kBandBlocks : job.bottom;
    for (int64_t y = 4 * top - kMargin; y < 4 * bottom + kMargin; ++y) {
      const int64_t inside = rq::clamp<int64_t>(y, 0, job.height - 1);
      widen_row(job.plane + inside * job.width, s.band.first + (y - 4 * top) * s.band.stride,
                job.width, 4 * (padded - blocks) + kMargin);
    }
    for (int64_t row = top > 0 ? top - 1 : top; row <= top; ++row)
      block_sums(s.band, 4 * (row - top), blocks, s.columns, sums_of(s, row, blocks));
    for (int64_t row = top; row < bottom; ++row) {
      if (row < last)
        block_sums(s.band, 4 * (row + 1 - top), blocks, s.columns, sums_of(s, row + 1, blocks));
      const int32_t* above = sums_of(s, row > 0 ? row - 1 : row, blocks);
      const int32_t* own = sums_of(s, row, blocks);
      const int32_t* below = sums_of(s, row < last ? row + 1 : row, blocks);
      for (int64_t k = 0; k < 4 * blocks; k += blocks)
        beside(above + k, own + k, below + k, blocks, s.near + k);
      classify(s.near, s.near + blocks, s.near + 2 * blocks, s.near + 3 * blocks, blocks,
               job.levels, s.activity, s.filter);
      for (int64_t b = 0; b < blocks; ++b) {
        const int32_t a = s.activity[b];
        if (!(job.switches >> (a / 2) & 1)) s.filter[b] = kNoFilter;
        s.bound[b] = bounds[a];
      }
      if (job.activity)
        for (int64_t b = 0; b < blocks; ++b)
          job.activity[row * blocks + b] = static_cast<uint8_t>(s.activity[b]);
      filter({s.band.row(4 * (row - top)), s.band.stride, blocks, job.table, s.filter, s.bound,
              job.out + 4 * row * job.width, job.width});
    }
  }
}

#define FORM(NAME, TARGET, FILTER) \
  TARGET void NAME(const Job& job, const Scratch& scratch) { run(job, scratch, FILTER); }
FORM(run_plain, , filter_plain)
#if RQ_X86
FORM(run_avx2, RQ_AVX2, filter_avx2)
FORM(run_avx512, RQ_VNNI, filter_avx512)
#endif

// Squared errors before less those after, of the blocks of each pair of activities.
RQ_INLINE void gains(const uint8_t* before, const uint8_t* after, const uint8_t* activity,
                     int64_t width, const uint8_t* target, int64_t rows, int64_t columns,
                     int64_t* won) {
  const int64_t per_line = width / 4;
  for (int64_t y = 0; y < rows; ++y) {
    const uint8_t* RQ_RESTRICT b = before + y * width;
    const uint8_t* RQ_RESTRICT a = after + y * width;
    const uint8_t* RQ_RESTRICT t = target + y * columns;
    const uint8_t* of = activity + y / 4 * per_line;
    const int64_t whole = columns / 4;
    for (int64_t block = 0; block < whole; ++block) {
      int32_t sum = 0;
      for (int64_t x = 4 * block; x < 4 * block + 4; ++x)
        sum += (b[x] - a[x]) * (b[x] + a[x] - 2 * t[x]);
      won[of[block] / 2 % kSwitches] += sum;
    }
    for (int64_t x = 4 * whole; x < columns; ++x)
      won[of[whole] / 2 % kSwitches] += (b[x] - a[x]) * (b[x] + a[x] - 2 * t[x]);
  }
}

// Rows of blocks top <= row < bottom. Returns 0, or -1 where memory is short.
int32_t filter_rows(const Job& job) {
  const int64_t blocks = job.width / 4, padded = padded_blocks(blocks);
  const int64_t stride = 4 * padded + 2 * kMargin;
  const int64_t samples = stride * (4 * kBandBlocks + 2 * kMargin);
  const int64_t narrow = samples + 16 * blocks + padded, wide = 12 * blocks + 4 * blocks + 2 * padded;
  const rq::Scratch memory(2 * narrow + 4 * wide);
  if (!memory.get()) return -1;
  Scratch s;
  s.sums = reinterpret_cast<int32_t*>(memory.get());
  s.near = s.sums + 12 * blocks;
  s.activity = s.near + 4 * blocks;
  s.filter = s.activity + padded;
  int16_t* samples_at = reinterpret_cast<int16_t*>(s.filter + padded);
  s.band = {samples_at + kMargin * stride + kMargin, stride};
  s.columns = samples_at + samples;
  s.bound = s.columns + 16 * blocks;
#if RQ_X86
  if (rq::level() >= rq::kVnni)
    run_avx512(job, s);
  else if (rq::level() >= rq::kAvx2)
    run_avx2(job, s);
  else
#endif
    run_plain(job, s);
  return 0;
}

}  // namespace

// Filter a plane [height, width], sides multiples of 4.
//
// table: pairs of weights [16 activities, 9 directions, 4 turns, 12 taps, 2], then 24 zeros.
// levels: where the next activity begins [15]. bounds: of the clipped differences [16], >= 0.
// switches: bit a / 2 says whether blocks of activity a are filtered, or stay as they are.
// out: [height, width]. activity: of blocks [height / 4, width / 4], or null.
// Returns 0, or -1 where memory is short.
RQ_EXPORT int32_t rq_post_filter(const uint8_t* plane, int64_t height, int64_t width,
                                 const int16_t* table, const int32_t* levels,
                                 const int32_t* bounds, int32_t switches, uint8_t* out,
                                 uint8_t* activity) {
  if (width <= 0) return 0;
  return rq::try_in_bands(height / 4, kBandBlocks, 1, [&](int64_t top, int64_t bottom) {
    return filter_rows(
        {plane, height, width, table, levels, bounds, switches, top, bottom, out, activity});
  });
}

// Add to won [8] what filtering wins of squared error against a target [rows, columns], which lies
// in the upper left of planes of the given width.
RQ_EXPORT void rq_post_filter_gains(const uint8_t* before, const uint8_t* after,
                                    const uint8_t* activity, int64_t width, const uint8_t* target,
                                    int64_t rows, int64_t columns, int64_t* won) {
  rq::in_bands((rows + 3) / 4, kBandBlocks, 1, [=](int64_t top, int64_t bottom) {
    int64_t own[kSwitches] = {};
    const int64_t from = 4 * top * width, last = 4 * bottom < rows ? 4 * bottom : rows;
    gains(before + from, after + from, activity + top * (width / 4), width,
          target + 4 * top * columns, last - 4 * top, columns, own);
    rq::add_together(own, won, kSwitches);
  });
}

// Samples after the filter where the block's activity is switched on, else those before.
RQ_EXPORT void rq_post_filter_merge(const uint8_t* before, const uint8_t* after,
                                    const uint8_t* activity, int64_t height, int64_t width,
                                    int32_t switches, uint8_t* out) {
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* of = activity + y / 4 * (width / 4);
    for (int64_t block = 0; block < width / 4; ++block) {
      const uint8_t* from = switches >> (of[block] / 2) & 1 ? after : before;
      std::memcpy(out + y * width + 4 * block, from + y * width + 4 * block, 4);
    }
  }
}
