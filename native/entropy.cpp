#include "entropy.h"

namespace rq {
namespace entropy {

Status Grouped::sort(const int32_t* index, int64_t n, int64_t tables) {
  std::free(memory_);
  memory_ = std::calloc(static_cast<size_t>(tables + n + 1), sizeof(int64_t));
  if (!memory_) return kShort;
  ends_ = static_cast<int64_t*>(memory_);
  order_ = ends_ + tables;
  for (int64_t i = 0; i < n; ++i) {
    if (index[i] < 0 || index[i] >= tables) return kNoTable;
    ++ends_[index[i]];
  }
  int64_t before = 0;
  for (int64_t t = 0; t < tables; ++t) {
    const int64_t count = ends_[t];
    ends_[t] = before;
    before += count;
  }
  for (int64_t i = 0; i < n; ++i) order_[ends_[index[i]]++] = i;
  return kFine;
}

namespace {

// Floor of log2 of a number from 1 on.
int32_t log2_of(uint32_t value) {
  int32_t bits = 0;
  while (value >>= 1) ++bits;
  return bits;
}

}  // namespace

Status decode_escapes(Decoder& coder, const Tables& tables, int64_t n, int64_t count,
                      int32_t* out) {
  const int32_t low = tables.low(), high = tables.high();
  int32_t* const memory =
      static_cast<int32_t*>(std::malloc(static_cast<size_t>(3 * count) * sizeof(int32_t)));
  if (!memory) return kShort;
  int32_t *negative = memory, *bits = memory + count, *distance = memory + 2 * count;
  bool fine = true;
  for (int64_t i = 0; i < count && fine; ++i) fine = (negative[i] = coder.uniform(2)) >= 0;
  for (int64_t i = 0; i < count && fine; ++i) fine = (bits[i] = coder.uniform(kEscapeBits)) >= 0;
  for (int64_t i = 0; i < count && fine; ++i) distance[i] = 1 << bits[i];
  for (int32_t b = 0; b < kEscapeBits - 1 && fine; ++b) {
    for (int64_t i = 0; i < count && fine; ++i) {
      if (bits[i] <= b) continue;
      const int32_t bit = coder.uniform(2);
      fine = bit >= 0;
      if (fine) distance[i] |= bit << b;
    }
  }
  for (int64_t i = 0, k = 0; i < n && fine; ++i)
    if (out[i] > high) {
      out[i] = negative[k] ? low - distance[k] : high + distance[k];
      ++k;
    }
  std::free(memory);
  return fine ? kFine : kDamaged;
}

namespace {

bool outside(const Tables& tables, int32_t symbol) {
  return symbol < tables.low() || symbol > tables.high();
}

int64_t distance_of(const Tables& tables, int32_t symbol) {
  return symbol < tables.low() ? int64_t{tables.low()} - symbol : int64_t{symbol} - tables.high();
}

int64_t column_of(const Tables& tables, int32_t symbol) {
  return outside(tables, symbol) ? tables.columns - 1 : int64_t{symbol} - tables.offset;
}

Status encode_escapes(Encoder& coder, const Tables& tables, const int32_t* symbols, int64_t n,
                      int64_t count) {
  int32_t* const distance =
      static_cast<int32_t*>(std::malloc(static_cast<size_t>(count) * sizeof(int32_t)));
  if (!distance || !coder.reserve((kEscapeBits + 2) * count)) {
    std::free(distance);
    return kShort;
  }
  for (int64_t i = 0, k = 0; i < n; ++i) {
    if (!outside(tables, symbols[i])) continue;
    coder.uniform(symbols[i] < tables.low(), 2);
    distance[k++] = static_cast<int32_t>(distance_of(tables, symbols[i]));
  }
  for (int64_t k = 0; k < count; ++k)
    coder.uniform(log2_of(static_cast<uint32_t>(distance[k])), kEscapeBits);
  for (int32_t b = 0; b < kEscapeBits - 1; ++b)
    for (int64_t k = 0; k < count; ++k)
      if (distance[k] >> (b + 1)) coder.uniform(distance[k] >> b & 1, 2);
  std::free(distance);
  return kFine;
}

}  // namespace

Status decode(Decoder& coder, const Tables& tables, const int32_t* index, int64_t n,
              int32_t* out) {
  Grouped groups;
  const Status sorted = groups.sort(index, n, tables.count);
  if (sorted != kFine) return sorted;
  const int32_t offset = static_cast<int32_t>(tables.offset);
  int64_t escaped = 0;
  for (int64_t table = 0; table < tables.count; ++table) {
    const int32_t certain = tables.certain[table];
    const int64_t end = groups.start(table + 1), first = groups.start(table);
    // Finding the likeliest column pays where many symbols share it.
    const int64_t likely = 2 * (end - first) > tables.columns ? tables.likely(table) : -1;
    for (int64_t at = first; at < end; ++at) {
      const int32_t column = certain >= 0  ? certain
                             : likely >= 0 ? coder.column(tables, table, likely)
                                           : coder.column(tables, table);
      if (column < 0) return kDamaged;
      out[groups.position(at)] = column + offset;
      escaped += column == tables.columns - 1;
    }
  }
  if (!tables.escape || !escaped) return kFine;
  return decode_escapes(coder, tables, n, escaped, out);
}

Status encode(Encoder& coder, const Tables& tables, const int32_t* symbols, const int32_t* index,
              int64_t n) {
  Grouped groups;
  const Status sorted = groups.sort(index, n, tables.count);
  if (sorted != kFine) return sorted;
  int64_t escaped = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (outside(tables, symbols[i])) {
      if (!tables.escape) return kOutside;
      if (distance_of(tables, symbols[i]) >> kEscapeBits) return kFar;
      ++escaped;
    }
    const int32_t certain = tables.certain[index[i]];
    if (certain >= 0 && certain != column_of(tables, symbols[i])) return kCertain;
  }
  if (!coder.reserve(n)) return kShort;
  for (int64_t table = 0; table < tables.count; ++table) {
    if (tables.certain[table] >= 0) continue;
    for (int64_t at = groups.start(table); at < groups.start(table + 1); ++at)
      coder.column(tables, table, column_of(tables, symbols[groups.position(at)]));
  }
  return escaped ? encode_escapes(coder, tables, symbols, n, escaped) : kFine;
}

}  // namespace entropy
}  // namespace rq

