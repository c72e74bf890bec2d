// Derivative of a block by the residual stream in front of it, on rows of positions: the transposed
// layers, with zeros where a ReLU was closed.
#include "bands.h"
#include "layer.h"
#include "marks.h"
#include "scratch.h"

namespace {

using rq::Codes;
using rq::Depthwise;
using rq::kTile;
using rq::Pointwise;
using rq::codes_of;

constexpr rq::Spread kSpread;
constexpr int64_t kBandRows = 2 * kTile;  // Of a band for which waking a thread pays.
constexpr uint64_t kMiddle = 0x8080808080808080;

// The transposed layers of a block, in the order in which a derivative meets them.
struct Layers {
  const Pointwise* project;
  const Pointwise* expand;
  const Pointwise* mix_out;
  const Depthwise* depthwise;
  const Pointwise* mix_in;

  explicit Layers(const void* const* table)
      : project(static_cast<const Pointwise*>(table[0])),
        expand(static_cast<const Pointwise*>(table[1])),
        mix_out(static_cast<const Pointwise*>(table[2])),
        depthwise(static_cast<const Depthwise*>(table[3])),
        mix_in(static_cast<const Pointwise*>(table[4])) {}

  int64_t width() const { return expand->cout; }
  int64_t marks() const { return rq::mark_bytes(2 * width() + project->cout); }
};

void close_words(unsigned char* words, const unsigned char* bits, int64_t count) {
  for (int64_t n = 0; n < count / 8; ++n) {
    uint64_t eight[2];
    std::memcpy(eight, words + 16 * n, 16);
    eight[0] &= kSpread.words[bits[n]][0];
    eight[1] &= kSpread.words[bits[n]][1];
    std::memcpy(words + 16 * n, eight, 16);
  }
}

// Bytes hold integer + 128.
void close_bytes(unsigned char* bytes, const unsigned char* bits, int64_t count) {
  for (int64_t n = 0; n < count / 8; ++n) {
    uint64_t eight;
    std::memcpy(&eight, bytes + 8 * n, 8);
    const uint64_t open = kSpread.bytes[bits[n]];
    eight = (eight & open) | (kMiddle & ~open);
    std::memcpy(bytes + 8 * n, &eight, 8);
  }
}

// Onto the rows: what came through expand and project. Into the field: what goes to the depthwise.
void enter(const Layers& block, int16_t* rows, const unsigned char* active, const int32_t* places,
           unsigned char* field, unsigned char* memory, unsigned char* hidden, int64_t begin,
           int64_t end) {
  const int64_t width = block.width(), inner = block.project->cout, marks = block.marks();
  const int64_t step = block.depthwise->columns, stride = 2 * rq::round_up(inner, 64);
  const rq::Kernels& kernels = rq::kernels_of(block.project->level);
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t count = end - first < kTile ? end - first : kTile;
    int16_t *own[kTile], *between[kTile];
    unsigned char *targets[kTile], *to[kTile];
    Codes codes;
    for (int64_t n = 0; n < count; ++n) {
      own[n] = rows + (first + n) * width;
      targets[n] = hidden + n * stride;
      between[n] = reinterpret_cast<int16_t*>(targets[n]);
      to[n] = field + int64_t{places[first + n]} * step;
    }
    codes_of(*block.project, own, nullptr, block.project->cin, memory, codes, count);
    kernels.requantize(*block.project, codes, targets, inner, count);
    for (int64_t n = 0; n < count; ++n)
      close_words(targets[n], active + (first + n) * marks + width / 4, inner);
    codes_of(*block.expand, between, nullptr, block.expand->cin, memory, codes, count);
    kernels.accumulate(*block.expand, codes, own, count);
    codes_of(*block.mix_out, own, nullptr, block.mix_out->cin, memory, codes, count);
    kernels.requantize(*block.mix_out, codes, to, width, count);
    for (int64_t n = 0; n < count; ++n)
      close_bytes(to[n], active + (first + n) * marks + width / 8, width);
  }
}

