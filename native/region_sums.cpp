// Sums over the two regions of a plane: values, squares and gradient magnitudes.
#include <cmath>

#include "common.h"
#include "scratch.h"

namespace {

constexpr float kHalfFine = 8192.0f;  // Magnitudes count in 1/16384, of differences over two samples.

struct Sums {
  int64_t count, values, squares, steepness;
};

// Of a plane of bytes less than 2^22, so that adding 1.5 * 2^23 leaves no room for a fraction.
RQ_INLINE int32_t rounded(float value, const uint8_t*) {
  return static_cast<int32_t>((value + 12582912.0f) - 12582912.0f);
}

RQ_INLINE int32_t rounded(float value, const int16_t*) {
  return static_cast<int32_t>(std::nearbyintf(value));
}

template <typename T>
RQ_INLINE int32_t steepness(int32_t left, int32_t right, int32_t above, int32_t below) {
  const float across = static_cast<float>(right - left), down = static_cast<float>(below - above);
  const T* kind = nullptr;
  return rounded(std::sqrt(across * across + down * down) * kHalfFine, kind);
}

template <typename T>
RQ_INLINE void sum(const T* plane, int64_t height, int64_t width, const uint8_t* mask,
                   int64_t columns, int64_t cell, int32_t* steep, Sums* sums) {
  for (int64_t y = 0; y < height; ++y) {
    const T* row = plane + y * width;
    const T* above = y ? row - width : row;
    const T* below = y + 1 < height ? row + width : row;
    for (int64_t x = 1; x + 1 < width; ++x)
      steep[x] = steepness<T>(row[x - 1], row[x + 1], above[x], below[x]);
    const int64_t last = width - 1, second = width > 1;
    steep[0] = steepness<T>(row[0], row[second], above[0], below[0]);
    steep[last] = steepness<T>(row[last - second], row[last], above[last], below[last]);
    const uint8_t* own = mask + y / cell * columns;
    for (int64_t c = 0; c * cell < width; ++c) {
      const int64_t first = c * cell, end = first + cell < width ? first + cell : width;
      int64_t magnitude = 0;
      int32_t values = 0;
      int64_t squares = 0;
      for (int64_t x = first; x < end; ++x) {
        const int32_t value = row[x];
        values += value;
        squares += value * value;
        magnitude += steep[x];
      }
      Sums& to = sums[own[c] ? 0 : 1];
      to.count += end - first;
      to.values += values;
      to.squares += squares;
      to.steepness += magnitude;
    }
  }
}

template <typename T>
void sum_plain(const T* plane, int64_t height, int64_t width, const uint8_t* mask, int64_t columns,
               int64_t cell, int32_t* steep, Sums* sums) {
  sum(plane, height, width, mask, columns, cell, steep, sums);
}

#if RQ_X86
template <typename T>
RQ_AVX2 void sum_avx2(const T* plane, int64_t height, int64_t width, const uint8_t* mask,
                      int64_t columns, int64_t cell, int32_t* steep, Sums* sums) {
  sum(plane, height, width, mask, columns, cell, steep, sums);
}
#endif

}  // namespace

// Sums of a plane [height, width], at least 1x1, of uint8 (or of int16 if `words`) over the cells
// of a mask, of `columns` cells a row, that are not 0, then over the others: number, values,
// squares, and gradient magnitudes in 1/16384, each rounded. out: [2, 4].
// Returns 0, or -1 if there is no memory.
RQ_EXPORT int32_t rq_region_sums(const void* plane, int32_t words, int64_t height, int64_t width,
                                 const uint8_t* mask, int64_t columns, int64_t cell, int64_t* out) {
  const rq::Scratch scratch(width * static_cast<int64_t>(sizeof(int32_t)));
  auto* steep = reinterpret_cast<int32_t*>(scratch.get());
  if (!steep) return -1;
  Sums sums[2] = {};
  const auto* bytes = static_cast<const uint8_t*>(plane);
  const auto* integers = static_cast<const int16_t*>(plane);
#if RQ_X86
  if (rq::level() >= rq::kAvx2) {
    if (words)
      sum_avx2(integers, height, width, mask, columns, cell, steep, sums);
    else
      sum_avx2(bytes, height, width, mask, columns, cell, steep, sums);
    std::memcpy(out, sums, sizeof sums);
    return 0;
  }
#endif
  if (words)
    sum_plain(integers, height, width, mask, columns, cell, steep, sums);
  else
    sum_plain(bytes, height, width, mask, columns, cell, steep, sums);
  std::memcpy(out, sums, sizeof sums);
  return 0;
}
