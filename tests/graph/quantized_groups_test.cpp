// Quantized groups: what is found in a Q/DQ graph, and its exact integers.
#include "graph/quantized_groups.h"

#include <cfenv>

#include "graph/nets.h"

namespace pare::test {
namespace {

/// Builds Q/DQ graphs as convert does.
struct Builder {
  Graph graph;
  int value(int node) const { return graph.node(node).outputs[0]; }
  int constant(const std::string& name, const Tensor& tensor) {
    return graph.add_leaf(Graph::Kind::constant, name, tensor);
  }
  int quantize(const std::string& name, int x, double scale, int zero) {
    const int s = constant(name + ".scale", Tensor::scalar(scale));
    const int z = constant(name + ".zero", Tensor::scalar(zero, DType::i32));
    return value(
        graph.add_node(name, {&kQuantizeLinear, Attributes::of(QuantizeAttributes{})}, {x, s, z}));
  }
  int dequantize(const std::string& name, int codes, const Tensor& scale, const Tensor& zero,
                 std::int64_t axis = -1) {
    const int s = constant(name + ".scale", scale);
    const int z = constant(name + ".zero", zero);
    return value(graph.add_node(
        name, {&kDequantizeLinear, Attributes::of(DequantizeAttributes{axis})}, {codes, s, z}));
  }
  int dequantize(const std::string& name, int codes, double scale, int zero) {
    return dequantize(name, codes, Tensor::scalar(scale), Tensor::scalar(zero, DType::i32));
  }
  /// Weight codes in i8 with one scale per output channel.
  int weight(const std::string& name, const Shape& shape, const std::vector<float>& scales,
             std::uint64_t seed) {
    Generator generator(seed);
    std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.elements()));
    for (std::int8_t& code : codes) code = static_cast<std::int8_t>(generator.below(255));
    const int w = constant(name + ".codes", Tensor::from(codes, shape));
    const Shape channels{shape[0]};
    return dequantize(name, w, Tensor::from(scales, channels), Tensor::zeros(channels, DType::i32),
                      0);
  }
  int bias(const std::string& name, const std::vector<std::int32_t>& codes,
           const std::vector<float>& scales) {
    const Shape channels{static_cast<std::int64_t>(codes.size())};
    const int b = constant(name + ".codes", Tensor::from(codes, channels));
    return dequantize(name, b, Tensor::from(scales, channels), Tensor::zeros(channels, DType::i32),
                      0);
  }
  int call(const std::string& name, const OpDef& op, std::vector<int> inputs,
           Attributes attributes = {}) {
    return value(graph.add_node(name, {&op, std::move(attributes)}, std::move(inputs)));
  }
  void finish(int output) {
    graph.set_outputs({output});
    graph.compact();
    graph.verify();
  }
};

constexpr float kXScale = 0.02F;
const std::vector<float> kWScales{0.01F, 0.003F, 0.02F, 0.005F};

std::vector<float> units() {
  std::vector<float> out;
  for (const float s : kWScales) out.push_back(kXScale * s);
  return out;
}

/// x → Q → DQ → conv(+ bias) → + residual → relu → Q → DQ.
Graph residual_layer() {
  Builder b;
  Shape shape{1, 4, 5, 5};
  shape.set_symbol(0, "batch");
  const int x = b.graph.add_input("x", shape, DType::f32);
  const int codes = b.quantize("x.q", x, kXScale, 118);
  const int real = b.dequantize("x.dq", codes, kXScale, 118);
  const int w = b.weight("w", Shape{4, 4, 3, 3}, kWScales, 3);
  const int bias = b.bias("b", {100, -2000, 31, 0}, units());
  const int conv = b.call("conv", kConv2d, {real, w, bias},
                          Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}));
  const int skip = b.dequantize("skip.dq", codes, kXScale, 118);
  const int sum = b.call("sum", kAdd, {skip, conv});
  const int out = b.quantize("y.q", b.call("relu", kRelu, {sum}), 0.05, 0);
  b.finish(b.dequantize("y.dq", out, 0.05, 0));
  return std::move(b.graph);
}

