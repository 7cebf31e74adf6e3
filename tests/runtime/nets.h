// Networks that the plan's tests compile, and helpers to compare.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace pare::test {

inline Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  return Generator(seed).normal(shape);
}

/// Largest difference, relative to the largest value.
inline double difference(const Tensor& expected, const Tensor& found) {
  EXPECT_EQ(expected.shape(), found.shape());
  const auto a = expected.to_vector<float>();
  const auto b = found.to_vector<float>();
  double most = 0;
  double scale = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    scale = std::max(scale, std::abs(static_cast<double>(a[i])));
  }
  return most / scale;
}

template <class Net> Graph traced(Net& net, const Tensor& example, std::uint64_t seed = 7) {
  Generator generator(seed);
  nn::initialize(net, generator);
  return trace(net, example).copy();
}

/// Builds graphs by hand.
class Builder {
 public:
  int input(const std::string& name, const Shape& shape, DType dtype = DType::f32) {
    return graph.add_input(name, shape, dtype);
  }
  int constant(const Tensor& tensor) {
    return graph.add_leaf(Graph::Kind::constant, "constant", tensor);
  }
  int number(double value, DType dtype = DType::f32) {
    return constant(Tensor::scalar(value, dtype));
  }
  int call(const OpDef& op, const std::vector<int>& inputs, Attributes attributes = {}) {
    const int n = graph.add_node(op.name, {&op, std::move(attributes)}, inputs);
    return graph.node(n).outputs[0];
  }
  int quantize(int x, double scale, int zero, DType dtype = DType::u8) {
    const QuantizeAttributes range{dtype, -1, dtype == DType::u8 ? 0 : -128,
                                   dtype == DType::u8 ? 255 : 127};
    return call(kQuantizeLinear, {x, number(scale), number(zero, zero_type(dtype))},
                Attributes::of(range));
  }
  int dequantize(int codes, double scale, int zero) {
    const DType dtype = graph.value(codes).dtype;
    return call(kDequantizeLinear, {codes, number(scale), number(zero, zero_type(dtype))},
                Attributes::of(DequantizeAttributes{}));
  }
  /// Codes of weights within ±limit behind their dequantization, a scale per channel of `axis`.
  int weight(const Shape& shape, int limit, std::uint64_t seed) {
    const std::vector<float> drawn = random(shape, seed).to_vector<float>();
    std::vector<std::int8_t> codes;
    for (const float w : drawn)
      codes.push_back(static_cast<std::int8_t>(
          std::clamp(static_cast<int>(w * static_cast<float>(limit) / 2), -limit, limit)));
    const std::int64_t channels = shape[axis];
    std::vector<float> scales(static_cast<std::size_t>(channels));
    for (std::size_t c = 0; c < scales.size(); ++c)
      scales[c] = 0.01F + 0.001F * static_cast<float>(c % 7);
    weight_scales.clear();
    for (std::int64_t g = 0; g < groups; ++g)
      weight_scales.insert(weight_scales.end(), scales.begin(), scales.end());
    return call(kDequantizeLinear,
                {constant(Tensor::from(codes, shape)), constant(Tensor::from(scales, {channels})),
                 constant(Tensor::zeros({channels}, zero_type(DType::i8)))},
                Attributes::of(DequantizeAttributes{axis}));
  }
  /// An i32 bias in units of source scale · the last weight's scales.
  int bias(double source_scale, std::uint64_t seed) {
    const auto channels = static_cast<std::int64_t>(weight_scales.size());
    const std::vector<float> drawn = random({channels}, seed).to_vector<float>();
    std::vector<std::int32_t> codes;
    std::vector<float> units;
    for (std::size_t c = 0; c < drawn.size(); ++c) {
      codes.push_back(static_cast<std::int32_t>(drawn[c] * 2000));
      units.push_back(static_cast<float>(source_scale) * weight_scales[c]);
    }
    const std::vector<std::int32_t> zeros(units.size());
    return call(
        kDequantizeLinear,
        {constant(Tensor::from(codes, {channels})), constant(Tensor::from(units, {channels})),
         constant(Tensor::from(zeros, {channels}))},
        Attributes::of(DequantizeAttributes{0}));
  }
  Graph finish(const std::vector<int>& outputs) {
    graph.set_outputs(outputs);
    graph.compact();
    graph.verify();
    return std::move(graph);
  }

  Graph graph;
  int axis = 0;                      ///< of weights: their output channels
  std::int64_t groups = 1;           ///< that share a weight's scales
  std::vector<float> weight_scales;  ///< of the last weight, one per output channel
  bool onnx_zeros = false;           ///< zero points have their codes' type, as ONNX wants it

 private:
  DType zero_type(DType codes) const { return onnx_zeros ? codes : DType::i32; }
};

inline Shape batch_of(const Shape& sample) {
  Shape shape;
  shape.append_symbol("batch");
  for (int a = 0; a < sample.rank(); ++a) shape.append(sample[a]);
  return shape;
}