using rq::entropy::Decoder;
using rq::entropy::Encoder;
using rq::entropy::Tables;

// Begin to read a section, which the caller keeps in place.
RQ_EXPORT void rq_decoder_start(Decoder* coder, const uint8_t* data, int64_t size) {
  *coder = {0, ~uint64_t{0}, 0, data, size, 0};
  const uint64_t first = coder->word();
  coder->point = first << 32 | coder->word();
}

// Read n symbols, each with the table that index names. Returns a Status.
RQ_EXPORT int32_t rq_decode(Decoder* coder, const Tables* tables, const int32_t* index, int64_t n,
                            int32_t* out) {
  return rq::entropy::decode(*coder, *tables, index, n, out);
}

// Read n values of `size` equiprobable ones, size 2..2^24. Returns a Status.
RQ_EXPORT int32_t rq_decode_uniform(Decoder* coder, int64_t n, int32_t size, int32_t* out) {
  for (int64_t i = 0; i < n; ++i)
    if ((out[i] = coder->uniform(size)) < 0) return rq::entropy::kDamaged;
  return rq::entropy::kFine;
}

// Begin to write a section.
RQ_EXPORT void rq_encoder_start(Encoder* coder) {
  *coder = {0, ~uint64_t{0}, nullptr, 0, 0, false};
}

RQ_EXPORT void rq_encoder_free(Encoder* coder) {
  std::free(coder->words);
  coder->words = nullptr;
  coder->count = coder->capacity = 0;
}

