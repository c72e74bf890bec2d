// Overlapped block motion compensation of docs/format.md, from planes to packed rows.
//
// A prediction counts in 1/4096 of a sample value. Both passes of the interpolation keep full
// precision: the first fits 16 bits (taps sum to at most 88 in luma and 72 in chroma where they
// are positive), the second 32.
#pragma once

#include "common.h"

namespace rq {
namespace compensation {

constexpr int kRow = 96;  // Samples of a packed row: 8x8 of Y, 4x4 of U, 4x4 of V.

struct Plane {
  const uint8_t* samples;
  int64_t height, width;
};

struct Luma {
  static constexpr int side = 8, taps = 8, fraction_bits = 2;
  static constexpr int16_t filters[4][8] = {{0, 0, 0, 64, 0, 0, 0, 0},
                                            {-1, 4, -10, 58, 17, -5, 1, 0},
                                            {-1, 4, -11, 40, 40, -11, 4, -1},
                                            {0, 1, -5, 17, 58, -10, 4, -1}};
  // Sixteenths that the neighbour's vector has of a row or column, from its border inwards.
  static constexpr int32_t window[4] = {5, 3, 2, 1};
};

struct Chroma {
  static constexpr int side = 4, taps = 4, fraction_bits = 3;
  static constexpr int16_t filters[8][4] = {{0, 64, 0, 0},     {-2, 58, 10, -2}, {-4, 54, 16, -2},
                                            {-6, 46, 28, -4},  {-4, 36, 36, -4}, {-4, 28, 46, -6},
                                            {-2, 16, 54, -4},  {-2, 10, 58, -2}};
  static constexpr int32_t window[2] = {4, 2};
};

constexpr int Luma::side, Luma::taps, Luma::fraction_bits;
constexpr int16_t Luma::filters[4][8];
constexpr int32_t Luma::window[4];
constexpr int Chroma::side, Chroma::taps, Chroma::fraction_bits;
constexpr int16_t Chroma::filters[8][4];
constexpr int32_t Chroma::window[2];

struct Vector {
  int16_t x, y;
  bool operator==(const Vector& other) const { return x == other.x && y == other.y; }
};

// Above, below, left and right of a block.
struct Around {
  Vector own, beside[4];
};

struct Job {
  Plane y, u, v;
  const int16_t* vectors;
  int64_t top, bottom;
  int16_t* rows;
  const uint8_t* wanted;  // Of each block; NULL for all.
};

RQ_INLINE Vector vector_at(const Job& job, int64_t row, int64_t column) {
  const int64_t lines = job.y.height / 8, per_line = job.y.width / 8;
  const int64_t at = rq::clamp<int64_t>(row, 0, lines - 1) * per_line +
                     rq::clamp<int64_t>(column, 0, per_line - 1);
  return {job.vectors[2 * at], job.vectors[2 * at + 1]};
}

void compensate_avx2(const Job& job);

}  // namespace compensation
}  // namespace rq
