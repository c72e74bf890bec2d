// Skeleton rows to the codes of a branch.
#include "rounding.h"

namespace {

using rq::clamp;
using rq::round_shift;

// down >= 0 and up >= 0 are the channel's shift to the right and to the left; one of them is 0.
// Values of 16 bits moved up by 15 at most fit int32, so does half of 2^16.
template <typename Code>
RQ_INLINE void quantize_rows(const int16_t* RQ_RESTRICT rows, Code* RQ_RESTRICT codes,
                             const int32_t* RQ_RESTRICT down, const int32_t* RQ_RESTRICT up,
                             int64_t count, int64_t channels, int32_t low, int32_t high,
                             int32_t offset) {
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      const int32_t moved = rq::wrap_shift_left(rows[n * channels + c], up[c]);
      const int32_t code = clamp(round_shift(moved, down[c]), low, high);
      codes[n * channels + c] = static_cast<Code>(code + offset);
    }
  }
}

#define FORM(NAME, TARGET, CODE)                                                              \
  TARGET void NAME(const int16_t* rows, CODE* codes, const int32_t* down, const int32_t* up,  \
                   int64_t count, int64_t channels, int32_t low, int32_t high, int32_t off) { \
    quantize_rows<CODE>(rows, codes, down, up, count, channels, low, high, off);              \
  }
FORM(narrow_plain, , uint8_t)
FORM(wide_plain, , int16_t)
#if RQ_X86
FORM(narrow_avx2, RQ_AVX2, uint8_t)
FORM(wide_avx2, RQ_AVX2, int16_t)
FORM(narrow_vnni, RQ_VNNI, uint8_t)
FORM(wide_vnni, RQ_VNNI, int16_t)
#endif

}  // namespace

// Rows [count, channels] to codes of up to 8 bits: integer + offset, uint8 [count, channels].
RQ_EXPORT void rq_quantize_narrow(const int16_t* rows, uint8_t* codes, const int32_t* down,
                                  const int32_t* up, int64_t count, int64_t channels, int32_t low,
                                  int32_t high, int32_t offset) {
#if RQ_X86
  if (rq::level() >= rq::kVnni)
    return narrow_vnni(rows, codes, down, up, count, channels, low, high, offset);
  if (rq::level() >= rq::kAvx2)
    return narrow_avx2(rows, codes, down, up, count, channels, low, high, offset);
#endif
  narrow_plain(rows, codes, down, up, count, channels, low, high, offset);
}

// Rows [count, channels] to 16-bit codes, int16 [count, channels].
RQ_EXPORT void rq_quantize_wide(const int16_t* rows, int16_t* codes, const int32_t* down,
                                const int32_t* up, int64_t count, int64_t channels, int32_t low,
                                int32_t high) {
#if RQ_X86
  if (rq::level() >= rq::kVnni)
    return wide_vnni(rows, codes, down, up, count, channels, low, high, 0);
  if (rq::level() >= rq::kAvx2)
    return wide_avx2(rows, codes, down, up, count, channels, low, high, 0);
#endif
  wide_plain(rows, codes, down, up, count, channels, low, high, 0);
}
