// Block search on a level of a pyramid, by sums of absolute differences at whole samples.
#include "bands.h"
#include "motion.h"

#if RQ_X86
#include <immintrin.h>
#endif

namespace {

using rq::motion::Vector;

constexpr int64_t kBandRows = 2;  // Rows of blocks of a band for which waking a thread pays.

// A level of both pictures, [height + 2 margin, width + 2 margin], their edges repeated; and its
// blocks, whose windows are `window` wide and `spacing` apart.
struct Level {
  const uint8_t *current, *reference;
  int64_t height, width, margin, rows, columns, spacing, window;

  int64_t stride() const { return width + 2 * margin; }
  int64_t begin(int64_t number) const { return number * spacing + (spacing - window) / 2; }
};

int32_t digits(int32_t value) {
  int32_t n = 0;
  for (value = value < 0 ? -value : value; value; value >>= 1) ++n;
  return n;
}

struct Plain {
  RQ_INLINE_MEMBER static int32_t sad(const uint8_t* a, const uint8_t* b, int64_t stride, int64_t side) {
    int32_t sum = 0;
    for (int64_t i = 0; i < side; ++i)
      for (int64_t j = 0; j < side; ++j) {
        const int32_t d = a[i * stride + j] - b[i * stride + j];
        sum += d < 0 ? -d : d;
      }
    return sum;
  }
};

#if RQ_X86
// Of 8x8 or 16x16 samples, rows `stride` apart.
RQ_AVX2 int32_t sad_avx2(const uint8_t* a, const uint8_t* b, int64_t stride, int64_t side) {
  __m128i sum = _mm_setzero_si128();
  if (side == 16) {
    for (int i = 0; i < 16; ++i)
      sum = _mm_add_epi32(
          sum, _mm_sad_epu8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i * stride)),
                            _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i * stride))));
  } else {
    for (int i = 0; i < 8; ++i)
      sum = _mm_add_epi32(
          sum, _mm_sad_epu8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a + i * stride)),
                            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(b + i * stride))));
  }
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_srli_si128(sum, 8)));
}
#endif

using Sad = int32_t (*)(const uint8_t*, const uint8_t*, int64_t, int64_t);

Sad chosen() {
#if RQ_X86
  if (rq::level() >= rq::kAvx2) return sad_avx2;
#endif
  return Plain::sad;
}

struct Search {
  Level level;
  int32_t weight, limit;
  Sad sad;

  int32_t cost(int64_t y, int64_t x, Vector v, Vector expected) const {
    const int64_t m = level.margin, stride = level.stride();
    const int64_t to_y = rq::clamp<int64_t>(y + v.y, -m, level.height + m - level.window);
    const int64_t to_x = rq::clamp<int64_t>(x + v.x, -m, level.width + m - level.window);
    const int32_t sum = sad(level.current + (y + m) * stride + x + m,
                            level.reference + (to_y + m) * stride + to_x + m, stride, level.window);
    return 16 * sum + weight * (digits(v.x - expected.x) + digits(v.y - expected.y));
  }
};

int32_t middle(int32_t a, int32_t b, int32_t c, int32_t d) {
  const int32_t low = a < b ? a : b, high = a < b ? b : a;
  const int32_t low2 = c < d ? c : d, high2 = c < d ? d : c;
  return ((low > low2 ? low : low2) + (high < high2 ? high : high2)) >> 1;
}

constexpr int kRing[8][2] = {{0, -1}, {-1, 0}, {1, 0}, {0, 1}, {-1, -1}, {1, -1}, {-1, 1}, {1, 1}};

}  // namespace

// Mean of every 2x2 samples of a plane [height, width], rounded half up; sides even.
RQ_EXPORT void rq_halve(const uint8_t* plane, int64_t height, int64_t width, uint8_t* out) {
  for (int64_t y = 0; y < height / 2; ++y)
    for (int64_t x = 0; x < width / 2; ++x) {
      const uint8_t* at = plane + 2 * y * width + 2 * x;
      out[y * (width / 2) + x] =
          static_cast<uint8_t>((at[0] + at[1] + at[width] + at[width + 1] + 2) >> 2);
    }
}

