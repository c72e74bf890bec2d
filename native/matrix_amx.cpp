// Products of bytes with AMX: tiles of 16 rows by 16 columns by 64 inputs. All else is as with VNNI,
// whose packed weights are those of a tile, row by row.
#include "avx512.h"

#if RQ_X86

namespace {

using rq::Clamp;
using rq::Mode;
using rq::part;

constexpr int64_t kRows = 16;   // of a tile
constexpr int64_t kGroups = 16; // rows of a tile of weights

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Accumulators of up to 32 rows and 16 V columns, `start` in them, into `sums`.
template <int V>
RQ_AMX RQ_INLINE void multiply(const unsigned char* codes, int64_t stride, bool both,
                               const unsigned char* weight, const int32_t* start, int64_t groups,
                               int32_t* sums) {
  constexpr int64_t kSums = 64 * V;  // bytes of a row of sums, and of a group of weights
  for (int64_t v = 0; v < V; v += 2) {
    // Rows of zero stride: the same start for all.
    _tile_loadd(0, start + 16 * v, 0);
    _tile_loadd(1, start + 16 * v + 16, 0);
    if (both) {
      _tile_loadd(2, start + 16 * v, 0);
      _tile_loadd(3, start + 16 * v + 16, 0);
    }
    for (int64_t k = 0; k < groups; k += kGroups) {
      _tile_loadd(6, weight + k * kSums + 64 * v, kSums);
      _tile_loadd(7, weight + k * kSums + 64 * v + 64, kSums);
      _tile_loadd(4, codes + 4 * k, stride);
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 7);
      if (both) {
        _tile_loadd(5, codes + kRows * stride + 4 * k, stride);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
      }
    }
    _tile_stored(0, sums + 16 * v, kSums);
    _tile_stored(1, sums + 16 * v + 16, kSums);
    if (both) {
      _tile_stored(2, sums + 16 * (kRows * V + v), kSums);
      _tile_stored(3, sums + 16 * (kRows * V + v) + 16, kSums);
    }
  }
}

// The numbers of a panel's columns, in registers: tiles hold the accumulators.
template <int V>
struct Held {
  __m512i down_[V], odd_[V];
  const int32_t* up_;
  bool rare;

  RQ_VNNI RQ_INLINE_MEMBER __m512i down(int v) const { return down_[v]; }
  RQ_VNNI RQ_INLINE_MEMBER __m512i up(int v) const { return rq::load(up_ + 16 * v); }
  RQ_VNNI RQ_INLINE_MEMBER __m512i odd(int v) const { return odd_[v]; }
};

template <int V, Mode M>
RQ_AMX RQ_INLINE void run_panel(const rq::Pointwise& layer, const Clamp& clamp, int64_t panel,
                                const unsigned char* codes, int64_t stride,
                                unsigned char* const* targets, int64_t room, int64_t count) {
  const unsigned char* weight =
      part<unsigned char>(layer, layer.weight) + 4 * int64_t{layer.groups} * panel;
  const int32_t* start = part<int32_t>(layer, layer.rounding.start) + panel;
  const rq::Columns columns = rq::columns_at(layer, panel);
  Held<V> held;
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    held.down_[v] = columns.down(v);
    held.odd_[v] = columns.odd(v);
  }
  held.up_ = columns.up_;
  held.rare = columns.rare;
  // While tiles multiply the next rows, vectors round these.
  constexpr int64_t kStep = 2 * kRows, kSums = kStep * 16 * V;
  alignas(64) int32_t sums[2 * kSums];
  multiply<V>(codes, stride, count > kRows, weight, start, layer.groups, sums);
  for (int64_t n = 0; n < count; n += kStep) {
    const int64_t next = n + kStep;
    const int32_t* own = sums + (n / kStep % 2) * kSums;
    if (next < count)
      multiply<V>(codes + next * stride, stride, count - next > kRows, weight, start, layer.groups,
                  sums + (next / kStep % 2) * kSums);
    const int64_t some = count - n < kStep ? count - n : kStep;
    for (int64_t r = 0; r < some; ++r) {
      __m512i acc[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[v] = rq::load(own + 16 * (V * r + v));
      rq::finish<V, M>(acc, held, panel, clamp, targets[n + r], room - panel);
    }
  }
}

template <Mode M>
RQ_AMX void run(const rq::Pointwise& layer, const unsigned char* const* codes,
                unsigned char* const* targets, int64_t room, int64_t count) {
  if (count <= 0) return;
  // Codes of bytes are always quantized or computed into a tile of memory of kTile rows, so rows
  // beyond the last can be read.
  const int64_t stride = rq::code_stride(layer);
  const Clamp clamp = rq::clamp_of<M>(layer);
  const TileConfig config;
  _tile_loadconfig(&config);
  int64_t panel = 0;
  for (; layer.columns - panel >= 64; panel += 64)
    run_panel<4, M>(layer, clamp, panel, codes[0], stride, targets, room, count);
  if (panel < layer.columns)
    run_panel<2, M>(layer, clamp, panel, codes[0], stride, targets, room, count);
  _tile_release();
}

void quantize(const rq::Pointwise& layer, const int16_t* const* rows, const int16_t* const* more,
              int32_t first, unsigned char* codes, int64_t stride, int64_t count) {
  rq::kVnniKernels.quantize(layer, rows, more, first, codes, stride, count);
}

void requantize(const rq::Pointwise& layer, const unsigned char* const* codes,
                unsigned char* const* targets, int64_t room, int64_t count) {
  if (!layer.narrow)
    rq::kVnniKernels.requantize(layer, codes, targets, room, count);
  else if (layer.target == rq::kBytes)
    run<rq::kToBytes>(layer, codes, targets, room, count);
  else
    run<rq::kToWords>(layer, codes, targets, room, count);
}

void accumulate(const rq::Pointwise& layer, const unsigned char* const* codes, int16_t* const* rows,
                int64_t count) {
  if (!layer.narrow) return rq::kVnniKernels.accumulate(layer, codes, rows, count);
  unsigned char* targets[rq::kTile];
  for (int64_t n = 0; n < count; ++n) targets[n] = reinterpret_cast<unsigned char*>(rows[n]);
  run<rq::kOnto>(layer, codes, targets, layer.cout, count);
}

void depthwise(const rq::Depthwise& layer, const unsigned char* const* centres, int64_t pitch,
               unsigned char* codes, int64_t stride, int64_t count) {
  rq::kVnniKernels.depthwise(layer, centres, pitch, codes, stride, count);
}

}  // namespace

const rq::Kernels rq::kAmxKernels = {quantize, requantize, accumulate, depthwise};

#endif
