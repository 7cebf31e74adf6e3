// Quantization after training: placement, accuracy, reports, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "expect_error.h"
#include "graph/integer_call.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/unchanged.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::expect_error;
using test::graph_of;
using test::infer_with;
using test::sqnr;
using ::testing::HasSubstr;

const Shape kShape{8, 3, 8, 8};

Graph branchy() {
  Branchy net;
  return graph_of(net, Tensor::zeros(kShape));
}

void calibrate(Graph& prepared, int batches = 4) {
  Generator generator(2);
  const NoGrad no_grad;
  for (int i = 0; i < batches; ++i) prepared(generator.normal(kShape, 0.1F, 1));
}

int count(const Graph& graph, const OpDef& op) {
  return static_cast<int>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                        [&](const auto& n) { return n.call.op == &op; }));
}

TEST(Static, IsCloseToTheFloatGraphWithEveryObserver) {
  Graph graph = branchy();
  Generator generator(7);
  const Tensor x = generator.normal(kShape, 0.1F, 1);
  const Tensor expected = infer_with(graph, x);
  for (const Observer observer : {Observer::min_max, Observer::moving_average, Observer::histogram})
    for (QConfig config : {QConfig::x86(Isa::avx512_vnni), QConfig::portable()}) {
      config.observer = observer;
      Graph prepared = prepare(graph, config);
      calibrate(prepared);
      Graph int8 = convert(prepared).graph;
      const double floor = config.weight_qmax == 127 ? 28 : 24;
      EXPECT_GT(sqnr(expected, infer_with(int8, x)), floor)
          << config.isa << " " << static_cast<int>(observer);
    }
}

TEST(Static, PutsQuantizationWhereTheOpsSay) {
  Graph prepared = prepare(branchy(), QConfig::portable());
  // Input; stem + norm + relu; inner + norm + add + relu (max pooling has its codes); left + relu
  // and right + relu6 (concat has theirs); global average pooling.
  EXPECT_EQ(count(prepared, kObserveHistogram), 6);
  EXPECT_EQ(count(prepared, kBatchNorm), 0);
  calibrate(prepared);
  const Converted converted = convert(prepared);
  // The six, and max pooling and concat again; the result of the last layer is float.
  EXPECT_EQ(count(converted.graph, kQuantizeLinear), 8 + 1) << converted.graph.to_string();
  EXPECT_EQ(count(converted.graph, kObserveHistogram), 0);
  EXPECT_EQ(count(converted.graph, kDropout), 0);
  EXPECT_EQ(count(converted.graph, kFakeQuantize), 0);
  EXPECT_EQ(converted.graph.metadata().at("quantize.isa"), "portable");
  // What concat joins shares one scale.
  std::set<float> shared;
  for (const Graph::Node& node : converted.graph.nodes())
    if (node.call.op == &kConcat)
      for (const int v : node.inputs)
        shared.insert(
            converted.graph.value(converted.graph.node(converted.graph.value(v).producer).inputs[1])
                .tensor.data<float>()[0]);
  EXPECT_EQ(shared.size(), 1U);
}

TEST(Static, ZeroPointsAreEvenAndZeroAfterRelu) {
  Graph prepared = prepare(branchy(), QConfig::portable());
  calibrate(prepared);
  for (const ActivationRange& a : convert(prepared).report.activations) {
    EXPECT_EQ(a.zero_point % 2, 0) << a.value;
    const bool positive = a.value.find("relu") != std::string::npos;
    EXPECT_EQ(positive ? a.zero_point : 0, 0) << a.value;
  }
}

TEST(Static, LeavesTheInputGraphAlone) {
  Graph graph = branchy();
  const std::string before = graph.to_string();
  Generator generator(7);
  const Tensor x = generator.normal(kShape);
  const auto y = infer_with(graph, x).to_vector<float>();
  Graph prepared = prepare(graph);
  calibrate(prepared);
  const std::string between = prepared.to_string();
  convert(prepared);
  EXPECT_EQ(graph.to_string(), before);
  EXPECT_EQ(prepared.to_string(), between);
  EXPECT_EQ(infer_with(graph, x).to_vector<float>(), y);
}

