// Temporary memory of one call, aligned to a cache line.
#pragma once

#include <cstdlib>

#include "common.h"

namespace rq {

class Scratch {
 public:
  explicit Scratch(int64_t bytes)
      : memory_(std::malloc(static_cast<size_t>(bytes) + 63)),
        aligned_(reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(memory_) + 63) &
                                                  ~uintptr_t{63})) {}
  ~Scratch() { std::free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // NULL if there was no memory.
  unsigned char* get() const { return memory_ ? aligned_ : nullptr; }

 private:
  void* memory_;
  unsigned char* aligned_;
};

}  // namespace rq
