// The walk over a field of motion: one order of symbols for reading and writing.
#include "motion.h"

namespace rq {
namespace motion {

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

namespace {

constexpr int32_t kBaseWeights[5] = {4, 4, 4, 4, 3};

void sort4(int32_t* values, int count) {
  for (int i = 1; i < count; ++i)
    for (int j = i; j > 0 && values[j] < values[j - 1]; --j) {
      const int32_t moved = values[j];
      values[j] = values[j - 1];
      values[j - 1] = moved;
    }
}

// Median (the mean of the middle two, rounded down) and range of some values; 0 of none.
void median_of(int32_t* values, int count, int32_t* median, int32_t* spread) {
  *median = *spread = 0;
  if (!count) return;
  sort4(values, count);
  *median = (values[(count - 1) / 2] + values[count / 2]) >> 1;
  *spread = values[count - 1] - values[0];
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

}  // namespace

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

void gather(const Units& units, const int16_t* field, Vector (*blocks)[4]) {
  for (int64_t row = 0; row < units.rows; ++row)
    for (int64_t column = 0; column < units.columns; ++column)
      for (int k = 0; k < 4; ++k) {
        const int64_t at = (2 * row + k / 2) * 2 * units.columns + 2 * column + k % 2;
        blocks[row * units.columns + column][k] = {field[2 * at], field[2 * at + 1]};
      }
}

void scatter(const Units& units, const Vector (*blocks)[4], int16_t* field) {
  for (int64_t row = 0; row < units.rows; ++row)
    for (int64_t column = 0; column < units.columns; ++column)
      for (int k = 0; k < 4; ++k) {
        const int64_t at = (2 * row + k / 2) * 2 * units.columns + 2 * column + k % 2;
        const Vector v = blocks[row * units.columns + column][k];
        field[2 * at] = static_cast<int16_t>(v.x);
        field[2 * at + 1] = static_cast<int16_t>(v.y);
      }
}

namespace {

using entropy::Status;

constexpr int kDiagonal[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
constexpr int kCross[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
constexpr int32_t kBlockWeights[7] = {5, 4, 4, 3, 3, 3, 3};

// --- differences ---------------------------------------------------------------------------------

// Class of an absolute value up to 8191: 0..3 themselves, from 4 on two to an octave.
int32_t class_of(int32_t magnitude) {
  if (magnitude < 4) return magnitude;
  int32_t octave = 0;
  while (magnitude >> (octave + 1)) ++octave;
  return 2 * octave + (magnitude >> (octave - 1) & 1);
}

int32_t width_of(int32_t number) { return number < 4 ? 0 : number / 2 - 1; }

int32_t magnitude_of(int32_t number, int32_t extra) {
  return number < 4 ? number : ((2 + (number & 1)) << width_of(number)) + extra;
}

int32_t component(Vector v, int axis) { return axis ? v.y : v.x; }

// A unit or block of the stage at hand.
struct Item {
  int64_t unit;
  int32_t features[14];
  Ranked ranked;
  Vector median, spread, target, value;
  Vector hints[kMostHints];
  int32_t choice;
};

struct Walk {
  Units units;
  Previous before;
  const uint8_t* needs;      // What is known of each unit; null for nothing.
  Context contexts[kKinds];
  entropy::Decoder* reader;  // One of the two is null.
  entropy::Encoder* writer;
  Vector (*truth)[4];        // To be written.
  Vector (*blocks)[4];
  Vector* base;
  int32_t *isnew, *split;
  Item* items;
  Item** fresh;              // Those of a stage that are coded as differences.
  int32_t *index, *values, *classes, *magnitudes, *subset;

  // An array of symbols, whose leaves are in `index` and whose values are, or will be, in `values`.
  Status symbols(Kind kind, int64_t n) {
    const entropy::Tables& tables = *contexts[kind].tables;
    return reader ? entropy::decode(*reader, tables, index, n, values)
                  : entropy::encode(*writer, tables, values, index, n);
  }

  // Low bits of magnitudes, in `values`, width by width.
  Status low_bits(int64_t n) {
    if (writer && !writer->reserve(n)) return entropy::kShort;
    int32_t widest = 0;
    for (int64_t i = 0; i < n; ++i)
      if (width_of(classes[i]) > widest) widest = width_of(classes[i]);
    for (int32_t width = 1; width <= widest; ++width)
      for (int64_t i = 0; i < n; ++i) {
        if (width_of(classes[i]) != width) continue;
        if (writer)
          writer->uniform(values[i], 1 << width);
        else if ((values[i] = reader->uniform(1 << width)) < 0)
          return entropy::kDamaged;
      }
    return entropy::kFine;
  }

  Need need(int64_t unit) const { return needs ? static_cast<Need>(needs[unit]) : kCoded; }
  Status differences(Kind x, Kind y, Kind sign, int features, int hints, int64_t n);
  Status stage(int64_t n, int level, int64_t spacing, const int (*offsets)[2]);
  Status bases();
  Status splits();
  Status split_blocks();
  Status run();

  int64_t near(int64_t unit, const int* offset, int64_t spacing) const {
    const int64_t row = unit / units.columns + offset[0] * spacing;
    const int64_t column = unit % units.columns + offset[1] * spacing;
    return units.inside(row, column) ? row * units.columns + column : -1;
  }
};

// Code `n` of the fresh items' differences from their medians; sets their values.
Status Walk::differences(Kind x, Kind y, Kind sign, int features, int hints, int64_t n) {
  int32_t row[kMostFeatures];
  for (int64_t i = 0; i < n; ++i) subset[i] = 0;  // The class of x, for y.
  for (int axis = 0; axis < 2; ++axis) {
    const Kind kind = axis ? y : x;
    for (int64_t i = 0; i < n; ++i) {
      const Item& item = *fresh[i];
      int at = features;
      std::memcpy(row, item.features, sizeof(int32_t) * static_cast<size_t>(features));
      row[at++] = size_of(component(item.spread, axis));
      row[at++] = size_of(component(item.spread, 1 - axis));
      row[at++] = subset[i];
      for (int k = 0; k < hints; ++k)
        row[at++] = size_of(absolute(component(item.hints[k], axis)));
      index[i] = contexts[kind].leaf(row);
      if (writer)
        values[i] = class_of(absolute(component(item.target - item.median, axis)));
    }
    Status status = symbols(kind, n);
    if (status != entropy::kFine) return status;
    for (int64_t i = 0; i < n; ++i) {
      classes[i] = values[i];
      values[i] = 0;
      if (writer) {
        const int32_t whole = absolute(component(fresh[i]->target - fresh[i]->median, axis));
        values[i] = whole & ((1 << width_of(classes[i])) - 1);
      }
    }
    status = low_bits(n);
    if (status != entropy::kFine) return status;
    for (int64_t i = 0; i < n; ++i) magnitudes[i] = magnitude_of(classes[i], values[i]);
    int64_t some = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (!classes[i]) continue;
      const Item& item = *fresh[i];
      row[0] = classes[i];
      for (int k = 0; k < hints; ++k)
        row[1 + k] = clamp(component(item.hints[k], axis), -8, 8) + 8;
      index[some] = contexts[sign].leaf(row);
      if (writer) values[some] = component(item.target - item.median, axis) < 0;
      ++some;
    }
    status = symbols(sign, some);
    if (status != entropy::kFine) return status;
    some = 0;
    for (int64_t i = 0; i < n; ++i) {
      int32_t change = magnitudes[i];
      if (classes[i] && values[some++]) change = -change;
      Item& item = *fresh[i];
      (axis ? item.value.y : item.value.x) = component(item.median, axis) + change;
      subset[i] = classes[i];
    }
  }
  for (int64_t i = 0; i < n; ++i) fresh[i]->value = clipped(fresh[i]->value);
  return entropy::kFine;
}

// --- bases ---------------------------------------------------------------------------------------

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
  Status status = symbols(kBase, n);
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
  if (some) status = differences(kBaseX, kBaseY, kBaseSign, 14, 4, some);
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

// --- split units ---------------------------------------------------------------------------------

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
      sort4(apart, 4);
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
    Status status = symbols(kBlock, n);
    if (status != entropy::kFine) return status;
    int64_t some = 0;
    for (int64_t i = 0; i < n; ++i) {
      Item& item = items[i];
      if (values[i] < kCandidates)
        item.value = item.ranked.vectors[values[i]];
      else
        fresh[some++] = &item;
    }
    if (some) status = differences(kBlockX, kBlockY, kBlockSign, 11, 3, some);
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

// What the field before tells; without one, all is zero.
void look_back(const Units& units, const int16_t* field, Previous* before) {
  before->known = field != nullptr;
  if (!field) return;
  gather(units, field, before->blocks);
  for (int64_t u = 0; u < units.count(); ++u) {
    before->base[u] = base_of(before->blocks[u]);
    for (int k = 0; k < 4; ++k) before->split[u] |= before->blocks[u][k] != before->base[u];
  }
  for (int64_t u = 0; u < units.count(); ++u)
    for (int k = 0; k < 4; ++k) {
      const int64_t row = u / units.columns + kCross[k][0], column = u % units.columns + kCross[k][1];
      before->calm[u] += !units.inside(row, column) ||
                         before->base[row * units.columns + column] == before->base[u];
    }
}

// Takes parts of a block of memory that is all zeros.
struct Arena {
  char* next;

  template <typename T>
  T* take(int64_t n) {
    T* taken = reinterpret_cast<T*>(next);
    next += (static_cast<size_t>(n) * sizeof(T) + 15) / 16 * 16;
    return taken;
  }
};

Status walk(entropy::Decoder* reader, entropy::Encoder* writer, const Context* contexts,
            int64_t rows, int64_t columns, const int16_t* previous, const uint8_t* needs,
            int16_t* field) {
  Walk w = {};
  w.units = {rows, columns};
  w.needs = needs;
  const int64_t n = w.units.count();
  const size_t each = sizeof(Item) + sizeof(Item*) + 3 * sizeof(Vector[4]) + 2 * sizeof(Vector) +
                      9 * sizeof(int32_t);
  void* memory = std::calloc(static_cast<size_t>(n) * each + 16 * 16, 1);
  if (!memory) return entropy::kShort;
  Arena arena = {static_cast<char*>(memory)};
  w.items = arena.take<Item>(n);
  w.fresh = arena.take<Item*>(n);
  w.truth = arena.take<Vector[4]>(n);
  w.blocks = arena.take<Vector[4]>(n);
  w.before.blocks = arena.take<Vector[4]>(n);
  w.base = arena.take<Vector>(n);
  w.before.base = arena.take<Vector>(n);
  int32_t** const parts[] = {&w.before.split, &w.before.calm, &w.isnew,      &w.split, &w.index,
                             &w.values,       &w.classes,     &w.magnitudes, &w.subset};
  for (int32_t** part : parts) *part = arena.take<int32_t>(n);
  std::memcpy(w.contexts, contexts, sizeof w.contexts);
  w.reader = reader;
  w.writer = writer;
  look_back(w.units, previous, &w.before);
  if (writer) gather(w.units, field, w.truth);
  const Status status = w.run();
  if (status == entropy::kFine) scatter(w.units, w.blocks, field);
  std::free(memory);
  return status;
}

}  // namespace
}  // namespace motion
}  // namespace rq

// Read a field of vectors [2 rows, 2 columns, 2]. contexts: tree and tables of the nine kinds of
// symbols. previous: the field expected, or null. needs: a Need of each unit, or null. Returns a
// Status.
RQ_EXPORT int32_t rq_decode_motion(rq::entropy::Decoder* coder, const rq::motion::Context* contexts,
                                   int64_t rows, int64_t columns, const int16_t* previous,
                                   const uint8_t* needs, int16_t* field) {
  return rq::motion::walk(coder, nullptr, contexts, rows, columns, previous, needs, field);
}

// Write a field of vectors, which becomes what a reader will have. Returns a Status.
RQ_EXPORT int32_t rq_encode_motion(rq::entropy::Encoder* coder, const rq::motion::Context* contexts,
                                   int64_t rows, int64_t columns, const int16_t* previous,
                                   const uint8_t* needs, int16_t* field) {
  return rq::motion::walk(nullptr, coder, contexts, rows, columns, previous, needs, field);
}
