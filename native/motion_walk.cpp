// The walk itself: base vectors, which units are split, the blocks of those.
#include "motion_walk.h"

namespace rq {
namespace motion {

namespace {

constexpr int32_t kBlockWeights[7] = {5, 4, 4, 3, 3, 3, 3};

}  // namespace

// Code the choice of candidate of `n` items, whose leaves are in `index`, and the differences of
// those that are none; sets their values.
Status Walk::chosen(Kind choice, Kind x, Kind y, Kind sign, int features, int hints, int64_t n) {
  const Status status = symbols(choice, n);
  if (status != entropy::kFine) return status;
  int64_t some = 0;
  for (int64_t i = 0; i < n; ++i) {
    Item& item = items[i];
    item.choice = values[i];
    if (item.choice < kCandidates)
      item.value = item.ranked.vectors[item.choice];
    else
      fresh[some++] = &item;
  }
  return some ? differences(x, y, sign, features, hints, some) : entropy::kFine;
}

// Code the bases of `n` items' units, whose known neighbours lie at offsets times the spacing.
Status Walk::stage(int64_t all, int level, int64_t spacing, const int (*offsets)[2]) {
  int64_t n = 0;
  for (int64_t i = 0; i < all; ++i) {
    const int64_t u = items[i].unit;
    const Vector last = before.base[u];
    if (need(u) == kExpected) {
      base[u] = last;
      continue;
    }
    Item& item = items[n];
    item.unit = u;
    Vector offered[4] = {};
    bool valid[4] = {};
    int32_t fresh_near = 0;
    for (int k = 0; k < 4 && offsets; ++k) {
      const int64_t at = near(u, offsets[k], spacing);
      if (at < 0) continue;
      offered[k] = base[at];
      valid[k] = true;
      fresh_near += isnew[at];
    }
    const BaseChoice choice = base_choice(offered, valid, level, fresh_near, before, u);
    if (need(u) == kFree) {
      base[u] = choice.ranked.vectors[0];
      continue;
    }
    item.ranked = choice.ranked;
    item.median = choice.median;
    item.spread = choice.spread;
    std::memcpy(item.features, choice.features, sizeof choice.features);
    const Ranked& r = item.ranked;
    for (int k = 0; k < 3; ++k) item.hints[k] = r.vectors[k] - item.median;
    item.hints[3] = last - item.median;
    index[n] = contexts[kBase].leaf(item.features);
    if (writer) {
      item.target = base_of(truth[u]);
      values[n] = r.choice(item.target);
    }
    ++n;
  }
  if (!n) return entropy::kFine;
  const Status status = chosen(kBase, kBaseX, kBaseY, kBaseSign, 14, 4, n);
  if (status != entropy::kFine) return status;
  for (int64_t i = 0; i < n; ++i) {
    base[items[i].unit] = items[i].value;
    isnew[items[i].unit] = items[i].choice == kCandidates;
  }
  return entropy::kFine;
}

Status Walk::bases() {
  items[0].unit = 0;
  Status status = stage(1, 2 * kMaxLevel, 0, nullptr);
  const int64_t longest = (units.rows > units.columns ? units.rows : units.columns) - 1;
  int log = -1;
  while (longest >> (log + 1)) ++log;
  for (; log >= 0 && status == entropy::kFine; --log) {
    const int64_t spacing = int64_t{1} << log;
    const int level = 2 * (log < kMaxLevel ? log : kMaxLevel);
    for (int part = 0; part < 2 && status == entropy::kFine; ++part) {
      int64_t n = 0;
      for (int64_t row = 0; row < units.rows; row += spacing)
        for (int64_t column = 0; column < units.columns; column += spacing) {
          const bool y = row / spacing % 2, x = column / spacing % 2;
          if (part ? y != x : y && x) items[n++].unit = row * units.columns + column;
        }
      if (n) status = stage(n, level + 1 - part, spacing, part ? kCross : kDiagonal);
    }
  }
  return status;
}

Status Walk::splits() {
  for (int64_t u = 0; u < units.count(); ++u) split[u] = 0;
  for (int colour = 0; colour < 2; ++colour) {
    int64_t n = 0;
    for (int64_t u = 0; u < units.count(); ++u) {
      if ((u / units.columns + u % units.columns) % 2 != colour || need(u) != kCoded) continue;
      int32_t apart[4] = {}, different = 0, fresh_near = 0, split_before = 0, split_now = 0;
      for (int k = 0; k < 4; ++k) {
        const int64_t at = near(u, kCross[k], 1);
        if (at < 0) continue;
        apart[k] = distance(base[at], base[u]);
        different += apart[k] > 0;
        fresh_near += isnew[at];
        split_before += before.split[at];
        split_now += split[at];
      }
      sort(apart, 4);
      const int32_t features[12] = {
          different,
          apart[3],
          apart[2],
          isnew[u],
          fresh_near,
          before.known ? before.split[u] : 2,
          split_before,
          before.known ? before.calm[u] : 5,
          before.known ? distance(before.base[u], base[u]) : 9,
          colour,
          split_now,
          size_of(length(base[u])),
      };
      items[n].unit = u;
      index[n] = contexts[kSplit].leaf(features);
      if (writer) {
        values[n] = 0;
        for (int k = 0; k < 4; ++k) values[n] |= truth[u][k] != base[u];
      }
      ++n;
    }
    const Status status = n ? symbols(kSplit, n) : entropy::kFine;
    if (status != entropy::kFine) return status;
    for (int64_t i = 0; i < n; ++i) split[items[i].unit] = values[i];
  }
  return entropy::kFine;
}

Status Walk::split_blocks() {
  int64_t n = 0;
  for (int64_t u = 0; u < units.count(); ++u)
    if (split[u]) items[n++].unit = u;
  for (int k = 0; k < 4 && n; ++k) {
    const int sides[2][2] = {{0, k % 2 ? 1 : -1}, {k / 2 ? 1 : -1, 0}};
    for (int64_t i = 0; i < n; ++i) {
      Item& item = items[i];
      const int64_t u = item.unit;
      const Vector own = base[u], last = before.blocks[u][k];
      Vector offered[7] = {own}, beside[2];
      bool valid[7] = {true};
      int32_t apart[2] = {};
      for (int side = 0; side < 2; ++side) {
        const int64_t at = near(u, sides[side], 1);
        valid[1 + side] = at >= 0;
        beside[side] = at >= 0 ? base[at] : own;
        offered[1 + side] = beside[side];
        if (at >= 0) apart[side] = distance(base[at], own);
      }
      int32_t alike = 0;
      for (int j = 0; j < k; ++j) {
        offered[3 + j] = blocks[u][j];
        valid[3 + j] = true;
        alike += blocks[u][j] == own;
      }
      offered[3 + k] = last;
      valid[3 + k] = before.known;
      item.ranked = rank(offered, valid, kBlockWeights, 4 + k);
      const Ranked& r = item.ranked;
      Vector median;
      median_of(offered, valid, 3, &median, &item.spread);
      item.median = own;
      const int32_t features[11] = {
          k,
          r.number,
          r.weights[0],
          r.weights[1],
          r.number > 1 ? distance(r.vectors[0], r.vectors[1]) : 0,
          alike,
          r.choice(own),
          apart[0],
          apart[1],
          before.known ? distance(last, own) : 9,
          before.known ? before.split[u] : 2,
      };
      std::memcpy(item.features, features, sizeof features);
      item.hints[0] = beside[0] - own;
      item.hints[1] = beside[1] - own;
      item.hints[2] = last - own;
      index[i] = contexts[kBlock].leaf(item.features);
      if (writer) {
        item.target = truth[u][k];
        values[i] = r.choice(item.target);
      }
    }
    const Status status = chosen(kBlock, kBlockX, kBlockY, kBlockSign, 11, 3, n);
    if (status != entropy::kFine) return status;
    for (int64_t i = 0; i < n; ++i) blocks[items[i].unit][k] = items[i].value;
  }
  return entropy::kFine;
}

Status Walk::run() {
  Status status = bases();
  if (status == entropy::kFine) status = splits();
  if (status != entropy::kFine) return status;
  for (int64_t u = 0; u < units.count(); ++u)
    for (int k = 0; k < 4; ++k) blocks[u][k] = need(u) == kExpected ? before.blocks[u][k] : base[u];
  return split_blocks();
}

}  // namespace motion
}  // namespace rq
