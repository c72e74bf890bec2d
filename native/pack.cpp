// Layers to packed layers, for the level in use.
#include "layer.h"

namespace {

using rq::Rounding;
using rq::round_up;

constexpr int64_t kAlign = 64;

// Hands out aligned parts of a block whose size is only counted where there is no memory yet.
class Arena {
 public:
  Arena(unsigned char* memory, int64_t header) : memory_(memory), used_(round_up(header, kAlign)) {}

  template <typename T>
  T* take(int64_t count, int64_t* offset) {
    *offset = used_;
    used_ = round_up(used_ + count * static_cast<int64_t>(sizeof(T)), kAlign);
    if (!memory_) return nullptr;
    T* found = reinterpret_cast<T*>(memory_ + *offset);
    std::memset(found, 0, static_cast<size_t>(used_ - *offset));
    return found;
  }

  int64_t used() const { return used_; }

 private:
  unsigned char* memory_;
  int64_t used_;
};

// The column that stands at dword `i` of vector `v` of a panel of `vectors` vectors of `lanes`
// 128-bit lanes: packing neighbouring vectors, twice where bytes are made of four, puts columns in
// ascending order.
int64_t column_at(int64_t i, int64_t v, int64_t vectors, int64_t lanes, bool fours) {
  const int64_t lane = i / 4, j = i % 4;
  if (fours && vectors == 4) return 16 * lane + 4 * v + j;
  return (v / 2) * 8 * lanes + 8 * lane + 4 * (v % 2) + j;
}

struct Panels {
  int32_t level;
  bool fours;

  int64_t lanes() const { return level >= rq::kVnni ? 4 : 2; }
  int64_t width(int64_t cout, int64_t first) const {
    if (level >= rq::kVnni) return cout - first > 32 ? 64 : 32;
    return 16;
  }
  int64_t vectors(int64_t width) const { return width / (4 * lanes()); }
  int64_t columns(int64_t cout) const {
    int64_t first = 0;
    while (first < cout) first += width(cout, first);
    return first;
  }
  // Column of place p in a panel.
  int64_t column(int64_t p, int64_t width) const {
    if (level == rq::kPlain) return p;
    const int64_t size = 4 * lanes();
    return column_at(p % size, p / size, vectors(width), lanes(), fours);
  }
};

struct Channel {
  int32_t bias, shift;
  int64_t extra;  // added to the bias
};

void put_rounding(int64_t place, const Channel& channel, int32_t* start, int32_t* down, int32_t* up,
                  int32_t* odd) {
  const int32_t right = channel.shift > 0 ? channel.shift : 0;
  const int64_t half = right ? int64_t{1} << (right - 1) : 0;
  // What wraps here is taken back by the products, which wrap alike.
  start[place] = static_cast<int32_t>(static_cast<uint32_t>(channel.bias + channel.extra + half));
  down[place] = right;
  up[place] = channel.shift < 0 ? -channel.shift : 0;
  odd[place] = right > 0;
}

struct RoundingArrays {
  int32_t *start, *down, *up, *odd;
  RoundingArrays(Arena& arena, Rounding& rounding, int64_t columns)
      : start(arena.take<int32_t>(columns, &rounding.start)),
        down(arena.take<int32_t>(columns, &rounding.down)),
        up(arena.take<int32_t>(columns, &rounding.up)),
        odd(arena.take<int32_t>(columns, &rounding.odd)) {}
};

}  // namespace