/// A residual block with an option-A shortcut, batch norms and a linear head.
struct ResidualNet : nn::Module {
  nn::Conv2d conv1{{.in = 3, .out = 8, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn1{{.features = 8}};
  nn::Conv2d conv2{{.in = 8, .out = 16, .kernel = 3, .stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn2{{.features = 16}};
  nn::Conv2d conv3{{.in = 16, .out = 16, .kernel = 3, .padding = 1}};
  nn::Linear fc{{.in = 16, .out = 5}};

  void members(nn::Members& m) override {
    m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("conv3", conv3)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor y = relu(bn1(conv1(x)));
    const Tensor strided =
        slice(y, {.axes = {2, 3}, .starts = {0, 0}, .ends = {64, 64}, .steps = {2, 2}});
    const Tensor shortcut = pad(strided, {0, 4, 0, 0}, {0, 4, 0, 0});
    const Tensor z = relu(bn2(conv2(y)) + shortcut);
    const Tensor last = relu(conv3(z) + z);
    return fc(flatten(global_average_pool(last)));
  }
};

/// Convolutions of 8 channels, sums, activations and concatenations, each of values drawn among
/// those before; all that nobody reads is concatenated in the end.
inline Graph random_net(std::uint64_t seed) {
  Builder b;
  Generator draw(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(draw.below(n)); };
  const auto conv = [&](int x, std::int64_t in, std::int64_t kernel) {
    const float deviation = 1.2F / std::sqrt(static_cast<float>(in * kernel * kernel));
    const std::int64_t padding = kernel / 2;
    return b.call(
        kConv2d, {x, b.constant(draw.normal({8, in, kernel, kernel}, 0, deviation))},
        Attributes::of(Conv2dAttributes{.padding = {padding, padding, padding, padding}}));
  };
  std::vector<int> values{conv(b.input("x", batch_of({3, 6, 6})), 3, 3)};
  for (int k = 0; k < 14; ++k) {
    const int x = values[values.size() - 1 - below(std::min<std::size_t>(values.size(), 3))];
    const int y = values[below(values.size())];
    switch (below(5)) {
      case 0:
        values.push_back(b.call(kRelu, {x}));
        break;
      case 1:
        values.push_back(conv(b.call(kConcat, {x, y}, Attributes::of(ConcatAttributes{1})), 16, 1));
        break;
      case 2:
        values.push_back(b.call(kAdd, {x, y}));
        break;
      default: {
        const int sum = b.call(kAdd, {conv(b.call(kRelu, {conv(x, 8, 3)}), 8, 1), y});
        values.push_back(draw.below(2) ? b.call(kRelu, {sum}) : sum);
      }
    }
  }
  std::vector<int> unread;
  for (const int v : values)
    if (b.graph.readers(v).empty()) unread.push_back(v);
  return b.finish({b.call(kConcat, unread, Attributes::of(ConcatAttributes{1}))});
}

/// A convolution of concat(B, C) where C = conv4(relu(conv3(B))) + B and B = conv2(relu(conv1(A)))
/// + A: B takes A's place in memory, and must keep it for as long as it is read itself.
inline Graph chained_residuals() {
  Builder b;
  std::uint64_t seed = 20;
  const auto conv = [&](int x, std::int64_t in) {
    const float deviation = 1 / std::sqrt(static_cast<float>(in * 9));
    return b.call(kConv2d, {x, b.constant(Generator(++seed).normal({8, in, 3, 3}, 0, deviation))},
                  Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}));
  };
  const auto block = [&](int x) { return b.call(kAdd, {conv(b.call(kRelu, {conv(x, 8)}), 8), x}); };
  const int first = block(conv(b.input("x", batch_of({3, 8, 8})), 3));
  const int second = block(first);
  const int both = b.call(kConcat, {first, second}, Attributes::of(ConcatAttributes{1}));
  return b.finish({conv(both, 16)});
}

/// Branches of several kinds joined by a concatenation.
struct ConcatNet : nn::Module {
  nn::Conv2d left{{.in = 3, .out = 4, .kernel = 3, .padding = 1}};
  nn::Conv2d right{{.in = 3, .out = 6, .kernel = 1}};
  nn::Conv2d depthwise{{.in = 10, .out = 10, .kernel = 3, .padding = 1, .groups = 10}};
  nn::Linear fc{{.in = 40, .out = 4}};

  void members(nn::Members& m) override {
    m("left", left)("right", right)("depthwise", depthwise)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor both = concat({relu(left(x)), relu6(right(x))}, 1);
    const Tensor pooled = max_pool2d(relu(depthwise(both)), Pool2dAttributes{});
    const Tensor small = average_pool2d(pooled, Pool2dAttributes{});
    return softmax(fc(flatten(small)), 1);
  }
};

}  // namespace pare::test
