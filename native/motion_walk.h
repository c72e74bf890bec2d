// The walk over a field of motion: one order of symbols for reading and writing.
#pragma once

#include "motion.h"

namespace rq {
namespace motion {

using entropy::Status;

constexpr int kDiagonal[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
constexpr int kCross[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};

// Low bits that follow the class of an absolute value.
RQ_INLINE int32_t width_of(int32_t number) { return number < 4 ? 0 : number / 2 - 1; }

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
  Status chosen(Kind choice, Kind x, Kind y, Kind sign, int features, int hints, int64_t n);
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

}  // namespace motion
}  // namespace rq
