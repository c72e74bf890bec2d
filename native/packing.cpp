// Planes to packed rows of 96 samples (8x8 of Y, 4x4 of U, 4x4 of V) and back.
#include "bands.h"

namespace {

constexpr int kRow = 96;
constexpr int kFirst[3] = {0, 64, 80}, kSide[3] = {8, 4, 4};

constexpr int64_t kBandLines = 16;  // Rows of blocks of a band for which waking a thread pays.

// Call `move(at, to)` for the samples of rows of blocks of a plane, in blocks of S x S: index in the
// plane, and in rows.
template <int S, typename Move>
RQ_INLINE void each_sample(int64_t top, int64_t bottom, int64_t per_line, Move move) {
  const int64_t stride = per_line * S;
  for (int64_t line = top; line < bottom; ++line)
    for (int64_t block = 0; block < per_line; ++block)
      for (int i = 0; i < S; ++i)
        for (int j = 0; j < S; ++j)
          move((line * S + i) * stride + block * S + j,
               (line * per_line + block) * kRow + i * S + j);
}

template <int S>
RQ_INLINE void pack_plane(const uint8_t* RQ_RESTRICT plane, int64_t top, int64_t bottom,
                          int64_t per_line, int16_t* RQ_RESTRICT rows) {
  each_sample<S>(top, bottom, per_line, [=](int64_t at, int64_t to) { rows[to] = plane[at]; });
}

template <int S>
RQ_INLINE void unpack_plane(const int16_t* RQ_RESTRICT rows, int64_t top, int64_t bottom,
                            int64_t per_line, uint8_t* RQ_RESTRICT plane) {
  each_sample<S>(top, bottom, per_line, [=](int64_t at, int64_t to) {
    plane[at] = static_cast<uint8_t>(rows[to]);
  });
}

}  // namespace

// Planes of `lines` rows of `per_line` blocks to packed rows [lines * per_line, 96].
RQ_EXPORT void rq_pack(const uint8_t* y, const uint8_t* u, const uint8_t* v, int64_t lines,
                       int64_t per_line, int16_t* rows) {
  rq::in_bands(lines, kBandLines, 1, [=](int64_t top, int64_t bottom) {
    pack_plane<8>(y, top, bottom, per_line, rows);
    pack_plane<4>(u, top, bottom, per_line, rows + kFirst[1]);
    pack_plane<4>(v, top, bottom, per_line, rows + kFirst[2]);
  });
}

// The inverse; samples are within 0..255.
RQ_EXPORT void rq_unpack(const int16_t* rows, int64_t lines, int64_t per_line, uint8_t* y,
                         uint8_t* u, uint8_t* v) {
  rq::in_bands(lines, kBandLines, 1, [=](int64_t top, int64_t bottom) {
    unpack_plane<8>(rows, top, bottom, per_line, y);
    unpack_plane<4>(rows + kFirst[1], top, bottom, per_line, u);
    unpack_plane<4>(rows + kFirst[2], top, bottom, per_line, v);
  });
}

// Replace the samples of some packed rows by their block's mean, rounded half up.
RQ_EXPORT void rq_block_means(int16_t* rows, const uint8_t* chosen, int64_t count) {
  for (int64_t n = 0; n < count; ++n) {
    if (!chosen[n]) continue;
    for (int part = 0; part < 3; ++part) {
      int16_t* first = rows + n * kRow + kFirst[part];
      const int32_t size = kSide[part] * kSide[part];
      int32_t sum = 0;
      for (int i = 0; i < size; ++i) sum += first[i];
      const int16_t mean = static_cast<int16_t>((2 * sum + size) / (2 * size));
      for (int i = 0; i < size; ++i) first[i] = mean;
    }
  }
}
