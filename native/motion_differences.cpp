// Vectors that are no candidate, coded as differences from a median.
#include "motion_walk.h"

namespace rq {
namespace motion {

namespace {

// Class of an absolute value up to 8191: 0..3 themselves, from 4 on two to an octave.
int32_t class_of(int32_t magnitude) {
  if (magnitude < 4) return magnitude;
  int32_t octave = 0;
  while (magnitude >> (octave + 1)) ++octave;
  return 2 * octave + (magnitude >> (octave - 1) & 1);
}

int32_t magnitude_of(int32_t number, int32_t extra) {
  return number < 4 ? number : ((2 + (number & 1)) << width_of(number)) + extra;
}

int32_t component(Vector v, int axis) { return axis ? v.y : v.x; }

}  // namespace

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

}  // namespace motion
}  // namespace rq