// Masks would take all codes of a range, so what is between the products stays float.
TEST(Static, ProductsOfActivationsAreQuantizedAndTheirScoresAreNot) {
  test::Scores net;
  const Shape shape{4, 6, 8};
  Graph graph = graph_of(net, Tensor::zeros(shape));
  Graph prepared = prepare(graph, QConfig::portable());
  const NoGrad no_grad;
  for (std::uint64_t k = 1; k <= 4; ++k) prepared(Generator(k).normal(shape));
  const Converted converted = convert(prepared);
  int products = 0;
  for (const Report::Node& node : converted.report.nodes) {
    if (node.op == "matmul") {
      EXPECT_TRUE(node.quantized) << node.name << ": " << node.note;
      ++products;
    }
    if (node.op == "add" || node.op == "mul" || node.op == "softmax") {
      EXPECT_FALSE(node.quantized) << node.name;
      EXPECT_THAT(node.note, HasSubstr("is float"));
    }
  }
  EXPECT_EQ(products, 2);
  int on_integers = 0;
  for (std::size_t n = 0; n < converted.graph.nodes().size(); ++n)
    on_integers += integer_call(converted.graph, static_cast<int>(n)).has_value();
  EXPECT_EQ(on_integers, 6);  // four linear layers, two products
  Graph int8 = converted.graph;
  const Tensor x = Generator(9).normal(shape);
  EXPECT_GT(sqnr(infer_with(graph, x), infer_with(int8, x)), 24);

  QConfig without = QConfig::portable();
  without.overrides = {{.op = "matmul", .quantize = false}};
  Graph again = prepare(graph, without);
  for (std::uint64_t k = 1; k <= 4; ++k) again(Generator(k).normal(shape));
  for (const Report::Node& node : convert(again).report.nodes)
    EXPECT_EQ(node.quantized, node.op == "linear") << node.name;
}

TEST(Static, TransposedConvolutionsHaveAScalePerOutputChannelOfAGroup) {
  using Net = test::OneConvOf<nn::ConvTranspose2d, nn::BatchNorm2d>;
  const Shape shape{2, 6, 5, 5};
  for (const std::int64_t groups : {1, 2, -2}) {  // below 0: with a batch norm
    Net net(groups < 0, true,
            nn::ConvTranspose2dOptions{
                .in = 6, .out = 8, .kernel = 3, .stride = 2, .groups = std::abs(groups)});
    Graph graph = graph_of(net, Tensor::zeros(shape));
    Graph prepared = prepare(graph, QConfig::portable());
    const NoGrad no_grad;
    for (std::uint64_t k = 1; k <= 3; ++k) prepared(Generator(k).normal(shape));
    Graph int8 = convert(prepared).graph;
    EXPECT_EQ(scale(int8, "conv.weight").shape(), Shape{8 / std::abs(groups)});
    EXPECT_EQ(scale(int8, "conv.bias").shape(), Shape{8});
    const Tensor x = Generator(9).normal(shape);
    EXPECT_GT(sqnr(infer_with(graph, x), infer_with(int8, x)), 30);
  }
}

TEST(Static, WeightsAreAsWideAsTheInstructionsAllow) {
  const auto largest = [](const QConfig& config, const char* name) {
    Graph prepared = prepare(branchy(), config);
    calibrate(prepared, 1);
    int most = 0;
    for (const std::int32_t code :
         int_repr(convert(prepared).graph, name).to(DType::i32).to_vector<std::int32_t>())
      most = std::max(most, std::abs(code));
    return most;
  };
  EXPECT_EQ(largest(QConfig::x86(Isa::avx512_vnni), "left.weight"), 127);
  EXPECT_EQ(largest(QConfig::x86(Isa::avx2_vnni), "left.weight"), 127);
  EXPECT_EQ(largest(QConfig::x86(Isa::avx2), "left.weight"), 63);
  EXPECT_EQ(largest(QConfig::x86(Isa::avx512), "left.weight"), 63);
  // A depthwise sum is too short to saturate.
  EXPECT_EQ(largest(QConfig::x86(Isa::avx2), "right.weight"), 127);
  EXPECT_EQ(largest(QConfig::portable(), "right.weight"), 63);
  QConfig narrow = QConfig::portable();
  narrow.overrides = {{.op = "conv2d", .weight_qmax = 7}};
  EXPECT_EQ(largest(narrow, "left.weight"), 7);
  EXPECT_EQ(largest(narrow, "fc.weight"), 63);
}

