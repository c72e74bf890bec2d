// A coding step of the latents beside its network: which table and quantizer step each latent has,
// what its symbol makes of it, and the encoder's choice of symbols.
#include <cmath>

#include "bands.h"
#include "entropy.h"
#include "scratch.h"

namespace {

using rq::clamp;
using rq::entropy::Decoder;
using rq::entropy::Encoder;
using rq::entropy::Status;
using rq::entropy::Tables;

constexpr int kSteps = 4;
constexpr int kPhases[2][2] = {{0, 2}, {3, 1}};
constexpr int kSymbolShift = 4, kSymbolBits = 8, kLargest = 2;
constexpr int kHyperContexts = 8;
constexpr int64_t kBandPositions = 256;  // Of a band for which waking a thread pays.
constexpr int64_t kBandLatents = kBandPositions * 24;

}  // namespace

// Of every latent that a step codes [count, channels / 4]: where it lies, its table, its quantizer
// step, and its channel times the number of tables plus the table that the network named.
//
// named: [count, channels / 4], any integers. positions: of rows of latents, which are `width` to a
// line. level: of every position. own: quantizer steps of each level. stand_ins: [channels, tables].
RQ_EXPORT void rq_latent_model(const int32_t* named, const int64_t* positions, int64_t count,
                               int64_t width, int64_t channels, int32_t step, const uint8_t* level,
                               const int32_t* own, const int32_t* stand_ins, int64_t tables,
                               int64_t* pairs, int32_t* index, int32_t* steps, int64_t* place) {
  rq::in_bands(count, kBandPositions, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin, at = begin * (channels / kSteps); n < end; ++n) {
      const int64_t position = positions[n];
      const int phase = kPhases[position / width % 2][position % width % 2];
      const int32_t* sizes = own + int64_t{level[position]} * channels;
      for (int64_t channel = (step - phase + kSteps) % kSteps; channel < channels;
           channel += kSteps, ++at) {
        pairs[at] = position * channels + channel;
        place[at] = channel * tables + clamp<int64_t>(named[at], 0, tables - 1);
        index[at] = stand_ins[place[at]];
        steps[at] = sizes[channel];
      }
    }
  });
}

// Put latents where they lie, and add the magnitudes of their symbols and of what their tables
// expect to those of their channels. Returns 0, or -1 where memory is short.
RQ_EXPORT int32_t rq_latent_values(const int32_t* symbols, const int16_t* mean,
                                   const int32_t* steps, const int64_t* pairs,
                                   const int64_t* place, int64_t count, const int64_t* expected,
                                   int64_t tables, int64_t channels, int16_t* latents,
                                   int64_t* coded_sums, int64_t* expected_sums) {
  const int64_t least = kBandPositions * channels / kSteps;
  return rq::try_in_bands(count, least, 1, [&](int64_t begin, int64_t end) {
    const rq::Scratch memory(2 * channels * static_cast<int64_t>(sizeof(int64_t)));
    if (!memory.get()) return -1;
    int64_t* coded = reinterpret_cast<int64_t*>(memory.get());
    int64_t* expectation = coded + channels;
    std::memset(coded, 0, static_cast<size_t>(2 * channels) * sizeof(int64_t));
    for (int64_t n = begin; n < end; ++n) {
      const int64_t channel = place[n] / tables;
      expectation[channel] += expected[place[n] - channel * tables];
      int64_t value = mean[n];
      if (symbols[n]) {
        const int64_t magnitude = symbols[n] < 0 ? -int64_t{symbols[n]} : symbols[n];
        coded[channel] += clamp<int64_t>(magnitude, 0, kLargest) << kSymbolBits;
        const int64_t product = int64_t{symbols[n]} * steps[n];
        value += (product + (1 << (kSymbolShift - 1))) >> kSymbolShift;
      }
      latents[pairs[n]] = static_cast<int16_t>(clamp<int64_t>(value, -32768, 32767));
    }
    rq::add_together(coded, coded_sums, channels);
    rq::add_together(expectation, expected_sums, channels);
    return 0;
  });
}

// Symbols that minimize (r - k)^2 + lambda * bits(k) among the nearest to the residual r in steps,
// the next towards zero, and zero. bits: [tables, columns] of the symbols from low on.
RQ_EXPORT void rq_choose_symbols(const float* target, const int64_t* pairs, const int16_t* mean,
                                 const int32_t* steps, const int32_t* index, int64_t count,
                                 const double* bits, int64_t columns, int32_t low, int32_t high,
                                 double lambda, int32_t* symbols) {
  rq::in_bands(count, kBandLatents, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      symbols[n] = 0;
      if (!index[n]) continue;
      const float difference = target[pairs[n]] - static_cast<float>(mean[n]);
      const double residual = static_cast<double>(difference) / (steps[n] * 0.0625);
      const double limit = 1 << 30;
      const int32_t k = static_cast<int32_t>(std::nearbyint(clamp(residual, -limit, limit)));
      symbols[n] = k;
      if (!k || lambda == 0 || k >= high || k <= -high) continue;
      const double* row = bits + index[n] * columns;
      const int32_t options[3] = {k, k > 0 ? k - 1 : k + 1, 0};
      double least = 0;
      for (int option = 0; option < 3; ++option) {
        const double off = residual - options[option];
        const double cost = off * off + lambda * row[clamp(options[option], low, high) - low];
        if (option == 0 || cost < least) {
          least = cost;
          symbols[n] = options[option];
        }
      }
    }
  });
}

