// Predictions of a vector from its neighbours: candidates by weight, medians.
#include "motion.h"

namespace rq {
namespace motion {

namespace {

constexpr int32_t kBaseWeights[5] = {4, 4, 4, 4, 3};

void median_of(int32_t* values, int count, int32_t* median, int32_t* spread) {
  *median = *spread = 0;
  if (!count) return;
  sort(values, count);
  *median = (values[(count - 1) / 2] + values[count / 2]) >> 1;
  *spread = values[count - 1] - values[0];
}

}  // namespace

Ranked rank(const Vector* offered, const bool* valid, const int32_t* weights, int count) {
  constexpr int kMost = 8;
  Vector distinct[kMost];
  int32_t weight[kMost];
  int number = 0;
  for (int i = 0; i < count; ++i) {
    if (!valid[i]) continue;
    int at = 0;
    while (at < number && distinct[at] != offered[i]) ++at;
    if (at == number) {
      distinct[number] = offered[i];
      weight[number++] = 0;
    }
    weight[at] += weights[i];
  }
  Ranked found = {};
  found.number = number;
  bool taken[kMost] = {};
  for (int c = 0; c < kCandidates && c < number; ++c) {
    int best = -1;
    for (int i = 0; i < number; ++i)
      if (!taken[i] && (best < 0 || weight[i] > weight[best])) best = i;
    taken[best] = true;
    found.vectors[c] = distinct[best];
    found.weights[c] = weight[best];
  }
  return found;
}

void sort(int32_t* values, int count) {
  for (int i = 1; i < count; ++i)
    for (int j = i; j > 0 && values[j] < values[j - 1]; --j) {
      const int32_t moved = values[j];
      values[j] = values[j - 1];
      values[j - 1] = moved;
    }
}

void median_of(const Vector* offered, const bool* valid, int count, Vector* median,
               Vector* spread) {
  int32_t x[kCandidates], y[kCandidates];
  int n = 0;
  for (int i = 0; i < count; ++i)
    if (valid[i]) {
      x[n] = offered[i].x;
      y[n++] = offered[i].y;
    }
  median_of(x, n, &median->x, &spread->x);
  median_of(y, n, &median->y, &spread->y);
}

BaseChoice base_choice(const Vector* near, const bool* known, int level, int32_t fresh,
                       const Previous& before, int64_t unit) {
  BaseChoice out;
  const Vector last = before.base[unit];
  Vector offered[5];
  bool valid[5];
  int32_t number = 0;
  for (int k = 0; k < 4; ++k) {
    offered[k] = near[k];
    valid[k] = known[k];
    number += known[k];
  }
  offered[4] = last;
  valid[4] = before.known;
  out.ranked = rank(offered, valid, kBaseWeights, 5);
  median_of(offered, valid, 4, &out.median, &out.spread);
  if (!number) out.median = last;
  const Ranked& r = out.ranked;
  const int32_t features[14] = {
      level,
      number,
      r.number,
      r.weights[0],
      r.weights[1],
      r.weights[2],
      r.number > 1 ? distance(r.vectors[0], r.vectors[1]) : 0,
      size_of(out.spread.x > out.spread.y ? out.spread.x : out.spread.y),
      fresh,
      before.known ? distance(last, r.vectors[0]) : 9,
      before.known ? before.calm[unit] : 5,
      before.known ? before.split[unit] : 2,
      size_of(length(r.vectors[0])),
      distance(out.median, r.vectors[0]),
  };
  std::memcpy(out.features, features, sizeof features);
  return out;
}

Vector base_of(const Vector* blocks) {
  int best = 0, most = 0;
  for (int i = 0; i < 4; ++i) {
    int equal = 0;
    for (int j = 0; j < 4; ++j) equal += blocks[i] == blocks[j];
    if (equal > most) {
      best = i;
      most = equal;
    }
  }
  return blocks[best];
}

}  // namespace motion
}  // namespace rq
