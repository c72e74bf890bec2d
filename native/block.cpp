// Chains of packed layers on rows of positions, a tile of rows at a time through all of a chain.
#include "bands.h"
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

// Rows of a band for which waking a thread pays: about 20 microseconds of products.
int64_t least_rows(int64_t products) {
  constexpr int64_t kProducts = 1 << 22;
  return at_least(kProducts / at_least(products, 1), kTile);
}

struct Block {
  const void* const* table;
  const int64_t* starts;
  int32_t parts;
  int16_t* rows;
  const int16_t* context;
  const int32_t* places;
  unsigned char* field;
  int64_t pitch;
  unsigned char* active;
  int64_t codes, hidden;  // Bytes of a row between the layers.
};

// A half of a block on some rows; the second needs all of the first. Returns 0, or -1.
int32_t run_half(const Block& job, bool first, int64_t begin, int64_t end) {
  const rq::Scratch scratch(kTile * (job.codes + job.hidden));
  unsigned char* memory = scratch.get();
  if (!memory) return -1;
  for (int32_t p = 0; p < job.parts; ++p) {
    const Layers block = layers_at(job.table + kLayers * p);
    const int64_t from = at_least(begin, job.starts[p]);
    const int64_t to = end < job.starts[p + 1] ? end : job.starts[p + 1];
    if (first)
      enter(block, job.rows, job.context, job.places, job.field, memory, from, to);
    else
      leave(block, job.rows, job.places, job.field, job.pitch, memory,
            memory + kTile * job.codes, job.active, from, to);
  }
  return 0;
}

// Some rows of a layer, as rq_pointwise says. Returns 0, or -1.
int32_t run_layer(const Pointwise& layer, const int16_t* rows, int64_t stride,
                  const int32_t* index, unsigned char* targets, int64_t target_stride,
                  const int32_t* target_index, bool accumulate, int64_t begin, int64_t end) {
  const rq::Kernels& kernels = rq::kernels_of(layer.level);
  const rq::Scratch scratch(kTile * rq::code_stride(layer));
  if (!scratch.get()) return -1;
  const int64_t size = accumulate || layer.target == rq::kWords ? 2 : 1;
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t some = end - first < kTile ? end - first : kTile;
    const int16_t* own[kTile];
    unsigned char* to[kTile];
    int16_t* onto[kTile];
    Codes codes;
    for (int64_t n = 0; n < some; ++n) {
      const int64_t target = target_index ? int64_t{target_index[first + n]} : first + n;
      own[n] = rows + (index ? int64_t{index[first + n]} : first + n) * stride;
      to[n] = targets + target * target_stride * size;
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

}  // namespace

// A block in place on rows of the parts of a frame.
//
// table: of each part the addresses of mix_in, depthwise, mix_out, expand, project, all of one level.
// starts: [parts + 1], where the rows of each part begin. rows: [N, C]; context: [N, extra] channels
// behind them for mix_in, or NULL. places: [N], the position of each row in the field, whose rows of
// positions are `pitch` bytes apart. The field has a margin of one position, and zeros wherever no
// row is. active: [N, bytes] a bit for each code behind mix_in, depthwise and expand that is not 0, or
// NULL; channels are then multiples of 8. Returns 0, or -1 if there is no memory.
RQ_EXPORT int32_t rq_block(const void* const* table, const int64_t* starts, int32_t parts,
                           int16_t* rows, const int16_t* context, const int32_t* places,
                           unsigned char* field, int64_t pitch, unsigned char* active) {
  Block job = {table, starts, parts, rows, context, places, field, pitch, active, 0, 0};
  int64_t products = 1;
  for (int32_t p = 0; p < parts; ++p) {
    const Layers block = layers_at(table + kLayers * p);
    job.codes = at_least(job.codes, rq::code_stride(*block.mix_in));
    job.codes = at_least(job.codes, rq::code_stride(*block.mix_out));
    job.codes = at_least(job.codes, rq::code_stride(*block.expand));
    job.hidden = at_least(job.hidden, rq::code_stride(*block.project));
    products = at_least(products, int64_t{block.expand->cin} * block.expand->cout);
  }
  const int64_t count = starts[parts], least = least_rows(products);
  // Positions beside those of a band are needed from the first half on.
  for (int half = 0; half < 2; ++half) {
    const int32_t done = rq::try_in_bands(count, least, kTile, [&](int64_t begin, int64_t end) {
      return run_half(job, half == 0, begin, end);
    });
    if (done < 0) return done;
  }
  return 0;
}

// A layer on 16-bit rows, its quantizer included.
//
// rows: `stride` integers apart; index: [count] of the rows to read, NULL for all in order.
// targets: `target_stride` elements of the layer's target apart, int16 if accumulated onto;
// target_index: [count] of the rows to write, all different, NULL for all in order.
// Returns 0, or -1 if there is no memory.
RQ_EXPORT int32_t rq_pointwise(const void* packed, const int16_t* rows, int64_t stride,
                               const int32_t* index, unsigned char* targets, int64_t target_stride,
                               const int32_t* target_index, int64_t count, int32_t accumulate) {
  const Pointwise& layer = *static_cast<const Pointwise*>(packed);
  const int64_t least = least_rows(int64_t{layer.cin} * layer.cout);
  return rq::try_in_bands(count, least, kTile, [&](int64_t begin, int64_t end) {
    return run_layer(layer, rows, stride, index, targets, target_stride, target_index,
                     accumulate != 0, begin, end);
  });
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
