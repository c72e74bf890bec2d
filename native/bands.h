// Rows of a call in bands, on which threads work side by side.
//
// Helpers sleep until there is work, and the caller works, too: a helper that the system does not
// run costs nothing, since the others take its bands. Helpers are invited only while fewer threads
// than rq_set_threads allows are occupied, so that frames which are coded side by side do not share
// a core with the bands of one another.
#pragma once

#include <atomic>

#include "common.h"

namespace rq {

// Calls of run(work, begin, end) for bands that cover 0 <= row < rows; they begin at multiples of
// `align` and have `least` rows or more.
void run_bands(int64_t rows, int64_t least, int64_t align, void (*run)(void*, int64_t, int64_t),
               void* work);

// The same for work(begin, end), which must not depend on other bands.
template <typename Work>
void in_bands(int64_t rows, int64_t least, int64_t align, Work work) {
  run_bands(
      rows, least, align,
      [](void* of, int64_t begin, int64_t end) { (*static_cast<Work*>(of))(begin, end); }, &work);
}

// The same for work that returns a negative number where it fails; any of those, or 0.
template <typename Work>
int32_t try_in_bands(int64_t rows, int64_t least, int64_t align, Work work) {
  std::atomic<int32_t> status{0};
  in_bands(rows, least, align, [&](int64_t begin, int64_t end) {
    const int32_t done = work(begin, end);
    if (done < 0) status.store(done, std::memory_order_relaxed);
  });
  return status.load(std::memory_order_relaxed);
}

// Sums of a band, added to those of all of them.
inline void add_together(const int64_t* own, int64_t* sums, int64_t count) {
  for (int64_t n = 0; n < count; ++n) {
#if defined(_WIN32)
    sums[n] += own[n];  // One thread does everything there.
#else
    if (own[n]) __atomic_fetch_add(sums + n, own[n], __ATOMIC_RELAXED);
#endif
  }
}

}  // namespace rq
