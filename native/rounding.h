// Requantization: the rounding and clamping of docs/arithmetic.md, on int32.
#pragma once

#include "common.h"

namespace rq {

// value * 2^-shift rounded half to even, 0 <= shift <= 31. The caller's bound (accumulator plus
// half a unit below 2^31) makes the sum fit.
RQ_INLINE int32_t round_shift(int32_t value, int32_t shift) {
  if (shift == 0) return value;
  const int32_t half = static_cast<int32_t>(1u << (shift - 1));
  const int32_t odd = (value >> shift) & 1;
  // Half less one, plus one where the integer below is odd: ties among those go up, others down.
  return (value + (half - 1 + odd)) >> shift;
}

}  // namespace rq
