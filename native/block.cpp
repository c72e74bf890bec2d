// Chains of packed layers on rows of positions, a tile of rows at a time through all of a chain.
#include "layer.h"
#include "marks.h"
#include "scratch.h"

namespace {

using rq::Depthwise;
using rq::kTile;
using rq::Pointwise;

using rq::Codes;
using rq::codes_of;

// The layers of a block at one bit-width, in the order of the caller's table.
struct Layers {
  const Pointwise* mix_in;
  const Depthwise* depthwise;
  const Pointwise* mix_out;
  const Pointwise* expand;
  const Pointwise* project;
};
constexpr int kLayers = 5;

Layers layers_at(const void* const* table) {
  return {static_cast<const Pointwise*>(table[0]), static_cast<const Depthwise*>(table[1]),
          static_cast<const Pointwise*>(table[2]), static_cast<const Pointwise*>(table[3]),
          static_cast<const Pointwise*>(table[4])};
}

int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

// First half of a block: quantize, mix_in, into the field.
void enter(const Layers& block, const int16_t* rows, const int16_t* context, const int32_t* places,
           unsigned char* field, unsigned char* memory, int64_t begin, int64_t end) {
  const Pointwise& mix = *block.mix_in;
  const int64_t width = block.mix_out->cout, extra = mix.cin - width;
  const int64_t step = block.depthwise->columns;
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t count = end - first < kTile ? end - first : kTile;
    const int16_t *own[kTile], *more[kTile];
    unsigned char* targets[kTile];
    for (int64_t n = 0; n < count; ++n) {
      own[n] = rows + (first + n) * width;
      if (extra) more[n] = context + (first + n) * extra;
      targets[n] = field + int64_t{places[first + n]} * step;
    }
    Codes codes;
    codes_of(mix, own, extra ? more : nullptr, static_cast<int32_t>(width), memory, codes, count);
    rq::kernels_of(mix.level).requantize(mix, codes, targets, step, count);
  }
}

// Second half: depthwise, mix_out onto the rows; quantize, expand, project onto the rows.
void leave(const Layers& block, int16_t* rows, const int32_t* places, const unsigned char* field,
           int64_t pitch, unsigned char* memory, unsigned char* hidden, unsigned char* active,
           int64_t begin, int64_t end) {
  const int64_t width = block.mix_out->cout, step = block.depthwise->columns;
  const int64_t inner = block.project->cin;
  const int64_t marks = rq::mark_bytes(2 * width + inner);
  const bool bytes = block.mix_out->narrow != 0, hidden_bytes = block.project->narrow != 0;
  const int64_t stride = rq::code_stride(*block.mix_out);
  const int64_t hidden_stride = rq::code_stride(*block.project);
  const int64_t room = rq::round_up(block.project->cin, 64);
  const rq::Kernels& kernels = rq::kernels_of(block.mix_out->level);
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t count = end - first < kTile ? end - first : kTile;
    int16_t* own[kTile];
    Codes centres, codes;
    unsigned char* between[kTile];
    for (int64_t n = 0; n < count; ++n) {
      own[n] = rows + (first + n) * width;
      centres[n] = field + int64_t{places[first + n]} * step;
      codes[n] = memory + n * stride;
      between[n] = hidden + n * hidden_stride;
    }
    kernels.depthwise(*block.depthwise, centres, pitch, memory, stride, count);
    if (active) {
      for (int64_t n = 0; n < count; ++n) {
        unsigned char* to = active + (first + n) * marks;
        rq::mark(centres[n], true, width, to);
        rq::mark(codes[n], bytes, width, to + width / 8);
      }
    }
    kernels.accumulate(*block.mix_out, codes, own, count);
    codes_of(*block.expand, own, nullptr, static_cast<int32_t>(width), memory, codes, count);
    kernels.requantize(*block.expand, codes, between, room, count);
    if (active)
      for (int64_t n = 0; n < count; ++n)
        rq::mark(between[n], hidden_bytes, inner, active + (first + n) * marks + width / 4);
    kernels.accumulate(*block.project, between, own, count);
  }
}

}  // namespace

