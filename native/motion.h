// Fields of motion: vectors, candidates, contexts (docs/format.md, "Motion").
#pragma once

#include "entropy.h"

namespace rq {
namespace motion {

constexpr int kCandidates = 4;
constexpr int32_t kLimit = 2047;
constexpr int kMaxLevel = 4;
constexpr int kMostHints = 4;
constexpr int kMostFeatures = 14 + 3 + kMostHints;

enum Kind { kBase, kBaseX, kBaseY, kBaseSign, kSplit, kBlock, kBlockX, kBlockY, kBlockSign, kKinds };

struct Vector {
  int32_t x, y;
};

RQ_INLINE bool operator==(Vector a, Vector b) { return a.x == b.x && a.y == b.y; }
RQ_INLINE bool operator!=(Vector a, Vector b) { return !(a == b); }
RQ_INLINE Vector operator-(Vector a, Vector b) { return {a.x - b.x, a.y - b.y}; }
RQ_INLINE int32_t absolute(int32_t value) { return value < 0 ? -value : value; }

// Number of binary digits, at most 8.
RQ_INLINE int32_t size_of(int32_t magnitude) {
  int32_t digits = 0;
  for (; magnitude && digits < 8; magnitude >>= 1) ++digits;
  return digits;
}

RQ_INLINE int32_t length(Vector v) { return absolute(v.x) + absolute(v.y); }
RQ_INLINE int32_t distance(Vector a, Vector b) { return size_of(length(a - b)); }
RQ_INLINE Vector clipped(Vector v) {
  return {clamp(v.x, -kLimit, kLimit), clamp(v.y, -kLimit, kLimit)};
}

// What is known of a unit's vectors: nothing; that they are not used, so that they are the likeliest
// ones; that they are those expected.
enum Need : uint8_t { kCoded, kFree, kExpected };

// Decision tree of a kind of symbol: a node is feature, threshold, target.
struct Context {
  const int32_t* nodes;
  const entropy::Tables* tables;

  int32_t leaf(const int32_t* features) const {
    const int32_t* node = nodes;
    while (node[0] >= 0)
      node = features[node[0]] > node[1] ? nodes + 3 * static_cast<int64_t>(node[2]) : node + 3;
    return node[2];
  }
};

// The distinct ones of the vectors offered, by the weight that agrees on them.
struct Ranked {
  Vector vectors[kCandidates];
  int32_t weights[kCandidates];
  int32_t number;

  // Which one a vector is; kCandidates for none.
  int32_t choice(Vector v) const {
    const int32_t usable = number > 1 ? number : 1;
    for (int32_t c = 0; c < kCandidates && c < usable; ++c)
      if (vectors[c] == v) return c;
    return kCandidates;
  }
};

Ranked rank(const Vector* offered, const bool* valid, const int32_t* weights, int count);

// What the frame before tells of each unit; zeros without one.
struct Previous {
  bool known;
  Vector* base;
  int32_t *split, *calm;
  Vector (*blocks)[4];
};

// Units of a field [2 rows, 2 columns]: blocks in raster order.
struct Units {
  int64_t rows, columns;

  int64_t count() const { return rows * columns; }
  bool inside(int64_t row, int64_t column) const {
    return row >= 0 && row < rows && column >= 0 && column < columns;
  }
};

// What the choice of a unit's base depends on.
struct BaseChoice {
  Ranked ranked;
  Vector median, spread;
  int32_t features[14];
};

// Of the bases of four neighbours, the known ones, of which `fresh` were coded as differences.
BaseChoice base_choice(const Vector* near, const bool* known, int level, int32_t fresh,
                       const Previous& before, int64_t unit);

// The vector that most of a unit's four blocks have; of equally frequent ones the first.
Vector base_of(const Vector* blocks);

// A few values in ascending order.
void sort(int32_t* values, int count);

// Median (the mean of the middle two, rounded down) and range of the valid vectors, by component;
// 0 without any.
void median_of(const Vector* offered, const bool* valid, int count, Vector* median,
               Vector* spread);

}  // namespace motion
}  // namespace rq
