// Overlapped block motion compensation: the plain form, and the functions that are called.
#include "compensation.h"

#include "bands.h"

namespace {

using namespace rq::compensation;

// Rows of blocks of a band for which waking a thread pays.
constexpr int64_t kBandLines = 6;

// R x C samples from (x, y) on, displaced by a vector; out has a stride of C.
template <typename Kind, int R, int C>
RQ_INLINE void predict(const Plane& plane, int64_t x, int64_t y, Vector vector,
                       int32_t* RQ_RESTRICT out) {
  constexpr int T = Kind::taps, before = T / 2 - 1;
  constexpr int rows = R + T - 1, columns = C + T - 1;
  const int unit = 1 << Kind::fraction_bits;
  const int fx = vector.x & (unit - 1), fy = vector.y & (unit - 1);
  const int64_t left = x + (vector.x >> Kind::fraction_bits) - before;
  const int64_t top = y + (vector.y >> Kind::fraction_bits) - before;
  int16_t patch[rows][columns];
  if (left >= 0 && top >= 0 && left + columns <= plane.width && top + rows <= plane.height) {
    const uint8_t* from = plane.samples + top * plane.width + left;
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) patch[i][j] = from[i * plane.width + j];
  } else {
    for (int i = 0; i < rows; ++i) {
      const int64_t line = rq::clamp<int64_t>(top + i, 0, plane.height - 1) * plane.width;
      for (int j = 0; j < columns; ++j)
        patch[i][j] = plane.samples[line + rq::clamp<int64_t>(left + j, 0, plane.width - 1)];
    }
  }
  int16_t across[rows][C];
  if (fx == 0) {
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < C; ++j) across[i][j] = static_cast<int16_t>(64 * patch[i][j + before]);
  } else {
    const int16_t* taps = Kind::filters[fx];
    for (int i = 0; i < rows; ++i) {
      int16_t sum[C] = {};
      for (int k = 0; k < T; ++k)
        for (int j = 0; j < C; ++j)
          sum[j] = static_cast<int16_t>(sum[j] + taps[k] * patch[i][j + k]);
      for (int j = 0; j < C; ++j) across[i][j] = sum[j];
    }
  }
  if (fy == 0) {
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < C; ++j) out[i * C + j] = 64 * across[i + before][j];
  } else {
    const int16_t* taps = Kind::filters[fy];
    for (int i = 0; i < R; ++i) {
      int32_t sum[C] = {};
      for (int k = 0; k < T; ++k)
        for (int j = 0; j < C; ++j) sum[j] += static_cast<int32_t>(taps[k]) * across[i + k][j];
      for (int j = 0; j < C; ++j) out[i * C + j] = sum[j];
    }
  }
  for (int i = 0; i < R * C; ++i) out[i] = rq::clamp(out[i], 0, 255 * 4096);
}

#define RQ_TARGET
#include "compensation_blocks.h"

}  // namespace

// Predict a frame whose luma is [height, width], sides multiples of 8, from the planes of another by
// int16 vectors [height / 8, width / 8, 2], (x, y) in quarter luma samples; to packed rows
// [height / 8 * width / 8, 96]. wanted: of each row whether it is predicted, others are 0; NULL for
// all.
RQ_EXPORT void rq_compensate(const uint8_t* y, const uint8_t* u, const uint8_t* v, int64_t height,
                             int64_t width, const int16_t* vectors, const uint8_t* wanted,
                             int16_t* rows) {
  rq::in_bands(height / 8, kBandLines, 1, [&](int64_t top, int64_t bottom) {
    const Job job = {{y, height, width},
                     {u, height / 2, width / 2},
                     {v, height / 2, width / 2},
                     vectors,
                     top,
                     bottom,
                     rows,
                     wanted};
#if RQ_X86
    if (rq::level() >= rq::kAvx2) return rq::compensation::compensate_avx2(job);
#endif
    compensate(job);
  });
}

// Features [height, width, channels] of the nearest positions that vectors name; a position is 8
// luma samples.
RQ_EXPORT void rq_compensate_features(const int16_t* features, int64_t height, int64_t width,
                                      int64_t channels, const int16_t* vectors, int16_t* out) {
  rq::in_bands(height, 4 * kBandLines, 1, [&](int64_t top, int64_t bottom) {
    for (int64_t row = top; row < bottom; ++row) {
      for (int64_t column = 0; column < width; ++column) {
        const int64_t at = row * width + column;
        const int64_t x = column + ((vectors[2 * at] + 16) >> 5);
        const int64_t y = row + ((vectors[2 * at + 1] + 16) >> 5);
        const int64_t from = rq::clamp<int64_t>(y, 0, height - 1) * width +
                             rq::clamp<int64_t>(x, 0, width - 1);
        std::memcpy(out + at * channels, features + from * channels,
                    static_cast<size_t>(channels) * sizeof(int16_t));
      }
    }
  });
}
