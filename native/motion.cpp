// Fields of motion, read and written as a whole.
#include "motion_walk.h"

namespace rq {
namespace motion {

namespace {

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
