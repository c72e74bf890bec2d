// Convolutions of the saliency network in single precision, channels last.
#include "scratch.h"

#if RQ_X86
#include <immintrin.h>
#endif

namespace {

// Rows [count, inputs] by weights [inputs, padded] to rows [count, outputs]; `padded` is `outputs`
// rounded up to 16, `added` such rows or NULL.
struct Pointwise {
  const float *x, *weight, *bias, *added;
  int64_t count, inputs, outputs, padded;
  bool active;
  float* out;
};

// 3x3 on [height, width, channels], zeros around it.
struct Depthwise {
  const float* x;
  int64_t height, width, channels;
  const float *weight, *bias;
  int64_t stride, out_height, out_width;
  float* out;
};

namespace plain {

struct Unit {
  static constexpr int lanes = 8, positions = 2;
  struct Vector {
    float v[lanes];
  };
  RQ_INLINE_MEMBER static Vector load(const float* from) {
    Vector a;
    for (int i = 0; i < lanes; ++i) a.v[i] = from[i];
    return a;
  }
  RQ_INLINE_MEMBER static void store(float* to, const Vector& a) {
    for (int i = 0; i < lanes; ++i) to[i] = a.v[i];
  }
  RQ_INLINE_MEMBER static Vector splat(float value) {
    Vector a;
    for (int i = 0; i < lanes; ++i) a.v[i] = value;
    return a;
  }
  RQ_INLINE_MEMBER static Vector add(Vector a, const Vector& b) {
    for (int i = 0; i < lanes; ++i) a.v[i] += b.v[i];
    return a;
  }
  RQ_INLINE_MEMBER static Vector multiply(Vector a, const Vector& b) {
    for (int i = 0; i < lanes; ++i) a.v[i] *= b.v[i];
    return a;
  }
  RQ_INLINE_MEMBER static Vector positive(Vector a) {
    for (int i = 0; i < lanes; ++i) a.v[i] = a.v[i] > 0 ? a.v[i] : 0;
    return a;
  }
};

#define RQ_TARGET
#include "convolution_blocks.h"

}  // namespace plain

#if RQ_X86
namespace avx2 {

struct Unit {
  using Vector = __m256;
  static constexpr int lanes = 8, positions = 4;
  RQ_AVX2 RQ_INLINE_MEMBER static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  RQ_AVX2 RQ_INLINE_MEMBER static void store(float* to, Vector a) { _mm256_storeu_ps(to, a); }
  RQ_AVX2 RQ_INLINE_MEMBER static Vector splat(float value) { return _mm256_set1_ps(value); }
  RQ_AVX2 RQ_INLINE_MEMBER static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  RQ_AVX2 RQ_INLINE_MEMBER static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  RQ_AVX2 RQ_INLINE_MEMBER static Vector positive(Vector a) {
    return _mm256_max_ps(a, _mm256_setzero_ps());
  }
};

#define RQ_TARGET RQ_AVX2
#include "convolution_blocks.h"

}  // namespace avx2

namespace avx512 {

struct Unit {
  using Vector = __m512;
  static constexpr int lanes = 16, positions = 8;
  RQ_VNNI RQ_INLINE_MEMBER static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  RQ_VNNI RQ_INLINE_MEMBER static void store(float* to, Vector a) { _mm512_storeu_ps(to, a); }
  RQ_VNNI RQ_INLINE_MEMBER static Vector splat(float value) { return _mm512_set1_ps(value); }
  RQ_VNNI RQ_INLINE_MEMBER static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  RQ_VNNI RQ_INLINE_MEMBER static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  RQ_VNNI RQ_INLINE_MEMBER static Vector positive(Vector a) {
    return _mm512_maskz_max_ps(0xffff, a, _mm512_setzero_ps());
  }
};

#define RQ_TARGET RQ_VNNI
#include "convolution_blocks.h"

}  // namespace avx512

#define RUN(NAME, JOB)                                          \
  if (rq::level() >= rq::kVnni) return avx512::NAME(JOB);       \
  if (rq::level() >= rq::kAvx2) return avx2::NAME(JOB);         \
  plain::NAME(JOB)
#else
#define RUN(NAME, JOB) plain::NAME(JOB)
#endif

void run(const Pointwise& job) { RUN(pointwise, job); }
void run(const Depthwise& job) { RUN(depthwise, job); }

}  // namespace

// Rows x [count, inputs] by weights [inputs, padded] plus bias [padded], and what is below 0 set to
// 0 if `active`, plus rows `added` [count, outputs] unless NULL; to [count, outputs]. `padded` is a
// multiple of 16.
RQ_EXPORT void rq_float_pointwise(const float* x, int64_t count, int64_t inputs, const float* weight,
                            const float* bias, int64_t outputs, int64_t padded, int32_t active,
                            const float* added, float* out) {
  run(Pointwise{x, weight, bias, added, count, inputs, outputs, padded, active != 0, out});
}

// 3x3 convolution with a stride of 2, zeros around the picture, and what is below 0 set to 0:
// x [height, width, inputs] by weights [9, inputs, padded] to [ceil(h/2), ceil(w/2), outputs].
// Returns -1 if there is no memory.
RQ_EXPORT int32_t rq_float_convolve(const float* x, int64_t height, int64_t width, int64_t inputs,
                              const float* weight, const float* bias, int64_t outputs,
                              int64_t padded, float* out) {
  const int64_t lines = (height + 1) / 2, columns = (width + 1) / 2, patch = 9 * inputs;
  const rq::Scratch scratch(columns * patch * static_cast<int64_t>(sizeof(float)));
  float* rows = reinterpret_cast<float*>(scratch.get());
  if (!rows) return -1;
  const size_t bytes = static_cast<size_t>(inputs) * sizeof(float);
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t column = 0; column < columns; ++column)
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t i = 2 * line - 1 + tap / 3, j = 2 * column - 1 + tap % 3;
        float* to = rows + column * patch + tap * inputs;
        if (i < 0 || i >= height || j < 0 || j >= width)
          std::memset(to, 0, bytes);
        else
          std::memcpy(to, x + (i * width + j) * inputs, bytes);
      }
    run(Pointwise{rows, weight, bias, nullptr, columns, patch, outputs, padded, true,
                  out + line * columns * outputs});
  }
  return 0;
}

// 3x3 convolution of each channel, and what is below 0 set to 0: x [height, width, channels] by
// weights [9, channels] to [ceil(h/stride), ceil(w/stride), channels].
RQ_EXPORT void rq_float_depthwise(const float* x, int64_t height, int64_t width, int64_t channels,
                            const float* weight, const float* bias, int64_t stride, float* out) {
  run(Depthwise{x, height, width, channels, weight, bias, stride, (height + stride - 1) / stride,
                (width + stride - 1) / stride, out});
}