// Best displacement of each block, of all within +-reach; the margin is at least reach + window. vectors: int16 [rows, columns, 2].
RQ_EXPORT void rq_search_all(const uint8_t* current, const uint8_t* reference, int64_t height,
                             int64_t width, int64_t margin, int64_t rows, int64_t columns,
                             int64_t spacing, int64_t window, int32_t weight, int32_t reach,
                             int16_t* vectors) {
  const Search search = {
      {current, reference, height, width, margin, rows, columns, spacing, window},
      weight, reach, chosen()};
  rq::in_bands(rows, kBandRows, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        const int64_t y = search.level.begin(row), x = search.level.begin(column);
        Vector best = {0, 0};
        int32_t least = search.cost(y, x, best, {0, 0});
        for (int32_t dy = -reach; dy <= reach; ++dy)
          for (int32_t dx = -reach; dx <= reach; ++dx) {
            const int32_t price = search.cost(y, x, {dx, dy}, {0, 0});
            if (price < least) {
              least = price;
              best = {dx, dy};
            }
          }
        int16_t* out = vectors + 2 * (row * columns + column);
        out[0] = static_cast<int16_t>(best.x);
        out[1] = static_cast<int16_t>(best.y);
      }
  });
}

// Best of what a block, its four neighbours and `offered` further fields have, then downhill at most
// `steps` times. vectors: int16 [rows, columns, 2]; offers: [offered, rows, columns, 2].
RQ_EXPORT void rq_search_near(const uint8_t* current, const uint8_t* reference, int64_t height,
                              int64_t width, int64_t margin, int64_t rows, int64_t columns,
                              int64_t spacing, int64_t window, int32_t weight, int32_t limit,
                              const int16_t* vectors, const int16_t* offers, int64_t offered,
                              int64_t steps, int16_t* out) {
  const Search search = {
      {current, reference, height, width, margin, rows, columns, spacing, window},
      weight, limit, chosen()};
  const auto at = [&](const int16_t* field, int64_t row, int64_t column) {
    const int64_t place = rq::clamp<int64_t>(row, 0, rows - 1) * columns +
                          rq::clamp<int64_t>(column, 0, columns - 1);
    return Vector{field[2 * place], field[2 * place + 1]};
  };
  rq::in_bands(rows, kBandRows, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        const int64_t y = search.level.begin(row), x = search.level.begin(column);
        const Vector up = at(vectors, row - 1, column), left = at(vectors, row, column - 1);
        const Vector right = at(vectors, row, column + 1), down = at(vectors, row + 1, column);
        const Vector expected = {middle(up.x, left.x, right.x, down.x),
                                 middle(up.y, left.y, right.y, down.y)};
        const Vector first_six[6] = {at(vectors, row, column), up, left, right, down, {0, 0}};
        Vector best = {};
        int32_t least = INT32_MAX;
        for (int64_t k = 0; k < 6 + offered; ++k) {
          const Vector v = k < 6 ? first_six[k] : at(offers + (k - 6) * 2 * rows * columns, row, column);
          bool seen = false;
          for (int64_t j = 0; j < k && j < 6; ++j) seen |= first_six[j] == v;
          if (seen) continue;
          const int32_t price = search.cost(y, x, v, expected);
          if (price < least) {
            least = price;
            best = v;
          }
        }
        for (int64_t step = 0; step < steps; ++step) {
          const Vector centre = best;
          for (const auto& move : kRing) {
            const Vector v = {rq::clamp(centre.x + move[0], -limit, limit),
                              rq::clamp(centre.y + move[1], -limit, limit)};
            const int32_t price = search.cost(y, x, v, expected);
            if (price < least) {
              least = price;
              best = v;
            }
          }
          if (best == centre) break;
        }
        int16_t* to = out + 2 * (row * columns + column);
        to[0] = static_cast<int16_t>(best.x);
        to[1] = static_cast<int16_t>(best.y);
      }
  });
}
