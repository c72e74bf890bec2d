// Matching of displaced units: plain forms, and the functions that are called.
#include "match.h"

#include "bands.h"
#include "scratch.h"

namespace {

using namespace rq::match;
using rq::Scratch;
namespace motion = rq::motion;

constexpr int64_t kBandRows = 32;  // Of the phases, of a band for which waking a thread pays.
constexpr int64_t kBandUnits = 3;  // Rows of units of such a band.
constexpr int kReach = 4;  // Samples beyond the margin that filters read.

// The plane with its edge repeated, rows first - 3 <= row < last + 4 of the phases, kReach wider.
void pad_rows(const uint8_t* plane, int64_t height, int64_t width, int64_t first, int64_t last,
              uint8_t* out) {
  const int64_t border = kMargin + kReach, stride = width + 2 * border;
  for (int64_t row = first - 3; row < last + 4; ++row, out += stride) {
    const uint8_t* from = plane + rq::clamp<int64_t>(row - kMargin, 0, height - 1) * width;
    std::memset(out, from[0], static_cast<size_t>(border));
    std::memcpy(out + border, from, static_cast<size_t>(width));
    std::memset(out + border + width, from[width - 1], static_cast<size_t>(border));
  }
}

// Rows first <= row < last of the phases; scratch has 7 + last - first rows of int16 for each of
// four filters.
void interpolate(const uint8_t* padded, int64_t height, int64_t width, int64_t first, int64_t last,
                 uint8_t* phases, int16_t* scratch) {
  const int64_t stride = width + 2 * (kMargin + kReach), wide = width + 2 * kMargin;
  const int64_t rows = last - first + 7, plane = (height + 2 * kMargin) * wide;
  for (int fx = 0; fx < 4; ++fx)
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t x = 0; x < wide; ++x) {
        int32_t sum = 0;
        for (int k = 0; k < 8; ++k) sum += kTaps[fx][k] * padded[row * stride + x + 1 + k];
        scratch[(fx * rows + row) * wide + x] = static_cast<int16_t>(sum);
      }
  for (int fy = 0; fy < 4; ++fy)
    for (int fx = 0; fx < 4; ++fx)
      for (int64_t row = first; row < last; ++row) {
        const int16_t* from = scratch + (fx * rows + row - first) * wide;
        uint8_t* out = phases + (fx + 4 * fy) * plane + row * wide;
        for (int64_t x = 0; x < wide; ++x) {
          int32_t sum = 2048;
          for (int k = 0; k < 8; ++k) sum += kTaps[fy][k] * from[k * wide + x];
          out[x] = static_cast<uint8_t>(rq::clamp(sum >> 12, 0, 255));
        }
      }
}

void transform(int32_t* v, int step) {
  const auto at = [&](int k) -> int32_t& { return v[k * step]; };
  const int32_t s0 = at(0) + at(7), s1 = at(1) + at(6), s2 = at(2) + at(5), s3 = at(3) + at(4);
  const int32_t d0 = at(0) - at(7), d1 = at(1) - at(6), d2 = at(2) - at(5), d3 = at(3) - at(4);
  const int32_t a0 = s0 + s3, a1 = s1 + s2, a2 = s0 - s3, a3 = s1 - s2;
  const int32_t a4 = d1 + d2 + d0 + (d0 >> 1), a5 = d0 - d3 - d2 - (d2 >> 1);
  const int32_t a6 = d0 + d3 - d1 - (d1 >> 1), a7 = d1 - d2 + d3 + (d3 >> 1);
  at(0) = a0 + a1;
  at(1) = a4 + (a7 >> 2);
  at(2) = a2 + (a3 >> 1);
  at(3) = a5 + (a6 >> 2);
  at(4) = a0 - a1;
  at(5) = a6 - (a5 >> 2);
  at(6) = (a2 >> 1) - a3;
  at(7) = (a4 >> 2) - a7;
}

void unit_prices(const Frame& frame, int64_t row, int64_t column, motion::Vector v,
                 int32_t* prices) {
  int64_t stride;
  const uint8_t* shifted = displaced(frame, row, column, v, &stride);
  for (int k = 0; k < kSplits; ++k) {
    const int64_t y = 8 * (k / 2), x = 8 * (k % 2);
    const int64_t at = (row * kUnit + y) * frame.width + column * kUnit + x;
    const uint8_t use = frame.uses ? frame.uses[(2 * row + k / 2) * (frame.width / 8) + 2 * column +
                                                k % 2]
                                   : 1;
    prices[k] = 0;
    if (!use) continue;
    int32_t block[64];
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 8; ++j) {
        int32_t predicted = shifted[(y + i) * stride + x + j];
        if (use == 2) predicted = (predicted + frame.beside[at + i * frame.width + j] + 1) >> 1;
        block[8 * i + j] = predicted - frame.current[at + i * frame.width + j];
      }
    for (int i = 0; i < 8; ++i) transform(block + i, 8);
    for (int i = 0; i < 8; ++i) transform(block + 8 * i, 1);
    int32_t sum = 0;
    for (int i = 0; i < 64; ++i) {
      const float energy = static_cast<float>(block[i] * block[i]) * frame.scales[8 * (i % 8) + i / 8];
      const float worth = energy + 1.0f;
      int32_t bits;
      std::memcpy(&bits, &worth, sizeof bits);
      sum += bits >> 7;
    }
    prices[k] = (sum - 64 * kOne) >> 7;
  }
}