TEST(Static, AddsAResidualBeforeRounding) {
  const auto quantized_sums = [](bool fuse) {
    QConfig config = QConfig::portable();
    config.fuse_residual = fuse;
    Graph prepared = prepare(branchy(), config);
    calibrate(prepared, 1);
    const Graph int8 = convert(prepared).graph;
    int operands = 0;
    for (const Graph::Node& node : int8.nodes())
      if (node.call.op == &kAdd)
        for (const int v : node.inputs)
          operands += int8.node(int8.value(v).producer).call.op == &kDequantizeLinear ? 1 : 0;
    return operands;
  };
  EXPECT_EQ(quantized_sums(true), 1);
  EXPECT_EQ(quantized_sums(false), 2);
}

TEST(Static, ReportsWhatStayedFloatAndWhy) {
  QConfig config = QConfig::portable();
  config.exclude = {"ste*"};
  config.overrides = {{.op = "global_average_pool", .quantize = false}};
  Graph prepared = prepare(branchy(), config);
  calibrate(prepared);
  const Converted converted = convert(prepared);
  std::set<std::string> floats;
  for (const Report::Node& node : converted.report.nodes)
    if (!node.quantized) {
      floats.insert(node.name);
      EXPECT_FALSE(node.note.empty()) << node.name;
    }
  EXPECT_EQ(floats.count("stem"), 1U);
  EXPECT_EQ(floats.count("inner"), 0U);
  const std::string text = to_string(converted.report);
  EXPECT_THAT(text, HasSubstr("excluded by name ('ste*')"));
  EXPECT_THAT(text, HasSubstr("excluded by op ('global_average_pool')"));
  EXPECT_THAT(text, HasSubstr("for portable"));
  EXPECT_LT(converted.report.bytes_after, converted.report.bytes_before);
  EXPECT_EQ(converted.report.bytes_after, converted.graph.bytes());
}

TEST(Static, ShowsIntegersScalesAndRanges) {
  Graph prepared = prepare(branchy(), QConfig::portable());
  EXPECT_TRUE(observed_ranges(prepared).empty());
  calibrate(prepared);
  EXPECT_EQ(observed_ranges(prepared).size(), 6U);
  const Graph int8 = convert(prepared).graph;
  const Tensor q = int_repr(int8, "fc.weight");
  EXPECT_EQ(q.dtype(), DType::i8);
  EXPECT_EQ(q.shape(), (Shape{5, 14}));
  const auto codes = q.to(DType::i32).to_vector<std::int32_t>();
  int largest = 0;
  for (const std::int32_t code : codes) largest = std::max(largest, std::abs(code));
  EXPECT_EQ(largest, 63);
  const Tensor s = scale(int8, "fc.weight");
  EXPECT_EQ(s.shape(), Shape{5});
  for (const std::int32_t z : zero_point(int8, "fc.weight").to_vector<std::int32_t>())
    EXPECT_EQ(z, 0);
  const Tensor w = prepared.value(prepared.find_value("fc.weight")).tensor;
  const auto original = w.to_vector<float>(),
             back = dequantized(int8, "fc.weight").to_vector<float>();
  const auto scales = s.to_vector<float>();
  for (std::size_t i = 0; i < original.size(); ++i)
    EXPECT_NEAR(back[i], original[i], 0.501F * scales[i / 14]);
  EXPECT_EQ(int_repr(int8, "fc.bias").dtype(), DType::i32);
  expect_error(ErrorCode::invalid_argument, {"int_repr", "'fc.wieght'", "'fc.weight'"},
               [&] { int_repr(int8, "fc.wieght"); });
}