TEST(QuantizedGroups, FollowTheEpilogue) {
  const Graph graph = residual_layer();
  const auto groups = quantized_groups(graph);
  ASSERT_EQ(groups.size(), 1U) << graph.to_string();
  const QuantizedGroup& group = groups[0];
  const auto name = [&](int node) { return node < 0 ? "" : graph.node(node).name; };
  EXPECT_EQ(group.kind, QuantizedGroup::Kind::convolution);
  EXPECT_EQ(name(group.op), "conv");
  EXPECT_EQ(name(group.add), "sum");
  EXPECT_EQ(name(group.activation), "relu");
  EXPECT_EQ(name(group.quantize), "y.q");
  EXPECT_EQ(graph.value(group.result).name, "y.q");
  ASSERT_EQ(group.inputs.size(), 3U);
  EXPECT_EQ(graph.value(group.inputs[0].codes).name, "x.q");
  EXPECT_EQ(graph.value(group.inputs[1].codes).name, "w.codes");
  EXPECT_EQ(group.inputs[1].axis, 0);
  EXPECT_TRUE(group.inputs[2].quantized());
  EXPECT_EQ(name(group.residual.dequantize), "skip.dq");
}

/// The integers of a convolution, by the definition.
std::vector<double> sums_of(const std::vector<std::uint8_t>& x, int zero,
                            const std::vector<std::int8_t>& w, int n, int c, int size, int kernel,
                            int padding) {
  std::vector<double> sums;
  const auto at = [&](int i, int k, int row, int column) {
    if (row < 0 || column < 0 || row >= size || column >= size) return 0;
    return x[static_cast<std::size_t>(((i * c + k) * size + row) * size + column)] - zero;
  };
  for (int i = 0; i < n; ++i)
    for (int o = 0; o < c; ++o)
      for (int row = 0; row < size; ++row)
        for (int column = 0; column < size; ++column) {
          std::int64_t sum = 0;
          for (int k = 0; k < c; ++k)
            for (int p = 0; p < kernel; ++p)
              for (int q = 0; q < kernel; ++q)
                sum +=
                    static_cast<std::int64_t>(at(i, k, row + p - padding, column + q - padding)) *
                    w[static_cast<std::size_t>(((o * c + k) * kernel + p) * kernel + q)];
          sums.push_back(static_cast<double>(sum));
        }
  return sums;
}

TEST(QuantizedGroups, RunOnIntegers) {
  Graph graph = residual_layer();
  const Tensor x = random(Shape{2, 4, 5, 5}, 8);
  std::map<std::string, Tensor> shown;
  NoGrad no_grad;
  graph.run_visiting(
      {x}, [&](int value, const Tensor& tensor) { shown[graph.value(value).name] = tensor; });
  const auto codes = shown.at("x.q").to_vector<std::uint8_t>();
  const auto w = graph.value(graph.find_value("w.codes")).tensor.to_vector<std::int8_t>();
  const auto got = shown.at("conv").to_vector<float>();
  const auto sums = sums_of(codes, 118, w, 2, 4, 5, 3, 1);
  const std::vector<std::int32_t> bias{100, -2000, 31, 0};
  const auto y = shown.at("y.q").to_vector<std::uint8_t>();
  ASSERT_EQ(got.size(), sums.size());
  std::fesetround(FE_TONEAREST);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::size_t c = i / 25 % 4;
    const float wanted = static_cast<float>(sums[i] + bias[c]) * units()[c];
    ASSERT_EQ(got[i], wanted) << i;
    const float skip = static_cast<float>(codes[i] - 118) * kXScale;
    const float real = std::max(skip + wanted, 0.0F);
    const float code = std::min(std::nearbyint(real / 0.05F), 255.0F);
    ASSERT_EQ(y[i], static_cast<std::uint8_t>(code)) << i;
  }
}

TEST(QuantizedGroups, SumExactlyWhereFloatsCannot) {
  Builder b;
  const std::int64_t depth = 4096;
  const int x = b.graph.add_input("x", Shape{3, depth}, DType::f32);
  const int real = b.dequantize("x.dq", b.quantize("x.q", x, 1, 0), 1, 0);
  const std::vector<float> scales{1, 1, 1, 1};
  const int w = b.weight("w", Shape{4, depth}, scales, 6);
  const int bias = b.constant("b", Tensor::from({0.5F, 0, -0.25F, 3}, Shape{4}));
  b.finish(b.call("fc", kLinear, {real, w, bias}));
  const auto groups = quantized_groups(b.graph);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].kind, QuantizedGroup::Kind::linear);
  EXPECT_EQ(groups[0].quantize, -1);
  EXPECT_FALSE(groups[0].inputs[2].quantized());
  const Tensor in = Generator(3).uniform(Shape{3, depth}, 0, 255);
  const auto got = run_one(b.graph, in).to_vector<float>();
  const auto values = in.to_vector<float>();
  const auto codes = b.graph.value(b.graph.find_value("w.codes")).tensor.to_vector<std::int8_t>();
  const std::vector<float> biases{0.5F, 0, -0.25F, 3};
  for (std::size_t i = 0; i < 12; ++i) {
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < static_cast<std::size_t>(depth); ++k)
      sum += std::lrint(std::nearbyint(values[i / 4 * 4096 + k])) * codes[i % 4 * 4096 + k];
    EXPECT_EQ(got[i], static_cast<float>(sum) + biases[i % 4]) << i;
  }
}

