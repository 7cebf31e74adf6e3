// Weights by group in QConfig: NumPy's integers, weight_only's layouts, training, files, refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "core/packed_codes.h"
#include "expect_error.h"
#include "graph/leaf_evaluator.h"
#include "pare/pare.h"
#include "quantize/golden_weight_only.h"
#include "quantize/nets.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

namespace golden = golden_weight_only;
using test::expect_error;

QConfig by_group(std::int64_t size, std::int64_t qmax = 7) {
  QConfig config = QConfig::x86(Isa::avx512_vnni);
  config.observer = Observer::min_max;
  config.weight_granularity = Granularity::per_group;
  config.weight_group_size = size;
  config.weight_qmax = qmax;
  return config;
}

Graph observed(Graph prepared, const Tensor& x) {
  const NoGrad no_grad;
  prepared(x);
  return prepared;
}

const Graph::Node& node_of(const Graph& graph, const OpDef& op) {
  for (const Graph::Node& node : graph.nodes())
    if (node.call.op == &op) return node;
  throw Error(ErrorCode::invalid_argument, std::string("no ") + op.name);
}

/// The weight that the first node of an op computes with.
std::vector<float> weight_of(const Graph& graph, const OpDef& op) {
  return LeafEvaluator(graph)(node_of(graph, op).inputs[1]).to_vector<float>();
}

std::vector<std::int32_t> integers(const double* values, std::size_t n, int less = 0) {
  std::vector<std::int32_t> result(values, values + n);
  for (std::int32_t& v : result) v -= less;
  return result;
}

struct GoldenLinear : nn::Module {
  nn::Linear fc{{.in = golden::kColumns, .out = golden::kRows, .bias = false}};
  void members(nn::Members& m) override { m("fc", fc); }
  Tensor forward(const Tensor& x) override { return fc(x); }
};

TEST(WeightsByGroup, AreThoseOfNumPyAndOnnxRuntime) {
  const std::vector<float> values(std::begin(golden::kWeight), std::end(golden::kWeight));
  GoldenLinear net;
  net.fc.weight.set(Tensor::from(values, {golden::kRows, golden::kColumns}));
  const Tensor x = Generator(1).normal({4, golden::kColumns});
  const Graph graph = trace(net, x).copy();
  for (const golden::Case& c : golden::kCases) {
    const std::string what = std::to_string(c.bits) + " bits by " + std::to_string(c.group) +
                             (c.symmetric ? " symmetric" : "");
    QConfig config = by_group(c.group, (1 << (c.bits - 1)) - 1);
    config.symmetric_weights = c.symmetric;
    config.full_weight_range = c.bits < 8 || !c.symmetric;
    const Graph prepared = observed(prepare(graph, config), x);
    const Converted q = convert(prepared);
    // Codes with zero points are signed here, and unsigned there.
    const int less = c.symmetric ? 0 : 1 << (c.bits - 1);
    const Tensor codes = int_repr(q.graph, "fc.weight");
    EXPECT_EQ(traits(codes.dtype()).bits, c.bits == 2 ? 2 : c.bits <= 4 ? 4 : 8) << what;
    EXPECT_EQ(code_values(codes), integers(c.codes, values.size(), less)) << what;
    const std::int64_t groups = (golden::kColumns + c.group - 1) / c.group;
    ASSERT_EQ(scale(q.graph, "fc.weight").shape(), (Shape{golden::kRows, groups})) << what;
    const std::vector<float> scales = scale(q.graph, "fc.weight").to_vector<float>();
    for (std::size_t i = 0; i < scales.size(); ++i)
      EXPECT_FLOAT_EQ(scales[i], static_cast<float>(c.scales[i])) << what << " " << i;
    EXPECT_EQ(code_values(zero_point(q.graph, "fc.weight")), integers(c.zeros, scales.size(), less))
        << what;
    const std::vector<float> back = dequantized(q.graph, "fc.weight").to_vector<float>();
    for (std::size_t i = 0; i < back.size(); ++i)
      EXPECT_NEAR(back[i], c.values[i], 1e-6 * std::fabs(c.values[i]) + 1e-9) << what << " " << i;
    // What was calibrated with is what is stored.
    EXPECT_EQ(weight_of(prepared, kLinear), back) << what;
  }
}

