// Matrix layers in plain C++: the form beside which the others are checked, and that of machines
// without AVX2. Codes are int16; columns are in their own order, in panels of 16.
#include "layer.h"

namespace {

constexpr int64_t kPanel = 16;

// Accumulator, with half a unit in it, to an integer, ties to even; `onto` is added before rounding.
RQ_INLINE int32_t rounded(int32_t acc, int32_t onto, int32_t down, int32_t up, int32_t odd) {
  const int32_t y = rq::wrap_shift_left(acc, up);
  // Where there is a right shift the sum is far from overflow, elsewhere nothing is odd.
  const int32_t pull = rq::wrap_add(y >> down, onto) & odd;
  return rq::clamp((y - pull) >> down, -65536, 65535) + onto;
}

void quantize(const rq::Pointwise& layer, const int16_t* const* rows, const int16_t* const* more,
              int32_t first, unsigned char* codes, int64_t stride, int64_t count) {
  const int16_t* multiplier = rq::part<int16_t>(layer, layer.multiplier);
  const int16_t* left = rq::part<int16_t>(layer, layer.left);
  const int16_t* right = rq::part<int16_t>(layer, layer.right);
  for (int64_t n = 0; n < count; ++n) {
    int16_t* to = reinterpret_cast<int16_t*>(codes + n * stride);
    for (int32_t c = 0; c < layer.cin; ++c) {
      int32_t x = c < first ? rows[n][c] : more[n][c - first];
      if (right[c]) {
        // x * 2^-shift, rounded half up; one less where that is odd pulls ties down.
        const int32_t m = multiplier[c];
        const int32_t odd = ((x * m + (1 << 14)) >> 15) & 1;
        x = ((x - odd) * m + (1 << 14)) >> 15;
      } else {
        x = rq::wrap_shift_left(x, left[c]);
      }
      to[c] = static_cast<int16_t>(rq::clamp(x, layer.q_low, layer.q_high));
    }
    for (int32_t c = layer.cin; c % 2; ++c) to[c] = 0;
  }
}

// Accumulators [kPanel] of one row and panel, with `start` in them. Products of int16 fit int32, and
// so do their sums, by the layer's bound.
RQ_INLINE void multiply(const rq::Pointwise& layer, const int16_t* RQ_RESTRICT codes, int64_t panel,
                        int32_t* RQ_RESTRICT acc) {
  const int64_t length = 2 * int64_t{layer.groups};
  const int16_t* w = rq::part<int16_t>(layer, layer.weight) + length * panel;
  const int32_t* start = rq::part<int32_t>(layer, layer.rounding.start) + panel;
  for (int64_t i = 0; i < kPanel; i += 4, w += 4 * length) {
    const int16_t *w0 = w, *w1 = w + length, *w2 = w1 + length, *w3 = w2 + length;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int64_t k = 0; k < length; ++k) {
      s0 += codes[k] * w0[k];
      s1 += codes[k] * w1[k];
      s2 += codes[k] * w2[k];
      s3 += codes[k] * w3[k];
    }
    acc[i] = start[i] + s0;
    acc[i + 1] = start[i + 1] + s1;
    acc[i + 2] = start[i + 2] + s2;
    acc[i + 3] = start[i + 3] + s3;
  }
}

void requantize(const rq::Pointwise& layer, const unsigned char* const* codes,
                unsigned char* const* targets, int64_t room, int64_t count) {
  const rq::Rounding& r = layer.rounding;
  const int32_t* down = rq::part<int32_t>(layer, r.down);
  const int32_t* up = rq::part<int32_t>(layer, r.up);
  const int32_t* odd = rq::part<int32_t>(layer, r.odd);
  for (int64_t panel = 0; panel < layer.columns; panel += kPanel) {
    for (int64_t n = 0; n < count; ++n) {
      int32_t acc[kPanel];
      multiply(layer, reinterpret_cast<const int16_t*>(codes[n]), panel, acc);
      for (int64_t i = 0; i < kPanel && panel + i < room; ++i) {
        const int64_t c = panel + i;
        const int32_t code = rq::clamp(rounded(acc[i], 0, down[c], up[c], odd[c]), r.low, r.high);
        if (layer.target == rq::kBytes) {
          targets[n][c] = static_cast<unsigned char>(code);
        } else {
          reinterpret_cast<int16_t*>(targets[n])[c] = static_cast<int16_t>(code);
        }
      }
    }
  }
}

void accumulate(const rq::Pointwise& layer, const unsigned char* const* codes, int16_t* const* rows,
                int64_t count) {
  const int32_t* down = rq::part<int32_t>(layer, layer.rounding.down);
  const int32_t* up = rq::part<int32_t>(layer, layer.rounding.up);
  const int32_t* odd = rq::part<int32_t>(layer, layer.rounding.odd);
  for (int64_t panel = 0; panel < layer.columns; panel += kPanel) {
    for (int64_t n = 0; n < count; ++n) {
      int32_t acc[kPanel];
      multiply(layer, reinterpret_cast<const int16_t*>(codes[n]), panel, acc);
      for (int64_t i = 0; i < kPanel && panel + i < layer.cout; ++i) {
        const int64_t c = panel + i;
        const int32_t sum = rounded(acc[i], rows[n][c], down[c], up[c], odd[c]);
        rows[n][c] = static_cast<int16_t>(rq::clamp(sum, -32768, 32767));
      }
    }
  }
}

void depthwise(const rq::Depthwise& layer, const unsigned char* const* centres, int64_t pitch,
               unsigned char* codes, int64_t stride, int64_t count) {
  const rq::Rounding& r = layer.rounding;
  const int32_t* start = rq::part<int32_t>(layer, r.start);
  const int32_t* down = rq::part<int32_t>(layer, r.down);
  const int32_t* up = rq::part<int32_t>(layer, r.up);
  const int32_t* odd = rq::part<int32_t>(layer, r.odd);
  const int16_t* weight = rq::part<int16_t>(layer, layer.weight);
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t panel = 0; panel < layer.columns; panel += kPanel) {
      int32_t acc[kPanel];
      std::memcpy(acc, start + panel, sizeof(acc));
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int16_t* w = weight + 9 * panel + tap * kPanel;
        const unsigned char* near =
            centres[n] + (tap / 3 - 1) * pitch + (tap % 3 - 1) * layer.columns + panel;
        for (int64_t i = 0; i < kPanel; ++i) acc[i] += near[i] * w[i];
      }
      for (int64_t i = 0; i < kPanel; ++i) {
        const int64_t c = panel + i;
        const int32_t code = rq::clamp(rounded(acc[i], 0, down[c], up[c], odd[c]), r.low, r.high);
        unsigned char* to = codes + n * stride;
        if (layer.target == rq::kBytes) {
          to[c] = static_cast<unsigned char>(code);
        } else {
          reinterpret_cast<int16_t*>(to)[c] = static_cast<int16_t>(code);
        }
      }
    }
  }
}

}  // namespace

const rq::Kernels rq::kPlainKernels = {quantize, requantize, accumulate, depthwise};
