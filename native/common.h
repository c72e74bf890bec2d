// What all kernels share: export, instruction sets, integer helpers without undefined behaviour.
//
// Kernels are plain C functions on pointers and sizes. The caller (roicodec/kernels) has checked
// dtypes, shapes and contiguity; a kernel that follows hostile data checks every index itself and
// returns a negative number. No kernel keeps state, allocates more than scratch, or throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(_WIN32)
#define RQ_EXPORT extern "C" __declspec(dllexport)
#else
#define RQ_EXPORT extern "C" __attribute__((visibility("default")))
#endif

#if defined(_MSC_VER)
#define RQ_INLINE static __forceinline
#define RQ_INLINE_MEMBER __forceinline
#define RQ_RESTRICT __restrict
#else
#define RQ_INLINE static inline __attribute__((always_inline))
#define RQ_INLINE_MEMBER inline __attribute__((always_inline))
#define RQ_RESTRICT __restrict__
#endif

// Forms of a kernel for an instruction set are ordinary functions with a target attribute in front:
// an RQ_INLINE body written once in plain C++ is compiled, and vectorized, anew for each. (A lambda
// does not inherit the attribute.) RQ_PLAIN_ONLY leaves what other processors compile: for a test.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(RQ_PLAIN_ONLY)
#define RQ_X86 1
#define RQ_AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define RQ_VNNI \
  __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define RQ_AMX                                                                                     \
  __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni," \
                        "amx-tile,amx-int8")))
#else
#define RQ_X86 0
#endif

namespace rq {

enum Level : int { kPlain = 0, kAvx2 = 1, kVnni = 2, kAmx = 3 };

// The best form that kernels may use now: what the CPU has, unless rq_set_level lowered it.
int level();

// Two's complement wrap-around, which signed arithmetic leaves undefined.
RQ_INLINE int32_t wrap_add(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

RQ_INLINE int32_t wrap_shift_left(int32_t a, int by) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) << by);
}

template <typename T>
RQ_INLINE T clamp(T value, T low, T high) {
  return value < low ? low : value > high ? high : value;
}

}  // namespace rq