TEST(WeightsByGroup, HaveTheLayoutsOfWeightOnly) {
  test::OneLinear linear(true);
  test::OneMatmul matmul;
  test::OneConv conv(false, true, nn::Conv2dOptions{.in = 20, .out = 6, .kernel = 3});
  test::OneConvOf<nn::Conv1d, nn::BatchNorm1d> line(
      false, true, nn::Conv1dOptions{.in = 20, .out = 6, .kernel = 3, .groups = 2});
  const Tensor rows = Generator(2).normal({4, 40});
  const Tensor picture = Generator(3).normal({2, 20, 6, 6});
  const Tensor samples = Generator(4).normal({2, 20, 9});
  const std::pair<Graph, Tensor> nets[] = {{test::graph_of(linear, rows), rows},
                                           {test::graph_of(matmul, rows), rows},
                                           {test::graph_of(conv, picture), picture},
                                           {test::graph_of(line, samples), samples}};
  for (const auto& [graph, x] : nets)
    for (const std::int64_t group : {3, 8, 9})
      for (const int bits : {4, 8})
        for (const bool symmetric : {true, false})
          for (const WeightObserver observer : {WeightObserver::min_max, WeightObserver::mse}) {
            QConfig config = by_group(group, (1 << (bits - 1)) - 1);
            config.weight_observer = observer;
            config.symmetric_weights = symmetric;
            config.full_weight_range = bits < 8 || !symmetric;
            const Graph int8 = convert(observed(prepare(graph, config), x)).graph;
            const Graph wanted = weight_only(graph, {.bits = bits,
                                                     .group_size = group,
                                                     .symmetric = symmetric,
                                                     .weight_observer = observer})
                                     .graph;
            const Graph::Node& found = node_of(int8, kDequantizeWeight);
            const Graph::Node& other = node_of(wanted, kDequantizeWeight);
            const auto leaf = [](const Graph& g, const Graph::Node& node, std::size_t i) {
              return g.value(node.inputs[i]).tensor;
            };
            EXPECT_EQ(leaf(int8, found, 1).shape(), leaf(wanted, other, 1).shape());
            EXPECT_EQ(leaf(int8, found, 1).to_vector<float>(),
                      leaf(wanted, other, 1).to_vector<float>());
            EXPECT_EQ(traits(leaf(int8, found, 0).dtype()).bits, bits);
            std::vector<std::int32_t> codes = code_values(leaf(wanted, other, 0));
            for (std::int32_t& q : codes) q -= symmetric ? 0 : 1 << (bits - 1);
            EXPECT_EQ(code_values(leaf(int8, found, 0)), codes);
          }
}

TEST(WeightsByGroup, LayersComputeInFloatFromTheirCodesAndTheReportSaysSo) {
  test::OneLinear net(true);
  const Tensor x = Generator(5).normal({8, 40});
  const Graph graph = test::graph_of(net, x);
  const Converted q = convert(observed(prepare(graph, by_group(16)), x));
  ASSERT_EQ(q.report.nodes.size(), 2U);
  const Report::Node& line = q.report.nodes[0];
  EXPECT_TRUE(line.quantized);
  EXPECT_EQ(line.note, "computed in float: its weights have a scale for each group");
  EXPECT_EQ(line.bytes_before, 12U * 40 * 4 + 12 * 4);
  EXPECT_EQ(line.bytes_after, 12U * 40 / 2 + 12 * 3 * 4 + 12 * 4);
  EXPECT_EQ(q.report.bytes_after, q.graph.bytes());
  ContextScope scope;
  scope->threads = 1;
  Graph int8 = q.graph.copy();
  const std::vector<float> wanted = test::infer_with(int8, x).to_vector<float>();
  const std::vector<float> found = compile(q.graph).run(x).to_vector<float>();
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 1e-5F);
  // A layer with no more inputs than a group has a scale per channel, and integers.
  const Converted channels = convert(observed(prepare(graph, by_group(40)), x));
  EXPECT_EQ(channels.report.nodes[0].note, "");
  EXPECT_EQ(scale(channels.graph, "fc.weight").shape(), (Shape{12}));
}