TEST(Static, NamesWeightsAndBiasesAfterTheirParameters) {
  Branchy net;
  Generator generator(1);
  initialize(net, generator);
  prune::l1_unstructured(net.fc, "weight", 0.5);
  prune::l1_unstructured(net.inner, "weight", 0.5);
  const Graph graph = trace(net, Tensor::zeros(kShape)).copy();
  for (const bool training : {false, true}) {
    Graph prepared = training ? prepare_qat(graph) : prepare(graph);
    calibrate(prepared);
    const Graph int8 = convert(prepared).graph;
    for (const char* name : {"stem.weight", "inner.weight", "left.weight", "fc.weight"})
      EXPECT_EQ(int_repr(int8, name).dtype(), DType::i8) << name;
    for (const char* name : {"stem.bias", "inner.bias", "left.bias", "fc.bias"})
      EXPECT_EQ(int_repr(int8, name).dtype(), DType::i32) << name;
    std::int64_t zeros = 0;
    for (const std::int8_t code : int_repr(int8, "fc.weight").to_vector<std::int8_t>())
      zeros += code == 0;
    EXPECT_GE(zeros, 35);
  }
}

TEST(Static, ReportsBatchNormsAndActivationsThatBecamePartOfALayer) {
  for (const bool training : {false, true}) {
    Graph prepared = training ? prepare_qat(branchy()) : prepare(branchy());
    calibrate(prepared);
    const Converted converted = convert(prepared);
    std::set<std::string> lines;
    int activations = 0;
    for (const Report::Node& node : converted.report.nodes) {
      lines.insert(node.name + ": " + node.note);
      activations += node.op == "relu" || node.op == "relu6";
    }
    EXPECT_EQ(lines.count("stem_norm: folded into stem"), 1U) << to_string(converted.report);
    EXPECT_EQ(lines.count("inner_norm: folded into inner"), 1U);
    EXPECT_EQ(activations, 4) << to_string(converted.report);
    for (const auto& [key, text] : converted.graph.metadata())
      EXPECT_TRUE(key == "quantize.isa") << key;
  }
}

TEST(Static, ReportsWhyABatchNormWasNotFolded) {
  struct Twice : nn::Module {
    nn::Conv2d conv{{.in = 3, .out = 4, .kernel = 3}};
    nn::BatchNorm2d norm{{.features = 4}};
    void members(nn::Members& m) override { m("conv", conv)("norm", norm); }
    Tensor forward(const Tensor& x) override {
      const Tensor y = conv(x);
      return norm(y) + y;
    }
  } net;
  Graph prepared = prepare(graph_of(net, Tensor::zeros(kShape)));
  calibrate(prepared);
  EXPECT_THAT(to_string(convert(prepared).report), HasSubstr("'conv' is also read elsewhere"));
}

TEST(Static, RefusesBiasesThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Graph graph = branchy();
    graph.edit_value(graph.find_value("fc.bias")).tensor.mutable_data<float>()[2] = bad;
    Graph prepared = prepare(graph);
    calibrate(prepared);
    expect_error(ErrorCode::invalid_argument, {"fc", "expected a finite bias"},
                 [&] { convert(prepared); });
  }
}

TEST(Static, RefusesWeightsThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const Granularity granularity :
         {Granularity::per_tensor, Granularity::per_channel, Granularity::per_group})
      for (const char* layer : {"inner", "fc"}) {
        QConfig config = QConfig::portable();
        config.weight_granularity = granularity;
        config.weight_group_size = 4;
        Graph prepared = prepare(branchy(), config);
        calibrate(prepared);
        const int leaf = prepared.find_value(std::string(layer) + ".weight");
        ASSERT_GE(leaf, 0);
        prepared.edit_value(leaf).tensor.mutable_data<float>()[2] = bad;
        expect_error(ErrorCode::invalid_argument, {layer, "expected finite weights", "'"},
                     [&] { convert(prepared); });
      }
}