// Write n symbols, each with the table that index names: all of them, or none. Returns a Status.
RQ_EXPORT int32_t rq_encode(Encoder* coder, const Tables* tables, const int32_t* symbols,
                            const int32_t* index, int64_t n) {
  return rq::entropy::encode(*coder, *tables, symbols, index, n);
}

// Write n values of `size` equiprobable ones, size 2..2^24. Returns a Status.
RQ_EXPORT int32_t rq_encode_uniform(Encoder* coder, const int32_t* values, int64_t n,
                                    int32_t size) {
  for (int64_t i = 0; i < n; ++i)
    if (values[i] < 0 || values[i] >= size) return rq::entropy::kOutside;
  if (!coder->reserve(n)) return rq::entropy::kShort;
  for (int64_t i = 0; i < n; ++i) coder->uniform(values[i], size);
  return rq::entropy::kFine;
}

// Most bytes that a section needs now.
RQ_EXPORT int64_t rq_encoder_size(const Encoder* coder) { return 4 * coder->count + 8; }

// End a section: of all numbers in the last interval, most significant byte first, the one with the
// most zero bytes at the end, without them. Returns the bytes in `out` (of rq_encoder_size); none
// where nothing was coded.
RQ_EXPORT int64_t rq_encoder_finish(const Encoder* coder, uint8_t* out) {
  if (!coder->started) return 0;
  const int64_t total = rq_encoder_size(coder), settled = 4 * coder->count;
  uint8_t* const last = static_cast<uint8_t*>(std::malloc(static_cast<size_t>(total)));
  if (!last) return rq::entropy::kShort;
  const uint64_t end = coder->low + (coder->range - 1);
  for (int64_t i = 0; i < settled; ++i)
    out[i] = last[i] = static_cast<uint8_t>(coder->words[i / 4] >> (24 - 8 * (i % 4)));
  for (int i = 0; i < 8; ++i) {
    out[settled + i] = static_cast<uint8_t>(coder->low >> (56 - 8 * i));
    last[settled + i] = static_cast<uint8_t>(end >> (56 - 8 * i));
  }
  if (end < coder->low)
    for (int64_t i = settled; i-- > 0 && ++last[i] == 0;) {
    }
  // The first number of the interval, rounded up to ever fewer bytes, while it stays inside.
  int64_t length = total;
  while (length > 1) {
    const uint8_t dropped = out[length - 1];
    out[length - 1] = 0;
    int64_t carry = length - 1;
    if (dropped)
      while (carry > 0 && ++out[carry - 1] == 0) --carry;
    // Rounded up past the top (carry has run out), or past the end of the interval.
    if ((dropped && carry == 0) || std::memcmp(out, last, static_cast<size_t>(length - 1)) > 0) {
      if (dropped) {
        for (int64_t i = carry > 0 ? carry - 1 : 0; i < length - 1; ++i) --out[i];
      }
      out[length - 1] = dropped;
      break;
    }
    --length;
  }
  std::free(last);
  return length;
}

// Bounds [count, columns + 1] and index [count, 256] of rows of frequencies that sum to 2^16.
RQ_EXPORT void rq_lay_out(const int64_t* frequencies, int64_t count, int64_t columns,
                          uint32_t* bounds, uint16_t* index) {
  constexpr uint32_t total = 1u << rq::entropy::kPrecision;
  for (int64_t row = 0; row < count; ++row) {
    uint32_t* own = bounds + row * (columns + 1);
    int64_t before = 0;
    for (int64_t j = 0; j < columns; ++j) {
      own[j] = static_cast<uint32_t>((before * (total - columns) >> 16) + j);
      before += frequencies[row * columns + j];
    }
    own[columns] = total;
    for (int64_t top = 0, j = 0; top < 256; ++top) {
      while (own[j + 1] <= static_cast<uint32_t>(top << (rq::entropy::kPrecision - 8))) ++j;
      index[row * 256 + top] = static_cast<uint16_t>(j);
    }
  }
}