/// conv → [batch norm] → relu → linear.
struct Trained : nn::Module {
  explicit Trained(bool with_norm) : with_norm_(with_norm) {}
  nn::Conv2d conv{{.in = 6, .out = 5, .kernel = 3}};
  nn::BatchNorm2d norm{{.features = 5}};
  nn::Linear fc{{.in = 5, .out = 3}};
  void members(nn::Members& m) override {
    m("conv", conv);
    if (with_norm_) m("norm", norm);
    m("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    Tensor y = conv(x);
    if (with_norm_) y = norm(y);
    return fc(flatten(global_average_pool(relu(y))));
  }

 private:
  bool with_norm_;
};

/// The nearest codes' values of a convolution's weight [O, I, K, K] by groups of `size` inputs.
std::vector<float> rounded(const Tensor& weight, std::int64_t size, float qmax) {
  const Shape& s = weight.shape();
  const std::int64_t taps = s[2] * s[3];
  const std::vector<float> w = weight.to_vector<float>();
  std::vector<float> result(w.size());
  for (std::int64_t o = 0; o < s[0]; ++o)
    for (std::int64_t t = 0; t < taps; ++t)
      for (std::int64_t begin = 0; begin < s[1]; begin += size) {
        const auto place = [&](std::int64_t i) {
          return static_cast<std::size_t>((o * s[1] + i) * taps + t);
        };
        const std::int64_t end = std::min(begin + size, s[1]);
        float largest = 0;
        for (std::int64_t i = begin; i < end; ++i)
          largest = std::max(largest, std::fabs(w[place(i)]));
        const float step = largest / qmax;
        for (std::int64_t i = begin; i < end; ++i)
          result[place(i)] = std::nearbyint(w[place(i)] / step) * step;
      }
  return result;
}

Graph trained(const Graph& graph, const QConfig& config, const QATConfig& qat) {
  Graph prepared = prepare_qat(graph, config, qat);
  ContextScope scope;
  scope->training = true;
  scope->threads = 1;
  optim::SGD sgd(prepared.parameters(), {.lr = 0.05});
  for (std::uint64_t k = 1; k <= 5; ++k) {
    Generator g(k);
    const Tensor difference = prepared(g.normal({4, 6, 5, 5})) - g.normal({4, 3});
    sgd.zero_grad();
    mean(difference * difference).backward();
    sgd.step();
  }
  return prepared;
}

TEST(WeightsByGroup, FollowTheWeightInTraining) {
  Trained net(false);
  const Tensor x = Generator(7).normal({4, 6, 5, 5});
  const Graph graph = test::graph_of(net, x);
  const Graph prepared = trained(graph, by_group(4), {});
  Tensor weight;
  for (const Graph::Value& value : prepared.values())
    if (value.name == "conv.weight") weight = value.tensor;
  ASSERT_TRUE(weight.defined());
  bool moved = false;
  for (const Graph::Value& value : graph.values())
    if (value.name == "conv.weight")
      moved = value.tensor.to_vector<float>() != weight.to_vector<float>();
  EXPECT_TRUE(moved);
  EXPECT_EQ(weight_of(prepared, kConv2d), rounded(weight, 4, 7));
}

TEST(WeightsByGroup, TheConvertedGraphComputesWhatTrainingSaw) {
  const Tensor x = Generator(8).normal({16, 6, 5, 5});
  for (const TrainingMethod method :
       {TrainingMethod::moving_average, TrainingMethod::lsq, TrainingMethod::lsq_plus})
    for (const bool full : {false, true}) {
      Trained net(false);
      QConfig config = by_group(4);
      config.full_weight_range = full;
      Graph prepared = trained(test::graph_of(net, x), config, {.method = method});
      Graph int8 = convert(prepared).graph;
      ContextScope scope;
      scope->threads = 1;
      EXPECT_EQ(weight_of(prepared, kConv2d), weight_of(int8, kConv2d));
      EXPECT_EQ(test::infer_with(prepared, x).to_vector<float>(),
                test::infer_with(int8, x).to_vector<float>());
    }
}

TEST(WeightsByGroup, BatchNormsFoldIntoTheirScales) {
  const Tensor x = Generator(9).normal({16, 6, 5, 5});
  for (const BatchNormForm form : {BatchNormForm::automatic, BatchNormForm::folded}) {
    Trained net(true);  // with a negative factor and one of 0
    Graph prepared = trained(test::graph_of(net, x), by_group(4), {.batch_norm = form});
    Graph int8 = convert(prepared).graph;
    for (const Graph::Node& node : int8.nodes()) EXPECT_NE(node.call.op, &kBatchNorm);
    EXPECT_EQ(scale(int8, "conv.weight").shape(), (Shape{5, 2, 3, 3}));
    ContextScope scope;
    scope->threads = 1;
    const Tensor wanted = test::infer_with(prepared, x), found = test::infer_with(int8, x);
    const float largest = max(abs(wanted)).item();
    // Rounding of sums alone; next to a tie one code of an activation.
    for (std::int64_t i = 0; i < wanted.elements(); ++i)
      EXPECT_NEAR(found.data<float>()[i], wanted.data<float>()[i], 0.01F * largest);
  }
}

TEST(WeightsByGroup, GradientsPassThroughAsWithScalesPerChannel) {
  test::OneLinear net(false);
  const Tensor x = Generator(10).normal({4, 40});
  const Graph graph = test::graph_of(net, x);
  const auto gradient = [&](const QConfig& config) {
    Graph prepared = prepare_qat(graph, config);
    ContextScope scope;
    scope->training = true;
    scope->threads = 1;
    sum(prepared(x)).backward();
    for (const Graph::Value& value : prepared.values())
      if (value.name == "fc.weight") return value.tensor.grad().to_vector<float>();
    return std::vector<float>();
  };
  QConfig channels = by_group(16);
  channels.weight_granularity = Granularity::per_channel;
  const std::vector<float> wanted = gradient(channels);
  ASSERT_EQ(wanted.size(), 480U);
  EXPECT_EQ(gradient(by_group(16)), wanted);
}

TEST(WeightsByGroup, GoThroughFiles) {
  const test::TemporaryFolder folder;
  test::OneConv net(false, true, nn::Conv2dOptions{.in = 20, .out = 6, .kernel = 3});
  const Tensor x = Generator(11).normal({2, 20, 6, 6});
  const Graph prepared = observed(prepare(test::graph_of(net, x), by_group(8)), x);
  Graph int8 = convert(prepared).graph;
  const std::vector<float> wanted = test::infer_with(int8, x).to_vector<float>();
  io::save_graph(prepared, folder.path("prepared.pare"));
  Graph resumed = convert(io::load_graph(folder.path("prepared.pare"))).graph;
  EXPECT_EQ(test::infer_with(resumed, x).to_vector<float>(), wanted);
  onnx::save(int8, folder.path("int8.onnx"));
  Graph loaded = onnx::load(folder.path("int8.onnx"));
  EXPECT_EQ(
      node_of(loaded, kDequantizeWeight).call.attributes.as<DequantizeWeightAttributes>().block, 8);
  EXPECT_EQ(test::infer_with(loaded, x).to_vector<float>(), wanted);
}

TEST(WeightsByGroup, WhatCannotBeIsRefusedByName) {
  const Tensor x = Generator(12).normal({2, 6, 5, 5});
  Trained net(false);
  const Graph graph = test::graph_of(net, x);
  for (const std::int64_t size : {0, -4}) {
    expect_error(ErrorCode::invalid_argument, {"weight_group_size of 1 or more"},
                 [&] { prepare(graph, by_group(size)); });
    QConfig config = by_group(8);
    config.overrides = {{.name = "conv", .weight_group_size = size}};
    expect_error(ErrorCode::invalid_argument, {"weight_group_size of 1 or more"},
                 [&] { prepare(graph, config); });
  }
  test::OneConvOf<nn::ConvTranspose2d, nn::BatchNorm2d> transposed(
      false, false, nn::ConvTranspose2dOptions{.in = 6, .out = 4, .kernel = 2});
  const Graph deconvolution = test::graph_of(transposed, x);
  expect_error(ErrorCode::unsupported,
               {"conv: expected linear, matmul, conv1d or conv2d for weights by group",
                "got conv_transpose2d"},
               [&] { prepare(deconvolution, by_group(4)); });
  QConfig config = by_group(4);
  config.overrides = {{.op = "conv_transpose2d", .weight_granularity = Granularity::per_channel}};
  EXPECT_NO_THROW(prepare(deconvolution, config));
  struct Table : nn::Module {
    nn::Embedding table{{.num_embeddings = 5, .embedding_dim = 8}};
    nn::Linear fc{{.in = 8, .out = 3}};
    void members(nn::Members& m) override { m("table", table)("fc", fc); }
    Tensor forward(const Tensor& ids) override { return fc(table(ids)); }
  } table;
  const Graph looked_up = test::graph_of(table, Tensor::zeros({4}, DType::i64));
  expect_error(ErrorCode::unsupported, {"table: expected a scale for each row", "got groups"},
               [&] { prepare_qat(looked_up, by_group(4), {.dynamic_ops = {"embedding"}}); });
  // One layer alone by group, the other as ever.
  QConfig one = QConfig::portable();
  one.overrides = {
      {.name = "conv", .weight_granularity = Granularity::per_group, .weight_group_size = 3}};
  const Graph int8 = convert(observed(prepare(graph, one), x)).graph;
  EXPECT_EQ(scale(int8, "conv.weight").shape(), (Shape{5, 2, 3, 3}));
  EXPECT_EQ(scale(int8, "fc.weight").shape(), (Shape{3}));
  expect_error(ErrorCode::invalid_argument, {"per_group"}, [&] {
    weight_only(graph, {.group_size = 0, .granularity = Granularity::per_group});
  });
  expect_error(ErrorCode::invalid_argument, {"per_group"},
               [&] { dynamic(graph, {.granularity = Granularity::per_group}); });
}

}  // namespace
}  // namespace pare::quantize
