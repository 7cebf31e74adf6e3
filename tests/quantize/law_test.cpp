// The laws: a fake-quantized layer and its converted form agree in codes and scales.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "graph/integer_call.h"
#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::graph_of;
using test::infer_with;
using test::look_inside;
using test::OneConv;
using test::OneLinear;
using test::Seen;

QConfig everything(QConfig config) {
  config.quantize_outputs = true;
  return config;
}

// Moves ranges and running statistics without training.
void warm_up(Graph& graph, const Shape& shape, int steps = 30) {
  Generator generator(21);
  ContextScope scope;
  scope->grad = false;
  scope->training = true;
  scope->generator = &generator;
  for (int i = 0; i < steps; ++i) graph(generator.normal(shape, 0.3F, 1));
}

// The one observed activation that is no input of the graph.
const ActivationRange& output_range(const Report& report, const Graph& prepared) {
  for (const ActivationRange& a : report.activations)
    if (std::none_of(prepared.inputs().begin(), prepared.inputs().end(),
                     [&](int v) { return prepared.value(v).name == a.value; }))
      return a;
  throw std::logic_error("no observed output");
}

bool runs_on_integers(const Graph& graph) {
  for (std::size_t n = 0; n < graph.nodes().size(); ++n)
    if (integer_call(graph, static_cast<int>(n))) return true;
  return false;
}

struct LayerCase {
  std::string name;
  std::function<std::unique_ptr<nn::Module>()> make;
  Shape input;
};

class OneLayer : public testing::TestWithParam<LayerCase> {
 public:
  void check(const QConfig& config, const QATConfig& qat_config = {}) {
    std::unique_ptr<nn::Module> net = GetParam().make();
    const Shape& shape = GetParam().input;
    Graph qat = prepare_qat(graph_of(*net, Tensor::zeros(shape)), config, qat_config);
    warm_up(qat, shape);
    Converted converted = convert(qat);

    Generator generator(5);
    const Tensor x = generator.normal(shape, 0.3F, 1.2F);
    const Seen inside = look_inside(qat, x);
    const ActivationRange& range = output_range(converted.report, qat);
    const int observer = qat.find_node(range.value + "_observer");
    ASSERT_GE(observer, 0) << range.value;
    // Before rounding, and before a ReLU that is part of the observer.
    const Tensor* before = inside.find(qat.value(qat.node(observer).inputs[0]).name);
    const auto exact = before->to_vector<float>();
    const auto fake = infer_with(qat, x).to_vector<float>();
    const auto real = infer_with(converted.graph, x).to_vector<float>();
    EXPECT_FLOAT_EQ(scale(converted.graph, range.value).data<float>()[0], range.scale);

    // What may move a value on a tie: the rounding of float sums, and that of the bias to its
    // units.
    double bias_unit = 0;
    for (const Graph::Value& v : converted.graph.values())
      if (v.is_leaf() && v.name.find("bias_scale") != std::string::npos)
        for (const float s : v.tensor.to_vector<float>())
          bias_unit = std::max<double>(bias_unit, s);
    ASSERT_EQ(fake.size(), real.size());
    EXPECT_TRUE(runs_on_integers(converted.graph));
    std::size_t different = 0;
    for (std::size_t i = 0; i < fake.size(); ++i) {
      const auto code = [&](float y) { return std::nearbyint(y / range.scale); };
      if (code(fake[i]) == code(real[i])) {
        EXPECT_EQ(fake[i], real[i]);
        continue;
      }
      ++different;
      EXPECT_EQ(std::fabs(code(fake[i]) - code(real[i])), 1) << i;
      const double v = static_cast<double>(exact[i]) / range.scale;
      const double from_tie = std::fabs(v - std::floor(v) - 0.5);
      EXPECT_LE(from_tie, 0.51 * bias_unit / range.scale + 4e-6 * (std::fabs(v) + 256)) << i;
    }
    // Rounding the bias moves values by up to half a unit, a quarter in the mean.
    const double moved = 0.5 * bias_unit / range.scale + 0.01;
    EXPECT_LE(static_cast<double>(different), static_cast<double>(fake.size()) * moved + 1)
        << "of " << fake.size();
  }
};

