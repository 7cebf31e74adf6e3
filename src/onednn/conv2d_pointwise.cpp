// conv2d with kernels of one tap over row-major pictures: one matrix product per sample.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/ops/convolution_portable.h"
#include "onednn/gemm.h"
#include "onednn/kernels.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/parallel.h"

namespace pare::onednn {
namespace {

// oneDNN's convolutions want other layouts, and the reorders cost as much as these products; with
// few pixels or channels a product is too small to be fast.
constexpr std::int64_t kLeastPixels = 64;
constexpr std::int64_t kLeastChannels = 16;

bool all_of(const auto& values, std::int64_t value) {
  return std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v == value; });
}

struct Sizes {
  std::int64_t batch, in, out, pixels;
  Sizes(const Shape& x, const Shape& weight)
      : batch(x[0]), in(x[1]), out(weight[0]), pixels(x[2] * x[3]) {}
  std::int64_t x(std::int64_t n) const { return n * in * pixels; }
  std::int64_t y(std::int64_t n) const { return n * out * pixels; }
};

bool suits(const Conv2dAttributes& a, const Shape& x, const Shape& weight) {
  return weight[2] * weight[3] == 1 && a.groups == 1 && all_of(a.stride, 1) &&
         all_of(a.padding, 0) && x[0] > 0 && x[2] * x[3] >= kLeastPixels &&
         std::min(x[1], weight[0]) >= kLeastChannels;
}

/// Runs the samples on several threads, or each of them where they are too few.
template <class Run> void each_sample(const Sizes& s, const Run& run) {
  const std::int64_t threads = max_threads();
  parallel_for(0, s.batch, s.batch >= threads ? (s.batch + threads - 1) / threads : s.batch,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t n = begin; n < end; ++n) run(n);
               });
}

/// Σ over the samples of g · xᵀ. Parts of them are summed apart and then in order: a number of
/// threads always gives the same bits.
void weight_gradient(const Sizes& s, const float* g, const float* x, float* dw) {
  const std::int64_t parts = std::min<std::int64_t>(s.batch, max_threads());
  const std::int64_t size = s.out * s.in;
  std::vector<float> others(static_cast<std::size_t>((parts - 1) * size));
  parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      float* to = part == 0 ? dw : others.data() + (part - 1) * size;
      const std::int64_t first = s.batch * part / parts;
      for (std::int64_t n = first; n < s.batch * (part + 1) / parts; ++n)
        multiply(s.out, s.in, s.pixels, {g + s.y(n), s.pixels}, {x + s.x(n), s.pixels, true},
                 n == first ? 0.0F : 1.0F, to, s.in);
    }
  });
  for (std::int64_t part = 1; part < parts; ++part) {
    const float* from = others.data() + (part - 1) * size;
    for (std::int64_t i = 0; i < size; ++i) dw[i] += from[i];
  }
}

}  // namespace

bool conv2d_pointwise_forward(const Call& call, std::span<const Tensor> inputs,
                              std::span<Tensor> outputs, const Context& /*context*/) {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  if (x.dtype() != DType::f32 || weight.dtype() != DType::f32 ||
      x.format() != MemoryFormat::row_major || outputs[0].format() != MemoryFormat::row_major ||
      !suits(call.attributes.as<Conv2dAttributes>(), x.shape(), weight.shape()))
    return false;
  const Sizes s(x.shape(), weight.shape());
  const float* bias = inputs.size() > 2 && inputs[2].defined() ? inputs[2].data<float>() : nullptr;
  const float* from = x.data<float>();
  const float* w = weight.data<float>();
  float* y = outputs[0].mutable_data<float>();
  each_sample(s, [&](std::int64_t n) {
    float* to = y + s.y(n);
    for (std::int64_t o = 0; bias && o < s.out; ++o)
      std::fill_n(to + o * s.pixels, s.pixels, bias[o]);
    multiply(s.out, s.pixels, s.in, {w, s.in}, {from + s.x(n), s.pixels}, bias ? 1.0F : 0.0F, to,
             s.pixels);
  });
  return true;
}

bool conv2d_pointwise_backward(BackwardArgs& args) {
  const Tensor& gradient = args.grad_output(0);
  if (args.input_dtype(0) != DType::f32 || args.input_dtype(1) != DType::f32 ||
      !gradient.defined() || gradient.format() != MemoryFormat::row_major ||
      args.input_format(0) != MemoryFormat::row_major ||
      !suits(args.call().attributes.as<Conv2dAttributes>(), args.input_shape(0),
             args.input_shape(1)))
    return false;
  const Sizes s(args.input_shape(0), args.input_shape(1));
  const float* g = gradient.data<float>();
  if (args.needs(0)) {
    Tensor dx = Tensor::empty(args.input_shape(0));
    const float* w = args.input(1).data<float>();
    float* to = dx.mutable_data<float>();
    each_sample(s, [&](std::int64_t n) {
      multiply(s.in, s.pixels, s.out, {w, s.in, true}, {g + s.y(n), s.pixels}, 0, to + s.x(n),
               s.pixels);
    });
    args.set(0, std::move(dx));
  }
  if (args.needs(1)) {
    Tensor dw = Tensor::empty(args.input_shape(1), DType::f32, args.input_format(1));
    weight_gradient(s, g, args.input(0).data<float>(), dw.mutable_data<float>());
    args.set(1, std::move(dw));
  }
  if (args.inputs() > 2 && args.has_input(2) && args.needs(2)) args.set(2, bias_gradient(gradient));
  return true;
}

}  // namespace pare::onednn