#define RQ_TARGET
#include "match_units.h"

// Rows first <= row < last of the phases. Returns 0, or -1 without memory.
int32_t interpolate_rows(const uint8_t* plane, int64_t height, int64_t width, int64_t first,
                         int64_t last, uint8_t* phases) {
  constexpr int64_t kBand = 16;
  const int64_t wide = width + 2 * kMargin, stride = wide + 2 * kReach;
  const Scratch padded((kBand + 7) * stride + 64);
  const Scratch across(4 * (kBand + 7) * wide * 2 + 64);
  if (!padded.get() || !across.get()) return -1;
  auto* scratch = reinterpret_cast<int16_t*>(across.get());
  for (int64_t top = first; top < last; top += kBand) {
    const int64_t bottom = top + kBand < last ? top + kBand : last;
    pad_rows(plane, height, width, top, bottom, padded.get());
#if RQ_X86
    if (rq::level() >= rq::kAvx2) {
      interpolate_avx2(padded.get(), height, width, top, bottom, phases, scratch);
      continue;
    }
#endif
    interpolate(padded.get(), height, width, top, bottom, phases, scratch);
  }
  return 0;
}

}  // namespace

// The planes interpolated at all quarter samples, [16, height + 48, width + 48], from a plane
// [height, width]. Returns 0, or -1 without memory.
RQ_EXPORT int32_t rq_interpolate(const uint8_t* plane, int64_t height, int64_t width,
                                 uint8_t* phases) {
  return rq::try_in_bands(height + 2 * kMargin, kBandRows, 1, [=](int64_t first, int64_t last) {
    return interpolate_rows(plane, height, width, first, last, phases);
  });
}

// Prices [count, 4] of the blocks of units by a vector each. beside, uses: see Frame; or null.
RQ_EXPORT void rq_match_prices(const uint8_t* current, int64_t height, int64_t width,
                               const uint8_t* phases, const uint8_t* beside, const uint8_t* uses,
                               const float* scales, const int32_t* units,
                               const motion::Vector* vectors, int64_t count, int32_t* prices) {
  const Frame frame = {current, height, width, phases, beside, uses, scales};
#if RQ_X86
  if (rq::level() >= rq::kVnni)
    return rq::match::prices_avx512(frame, units, vectors, count, prices);
  if (rq::level() >= rq::kAvx2) return rq::match::prices_avx2(frame, units, vectors, count, prices);
#endif
  prices_of(frame, units, vectors, count, prices);
}

// Give the units of a colour of the chessboard their best vectors, the others' standing. blocks:
// [units, 4]; nodes: the tree of the choice of a base; for the rest see Refinement and Previous.
RQ_EXPORT void rq_refine_vectors(
    const uint8_t* current, int64_t height, int64_t width, const uint8_t* phases,
    const uint8_t* beside, const uint8_t* uses, const float* scales, motion::Vector (*blocks)[4],
    int32_t* isnew, int32_t known, motion::Vector* base, int32_t* split, int32_t* calm,
    motion::Vector (*before)[4], const int32_t* nodes, const int32_t* costs, const int32_t* lengths,
    int32_t weight, const motion::Vector* ring, int64_t rings, int32_t* memory, int64_t colour) {
  rq::in_bands(height / kUnit, kBandUnits, 1, [=](int64_t first, int64_t last) {
    const Refinement job = {{current, height, width, phases, beside, uses, scales},
                            {height / kUnit, width / kUnit},
                            blocks,
                            isnew,
                            {known != 0, base, split, calm, before},
                            {nodes, nullptr},
                            costs,
                            lengths,
                            weight,
                            ring,
                            rings,
                            memory,
                            colour,
                            first,
                            last};
#if RQ_X86
    if (rq::level() >= rq::kVnni) return rq::match::refine_avx512(job);
    if (rq::level() >= rq::kAvx2) return rq::match::refine_avx2(job);
#endif
    refine_rows(job);
  });
}