// Pack a pointwise layer for the level in use.
//
// memory: 64-byte aligned, as many bytes as this returns; NULL only counts them.
// weight: [cout, cin]; bias, shift: [cout]; quantizer: shifts [cin] in -15..16, or NULL where rows
// hold the integers of codes.
// bits: of the codes; signed_codes: whether they are signed. low, high: the target's grid.
RQ_EXPORT int64_t rq_pack_pointwise(unsigned char* memory, int32_t cin, int32_t cout,
                                    const int16_t* weight, const int32_t* bias,
                                    const int32_t* shift, const int32_t* quantizer, int32_t bits,
                                    int32_t signed_codes, int32_t target, int32_t low,
                                    int32_t high, int32_t byte_weights) {
  rq::Pointwise layer{};
  layer.level = rq::level();
  layer.narrow = layer.level >= rq::kVnni && bits <= 8 && byte_weights;
  layer.cin = cin;
  layer.cout = cout;
  layer.target = target;
  const int64_t per = layer.narrow ? 4 : 2;
  layer.groups = static_cast<int32_t>(round_up(cin, per) / per);
  // Tiles take 16 groups at a time.
  if (layer.narrow && layer.level == rq::kAmx) layer.groups = static_cast<int32_t>(round_up(layer.groups, 16));
  const Panels panels{layer.level, target == rq::kBytes};
  layer.columns = static_cast<int32_t>(panels.columns(cout));
  layer.rounding.low = low;
  layer.rounding.high = high;
  layer.q_low = signed_codes ? -(1 << (bits - 1)) : 0;
  layer.q_high = (1 << (signed_codes || bits == 16 ? bits - 1 : bits)) - 1;
  const int64_t magnitude = -layer.q_low > layer.q_high ? -layer.q_low : layer.q_high;
  layer.q_offset = layer.narrow ? -layer.q_low : 0;

  Arena arena(memory, sizeof(layer));
  const int64_t group_bytes = 4;
  unsigned char* packed =
      arena.take<unsigned char>(layer.groups * group_bytes * layer.columns, &layer.weight);
  RoundingArrays rounding(arena, layer.rounding, layer.columns);
  const int64_t inputs = round_up(cin, 64);
  int16_t* multiplier = arena.take<int16_t>(inputs, &layer.multiplier);
  int16_t* left = arena.take<int16_t>(inputs, &layer.left);
  int16_t* least = arena.take<int16_t>(inputs, &layer.least);
  int16_t* most = arena.take<int16_t>(inputs, &layer.most);
  int16_t* right = arena.take<int16_t>(inputs, &layer.right);
  layer.bytes = arena.used();
  if (!memory) return layer.bytes;

  for (int64_t first = 0; first < cout;) {
    const int64_t width = panels.width(cout, first);
    for (int64_t p = 0; p < width; ++p) {
      const int64_t column = first + panels.column(p, width);
      if (column >= cout) continue;
      const int16_t* from = weight + column * cin;
      int64_t total = 0, heavy = 0;
      for (int64_t k = 0; k < cin; ++k) {
        total += from[k];
        heavy += from[k] < 0 ? -from[k] : from[k];
        const int64_t group = k / per, within = k % per;
        unsigned char* to = packed + layer.groups * group_bytes * first;
        if (layer.level == rq::kPlain) {
          // A column's weights side by side: compilers know sums of products of two such rows.
          to += (p * layer.groups * per + k) * 2;
        } else {
          to += (group * width + p) * group_bytes + within * (4 / per);
        }
        if (layer.narrow) {
          *to = static_cast<unsigned char>(from[k]);
        } else {
          std::memcpy(to, from + k, 2);
        }
      }
      const Channel channel{bias[column], shift[column], -layer.q_offset * total};
      put_rounding(first + p, channel, rounding.start, rounding.down, rounding.up, rounding.odd);
      // Sums of a row and what is not shifted right may leave int32.
      const int64_t reach = heavy * magnitude + (bias[column] < 0 ? -int64_t{bias[column]} : bias[column]);
      layer.rounding.rare |= shift[column] < 0 || (shift[column] == 0 && reach + 32768 >= int64_t{1} << 31);
    }
    first += width;
  }
  // Dot products read whole groups.
  layer.identity = !layer.narrow && bits == 16 && (signed_codes || !quantizer) && cin % 2 == 0;
  for (int64_t c = 0; c < cin; ++c) {
    const int32_t s = quantizer ? quantizer[c] : 0;
    layer.identity &= s == 0;
    layer.any_left |= s < 0;
    layer.any_right |= s > 0;
    right[c] = s > 0 ? -1 : 0;
    multiplier[c] = static_cast<int16_t>(s > 0 && s < 16 ? 1 << (15 - s) : 0);
    left[c] = static_cast<int16_t>(s < 0 ? -s : 0);
    least[c] = static_cast<int16_t>(-(32768 >> left[c]));
    most[c] = static_cast<int16_t>((32768 >> left[c]) - 1);
  }
  std::memcpy(memory, &layer, sizeof(layer));
  return layer.bytes;
}

// Pack a depthwise layer for the level in use: weight [channels, 3, 3] of signed bytes, bias and
// shift [channels]. memory, target, low, high: as for a pointwise layer.
RQ_EXPORT int64_t rq_pack_depthwise(unsigned char* memory, int32_t channels, const int16_t* weight,
                                    const int32_t* bias, const int32_t* shift, int32_t target,
                                    int32_t low, int32_t high) {
  rq::Depthwise layer{};
  layer.level = rq::level();
  layer.channels = channels;
  layer.columns = static_cast<int32_t>(round_up(channels, 64));
  layer.target = target;
  layer.rounding.low = low;
  layer.rounding.high = high;

  Arena arena(memory, sizeof(layer));
  // VNNI: taps 0-3, 4-7 and 8 as bytes of a dword; AVX2: pairs of taps as words; plain: words.
  const int64_t size = layer.level >= rq::kVnni ? 12 : layer.level == rq::kAvx2 ? 20 : 18;
  unsigned char* packed = arena.take<unsigned char>(size * layer.columns, &layer.weight);
  RoundingArrays rounding(arena, layer.rounding, layer.columns);
  layer.bytes = arena.used();
  if (!memory) return layer.bytes;

  const bool vnni = layer.level >= rq::kVnni;
  const int64_t width = vnni ? 64 : 16;
  const Panels panels{layer.level, true};
  for (int64_t first = 0; first < layer.columns; first += width) {
    for (int64_t p = 0; p < width; ++p) {
      const int64_t channel = first + panels.column(p, width);
      if (channel >= channels) continue;
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int16_t w = weight[channel * 9 + tap];
        if (vnni) {
          packed[12 * first + (tap / 4 * width + p) * 4 + tap % 4] = static_cast<unsigned char>(w);
        } else if (layer.level == rq::kAvx2) {
          std::memcpy(packed + 20 * first + (tap / 2 * width + p) * 4 + tap % 2 * 2, &w, 2);
        } else {
          std::memcpy(packed + 18 * first + (tap * width + p) * 2, &w, 2);
        }
      }
      const Channel numbers{bias[channel], shift[channel], 0};
      put_rounding(first + p, numbers, rounding.start, rounding.down, rounding.up, rounding.odd);
      layer.rounding.rare |= shift[channel] < 0;
    }
  }
  std::memcpy(memory, &layer, sizeof(layer));
  return layer.bytes;
}

// Whether a packed pointwise layer reads codes of bytes (else int16 integers).
RQ_EXPORT int32_t rq_reads_bytes(const void* packed) {
  return static_cast<const rq::Pointwise*>(packed)->narrow;
}
