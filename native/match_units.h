// Refinement of a colour of units, by whatever `unit_prices` the including file has. RQ_TARGET comes
// before every function, for a form with an instruction set of its own.

RQ_TARGET RQ_INLINE void prices_of(const Frame& frame, const int32_t* units,
                                   const motion::Vector* vectors, int64_t count, int32_t* prices) {
  const int64_t columns = frame.width / kUnit;
  for (int64_t i = 0; i < count; ++i)
    unit_prices(frame, units[i] / columns, units[i] % columns, vectors[i], prices + kSplits * i);
}

RQ_TARGET RQ_INLINE int32_t length_of(const Refinement& job, motion::Vector v) {
  return kDifferenceBits + job.lengths[motion::absolute(v.x)] + job.lengths[motion::absolute(v.y)];
}

// Fetch what pricing a unit by a vector will read.
RQ_TARGET RQ_INLINE void prefetch(const Frame& frame, int64_t row, int64_t column,
                                  motion::Vector v) {
#if defined(__GNUC__)
  int64_t stride;
  const uint8_t* from = displaced(frame, row, column, v, &stride);
  for (int i = 0; i < kUnit; ++i) __builtin_prefetch(from + i * stride);
#else
  (void)frame, (void)row, (void)column, (void)v;
#endif
}

// Prices of a unit's blocks by vectors, remembered from earlier sweeps.
RQ_TARGET RQ_INLINE void remembered(const Refinement& job, int64_t row, int64_t column,
                                    const motion::Vector* vectors, const int32_t* keys, int count,
                                    int32_t (*prices)[kSplits]) {
  int32_t* own = job.memory + (row * job.units.columns + column) * (1 + 5 * kMemory);
  const int32_t known = own[0] < kMemory ? own[0] : kMemory;
  int missing[kMost], misses = 0;
  for (int k = 0; k < count; ++k) {
    int32_t i = 0;
    while (i < known && own[1 + 5 * i] != keys[k]) ++i;
    if (i < known)
      std::memcpy(prices[k], own + 2 + 5 * i, kSplits * sizeof(int32_t));
    else
      missing[misses++] = k;
  }
  if (misses) prefetch(job.frame, row, column, vectors[missing[0]]);
  for (int m = 0; m < misses; ++m) {
    const int k = missing[m];
    if (m + 1 < misses) prefetch(job.frame, row, column, vectors[missing[m + 1]]);
    unit_prices(job.frame, row, column, vectors[k], prices[k]);
    int32_t* entry = own + 1 + 5 * (own[0] % kMemory);
    entry[0] = keys[k];
    std::memcpy(entry + 1, prices[k], kSplits * sizeof(int32_t));
    ++own[0];
  }
}

RQ_TARGET RQ_INLINE void visit(const Refinement& job, int64_t row, int64_t column) {
  constexpr int offsets[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
  constexpr int vertical[4] = {0, 0, 3, 3}, horizontal[4] = {1, 2, 1, 2};
  const int64_t unit = row * job.units.columns + column;
  motion::Vector near[4] = {};
  bool known[4] = {};
  int32_t fresh = 0;
  for (int k = 0; k < 4; ++k) {
    const int64_t r = row + offsets[k][0], c = column + offsets[k][1];
    if (!job.units.inside(r, c)) continue;
    const int64_t at = r * job.units.columns + c;
    near[k] = motion::base_of(job.blocks[at]);
    known[k] = true;
    fresh += job.isnew[at];
  }
  const motion::BaseChoice offer =
      motion::base_choice(near, known, 0, fresh, job.before, unit);
  const int32_t* costs = job.costs + 5 * job.base.leaf(offer.features);

  // Distinct vectors in ascending order: of equally good ones the first is taken.
  motion::Vector tried[kMost];
  int32_t keys[kMost];
  int count = 0;
  const auto add = [&](motion::Vector v) {
    v = motion::clipped(v);
    const int32_t key = v.x * 65536 + v.y + 32768;
    int at = count;
    while (at > 0 && keys[at - 1] > key) --at;
    if (at > 0 && keys[at - 1] == key) return;
    for (int i = count; i > at; --i) {
      keys[i] = keys[i - 1];
      tried[i] = tried[i - 1];
    }
    keys[at] = key;
    tried[at] = v;
    ++count;
  };
  const motion::Vector own = motion::base_of(job.blocks[unit]);
  for (int k = 0; k < kSplits; ++k) add(job.blocks[unit][k]);
  for (int k = 0; k < 4; ++k) add(near[k]);
  add(offer.median);
  add({0, 0});
  for (int64_t k = 0; k < job.rings; ++k) add({own.x + job.ring[k].x, own.y + job.ring[k].y});
  if (job.before.known)
    for (int k = 0; k < kSplits; ++k) add(job.before.blocks[unit][k]);

  int32_t left[kMost][kSplits];
  int32_t bits[kMost];
  int64_t least = INT64_MAX;
  int best = 0;
  const int usable = offer.ranked.number > 1 ? offer.ranked.number : 1;
  remembered(job, row, column, tried, keys, count, left);
  for (int i = 0; i < count; ++i) {
    const int choice = offer.ranked.choice(tried[i]);
    bits[i] = choice < motion::kCandidates && choice < usable
                  ? costs[choice]
                  : costs[motion::kCandidates] + length_of(job, tried[i] - offer.median);
    int64_t price = 0;
    for (int k = 0; k < kSplits; ++k) price += left[i][k];
    price = price * 1024 + int64_t{job.weight} * (bits[i] + kWholeBits);
    if (price < least) {
      least = price;
      best = i;
    }
  }
  int pick[kSplits];
  int64_t split = int64_t{job.weight} * (bits[best] + kSplitBits);
  for (int k = 0; k < kSplits; ++k) {
    int64_t lowest = INT64_MAX;
    for (int i = 0; i < count; ++i) {
      int32_t cost = kSameBits;
      if (i != best) {
        const bool beside = tried[i] == near[vertical[k]] || tried[i] == near[horizontal[k]];
        cost = beside ? kOtherBits
                      : kNewBits + length_of(job, tried[i] - tried[best]);
      }
      const int64_t price = int64_t{left[i][k]} * 1024 + int64_t{job.weight} * cost;
      if (price < lowest) {
        lowest = price;
        pick[k] = i;
      }
    }
    split += lowest;
  }
  for (int k = 0; k < kSplits; ++k) job.blocks[unit][k] = tried[split < least ? pick[k] : best];
  job.isnew[unit] = offer.ranked.choice(motion::base_of(job.blocks[unit])) == motion::kCandidates;
}

RQ_TARGET RQ_INLINE void refine_rows(const Refinement& job) {
  for (int64_t row = job.first; row < job.last; ++row)
    for (int64_t column = (row + job.colour) % 2; column < job.units.columns; column += 2)
      visit(job, row, column);
}
