// A block and a band of blocks, by whatever `predict` the including file has. RQ_TARGET comes
// before every function, for a form with an instruction set of its own.

template <typename Kind>
RQ_TARGET RQ_INLINE void block(const Plane& plane, int64_t row, int64_t column, const Around& around,
                     int16_t* RQ_RESTRICT out) {
  constexpr int S = Kind::side, half = S / 2;
  const int64_t x = column * S, y = row * S;
  int32_t own[S * S], total[S * S];
  predict<Kind, S, S>(plane, x, y, around.own, own);
  for (int i = 0; i < S * S; ++i) total[i] = own[i] * 16 + (1 << 15);
  for (int part = 0; part < 2; ++part) {
    const Vector vector = around.beside[part];
    if (vector == around.own) continue;
    int32_t other[half * S];
    predict<Kind, half, S>(plane, x, y + part * half, vector, other);
    for (int i = 0; i < half; ++i) {
      const int32_t weight = Kind::window[part ? half - 1 - i : i];
      for (int j = 0; j < S; ++j) {
        const int at = (part * half + i) * S + j;
        total[at] += weight * (other[i * S + j] - own[at]);
      }
    }
  }
  for (int part = 0; part < 2; ++part) {
    const Vector vector = around.beside[2 + part];
    if (vector == around.own) continue;
    int32_t other[S * half];
    predict<Kind, S, half>(plane, x + part * half, y, vector, other);
    for (int i = 0; i < S; ++i) {
      for (int j = 0; j < half; ++j) {
        const int at = i * S + part * half + j;
        total[at] += Kind::window[part ? half - 1 - j : j] * (other[i * half + j] - own[at]);
      }
    }
  }
  for (int i = 0; i < S * S; ++i) out[i] = static_cast<int16_t>(total[i] >> 16);
}

RQ_TARGET RQ_INLINE void compensate(const Job& job) {
  const int64_t per_line = job.y.width / 8;
  for (int64_t row = job.top; row < job.bottom; ++row) {
    for (int64_t column = 0; column < per_line; ++column) {
      const int64_t at = row * per_line + column;
      int16_t* out = job.rows + at * kRow;
      if (job.wanted && !job.wanted[at]) {
        std::memset(out, 0, kRow * sizeof(int16_t));
        continue;
      }
      const Around around = {vector_at(job, row, column),
                             {vector_at(job, row - 1, column), vector_at(job, row + 1, column),
                              vector_at(job, row, column - 1), vector_at(job, row, column + 1)}};
      block<Luma>(job.y, row, column, around, out);
      block<Chroma>(job.u, row, column, around, out + 64);
      block<Chroma>(job.v, row, column, around, out + 80);
    }
  }
}
