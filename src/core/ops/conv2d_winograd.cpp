// F(2x2, 3x3): the filters, the chunks of tiles, and which convolutions it is for.
#include "core/ops/conv2d_winograd.h"

#include <algorithm>
#include <vector>

#include "core/ops/conv2d.h"
#include "core/ops/winograd_loops.h"
#include "pare/core/context.h"
#include "pare/core/parallel.h"

// With B, G and A of the paper, d a tile of 4 by 4 pixels of x, g a filter and m the 2 by 2 pixels
// of y that belong to the tile:
//   y = Aᵀ [(G g Gᵀ) · (Bᵀ d B)] A, products element by element, summed over the channels: one
//   matrix product over tiles and channels for each of the sixteen elements.
// The gradient of x is the convolution of y's with the filters turned by 180 degrees; that of g is
// the transpose of the formula: Gᵀ [(Bᵀ d B) · (A ∂y Aᵀ)] G, summed over the tiles.

namespace pare {
namespace {

#if PARE_X86

using namespace winograd;

/// The tiles that fill the last group are zero.
void zero_rest(float* group, std::int64_t tiles, std::int64_t channels) {
  if (tiles % kRows == 0) return;
  for (std::int64_t e = 0; e < kElements; ++e)
    std::fill_n(group + offset_of(tiles, channels) + e * kRows * channels,
                (kRows - tiles % kRows) * channels, 0.0F);
}

/// How far one filter's weights and those of the next channel and output lie apart.
struct FilterStrides {
  std::int64_t tap, channel, output;
};
FilterStrides strides_of(const Shape& weight, MemoryFormat format) {
  return format == MemoryFormat::channels_last ? FilterStrides{weight[1], 1, weight[1] * 9}
                                               : FilterStrides{1, 9, weight[1] * 9};
}

/// G g Gᵀ in the panels that `product` reads: to[element][output / 16][channel][16].
void transform_filters(const float* weight, FilterStrides s, std::int64_t channels,
                       std::int64_t outputs, bool turned, float* to) {
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < channels; ++c) {
      const float* g = weight + o * s.output + c * s.channel;
      float rows[4][3];
      for (int j = 0; j < 3; ++j) {
        const auto tap = [&](int i) { return g[(turned ? 8 - i * 3 - j : i * 3 + j) * s.tap]; };
        rows[0][j] = tap(0);
        rows[1][j] = 0.5F * (tap(0) + tap(1) + tap(2));
        rows[2][j] = 0.5F * (tap(0) - tap(1) + tap(2));
        rows[3][j] = tap(2);
      }
      float* out = to + o / kColumns * kColumns * channels + c * kColumns + o % kColumns;
      const std::int64_t element = channels * outputs;
      for (int i = 0; i < 4; ++i) {
        const float* r = rows[i];
        out[(4 * i) * element] = r[0];
        out[(4 * i + 1) * element] = 0.5F * (r[0] + r[1] + r[2]);
        out[(4 * i + 2) * element] = 0.5F * (r[0] - r[1] + r[2]);
        out[(4 * i + 3) * element] = r[2];
      }
    }
}

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

struct Problem {
  std::int64_t batch;
  Pictures from, to;  // of one tiling
  std::int64_t tiles() const { return batch * to.tiles_y * to.tiles_x; }
  /// Tiles of one chunk, a multiple of six: what both transforms of them take stays in the cache.
  std::int64_t chunk() const {
    constexpr std::int64_t kFloats = 64 << 8;  // 64 KiB
    const std::int64_t fit = kFloats / (kElements * (from.channels + to.channels));
    return std::clamp<std::int64_t>(fit / kRows, 2, 16) * kRows;
  }
};

Problem problem_of(const Shape& from, const Shape& to, std::int64_t top, std::int64_t left) {
  const std::int64_t tiles_y = (to[2] + 1) / 2;
  const std::int64_t tiles_x = (to[3] + 1) / 2;
  return {from[0],
          {from[2], from[3], from[1], top, left, tiles_y, tiles_x},
          {to[2], to[3], to[1], 0, 0, tiles_y, tiles_x}};
}

/// Runs body(first tile, tiles, piece) over chunks; pieces, one per thread, are numbered.
template <class Body> void in_chunks(const Problem& p, const Body& body) {
  const std::int64_t chunk = p.chunk();
  const std::int64_t chunks = (p.tiles() + chunk - 1) / chunk;
  const std::int64_t pieces = std::min<std::int64_t>(max_threads(), chunks);
  parallel_for(0, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece)
      body(piece, chunks * piece / pieces * chunk,
           std::min(p.tiles(), chunks * (piece + 1) / pieces * chunk));
  });
}

Tensor floats(std::int64_t count) { return Tensor::empty({count}); }

