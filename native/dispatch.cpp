// Which instruction sets this CPU and operating system have, and which of them kernels may use.
#include "common.h"

#include <atomic>

#if RQ_X86
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#ifndef RQ_SOURCES
#define RQ_SOURCES "unknown"
#endif

namespace {

#if RQ_X86
// State that the operating system saves on a context switch.
uint64_t saved_state() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool has(uint32_t word, int bit) { return (word >> bit) & 1; }

// Linux gives the tiles' state, 8 KiB a thread, to processes that ask for it.
bool tiles_granted() {
#if defined(__linux__)
  constexpr long kRequest = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

int detect_anew() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return rq::kPlain;
  const bool popcnt = has(c, 23), osxsave = has(c, 27), avx = has(c, 28);
  if (!popcnt || !osxsave || !avx) return rq::kPlain;
  const uint64_t state = saved_state();
  if ((state & 0x6) != 0x6) return rq::kPlain;
  uint32_t extended, ignored;
  if (!__get_cpuid(0x80000001, &ignored, &ignored, &extended, &ignored)) return rq::kPlain;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return rq::kPlain;
  const bool bmi = has(b, 3) && has(b, 8), lzcnt = has(extended, 5), avx2 = has(b, 5);
  if (!bmi || !lzcnt || !avx2) return rq::kPlain;
  const bool wide = has(b, 16) && has(b, 17) && has(b, 30) && has(b, 31);  // F, DQ, BW, VL
  if ((state & 0xe6) != 0xe6 || !wide || !has(c, 11)) return rq::kAvx2;
  const bool tiles = has(d, 24) && has(d, 25) && (state & 0x60000) == 0x60000;
  return tiles && tiles_granted() ? rq::kAmx : rq::kVnni;
}
#else
int detect_anew() { return rq::kPlain; }
#endif

std::atomic<int> current{-1}, best{-1};

int detect() {
  int found = best.load(std::memory_order_relaxed);
  if (found < 0) {
    found = detect_anew();
    best.store(found, std::memory_order_relaxed);
  }
  return found;
}

}  // namespace

int rq::level() {
  int found = current.load(std::memory_order_relaxed);
  if (found < 0) {
    found = detect();
    current.store(found, std::memory_order_relaxed);
  }
  return found;
}

// Checksum of the sources that this library was built from, as setup.py computed it.
RQ_EXPORT const char* rq_sources() { return RQ_SOURCES; }

// The best level that this machine has: 0 plain, 1 AVX2, 2 AVX-512 with VNNI, 3 AMX, too.
RQ_EXPORT int32_t rq_best_level() { return detect(); }

// The level in use.
RQ_EXPORT int32_t rq_level() { return rq::level(); }

// Use a level, or the best there is if it is beyond that; returns the one now in use.
RQ_EXPORT int32_t rq_set_level(int32_t wanted) {
  current.store(rq::clamp<int>(wanted, rq::kPlain, detect()), std::memory_order_relaxed);
  return rq::level();
}
