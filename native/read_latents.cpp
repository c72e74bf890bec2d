// The latents of a coding step, read from the range coder and put where they lie: what
// rq_latent_model, rq_decode and rq_latent_values do one after another, without the arrays between
// them. Most latents have a table that admits one symbol only; the others alone are sorted.
#include <algorithm>

#include "bands.h"
#include "entropy.h"
#include "scratch.h"

namespace {

using rq::clamp;
using rq::entropy::Decoder;
using rq::entropy::Status;
using rq::entropy::Tables;

constexpr int kSteps = 4;
constexpr int kPhases[2][2] = {{0, 2}, {3, 1}};
constexpr int kSymbolShift = 4, kSymbolBits = 8, kLargest = 2;
constexpr int64_t kChunk = 512;         // Positions that are sorted together.
constexpr int64_t kBandSymbols = 6144;  // Symbols of a band for which waking a thread pays.

struct Step {
  const int32_t* named;
  const int16_t* mean;
  const int64_t* positions;
  int64_t count, width, channels;
  int32_t step;
  const uint8_t* level;
  const int32_t* own;
  const int32_t* stand_ins;
  int64_t tables;
  const int64_t* expected;
  int16_t* latents;
  int64_t *coded_sums, *expected_sums;

  int64_t each() const { return channels / kSteps; }
  int64_t latents_coded() const { return count * each(); }
  int64_t chunks() const { return (count + kChunk - 1) / kChunk; }
  int64_t chunk_end(int64_t chunk) const { return std::min(count, (chunk + 1) * kChunk); }
  int64_t first_channel(int64_t position) const {
    const int phase = kPhases[position / width % 2][position % width % 2];
    return (step - phase + kSteps) % kSteps;
  }
};

// Value of a latent; its symbol's magnitude is added to the sum of its channel.
int16_t value_of(int32_t symbol, int16_t mean, int32_t size, int64_t* coded) {
  const int64_t magnitude = symbol < 0 ? -int64_t{symbol} : symbol;
  *coded += clamp<int64_t>(magnitude, 0, kLargest) << kSymbolBits;
  const int64_t product = int64_t{symbol} * size;
  const int64_t value = mean + ((product + (1 << (kSymbolShift - 1))) >> kSymbolShift);
  return static_cast<int16_t>(clamp<int64_t>(value, -32768, 32767));
}

class Reader {
 public:
  Reader(Decoder& coder, const Tables& tables, const Step& job)
      : coder_(coder), tables_(tables), job_(job), memory_(bytes(job)) {
    unsigned char* from = memory_.get();
    if (!from) return;
    ends_ = reinterpret_cast<int64_t*>(from);
    starts_ = ends_ + job.chunks() * job.tables;
    counts_ = starts_ + job.tables + 1;
    fixed_ = reinterpret_cast<int32_t*>(counts_ + job.chunks());
    order_ = fixed_ + job.tables;
    symbols_ = order_ + job.latents_coded();
    index_ = reinterpret_cast<uint16_t*>(symbols_ + job.latents_coded());
    settled_ = reinterpret_cast<unsigned char*>(index_ + job.latents_coded());
    std::memset(ends_, 0, static_cast<size_t>(job.chunks() * job.tables) * sizeof(int64_t));
    for (int64_t table = 0; table < job.tables; ++table) {
      const int32_t column = tables.certain[table];
      // A certain escape has its distance behind it.
      settled_[table] = column >= 0 && !(tables.escape && column == tables.columns - 1);
      fixed_[table] = settled_[table] ? column + static_cast<int32_t>(tables.offset) : 0;
    }
  }

  Status read() {
    if (!memory_.get()) return rq::entropy::kShort;
    const int32_t placed = rq::try_in_bands(job_.chunks(), 1, 1, [this](int64_t begin, int64_t end) {
      return place(begin, end);
    });
    if (placed < 0) return rq::entropy::kShort;
    const int64_t coded = number();
    rq::in_bands(job_.chunks(), 1, 1, [this](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk) sort(chunk);
    });
    const Status status = decode();
    if (status != rq::entropy::kFine) return status;
    const int32_t done = rq::try_in_bands(coded, kBandSymbols, 1, [this](int64_t begin, int64_t end) {
      return put(begin, end);
    });
    return done < 0 ? rq::entropy::kShort : rq::entropy::kFine;
  }

