// Convolutions in training by F(2x2, 3x3): the result, and the gradients of pictures and filters.
#include "core/ops/conv2d_winograd.h"

#include <algorithm>

#include "core/winograd.h"
#include "pare/core/context.h"

// The gradient of x is the convolution of y's with the filters turned by 180 degrees; that of g is
// the transpose of the formula: Gᵀ [(Bᵀ d B) · (A ∂y Aᵀ)] G, summed over the tiles.

namespace pare {
namespace {

#if PARE_X86

using namespace winograd;

/// Gᵀ u G of u[element][channel][output] into the gradient of the filters.
void transform_filter_gradients(const float* u, FilterStrides s, std::int64_t channels,
                                std::int64_t outputs, float* gradient) {
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t o = 0; o < outputs; ++o) {
      const auto at = [&](int i, int j) { return u[((4 * i + j) * channels + c) * outputs + o]; };
      float rows[3][4];
      for (int j = 0; j < 4; ++j) {
        const float sum = 0.5F * (at(1, j) + at(2, j));
        rows[0][j] = at(0, j) + sum;
        rows[1][j] = 0.5F * (at(1, j) - at(2, j));
        rows[2][j] = sum + at(3, j);
      }
      float* to = gradient + o * s.output + c * s.channel;
      for (int i = 0; i < 3; ++i) {
        const float* r = rows[i];
        const float sum = 0.5F * (r[1] + r[2]);
        to[(3 * i) * s.tap] = r[0] + sum;
        to[(3 * i + 1) * s.tap] = 0.5F * (r[1] - r[2]);
        to[(3 * i + 2) * s.tap] = sum + r[3];
      }
    }
}

Problem tiling(const Shape& from, const Shape& to, std::int64_t top, std::int64_t left) {
  return problem_of(from, to, top, left, sizeof(float), sizeof(float));
}

Tensor floats(std::int64_t count) { return Tensor::empty({count}); }

void convolve(const Problem& p, const float* x, const float* weight, FilterStrides strides,
              bool turned, const float* bias, float* y) {
  const std::int64_t channels = p.from.channels;
  const std::int64_t outputs = p.to.channels;
  Tensor filters = floats(kElements * channels * outputs);
  Tensor working = floats(max_threads() * (p.source_elements() + p.result_elements()));
  transform_filters(weight, strides, channels, outputs, turned, filters.mutable_data<float>());
  winograd::convolve(p, x, filters.data<float>(), {.bias = bias}, y, working.mutable_data<float>());
}

/// `bias` may be null.
void filter_gradients(const Problem& p, const float* x, const float* dy, FilterStrides strides,
                      float* weight, float* bias) {
  const std::int64_t channels = p.from.channels;
  const std::int64_t outputs = p.to.channels;
  const std::int64_t sums = kElements * channels * outputs + outputs;
  const std::int64_t pieces = max_threads();
  Tensor partial = Tensor::zeros({pieces, sums});
  float* totals = partial.mutable_data<float>();
  in_pieces(p, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
    float* u = totals + piece * sums;
    float* over_pixels = u + kElements * channels * outputs;
    Tensor working = floats(p.source_elements() + p.result_elements());
    float* v = working.mutable_data<float>();
    float* z = v + p.source_elements();
    for (std::int64_t first = begin; first < end; first += p.chunk) {
      const std::int64_t tiles = std::min(p.chunk, end - first);
      gather_tiles(p, x, first, tiles, v);
      transform_gradients(p.to, dy, first, tiles, zeros(), z);
      zero_rest(z, tiles, outputs);
      for (std::int64_t e = 0; e < kElements; ++e)
        add_transposed_product(v + e * kRows * channels, z + e * kRows * outputs,
                               u + e * channels * outputs, (tiles + kRows - 1) / kRows, channels,
                               outputs);
      // Element (1, 1) of A ∂y Aᵀ is the sum of the tile's pixels.
      for (std::int64_t t = 0; bias && t < tiles; ++t) {
        const float* sum = z + offset_of(t, outputs) + 5 * kRows * outputs;
        for (std::int64_t o = 0; o < outputs; ++o) over_pixels[o] += sum[o];
      }
    }
  });
  for (std::int64_t piece = 1; piece < pieces; ++piece)
    for (std::int64_t i = 0; i < sums; ++i) totals[i] += totals[piece * sums + i];
  transform_filter_gradients(totals, strides, channels, outputs, weight);
  if (bias) std::copy_n(totals + kElements * channels * outputs, outputs, bias);
}