// Add the bits of symbols to those of their rows of latents; of escapes, their table's.
RQ_EXPORT void rq_add_bits(const int32_t* symbols, const int32_t* index, const int64_t* pairs,
                           int64_t count, int64_t channels, const double* bits, int64_t columns,
                           int32_t low, int32_t high, double* rows) {
  // A position has as many latents in a step, so its sum is all in one band.
  rq::in_bands(count, kBandLatents, channels / kSteps, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const bool outside = symbols[n] < low || symbols[n] > high;
      const double own = bits[index[n] * columns + (outside ? high + 1 : symbols[n]) - low];
      rows[pairs[n] / channels] += index[n] ? own : 0;
    }
  });
}

// --- hyper-latents -------------------------------------------------------------------------------

namespace {

constexpr int kDiagonal[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
constexpr int kCross[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};

// Tables of a square's channels, by the neighbours that are known.
void hyper_tables(const int32_t* values, int64_t rows, int64_t columns, int64_t channels,
                  int64_t row, int64_t column, const int (*offsets)[2], int32_t* index) {
  const int32_t* near[4];
  int64_t count = 0;
  for (int k = 0; k < 4 && offsets; ++k) {
    const int64_t y = row + offsets[k][0], x = column + offsets[k][1];
    if (y >= 0 && y < rows && x >= 0 && x < columns)
      near[count++] = values + (y * columns + x) * channels;
  }
  for (int64_t c = 0; c < channels; ++c) {
    int64_t total = 0;
    for (int64_t k = 0; k < count; ++k) total += near[k][c];
    const int64_t size = 8 * (total < 0 ? -total : total);
    const int32_t level = (size > count) + (size > 5 * count) + (size > 11 * count);
    index[c] = static_cast<int32_t>(c * kHyperContexts);
    if (offsets) index[c] += 4 + (total < 0 ? -level : level);
  }
}

template <typename Code>
int32_t walk_hyper(const int32_t* values, int64_t rows, int64_t columns, int64_t channels,
                   Code code) {
  const int64_t squares = rows * columns;
  void* memory = std::malloc(static_cast<size_t>(squares) *
                             (sizeof(int64_t) + 2 * static_cast<size_t>(channels) * sizeof(int32_t)));
  if (!memory) return rq::entropy::kShort;
  int64_t* places = static_cast<int64_t*>(memory);
  int32_t* index = reinterpret_cast<int32_t*>(places + squares);
  int32_t* symbols = index + squares * channels;
  Status status = rq::entropy::kFine;
  for (int part = 0; part < 3 && status == rq::entropy::kFine; ++part) {
    int64_t count = 0;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        const int odd = static_cast<int>(row % 2 + column % 2);
        if (odd != (part == 0 ? 0 : part == 1 ? 2 : 1)) continue;
        hyper_tables(values, rows, columns, channels, row, column,
                     part == 0 ? nullptr : part == 1 ? kDiagonal : kCross,
                     index + count * channels);
        places[count++] = row * columns + column;
      }
    status = code(places, index, symbols, count);
  }
  std::free(memory);
  return status;
}

}  // namespace

// Read hyper-latents [rows, columns, channels]. Returns a Status.
RQ_EXPORT int32_t rq_decode_hyper(Decoder* coder, const Tables* tables, int64_t rows,
                                  int64_t columns, int64_t channels, int32_t* values) {
  std::memset(values, 0, static_cast<size_t>(rows * columns * channels) * sizeof(int32_t));
  return walk_hyper(values, rows, columns, channels, [&](const int64_t* places,
                                                         const int32_t* index, int32_t* symbols,
                                                         int64_t count) {
    const Status status = rq::entropy::decode(*coder, *tables, index, count * channels, symbols);
    if (status == rq::entropy::kFine)
      for (int64_t n = 0; n < count; ++n)
        std::memcpy(values + places[n] * channels, symbols + n * channels,
                    static_cast<size_t>(channels) * sizeof(int32_t));
    return status;
  });
}

// Write hyper-latents. Returns a Status.
RQ_EXPORT int32_t rq_encode_hyper(Encoder* coder, const Tables* tables, int64_t rows,
                                  int64_t columns, int64_t channels, const int32_t* values) {
  return walk_hyper(values, rows, columns, channels, [&](const int64_t* places,
                                                         const int32_t* index, int32_t* symbols,
                                                         int64_t count) {
    for (int64_t n = 0; n < count; ++n)
      std::memcpy(symbols + n * channels, values + places[n] * channels,
                  static_cast<size_t>(channels) * sizeof(int32_t));
    return rq::entropy::encode(*coder, *tables, symbols, index, count * channels);
  });
}