// A block, or half of it, in place on rows of the parts of a frame.
//
// table: of each part the addresses of mix_in, depthwise, mix_out, expand, project, all of one level.
// starts: [parts + 1], where the rows of each part begin. rows: [N, C]; context: [N, extra] channels
// behind them for mix_in, or NULL. places: [N], the position of each row in the field, whose rows of
// positions are `pitch` bytes apart. The field has a margin of one position, and zeros wherever no
// row is. passes: 1 the first half, 2 the second, which needs all of the first, 3 both.
// active: [N, bytes] a bit for each code behind mix_in, depthwise and expand that is not 0, or NULL;
// channels are then multiples of 8.
// Rows begin..end are done: halves of one pass may run side by side.
// Returns 0, or -1 if there is no memory.
RQ_EXPORT int32_t rq_block(const void* const* table, const int64_t* starts, int32_t parts,
                           int16_t* rows, const int16_t* context, const int32_t* places,
                           unsigned char* field, int64_t pitch, unsigned char* active,
                           int64_t begin, int64_t end, int32_t passes) {
  int64_t codes = 0, hidden = 0;
  for (int32_t p = 0; p < parts; ++p) {
    const Layers block = layers_at(table + kLayers * p);
    codes = at_least(codes, rq::code_stride(*block.mix_in));
    codes = at_least(codes, rq::code_stride(*block.mix_out));
    codes = at_least(codes, rq::code_stride(*block.expand));
    hidden = at_least(hidden, rq::code_stride(*block.project));
  }
  const rq::Scratch scratch(kTile * (codes + hidden));
  unsigned char* memory = scratch.get();
  if (!memory) return -1;
  for (int32_t pass = 1; pass <= 2; ++pass) {
    if (!(passes & pass)) continue;
    for (int32_t p = 0; p < parts; ++p) {
      const Layers block = layers_at(table + kLayers * p);
      const int64_t from = at_least(begin, starts[p]);
      const int64_t to = end < starts[p + 1] ? end : starts[p + 1];
      if (pass == 1)
        enter(block, rows, context, places, field, memory, from, to);
      else
        leave(block, rows, places, field, pitch, memory, memory + kTile * codes, active, from, to);
    }
  }
  return 0;
}

// A layer on 16-bit rows, its quantizer included.
//
// rows: `stride` integers apart; index: [count] of the rows to read, NULL for all in order.
// targets: `target_stride` elements of the layer's target apart, int16 if accumulated onto;
// target_index: [count] of the rows to write, NULL for all in order.
// Returns 0, or -1 if there is no memory.
RQ_EXPORT int32_t rq_pointwise(const void* packed, const int16_t* rows, int64_t stride,
                               const int32_t* index, unsigned char* targets, int64_t target_stride,
                               const int32_t* target_index, int64_t count, int32_t accumulate) {
  const Pointwise& layer = *static_cast<const Pointwise*>(packed);
  const rq::Kernels& kernels = rq::kernels_of(layer.level);
  const rq::Scratch scratch(kTile * rq::code_stride(layer));
  if (!scratch.get()) return -1;
  const int64_t size = accumulate || layer.target == rq::kWords ? 2 : 1;
  for (int64_t first = 0; first < count; first += kTile) {
    const int64_t some = count - first < kTile ? count - first : kTile;
    const int16_t* own[kTile];
    unsigned char* to[kTile];
    int16_t* onto[kTile];
    Codes codes;
    for (int64_t n = 0; n < some; ++n) {
      own[n] = rows + (index ? int64_t{index[first + n]} : first + n) * stride;
      to[n] = targets + (target_index ? int64_t{target_index[first + n]} : first + n) * target_stride * size;
      onto[n] = reinterpret_cast<int16_t*>(to[n]);
    }
    codes_of(layer, own, nullptr, layer.cin, scratch.get(), codes, some);
    if (accumulate)
      kernels.accumulate(layer, codes, onto, some);
    else
      kernels.requantize(layer, codes, to, layer.cout, some);
  }
  return 0;
}

// A depthwise layer at positions of a field as in rq_block; codes: [count, columns] of the target.
RQ_EXPORT void rq_depthwise(const void* packed, const unsigned char* field, int64_t pitch,
                            const int32_t* places, unsigned char* codes, int64_t count) {
  const Depthwise& layer = *static_cast<const Depthwise*>(packed);
  const int64_t stride = int64_t{layer.columns} * (layer.target == rq::kWords ? 2 : 1);
  for (int64_t first = 0; first < count; first += kTile) {
    const int64_t some = count - first < kTile ? count - first : kTile;
    Codes centres;
    for (int64_t n = 0; n < some; ++n) centres[n] = field + int64_t{places[first + n]} * layer.columns;
    rq::kernels_of(layer.level)
        .depthwise(layer, centres, pitch, codes + first * stride, stride, some);
  }
}