// Onto the rows: what came through mix_out, depthwise and mix_in.
void leave(const Layers& block, int16_t* rows, const unsigned char* active, const int32_t* places,
           const unsigned char* field, int64_t pitch, unsigned char* memory, unsigned char* hidden,
           int64_t begin, int64_t end) {
  const int64_t width = block.width(), step = block.depthwise->columns, stride = 2 * step;
  const rq::Kernels& kernels = rq::kernels_of(block.mix_in->level);
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t count = end - first < kTile ? end - first : kTile;
    int16_t *own[kTile], *between[kTile];
    Codes centres, codes;
    for (int64_t n = 0; n < count; ++n) {
      own[n] = rows + (first + n) * width;
      between[n] = reinterpret_cast<int16_t*>(hidden + n * stride);
      centres[n] = field + int64_t{places[first + n]} * step;
    }
    kernels.depthwise(*block.depthwise, centres, pitch, hidden, stride, count);
    for (int64_t n = 0; n < count; ++n)
      close_words(hidden + n * stride, active + (first + n) * block.marks(), width);
    codes_of(*block.mix_in, between, nullptr, block.mix_in->cin, memory, codes, count);
    kernels.accumulate(*block.mix_in, codes, own, count);
  }
}

int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace

// A block, backwards, in place on rows of derivatives.
//
// table: addresses of the transposed project, expand, mix_out, depthwise and mix_in, of one level.
// rows: [count, C]; active: [count, bytes] as rq_block wrote them. places: [count], the position of
// each row in the field, whose rows of positions are `pitch` bytes apart. The field has a margin of
// one position, and 128 wherever no row is. Returns 0, or -1 if there is no memory.
RQ_EXPORT int32_t rq_back_block(const void* const* table, int16_t* rows,
                                const unsigned char* active, const int32_t* places,
                                unsigned char* field, int64_t pitch, int64_t count) {
  const Layers block(table);
  int64_t codes = rq::code_stride(*block.project);
  codes = at_least(codes, rq::code_stride(*block.expand));
  codes = at_least(codes, rq::code_stride(*block.mix_out));
  codes = at_least(codes, rq::code_stride(*block.mix_in));
  const int64_t hidden =
      2 * at_least(rq::round_up(block.project->cout, 64), block.depthwise->columns);
  // Positions beside those of a band are needed from the first half on.
  for (int half = 0; half < 2; ++half) {
    const int32_t done =
        rq::try_in_bands(count, kBandRows, kTile, [&](int64_t begin, int64_t end) {
          const rq::Scratch scratch(kTile * (codes + hidden));
          unsigned char* memory = scratch.get();
          if (!memory) return -1;
          unsigned char* between = memory + kTile * codes;
          if (half == 0)
            enter(block, rows, active, places, field, memory, between, begin, end);
          else
            leave(block, rows, active, places, field, pitch, memory, between, begin, end);
          return 0;
        });
    if (done < 0) return done;
  }
  return 0;
}

// Derivatives of the reconstruction as rows to start from: clamp(rint(error * weight)), zeros behind.
//
// error: [P, A]; order: [N] of its rows; weight: [A]; rows: [N, A + B].
RQ_EXPORT void rq_pull_rows(const int16_t* error, int64_t a, const int32_t* order, int64_t count,
                            const float* weight, int64_t b, int16_t* rows) {
  rq::in_bands(count, 16 * kTile, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int16_t* from = error + int64_t{order[n]} * a;
      int16_t* to = rows + n * (a + b);
      for (int64_t c = 0; c < a; ++c) {
        float value = static_cast<float>(from[c]) * weight[c];
        value = value < -32768.0f ? -32768.0f : value > 32767.0f ? 32767.0f : value;
        // Adding 1.5 * 2^23 leaves no room for a fraction: rounds to the nearest, ties to even.
        to[c] = static_cast<int16_t>((value + 12582912.0f) - 12582912.0f);
      }
      std::memset(to + a, 0, static_cast<size_t>(b) * sizeof(int16_t));
    }
  });
}

// Damped steps of latents: damping * (latents - gradient * scale - target), at some positions.
//
// gradient: [N, C]; order: [N] positions; level: [N]; scale: [L, C]; latents: [P, C];
// target, moves: [P, C]; only the positions of rows are written.
RQ_EXPORT void rq_latent_steps(const int16_t* gradient, int64_t channels, const int32_t* order,
                               const unsigned char* level, int64_t count, const float* scale,
                               const int16_t* latents, const float* target, float damping,
                               float* moves) {
  rq::in_bands(count, 16 * kTile, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t at = int64_t{order[n]} * channels;
      const float* own = scale + int64_t{level[n]} * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float pull = static_cast<float>(gradient[n * channels + c]) * own[c];
        moves[at + c] = damping * ((static_cast<float>(latents[at + c]) - pull) - target[at + c]);
      }
    }
  });
}