 private:
  static int64_t bytes(const Step& job) {
    const int64_t numbers = (job.chunks() + 1) * (job.tables + 1);
    return numbers * 8 + job.latents_coded() * 10 + job.tables * 5;
  }

  int64_t* ends(int64_t chunk) { return ends_ + chunk * job_.tables; }

  // Tables of some chunks' latents, and the values that they have if they are settled; the others
  // are listed, and counted by table. Until symbols are read, their memory holds the lists.
  int32_t place(int64_t begin, int64_t end) {
    const rq::Scratch memory(2 * job_.channels * static_cast<int64_t>(sizeof(int64_t)));
    if (!memory.get()) return -1;
    int64_t* coded = reinterpret_cast<int64_t*>(memory.get());
    int64_t* expected = coded + job_.channels;
    std::memset(coded, 0, static_cast<size_t>(2 * job_.channels) * sizeof(int64_t));
    const int64_t each = job_.each(), tables = job_.tables;
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kChunk;
      int32_t* open = symbols_ + first * each;
      for (int64_t n = first; n < job_.chunk_end(chunk); ++n) {
        const int64_t position = job_.positions[n];
        const int32_t* sizes = job_.own + int64_t{job_.level[position]} * job_.channels;
        const int32_t* named = job_.named + n * each;
        const int16_t* mean = job_.mean + n * each;
        uint16_t* index = index_ + n * each;
        int16_t* latents = job_.latents + position * job_.channels;
        int64_t channel = job_.first_channel(position);
        for (int64_t k = 0; k < each; ++k, channel += kSteps) {
          const int64_t table = clamp<int64_t>(named[k], 0, tables - 1);
          const int32_t used = job_.stand_ins[channel * tables + table];
          const int32_t symbol = fixed_[used];
          index[k] = static_cast<uint16_t>(used);
          expected[channel] += job_.expected[table];
          latents[channel] =
              symbol ? value_of(symbol, mean[k], sizes[channel], coded + channel) : mean[k];
          *open = static_cast<int32_t>(n * each + k);
          open += !settled_[used];
        }
      }
      counts_[chunk] = open - (symbols_ + first * each);
      for (const int32_t* at = symbols_ + first * each; at < open; ++at)
        ++ends(chunk)[index_[*at]];
    }
    rq::add_together(coded, job_.coded_sums, job_.channels);
    rq::add_together(expected, job_.expected_sums, job_.channels);
    return 0;
  }

  // Where each chunk's latents of each table begin in the order of reading; how many are read.
  int64_t number() {
    int64_t before = 0;
    for (int64_t table = 0; table < job_.tables; ++table) {
      starts_[table] = before;
      if (settled_[table]) continue;
      for (int64_t chunk = 0; chunk < job_.chunks(); ++chunk) {
        const int64_t here = ends(chunk)[table];
        ends(chunk)[table] = before;
        before += here;
      }
    }
    starts_[job_.tables] = before;
    return before;
  }

  void sort(int64_t chunk) {
    int64_t* to = ends(chunk);
    const int32_t* open = symbols_ + chunk * kChunk * job_.each();
    for (int64_t k = 0; k < counts_[chunk]; ++k) order_[to[index_[open[k]]]++] = open[k];
  }

  Status decode() {
    const int32_t offset = static_cast<int32_t>(tables_.offset);
    const int32_t last = tables_.escape ? static_cast<int32_t>(tables_.columns - 1) : -1;
    Decoder coder = coder_;  // In registers, whatever is written meanwhile.
    int64_t escaped = 0;
    for (int64_t table = 0; table < job_.tables; ++table) {
      const int64_t end = starts_[table + 1];
      if (starts_[table] == end) continue;
      const int32_t certain = tables_.certain[table];
      const int64_t likely = tables_.likely(table);
      for (int64_t at = starts_[table]; at < end; ++at) {
        const int32_t column = certain >= 0 ? certain : coder.column(tables_, table, likely);
        if (column < 0) return rq::entropy::kDamaged;
        symbols_[at] = column + offset;
        escaped += column == last;
      }
    }
    coder_ = coder;
    return escaped ? decode_far(escaped) : rq::entropy::kFine;
  }

  // Symbols beyond the alphabet: their distances come in the order of the latents.
  Status decode_far(int64_t escaped) {
    const rq::Scratch memory(2 * escaped * static_cast<int64_t>(sizeof(int32_t)));
    if (!memory.get()) return rq::entropy::kShort;
    int32_t* where = reinterpret_cast<int32_t*>(memory.get());
    int32_t* far = where + escaped;
    const int32_t high = tables_.high();
    int64_t found = 0;
    for (int64_t at = 0; at < starts_[job_.tables]; ++at)
      if (symbols_[at] > high) where[found++] = static_cast<int32_t>(at);
    std::sort(where, where + found, [this](int32_t a, int32_t b) { return order_[a] < order_[b]; });
    for (int64_t k = 0; k < found; ++k) far[k] = high + 1;
    const Status status = rq::entropy::decode_escapes(coder_, tables_, found, found, far);
    for (int64_t k = 0; k < found; ++k) symbols_[where[k]] = far[k];
    return status;
  }

  int32_t put(int64_t begin, int64_t end) {
    const rq::Scratch memory(job_.channels * static_cast<int64_t>(sizeof(int64_t)));
    if (!memory.get()) return -1;
    int64_t* coded = reinterpret_cast<int64_t*>(memory.get());
    std::memset(coded, 0, static_cast<size_t>(job_.channels) * sizeof(int64_t));
    const int64_t each = job_.each();
    for (int64_t at = begin; at < end; ++at) {
      if (!symbols_[at]) continue;
      const int64_t n = order_[at] / each, k = order_[at] - n * each;
      const int64_t position = job_.positions[n];
      const int64_t channel = job_.first_channel(position) + kSteps * k;
      const int32_t size = job_.own[int64_t{job_.level[position]} * job_.channels + channel];
      job_.latents[position * job_.channels + channel] =
          value_of(symbols_[at], job_.mean[order_[at]], size, coded + channel);
    }
    rq::add_together(coded, job_.coded_sums, job_.channels);
    return 0;
  }

  Decoder& coder_;
  const Tables& tables_;
  const Step& job_;
  const rq::Scratch memory_;
  int64_t* ends_ = nullptr;    // [chunks, tables]
  int64_t* starts_ = nullptr;  // [tables + 1]
  int64_t* counts_ = nullptr;  // Latents of each chunk that are read.
  int32_t* fixed_ = nullptr;   // Symbol of each table whose latents need no bits; 0 of others.
  int32_t* order_ = nullptr;   // Latents in the order of reading, and their symbols.
  int32_t* symbols_ = nullptr;
  uint16_t* index_ = nullptr;         // Table of each latent.
  unsigned char* settled_ = nullptr;  // Of each table: whether its latents need no bits.
};

}  // namespace

// Read the latents that a step codes. named, mean: [count, channels / 4], any integers; positions,
// width, step, level, own, stand_ins: as of rq_latent_model, with stand-ins in 0..tables - 1;
// expected: [tables]. latents: [., channels], in which those of the step are set. The magnitudes of
// their symbols and of what the named tables expect are added to the sums [channels].
// Returns a Status.
RQ_EXPORT int32_t rq_read_latents(Decoder* coder, const Tables* tables, const int32_t* named,
                                  const int16_t* mean, const int64_t* positions, int64_t count,
                                  int64_t width, int64_t channels, int32_t step,
                                  const uint8_t* level, const int32_t* own,
                                  const int32_t* stand_ins, const int64_t* expected,
                                  int16_t* latents, int64_t* coded_sums, int64_t* expected_sums) {
  const Step job = {named, mean,      positions,     count,    width,   channels,   step,
                    level, own,       stand_ins,     tables->count, expected, latents, coded_sums,
                    expected_sums};
  if (count <= 0) return rq::entropy::kFine;
  if (job.latents_coded() > INT32_MAX || job.tables > UINT16_MAX) return rq::entropy::kShort;
  return Reader(*coder, *tables, job).read();
}
