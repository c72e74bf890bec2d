// Masks on the grid of cells (docs/format.md, "Mask"): coarse to fine, each cell amid coded ones.
#include "entropy.h"

namespace {

using rq::entropy::Decoder;
using rq::entropy::Encoder;
using rq::entropy::Status;
using rq::entropy::Tables;

constexpr int kStages = 7, kTop = 8, kIntraContexts = 5, kInterContexts = 250;

struct Grid {
  int64_t rows, columns;
  uint8_t* mask;
  const uint8_t* previous;  // Null without one.
};

// A coordinate beyond a border is replaced by the opposite one; -1 where that is beyond, too.
int64_t reflected(int64_t place, int64_t offset, int64_t size) {
  if (place + offset >= 0 && place + offset < size) return place + offset;
  return place - offset >= 0 && place - offset < size ? place - offset : -1;
}

// How many of four neighbours are set, in the mask and in the one before.
struct Around {
  int now, before;
};

Around around(const Grid& grid, int64_t row, int64_t column, int64_t distance, bool diagonal) {
  static constexpr int kDiagonal[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
  static constexpr int kAxial[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
  Around found = {0, 0};
  for (int k = 0; k < 4; ++k) {
    const int* step = diagonal ? kDiagonal[k] : kAxial[k];
    const int64_t y = reflected(row, step[0] * distance, grid.rows);
    const int64_t x = reflected(column, step[1] * distance, grid.columns);
    if (y < 0 || x < 0) continue;
    found.now += grid.mask[y * grid.columns + x];
    if (grid.previous) found.before += grid.previous[y * grid.columns + x];
  }
  return found;
}

int near_before(const Grid& grid, int64_t row, int64_t column) {
  const auto at = [&](int64_t y, int64_t x) {
    return grid.previous[rq::clamp<int64_t>(y, 0, grid.rows - 1) * grid.columns +
                         rq::clamp<int64_t>(x, 0, grid.columns - 1)];
  };
  return at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1);
}

int32_t table_of(const Grid& grid, int stage, int64_t row, int64_t column, Around found) {
  if (!grid.previous) return stage * kIntraContexts + found.now;
  const int own = grid.previous[row * grid.columns + column];
  const int change = rq::clamp(found.now - found.before, -2, 2) + 2;
  return kStages * kIntraContexts + stage * kInterContexts +
         ((own * 5 + near_before(grid, row, column)) * 5 + change) * 5 + found.now;
}

// Cells of a stage and their tables, in raster order; returns how many.
int64_t collect(const Grid& grid, int stage, int64_t* cells, int32_t* tables) {
  const int64_t spacing = kTop >> ((stage - 1) / 2 * (stage > 0));
  const int64_t half = spacing / 2;
  const bool diagonal = stage % 2 == 1;
  int64_t count = 0;
  for (int64_t row = 0; row < grid.rows; ++row) {
    const int64_t y = row % spacing;
    if (stage == 0 ? y != 0 : diagonal ? y != half : y != 0 && y != half) continue;
    for (int64_t column = 0; column < grid.columns; ++column) {
      const int64_t x = column % spacing;
      if (stage == 0 ? x != 0 : diagonal ? x != half : x != (y ? 0 : half)) continue;
      const Around found = stage ? around(grid, row, column, half, diagonal) : Around{0, 0};
      cells[count] = row * grid.columns + column;
      tables[count++] = table_of(grid, stage, row, column, found);
    }
  }
  return count;
}

template <typename Code>
int32_t walk(const Grid& grid, Code code) {
  const size_t cells = static_cast<size_t>(grid.rows * grid.columns);
  void* memory = std::malloc(cells * (sizeof(int64_t) + 2 * sizeof(int32_t)) + 1);
  if (!memory) return rq::entropy::kShort;
  int64_t* places = static_cast<int64_t*>(memory);
  int32_t* tables = reinterpret_cast<int32_t*>(places + cells);
  int32_t* values = tables + cells;
  Status status = rq::entropy::kFine;
  for (int stage = 0; stage < kStages && status == rq::entropy::kFine; ++stage) {
    const int64_t count = collect(grid, stage, places, tables);
    status = code(places, tables, values, count);
  }
  std::free(memory);
  return status;
}

}  // namespace

// Read a mask of 0 and 1, [rows, columns]. previous: the mask before, or null. Returns a Status.
RQ_EXPORT int32_t rq_decode_mask(Decoder* coder, const Tables* tables, int64_t rows,
                                 int64_t columns, const uint8_t* previous, uint8_t* mask) {
  std::memset(mask, 0, static_cast<size_t>(rows * columns));
  const Grid grid = {rows, columns, mask, previous};
  return walk(grid, [&](const int64_t* places, const int32_t* index, int32_t* values,
                        int64_t count) {
    const Status status = rq::entropy::decode(*coder, *tables, index, count, values);
    if (status == rq::entropy::kFine)
      for (int64_t i = 0; i < count; ++i) mask[places[i]] = values[i] != 0;
    return status;
  });
}

// Write a mask of 0 and 1. Returns a Status.
RQ_EXPORT int32_t rq_encode_mask(Encoder* coder, const Tables* tables, int64_t rows,
                                 int64_t columns, const uint8_t* previous, uint8_t* mask) {
  const Grid grid = {rows, columns, mask, previous};
  return walk(grid, [&](const int64_t* places, const int32_t* index, int32_t* values,
                        int64_t count) {
    for (int64_t i = 0; i < count; ++i) values[i] = mask[places[i]];
    return rq::entropy::encode(*coder, *tables, values, index, count);
  });
}
