// Convolutions in single precision, in blocks of positions by channels; included once for each
// instruction set, with Unit, its vectors, and RQ_TARGET, its target attribute.
//
// Every output is its bias plus its products in order of taps and input channels, each product
// rounded before it is added: that is the same number on every machine, and what numpy gives.

// P positions by V vectors of output channels.
template <int P, int V>
RQ_TARGET RQ_INLINE void pointwise_tile(const Pointwise& job, int64_t row, int64_t channel) {
  Unit::Vector sum[P][V];
  for (int v = 0; v < V; ++v) {
    const Unit::Vector bias = Unit::load(job.bias + channel + v * Unit::lanes);
    for (int p = 0; p < P; ++p) sum[p][v] = bias;
  }
  const float* x = job.x + row * job.inputs;
  const float* weight = job.weight + channel;
  for (int64_t k = 0; k < job.inputs; ++k, weight += job.padded) {
    Unit::Vector w[V];
    for (int v = 0; v < V; ++v) w[v] = Unit::load(weight + v * Unit::lanes);
    for (int p = 0; p < P; ++p) {
      const Unit::Vector value = Unit::splat(x[p * job.inputs + k]);
      for (int v = 0; v < V; ++v) sum[p][v] = Unit::add(sum[p][v], Unit::multiply(value, w[v]));
    }
  }
  const int64_t count = rq::clamp<int64_t>(job.outputs - channel, 0, V * Unit::lanes);
  for (int p = 0; p < P; ++p) {
    const int64_t at = (row + p) * job.outputs + channel;
    if (job.active)
      for (int v = 0; v < V; ++v) sum[p][v] = Unit::positive(sum[p][v]);
    if (count == V * Unit::lanes) {
      for (int v = 0; v < V; ++v) {
        const int64_t to = at + v * Unit::lanes;
        if (job.added) sum[p][v] = Unit::add(Unit::load(job.added + to), sum[p][v]);
        Unit::store(job.out + to, sum[p][v]);
      }
    } else {
      float line[V * Unit::lanes];
      for (int v = 0; v < V; ++v) Unit::store(line + v * Unit::lanes, sum[p][v]);
      for (int64_t i = 0; i < count; ++i)
        job.out[at + i] = job.added ? job.added[at + i] + line[i] : line[i];
    }
  }
}

template <int V>
RQ_TARGET RQ_INLINE void pointwise_strip(const Pointwise& job, int64_t channel) {
  int64_t row = 0;
  for (; row + Unit::positions <= job.count; row += Unit::positions)
    pointwise_tile<Unit::positions, V>(job, row, channel);
  for (; row < job.count; ++row) pointwise_tile<1, V>(job, row, channel);
}

RQ_TARGET void pointwise(const Pointwise& job) {
  constexpr int64_t wide = 2 * Unit::lanes;
  int64_t channel = 0;
  for (; channel + wide <= job.padded; channel += wide) pointwise_strip<2>(job, channel);
  for (; channel < job.padded; channel += Unit::lanes) pointwise_strip<1>(job, channel);
}

RQ_TARGET void depthwise(const Depthwise& job) {
  const int64_t channels = job.channels;
  for (int64_t row = 0; row < job.out_height; ++row)
    for (int64_t column = 0; column < job.out_width; ++column) {
      const int64_t top = row * job.stride - 1, left = column * job.stride - 1;
      float* to = job.out + (row * job.out_width + column) * channels;
      int64_t c = 0;
      for (; c + Unit::lanes <= channels; c += Unit::lanes) {
        Unit::Vector sum = Unit::load(job.bias + c);
        for (int i = 0; i < 3; ++i) {
          if (top + i < 0 || top + i >= job.height) continue;
          for (int j = 0; j < 3; ++j) {
            if (left + j < 0 || left + j >= job.width) continue;
            const float* x = job.x + ((top + i) * job.width + left + j) * channels + c;
            const float* w = job.weight + (3 * i + j) * channels + c;
            sum = Unit::add(sum, Unit::multiply(Unit::load(x), Unit::load(w)));
          }
        }
        Unit::store(to + c, Unit::positive(sum));
      }
      for (; c < channels; ++c) {
        float sum = job.bias[c];
        for (int i = 0; i < 3; ++i) {
          if (top + i < 0 || top + i >= job.height) continue;
          for (int j = 0; j < 3; ++j) {
            if (left + j < 0 || left + j >= job.width) continue;
            sum += job.x[((top + i) * job.width + left + j) * channels + c] *
                   job.weight[(3 * i + j) * channels + c];
          }
        }
        to[c] = sum > 0 ? sum : 0;
      }
    }
}

#undef RQ_TARGET