/// Below this many tiles the transform of the filters weighs too much.
constexpr std::int64_t kFewestTiles = 256;

bool worth_it(const Conv2dAttributes& a, const Shape& weight, const Shape& y) {
  // Channels and outputs change places in the gradient of x.
  return applies(a, weight) && weight[1] % kColumns == 0 &&
         y[0] * ((y[2] + 1) / 2) * ((y[3] + 1) / 2) >= kFewestTiles;
}
#endif

}  // namespace

#if PARE_X86
bool winograd_conv2d_forward(const Call& call, std::span<const Tensor> inputs,
                             std::span<Tensor> outputs, const Context& context) {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  Tensor& y = outputs[0];
  const auto& a = call.attributes.as<Conv2dAttributes>();
  if (!context.training || x.format() != MemoryFormat::channels_last ||
      y.format() != MemoryFormat::channels_last || !worth_it(a, weight.shape(), y.shape()))
    return false;
  const bool bias = inputs.size() > 2 && inputs[2].defined();
  convolve(tiling(x.shape(), y.shape(), a.padding[0], a.padding[1]), x.data<float>(),
           weight.data<float>(), strides_of(weight.shape(), weight.format()), false,
           bias ? inputs[2].data<float>() : nullptr, y.mutable_data<float>());
  return true;
}

bool winograd_conv2d_backward(BackwardArgs& args) {
  const Tensor& dy = args.grad_output(0);
  const Shape& shape = args.input_shape(0);
  const Shape& weight = args.input_shape(1);
  const auto& a = args.call().attributes.as<Conv2dAttributes>();
  if (!dy.defined() || dy.format() != MemoryFormat::channels_last ||
      args.input_format(0) != MemoryFormat::channels_last || !worth_it(a, weight, dy.shape()))
    return false;
  const bool bias = args.inputs() > 2 && args.has_input(2) && args.needs(2);
  if (bias && !args.needs(1)) return false;
  const FilterStrides strides = strides_of(weight, args.input_format(1));
  if (args.needs(1)) {
    Tensor gradient = Tensor::empty(weight, DType::f32, args.input_format(1));
    Tensor sums = bias ? Tensor::empty(args.input_shape(2)) : Tensor();
    filter_gradients(tiling(shape, dy.shape(), a.padding[0], a.padding[1]),
                     args.input(0).data<float>(), dy.data<float>(), strides,
                     gradient.mutable_data<float>(), bias ? sums.mutable_data<float>() : nullptr);
    args.set(1, std::move(gradient));
    if (bias) args.set(2, std::move(sums));
  }
  if (args.needs(0)) {
    Tensor gradient = Tensor::empty(shape, DType::f32, MemoryFormat::channels_last);
    // Channels and outputs change places.
    const FilterStrides turned{strides.tap, strides.output, strides.channel};
    convolve(tiling(dy.shape(), shape, 2 - a.padding[0], 2 - a.padding[1]), dy.data<float>(),
             args.input(1).data<float>(), turned, true, nullptr, gradient.mutable_data<float>());
    args.set(0, std::move(gradient));
  }
  return true;
}
#else
bool winograd_conv2d_forward(const Call&, std::span<const Tensor>, std::span<Tensor>,
                             const Context&) {
  return false;
}
bool winograd_conv2d_backward(BackwardArgs&) { return false; }
#endif

}  // namespace pare
