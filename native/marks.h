// Bits that say which codes of a row are not 0: where a ReLU lets a derivative through.
#pragma once

#include "common.h"

namespace rq {

RQ_INLINE int64_t mark_bytes(int64_t channels) { return (channels + 7) / 8; }

// Bits of `count` codes, a multiple of 8, the first of each eight in the lowest: bytes or int16.
RQ_INLINE void mark(const unsigned char* codes, bool bytes, int64_t count, unsigned char* bits) {
  constexpr uint64_t kHigh = 0x8080808080808080, kLow = ~kHigh;
  for (int64_t n = 0; n < count / 8; ++n) {
    uint64_t eight = 0;
    if (bytes) {
      std::memcpy(&eight, codes + 8 * n, 8);
    } else {
      for (int k = 0; k < 8; ++k) {
        int16_t code;
        std::memcpy(&code, codes + 16 * n + 2 * k, 2);
        eight |= uint64_t{code != 0} << (8 * k);
      }
    }
    const uint64_t set = ((((eight & kLow) + kLow) | eight) & kHigh) >> 7;
    // Moves the lowest bit of byte k to bit 56 + k.
    bits[n] = static_cast<unsigned char>((set * 0x0102040810204080) >> 56);
  }
}

// Every bit of a byte as a byte of ones or zeros; little-endian like the processors that run this.
struct Spread {
  uint64_t bytes[256];
  uint64_t words[256][2];
  constexpr Spread() : bytes(), words() {
    for (int b = 0; b < 256; ++b) {
      for (int k = 0; k < 8; ++k) {
        if (!(b >> k & 1)) continue;
        bytes[b] |= uint64_t{0xff} << (8 * k);
        words[b][k / 4] |= uint64_t{0xffff} << (16 * (k % 4));
      }
    }
  }
};

}  // namespace rq
