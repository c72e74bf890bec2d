// Rows of computed positions from frames in raster order, and frames from rows.
#include "bands.h"

namespace {

using rq::clamp;

constexpr int64_t kBandRows = 1024;  // Rows of a band for which waking a thread pays.

// (first - centre) << shift, then second as it is.
RQ_INLINE void gather_body(const int16_t* RQ_RESTRICT first, int64_t a, int32_t centre,
                           int32_t shift, const int16_t* RQ_RESTRICT second, int64_t b,
                           const int32_t* RQ_RESTRICT order, int64_t count,
                           int16_t* RQ_RESTRICT out) {
  for (int64_t n = 0; n < count; ++n) {
    const int64_t at = order[n];
    int16_t* to = out + n * (a + b);
    for (int64_t c = 0; c < a; ++c) {
      const int32_t moved = rq::wrap_shift_left(first[at * a + c] - centre, shift);
      to[c] = static_cast<int16_t>(clamp(moved, -32768, 32767));
    }
    if (second)
      std::memcpy(to + a, second + at * b, static_cast<size_t>(2 * b));
    else
      std::memset(to + a, 0, static_cast<size_t>(2 * b));
  }
}

RQ_INLINE void spread_body(const int16_t* RQ_RESTRICT values, int64_t channels,
                           const int32_t* RQ_RESTRICT quality, int32_t shift,
                           const int32_t* RQ_RESTRICT places, int64_t count,
                           int16_t* RQ_RESTRICT mean, int32_t* RQ_RESTRICT index) {
  const int32_t half = 1 << (shift - 1);
  for (int64_t n = 0; n < count; ++n) {
    const int16_t* from = values + 2 * channels * n;
    const int64_t to = places[n] * channels;
    std::memcpy(mean + to, from, static_cast<size_t>(2 * channels));
    for (int64_t c = 0; c < channels; ++c)
      index[to + c] = (from[channels + c] + quality[c] + half) >> shift;
  }
}

RQ_INLINE void finish_body(const int16_t* RQ_RESTRICT rows, int64_t a, int64_t b,
                           const int32_t* RQ_RESTRICT order, int64_t count, int32_t shift,
                           int16_t* RQ_RESTRICT samples, int16_t* RQ_RESTRICT features) {
  const int32_t half = 1 << (shift - 1);
  for (int64_t n = 0; n < count; ++n) {
    const int64_t at = order[n];
    const int16_t* from = rows + n * (a + b);
    int16_t* to = samples + at * a;
    for (int64_t c = 0; c < a; ++c) {
      const int32_t sum = rq::wrap_shift_left(to[c], shift) + from[c] + half;
      to[c] = static_cast<int16_t>(clamp(sum >> shift, 0, 255));
    }
    if (features) std::memcpy(features + at * b, from + a, static_cast<size_t>(2 * b));
  }
}

RQ_INLINE void mix_body(int16_t* RQ_RESTRICT rows, const int16_t* RQ_RESTRICT others,
                        int64_t channels, const uint8_t* RQ_RESTRICT choice, int64_t count) {
  for (int64_t n = 0; n < count; ++n) {
    int16_t* own = rows + n * channels;
    const int16_t* other = others + n * channels;
    if (choice[n] == 2) {
      std::memcpy(own, other, static_cast<size_t>(2 * channels));
    } else if (choice[n] == 1) {
      for (int64_t c = 0; c < channels; ++c)
        own[c] = static_cast<int16_t>((own[c] + other[c] + 1) >> 1);
    }
  }
}

#define FORMS(SUFFIX, TARGET)                                                                     \
  TARGET void gather_##SUFFIX(const int16_t* first, int64_t a, int32_t centre, int32_t shift,     \
                              const int16_t* second, int64_t b, const int32_t* order,             \
                              int64_t count, int16_t* out) {                                      \
    gather_body(first, a, centre, shift, second, b, order, count, out);                           \
  }                                                                                               \
  TARGET void spread_##SUFFIX(const int16_t* values, int64_t channels, const int32_t* quality,    \
                              int32_t shift, const int32_t* places, int64_t count, int16_t* mean, \
                              int32_t* index) {                                                   \
    spread_body(values, channels, quality, shift, places, count, mean, index);                    \
  }                                                                                               \
  TARGET void finish_##SUFFIX(const int16_t* rows, int64_t a, int64_t b, const int32_t* order,    \
                              int64_t count, int32_t shift, int16_t* samples,                     \
                              int16_t* features) {                                                \
    finish_body(rows, a, b, order, count, shift, samples, features);                              \
  }                                                                                               \
  TARGET void mix_##SUFFIX(int16_t* rows, const int16_t* others, int64_t channels,                \
                           const uint8_t* choice, int64_t count) {                                \
    mix_body(rows, others, channels, choice, count);                                              \
  }
FORMS(plain, )
#if RQ_X86
FORMS(avx2, RQ_AVX2)
FORMS(vnni, RQ_VNNI)
#define RUN(NAME, ...)                                               \
  if (rq::level() >= rq::kVnni) return NAME##_vnni(__VA_ARGS__);     \
  if (rq::level() >= rq::kAvx2) return NAME##_avx2(__VA_ARGS__);     \
  NAME##_plain(__VA_ARGS__)
#else
#define RUN(NAME, ...) NAME##_plain(__VA_ARGS__)
#endif

}  // namespace

// Rows [count, a + b] of the positions `order` of frames [., a] and [., b]: (first - centre) moved
// left by `shift`, saturated to int16, then second; zeros where that is NULL.
RQ_EXPORT void rq_gather_rows(const int16_t* first, int64_t a, int32_t centre, int32_t shift,
                              const int16_t* second, int64_t b, const int32_t* order,
                              int64_t count, int16_t* out) {
  rq::in_bands(count, kBandRows, 1, [=](int64_t begin, int64_t end) {
    int16_t* to = out + begin * (a + b);
    RUN(gather, first, a, centre, shift, second, b, order + begin, end - begin, to);
  });
}

// A head's output [count, 2 * channels] to means and table indices of the positions `places`:
// indices get the quality's offset [channels], and are divided by 2^shift, rounded half up.
RQ_EXPORT void rq_distribution(const int16_t* values, int64_t channels, const int32_t* quality,
                               int32_t shift, const int32_t* places, int64_t count, int16_t* mean,
                               int32_t* index) {
  RUN(spread, values, channels, quality, shift, places, count, mean, index);
}

// Rows [count, a + b] onto frames at the positions `order`: a channels of residual, in 2^-shift
// units, are added to samples and clamped to 8 bits; b channels replace features, unless NULL.
RQ_EXPORT void rq_finish_rows(const int16_t* rows, int64_t a, int64_t b, const int32_t* order,
                              int64_t count, int32_t shift, int16_t* samples, int16_t* features) {
  rq::in_bands(count, kBandRows, 1, [=](int64_t begin, int64_t end) {
    const int16_t* from = rows + begin * (a + b);
    RUN(finish, from, a, b, order + begin, end - begin, shift, samples, features);
  });
}

// Rows [count, channels], each kept (choice 0), averaged with the other row, halves rounded up (1),
// or replaced by it (2).
RQ_EXPORT void rq_mix_rows(int16_t* rows, const int16_t* others, int64_t channels,
                           const uint8_t* choice, int64_t count) {
  rq::in_bands(count, kBandRows, 1, [=](int64_t begin, int64_t end) {
    const int64_t first = begin * channels;
    RUN(mix, rows + first, others + first, channels, choice + begin, end - begin);
  });
}
