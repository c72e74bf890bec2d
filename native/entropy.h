// The range coder of docs/format.md: 32-bit words, 64-bit state, 24-bit probabilities; the same in
// both directions. Sections are hostile: whatever their bytes are, reading stays within them.
#pragma once

#include <cstdlib>

#include "common.h"

namespace rq {
namespace entropy {

constexpr int kPrecision = 24;
constexpr int kEscapeBits = 24;  // Distances beyond the alphabet are below 2^24.

enum Status : int32_t {
  kFine = 0,
  kDamaged = -1,        // No symbol has these bits.
  kShort = -2,          // Memory is short.
  kOutside = -3,        // A symbol is outside an alphabet without escape.
  kFar = -4,            // A symbol is too far outside.
  kNoTable = -5,        // A table number is none.
  kCertain = -6,        // A certain row has another symbol.
};

// Rows of bounds 0 = L_0 < ... < L_S = 2^24, as the caller laid them out.
struct Tables {
  const uint32_t* bounds;   // [count][columns + 1]
  const uint16_t* index;    // [count][256]: the column of the first quantile with these top 8 bits.
  const int32_t* certain;   // [count]: column of a certain row, else -1.
  int64_t count, columns, offset, escape;

  // The most probable column of a row.
  int64_t likely(int64_t row) const {
    const uint32_t* own = bounds + row * (columns + 1);
    int64_t best = 0;
    for (int64_t j = 1; j < columns; ++j)
      if (own[j + 1] - own[j] > own[best + 1] - own[best]) best = j;
    return best;
  }

  int32_t low() const { return static_cast<int32_t>(offset); }
  int32_t high() const { return static_cast<int32_t>(offset + columns - 1 - escape); }
};

struct Decoder {
  uint64_t low, range, point;
  const uint8_t* data;
  int64_t size, position;

  // Bytes beyond the end are 0.
  uint32_t word() {
    uint32_t found = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t byte = position < size ? data[position] : 0;
      found |= byte << (24 - 8 * i);
      position += position < size;
    }
    return found;
  }

  // Take the part [left, right) of 2^24 off the interval, whose 2^24th part is scale.
  void take(uint64_t scale, uint32_t left, uint32_t right) {
    low += scale * left;
    range = scale * (right - left);
    if (range < uint64_t{1} << 32) {
      low <<= 32;
      range <<= 32;
      point = point << 32 | word();
    }
  }

  // A column of a row that is not certain; -1 where there is none.
  int32_t column(const Tables& tables, int64_t row) {
    const uint64_t scale = range >> kPrecision;
    const uint64_t quantile = (point - low) / scale;
    if (quantile >> kPrecision) return -1;
    const uint32_t* bounds = tables.bounds + row * (tables.columns + 1);
    int32_t j = tables.index[row * 256 + static_cast<int64_t>(quantile >> (kPrecision - 8))];
    while (bounds[j + 1] <= quantile) ++j;
    take(scale, bounds[j], bounds[j + 1]);
    return j;
  }

  // The same, tried first with a column that is likely: a guess that holds costs no division, and
  // lets the processor go on with the next symbol.
  RQ_INLINE_MEMBER int32_t column(const Tables& tables, int64_t row, int64_t likely) {
    const uint64_t scale = range >> kPrecision, offset = point - low;
    const uint32_t* bounds = tables.bounds + row * (tables.columns + 1) + likely;
    if (offset < scale * bounds[0] || offset >= scale * bounds[1]) return column(tables, row);
    take(scale, bounds[0], bounds[1]);
    return static_cast<int32_t>(likely);
  }

  // One of `size` equiprobable values; -1 where there is none.
  int32_t uniform(int32_t count) {
    const uint32_t each = (1u << kPrecision) / static_cast<uint32_t>(count);
    const uint64_t scale = range >> kPrecision;
    const uint64_t quantile = (point - low) / scale;
    if (quantile >> kPrecision) return -1;
    const uint32_t last = static_cast<uint32_t>(count - 1);
    uint32_t value = static_cast<uint32_t>(quantile) / each;
    if (value > last) value = last;
    take(scale, value * each, value == last ? 1u << kPrecision : (value + 1) * each);
    return static_cast<int32_t>(value);
  }
};

struct Encoder {
  uint64_t low, range;
  uint32_t* words;
  int64_t count, capacity;
  bool started;

  // Room for so many more words.
  bool reserve(int64_t more) {
    if (count + more <= capacity) return true;
    const int64_t wanted = 2 * capacity + more;
    void* moved = std::realloc(words, static_cast<size_t>(wanted) * sizeof(uint32_t));
    if (!moved) return false;
    words = static_cast<uint32_t*>(moved);
    capacity = wanted;
    return true;
  }

  // Take the part [left, right) of 2^24; there must be room for a word.
  void take(uint32_t left, uint32_t right) {
    const uint64_t scale = range >> kPrecision, add = scale * left;
    low += add;
    if (low < add)
      for (int64_t i = count; i-- > 0 && ++words[i] == 0;) {
      }
    range = scale * (right - left);
    if (range < uint64_t{1} << 32) {
      words[count++] = static_cast<uint32_t>(low >> 32);
      low <<= 32;
      range <<= 32;
    }
    started = true;
  }

  void column(const Tables& tables, int64_t row, int64_t j) {
    const uint32_t* bounds = tables.bounds + row * (tables.columns + 1);
    take(bounds[j], bounds[j + 1]);
  }

  void uniform(int32_t value, int32_t size) {
    const uint32_t each = (1u << kPrecision) / static_cast<uint32_t>(size);
    const uint32_t left = static_cast<uint32_t>(value) * each;
    take(left, value == size - 1 ? 1u << kPrecision : left + each);
  }
};

// Positions of an array by the number of their table, ascending; those of one in order.
class Grouped {
 public:
  // Scratch for n table numbers below `tables`.
  Status sort(const int32_t* index, int64_t n, int64_t tables);
  ~Grouped() { std::free(memory_); }

  int64_t start(int64_t table) const { return table ? ends_[table - 1] : 0; }
  int64_t end(int64_t table) const { return ends_[table]; }
  int64_t position(int64_t at) const { return order_[at]; }

 private:
  void* memory_ = nullptr;
  int64_t* ends_ = nullptr;
  int64_t* order_ = nullptr;
};

// An array of symbols, grouped by table, then its escapes.
Status decode(Decoder& coder, const Tables& tables, const int32_t* index, int64_t n, int32_t* out);
Status encode(Encoder& coder, const Tables& tables, const int32_t* symbols, const int32_t* index,
              int64_t n);

// The distances of `count` escapes among the n symbols of `out`, which are beyond the alphabet's
// top, put in their places.
Status decode_escapes(Decoder& coder, const Tables& tables, int64_t n, int64_t count, int32_t* out);

}  // namespace entropy
}  // namespace rq