void convolve(const Problem& p, const float* x, const float* weight, FilterStrides strides,
              bool turned, const float* bias, float* y) {
  const std::int64_t channels = p.from.channels;
  const std::int64_t outputs = p.to.channels;
  Tensor filters = floats(kElements * channels * outputs);
  transform_filters(weight, strides, channels, outputs, turned, filters.mutable_data<float>());
  const float* u = filters.data<float>();
  const std::vector<float> zeros(static_cast<std::size_t>(channels), 0.0F);
  const std::int64_t chunk = p.chunk();
  in_chunks(p, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    Tensor scratch = floats(kElements * chunk * (channels + outputs));
    float* v = scratch.mutable_data<float>();
    float* m = v + kElements * chunk * channels;
    for (std::int64_t first = begin; first < end; first += chunk) {
      const std::int64_t tiles = std::min(chunk, end - first);
      transform_tiles(p.from, x, first, tiles, zeros.data(), v);
      zero_rest(v, tiles, channels);
      for (std::int64_t e = 0; e < kElements; ++e)
        product(v + e * kRows * channels, u + e * channels * outputs, m + e * kRows * outputs,
                (tiles + kRows - 1) / kRows, channels, outputs);
      transform_results(p.to, m, bias, first, tiles, y);
    }
  });
}

/// `bias` may be null.
void filter_gradients(const Problem& p, const float* x, const float* dy, FilterStrides strides,
                      float* weight, float* bias) {
  const std::int64_t channels = p.from.channels;
  const std::int64_t outputs = p.to.channels;
  const std::vector<float> zeros(static_cast<std::size_t>(std::max(channels, outputs)), 0.0F);
  const std::int64_t chunk = p.chunk();
  const std::int64_t sums = kElements * channels * outputs + outputs;
  const std::int64_t pieces = max_threads();
  Tensor partial = Tensor::zeros({pieces, sums});
  float* totals = partial.mutable_data<float>();
  in_chunks(p, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
    float* u = totals + piece * sums;
    float* over_pixels = u + kElements * channels * outputs;
    Tensor scratch = floats(kElements * chunk * (channels + outputs));
    float* v = scratch.mutable_data<float>();
    float* z = v + kElements * chunk * channels;
    for (std::int64_t first = begin; first < end; first += chunk) {
      const std::int64_t tiles = std::min(chunk, end - first);
      transform_tiles(p.from, x, first, tiles, zeros.data(), v);
      transform_gradients(p.to, dy, first, tiles, zeros.data(), z);
      zero_rest(v, tiles, channels);
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
constexpr std::int64_t kMostChannels = 256;

bool applies(const Conv2dAttributes& a, const Shape& x, const Shape& weight, const Shape& y) {
  // On AVX-512 oneDNN's own kernels have not been measured against this.
  if (isa_cap() < Isa::avx2 || isa_cap() >= Isa::avx512) return false;
  const auto suits = [](std::int64_t channels) {
    return channels % kColumns == 0 && channels <= kMostChannels;
  };
  const auto at_most_two = [](std::int64_t padding) { return padding <= 2; };
  return a.groups == 1 && weight[2] == 3 && weight[3] == 3 && a.stride[0] == 1 &&
         a.stride[1] == 1 && a.dilation[0] == 1 && a.dilation[1] == 1 && suits(x[1]) &&
         suits(y[1]) && std::all_of(a.padding.begin(), a.padding.end(), at_most_two) &&
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
      y.format() != MemoryFormat::channels_last ||
      !applies(a, x.shape(), weight.shape(), y.shape()))
    return false;
  const bool bias = inputs.size() > 2 && inputs[2].defined();
  convolve(problem_of(x.shape(), y.shape(), a.padding[0], a.padding[1]), x.data<float>(),
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
      args.input_format(0) != MemoryFormat::channels_last || !applies(a, shape, weight, dy.shape()))
    return false;
  const bool bias = args.inputs() > 2 && args.has_input(2) && args.needs(2);
  if (bias && !args.needs(1)) return false;
  const FilterStrides strides = strides_of(weight, args.input_format(1));
  if (args.needs(1)) {
    Tensor gradient = Tensor::empty(weight, DType::f32, args.input_format(1));
    Tensor sums = bias ? Tensor::empty(args.input_shape(2)) : Tensor();
    filter_gradients(problem_of(shape, dy.shape(), a.padding[0], a.padding[1]),
                     args.input(0).data<float>(), dy.data<float>(), strides,
                     gradient.mutable_data<float>(), bias ? sums.mutable_data<float>() : nullptr);
    args.set(1, std::move(gradient));
    if (bias) args.set(2, std::move(sums));
  }
  if (args.needs(0)) {
    Tensor gradient = Tensor::empty(shape, DType::f32, MemoryFormat::channels_last);
    // Channels and outputs change places.
    const FilterStrides turned{strides.tap, strides.output, strides.channel};
    convolve(problem_of(dy.shape(), shape, 2 - a.padding[0], 2 - a.padding[1]), dy.data<float>(),
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