TEST(QuantizedGroups, OfMatrixProductsHaveZeroPointsOnBothSides) {
  Builder b;
  const int x = b.graph.add_input("x", Shape{3, 8}, DType::f32);
  const int y = b.graph.add_input("y", Shape{8, 5}, DType::f32);
  const int left = b.dequantize("x.dq", b.quantize("x.q", x, 0.05, 100), 0.05, 100);
  const int right = b.dequantize("y.dq", b.quantize("y.q", y, 0.04, 130), 0.04, 130);
  const int product = b.call("product", kMatmul, {left, right});
  b.finish(b.quantize("z.q", product, 0.3, 128));
  const auto groups = quantized_groups(b.graph);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].kind, QuantizedGroup::Kind::matmul);
  NoGrad no_grad;
  std::map<std::string, Tensor> shown;
  b.graph.run_visiting({random(Shape{3, 8}), random(Shape{8, 5}, 2)},
                       [&](int v, const Tensor& t) { shown[b.graph.value(v).name] = t; });
  const auto p = shown.at("x.q").to_vector<std::uint8_t>();
  const auto q = shown.at("y.q").to_vector<std::uint8_t>();
  const auto got = shown.at("product").to_vector<float>();
  for (std::size_t i = 0; i < 15; ++i) {
    int sum = 0;
    for (std::size_t k = 0; k < 8; ++k) sum += (p[i / 5 * 8 + k] - 100) * (q[k * 5 + i % 5] - 130);
    EXPECT_EQ(got[i], static_cast<float>(sum) * (0.05F * 0.04F)) << i;
  }
}

TEST(QuantizedGroups, OfOtherOpsLieBetweenDequantizationAndQuantization) {
  Builder b;
  const int x = b.graph.add_input("x", Shape{1, 2, 4, 4}, DType::f32);
  const int codes = b.quantize("x.q", x, 0.1, 10);
  const int a = b.dequantize("a", codes, 0.1, 10);
  const int c = b.dequantize("c", codes, 0.1, 10);
  const int both = b.quantize(
      "both.q", b.call("both", kConcat, {a, c}, Attributes::of(ConcatAttributes{1})), 0.1, 10);
  const int d = b.dequantize("d", both, 0.1, 10);
  const int sum =
      b.quantize("sum.q", b.call("sum.relu", kRelu, {b.call("sum", kAdd, {d, d})}), 0.2, 0);
  const int e = b.dequantize("e", sum, 0.2, 0);
  b.finish(b.call("tail", kTanh, {e}));
  const auto groups = quantized_groups(b.graph);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].kind, QuantizedGroup::Kind::other);
  EXPECT_EQ(groups[0].inputs.size(), 2U);
  EXPECT_EQ(b.graph.node(groups[1].op).name, "sum");
  EXPECT_EQ(b.graph.node(groups[1].activation).name, "sum.relu");
}

TEST(QuantizedGroups, NeedQuantizedOperandsWithOneReaderInBetween) {
  Builder b;
  const int x = b.graph.add_input("x", Shape{3, 4}, DType::f32);
  const int w = b.weight("w", Shape{4, 4}, kWScales, 3);
  const int first = b.call("float", kLinear, {x, w});
  const int real = b.dequantize("dq", b.quantize("q", first, 0.1, 0), 0.1, 0);
  const int second = b.call("integer", kLinear, {real, w});
  const int active = b.call("relu", kRelu, {second});
  b.finish(b.call("sum", kAdd, {active, second}));
  const auto groups = quantized_groups(b.graph);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(b.graph.node(groups[0].op).name, "integer");
  EXPECT_EQ(groups[0].activation, -1);
  EXPECT_EQ(groups[0].result, second);
}

TEST(QuantizedGroups, AreTracedAsTheirOps) {
  Graph graph = residual_layer();
  const Tensor x = random(Shape{2, 4, 5, 5}, 8);
  EXPECT_EQ(trace(graph, x).to_string(), graph.to_string());
}

}  // namespace
}  // namespace pare::test