TEST_P(OneLayer, FakeQuantizedIsConverted) {
  check(everything(QConfig::x86(Isa::avx512_vnni)));
  check(everything(QConfig::x86(Isa::avx2)));
  check(everything(QConfig::portable()));
}

TEST_P(OneLayer, LearnedStepsAreConverted) {
  using enum TrainingMethod;
  for (const TrainingMethod method : {lsq, lsq_plus, pact, tqt})
    for (const int bits : {8, 4, 2}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(method) << ", bits " << bits);
      QConfig config = everything(QConfig::portable());
      config.activation_bits = bits;
      config.weight_qmax = config.depthwise_weight_qmax = (1 << (bits - 1)) - 1;
      config.full_weight_range = bits < 8;
      check(config, {.method = method});
    }
}

TEST_P(OneLayer, SymmetricActivationsAreConverted) {
  for (const DType codes : {DType::u8, DType::i8}) {
    QConfig config = everything(QConfig::portable());
    config.symmetric_activations = true;
    config.activation_dtype = codes;
    check(config, {.method = TrainingMethod::lsq});
  }
}

std::function<std::unique_ptr<nn::Module>()> conv(bool norm, bool act,
                                                  const nn::Conv2dOptions& options) {
  return [=] { return std::make_unique<OneConv>(norm, act, options); };
}

const nn::Conv2dOptions kPlain{.in = 5, .out = 8, .kernel = 3, .padding = 1};
const nn::Conv2dOptions kNoBias{.in = 5, .out = 8, .kernel = 3, .padding = 1, .bias = false};
const nn::Conv2dOptions kStrided{.in = 5, .out = 8, .kernel = 3, .stride = 2};
const nn::Conv2dOptions kDepthwise{
    .in = 8, .out = 8, .kernel = 3, .padding = 1, .groups = 8, .bias = false};
const nn::Conv2dOptions kGrouped{.in = 8, .out = 12, .kernel = 1, .groups = 4};

template <class Conv, class Norm, class Options>
std::function<std::unique_ptr<nn::Module>()> other_conv(bool norm, const Options& options) {
  return [=] { return std::make_unique<test::OneConvOf<Conv, Norm>>(norm, true, options); };
}
std::function<std::unique_ptr<nn::Module>()> transposed(bool norm,
                                                        const nn::ConvTranspose2dOptions& options) {
  return other_conv<nn::ConvTranspose2d, nn::BatchNorm2d>(norm, options);
}