TEST(Static, RefusesWeightsThatAByteDoesNotHold) {
  Graph prepared = prepare(branchy());
  calibrate(prepared);
  for (int n = 0; n < static_cast<int>(prepared.nodes().size()); ++n) {
    Graph::Node& node = prepared.edit_node(n);
    if (node.call.op != &kFakeQuantize || !node.name.starts_with("fc")) continue;
    auto attributes = node.call.attributes.as<FakeQuantizeAttributes>();
    attributes.qmin -= 100;
    node.call.attributes = Attributes::of(attributes);
  }
  expect_error(ErrorCode::unsupported, {"fc", "codes that i8 holds"}, [&] { convert(prepared); });
}

TEST(Static, RefusesSumsBeyond32Bits) {
  constexpr std::int64_t kLength = 80000;  // · 127 · 255 is more
  Graph graph;
  const int x = graph.add_input("x", {1, kLength}, DType::f32);
  const int weight =
      graph.add_leaf(Graph::Kind::parameter, "fc.weight", Tensor::full({2, kLength}, 1), true);
  const int n = graph.add_node("fc", {&kLinear, {}}, {x, weight});
  graph.set_outputs({graph.node(n).outputs[0]});
  const NoGrad no_grad;
  Graph prepared = prepare(graph, QConfig::x86(Isa::avx512_vnni));
  prepared(Tensor::full({1, kLength}, 1));
  test::refuses(ErrorCode::unsupported, {"fc", "sums that fit 32 bits", "exclude this layer"},
                prepared, [&] { convert(prepared); });
}

TEST(Static, KeepsMasksAsZeros) {
  Branchy net;
  Graph graph = graph_of(net, Tensor::zeros(kShape));
  Tensor& w = graph.edit_value(graph.find_value("fc.weight")).tensor;
  for (std::int64_t i = 0; i < w.elements(); i += 2) w.mutable_data<float>()[i] = 0;
  Graph prepared = prepare(graph);
  calibrate(prepared);
  const auto q = int_repr(convert(prepared).graph, "fc.weight").to_vector<std::int8_t>();
  for (std::size_t i = 0; i < q.size(); i += 2) EXPECT_EQ(q[i], 0);
}

TEST(Static, RefusesToConvertWithoutCalibration) {
  const Graph prepared = prepare(branchy());
  expect_error(ErrorCode::invalid_state, {"convert", "calibrated", "'fc", "relu"}, [&] {
    QConfig config = QConfig::portable();
    config.quantize_outputs = true;
    convert(prepare(branchy(), config));
  });
  expect_error(ErrorCode::invalid_state, {"convert", "without observers"},
               [&] { convert(branchy()); });
  expect_error(ErrorCode::invalid_state, {"prepare", "prepared or quantized already"},
               [&] { prepare(prepared); });
}

TEST(Static, RefusesNamesThatMatchNothing) {
  QConfig config = QConfig::portable();
  config.exclude = {"stme"};
  expect_error(ErrorCode::invalid_argument, {"prepare", "'stme'", "'stem'"},
               [&] { prepare(branchy(), config); });
  config.exclude = {};
  config.overrides = {{.op = "lineer"}};
  expect_error(ErrorCode::invalid_argument, {"prepare_qat", "'lineer'", "'linear'"},
               [&] { prepare_qat(branchy(), config); });
  config.overrides = {};
  config.exclude = {"*"};
  expect_error(ErrorCode::unsupported, {"prepare", "excluded by name"},
               [&] { prepare(branchy(), config); });
}

TEST(Static, NamesTheNodeThatSawANumberThatIsNotFinite) {
  Graph prepared = prepare(branchy());
  Tensor x = Tensor::zeros(kShape);
  x.mutable_data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorCode::invalid_argument, {"_observer", "expected finite values, got nan"},
               [&] { prepared(x); });
}

}  // namespace
}  // namespace pare::quantize