INSTANTIATE_TEST_SUITE_P(
    OtherConvolutions, OneLayer,
    testing::Values(
        LayerCase{"conv3d",
                  other_conv<nn::Conv3d, nn::BatchNorm3d>(
                      false, nn::Conv3dOptions{.in = 3, .out = 6, .kernel = 3, .padding = 1}),
                  {2, 3, 4, 6, 5}},
        LayerCase{"conv3d_norm",
                  other_conv<nn::Conv3d, nn::BatchNorm3d>(
                      true, nn::Conv3dOptions{.in = 4, .out = 6, .kernel = {1, 3, 2}, .groups = 2}),
                  {2, 4, 4, 6, 5}},
        LayerCase{
            "transposed1d",
            other_conv<nn::ConvTranspose1d, nn::BatchNorm1d>(
                false, nn::ConvTranspose1dOptions{.in = 5, .out = 6, .kernel = 4, .stride = 3}),
            {4, 5, 9}},
        LayerCase{"transposed2d",
                  transposed(false, {.in = 5, .out = 8, .kernel = 4, .stride = 2, .padding = 1}),
                  {4, 5, 7, 6}},
        LayerCase{"transposed2d_grouped",
                  transposed(false, {.in = 6, .out = 4, .kernel = 3, .stride = 2, .groups = 2}),
                  {4, 6, 7, 6}},
        LayerCase{"transposed2d_norm",
                  transposed(true, {.in = 5, .out = 8, .kernel = 2, .stride = 2, .bias = false}),
                  {4, 5, 7, 6}},
        LayerCase{"transposed2d_grouped_norm",
                  transposed(true, {.in = 6, .out = 4, .kernel = 3, .stride = 2, .groups = 2}),
                  {4, 6, 7, 6}},
        LayerCase{"transposed3d",
                  other_conv<nn::ConvTranspose3d, nn::BatchNorm3d>(
                      false,
                      nn::ConvTranspose3dOptions{
                          .in = 3, .out = 4, .kernel = 2, .stride = 2, .padding = 1}),
                  {2, 3, 4, 4, 3}},
        LayerCase{"product", [] { return std::make_unique<test::OneProduct>(); }, {4, 6, 10}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Layers, OneLayer,
    testing::Values(
        LayerCase{"conv", conv(false, false, kPlain), {4, 5, 9, 9}},
        LayerCase{"conv_relu", conv(false, true, kPlain), {4, 5, 9, 9}},
        LayerCase{"conv_strided", conv(false, false, kStrided), {4, 5, 9, 9}},
        LayerCase{"conv_grouped", conv(false, true, kGrouped), {4, 8, 9, 9}},
        LayerCase{"conv_without_bias", conv(false, true, kNoBias), {4, 5, 9, 9}},
        LayerCase{"conv_norm", conv(true, false, kNoBias), {4, 5, 9, 9}},
        LayerCase{"conv_norm_relu", conv(true, true, kNoBias), {4, 5, 9, 9}},
        LayerCase{"conv_bias_norm", conv(true, false, kPlain), {4, 5, 9, 9}},
        LayerCase{"depthwise_norm_relu", conv(true, true, kDepthwise), {4, 8, 9, 9}},
        LayerCase{"matmul", [] { return std::make_unique<test::OneMatmul>(); }, {64, 40}},
        LayerCase{"linear", [] { return std::make_unique<OneLinear>(false); }, {64, 40}},
        LayerCase{"linear_relu", [] { return std::make_unique<OneLinear>(true); }, {64, 40}}),
    [](const auto& test) { return test.param.name; });

TEST(BatchNorm, CommutesWithTheCodesOfTheWeight) {
  OneConv net(true, true, kNoBias);
  const Shape shape{4, 5, 9, 9};
  Graph qat =
      prepare_qat(graph_of(net, Tensor::zeros(shape)), everything(QConfig::x86(Isa::avx512_vnni)));
  warm_up(qat, shape);
  const Converted converted = convert(qat);
  const Seen inside = look_inside(qat, Tensor::zeros(shape));
  const auto fake = inside.find("conv.weight_fake_quantize")->to_vector<float>();
  const auto scales = inside.find("conv.weight_scale")->to_vector<float>();
  const Tensor codes = int_repr(converted.graph, "conv.weight");
  const auto q = codes.to_vector<std::int8_t>();
  const auto folded = scale(converted.graph, "conv.weight").to_vector<float>();
  const auto gamma = qat.value(qat.find_value("norm.weight")).tensor.to_vector<float>();
  const auto variance = qat.value(qat.find_value("norm.running_var")).tensor.to_vector<float>();
  const std::size_t inner = q.size() / gamma.size();
  for (std::size_t i = 0; i < q.size(); ++i) {
    const std::size_t c = i / inner;
    const int before = static_cast<int>(std::nearbyint(fake[i] / scales[c]));
    const int sign = gamma[c] == 0 ? 0 : gamma[c] < 0 ? -1 : 1;
    EXPECT_EQ(q[i], sign * before) << i;
    if (gamma[c] == 0) continue;
    EXPECT_NEAR(folded[c], scales[c] * std::fabs(gamma[c]) / std::sqrt(variance[c] + 1e-5),
                folded[c] * 1e-6);
  }
}

TEST(BatchNorm, WithAFactorNearZeroLeavesTheBias) {
  OneConv net(true, false, kNoBias);
  const Shape shape{4, 5, 9, 9};
  Graph graph = graph_of(net, Tensor::zeros(shape));
  Graph qat = prepare_qat(graph, everything(QConfig::portable()));
  for (const float gamma : {0.0F, 1e-12F, 1e-38F}) {
    qat.edit_value(qat.find_value("norm.weight")).tensor.fill(gamma);
    qat.edit_value(qat.find_value("norm.bias")).tensor.fill(1.5);
    warm_up(qat, shape, 3);
    const Converted converted = convert(qat);
    Graph int8 = converted.graph;
    for (const float y : infer_with(int8, Tensor::ones(shape)).to_vector<float>())
      ASSERT_NEAR(y, 1.5, 0.01) << gamma;
    for (const float s : scale(int8, "conv.weight").to_vector<float>()) ASSERT_GT(s, 0);
  }
}

TEST(Movement, KeepsCodes) {
  test::Branchy net;
  const Shape shape{4, 3, 8, 8};
  Graph qat = prepare_qat(graph_of(net, Tensor::zeros(shape)), QConfig::portable());
  warm_up(qat, shape);
  Graph int8 = convert(qat).graph;
  Generator generator(9);
  const Seen inside = look_inside(int8, generator.normal(shape));
  int checked = 0;
  for (const Graph::Node& node : int8.nodes()) {
    if (node.call.op != &kMaxPool2d && node.call.op != &kConcat) continue;
    // The codes of the result are those of the operands, moved.
    Tensors codes;
    for (const int v : node.inputs) {
      const Graph::Node& from = int8.node(int8.value(v).producer);
      ASSERT_EQ(from.call.op, &kDequantizeLinear) << node.name;
      codes.push_back(inside.find(int8.value(from.inputs[0]).name)->to(DType::f32));
    }
    const NoGrad no_grad;
    const Tensor expected = pare::apply(node.call, codes);
    const Graph::Node& quantizer = int8.node(int8.readers(node.outputs[0]).at(0));
    ASSERT_EQ(quantizer.call.op, &kQuantizeLinear) << node.name;
    const Tensor* got = inside.find(int8.value(quantizer.outputs[0]).name);
    EXPECT_EQ(got->to(DType::f32).to_vector<float>(), expected.to_vector<float>()) << node.name;
    ++checked;
  }
  EXPECT_EQ(checked, 2);
}

TEST(OtherOps, AreTheirFloatFormRounded) {
  test::Branchy net;
  const Shape shape{4, 3, 8, 8};
  QConfig config = QConfig::portable();
  config.fuse_residual = false;
  Graph qat = prepare_qat(graph_of(net, Tensor::zeros(shape)), config);
  warm_up(qat, shape);
  Graph int8 = convert(qat).graph;
  Generator generator(9);
  const Seen inside = look_inside(int8, generator.normal(shape));
  const auto value = [&](int v) { return *inside.find(int8.value(v).name); };
  int checked = 0;
  for (const Graph::Node& node : int8.nodes()) {
    if (node.call.op != &kAdd && node.call.op != &kGlobalAveragePool) continue;
    const NoGrad no_grad;
    Tensors inputs;
    for (const int v : node.inputs) inputs.push_back(value(v));
    Tensor result = pare::apply(node.call, inputs);
    const Graph::Node* next = &int8.node(int8.readers(node.outputs[0]).at(0));
    if (next->call.op == &kRelu) {
      result = relu(result);
      next = &int8.node(int8.readers(next->outputs[0]).at(0));
    }
    ASSERT_EQ(next->call.op, &kQuantizeLinear) << node.name;
    const Tensor s = int8.value(next->inputs[1]).tensor, z = int8.value(next->inputs[2]).tensor;
    const Tensor fake = fake_quantize(result, s, z, {.qmin = 0, .qmax = 255, .axis = -1});
    const Tensor real = dequantize_linear(value(next->outputs[0]), s, z);
    EXPECT_EQ(real.to_vector<float>(), fake.to_vector<float>()) << node.name;
    ++checked;
  }
  EXPECT_EQ(checked, 2);
}

}  // namespace
}  // namespace pare::quantize
