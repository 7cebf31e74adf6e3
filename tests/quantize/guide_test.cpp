// The code of docs/quantize.md, run; tests/structure/check_snippets.cmake compares the two.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "pare/pare.h"
#include "temporary_folder.h"

namespace pare {
namespace {

struct Net : nn::Module {
  nn::Conv2d conv1{{.in = 1, .out = 8, .kernel = 3, .padding = 1, .bias = false}};
  nn::BatchNorm2d bn1{{.features = 8}};
  nn::Conv2d conv2{{.in = 8, .out = 8, .kernel = 3}};
  nn::BatchNorm2d bn2{{.features = 8}};
  nn::Linear fc{{.in = 8, .out = 3}};
  void members(nn::Members& m) override {
    m("conv1", conv1)("bn1", bn1)("conv2", conv2)("bn2", bn2)("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor y = relu(bn2(conv2(relu(bn1(conv1(x))))));
    return fc(flatten(global_average_pool(y)));
  }
};

// Pictures [1, 8, 8] of stripes along either axis, and of none, under noise.
data::TensorDataset stripes(std::int64_t count, std::uint64_t seed) {
  Generator generator(seed);
  const Tensor x = generator.normal({count, 1, 8, 8}, 0, 0.3F);
  Tensor striped = x.clone();
  float* p = striped.mutable_data<float>();
  std::vector<std::int64_t> labels;
  for (std::int64_t n = 0; n < count; ++n) {
    labels.push_back(n % 3);
    for (std::int64_t i = 0; i < 64; ++i) {
      const std::int64_t along = n % 3 == 0 ? i / 8 : i % 8;
      if (n % 3 < 2 && along % 2 == 0) p[n * 64 + i] += 1;
    }
  }
  return data::TensorDataset(striped, Tensor::from(labels, {count}));
}

struct TenthOff : quantize::RangeSearch {
  std::string name() const override { return "tenth_off"; }
  ChosenRange choose(const Histogram& seen, const Codes&) const override {
    return {.min = 0.9F * seen.min, .max = 0.9F * seen.max};
  }
};

class QuantizeGuide : public testing::Test {
 protected:
  QuantizeGuide() {
    context().threads = 1;
    Generator generator(1);
    nn::initialize(net, generator);
    optim::Adam adam(net.parameters(), {.lr = 1e-2});
    train::fit(net, train, {.epochs = 10, .optimizer = &adam});
    graph = trace(net, train.example()).copy();
  }
  ~QuantizeGuide() override { context().threads = 0; }

  Graph calibrated(const quantize::QConfig& config) {
    Graph prepared = quantize::prepare(graph, config);
    const NoGrad no_grad;
    for (const auto& [x, y] : calibration) prepared(x);
    return prepared;
  }
  std::vector<Tensors> inputs() {
    std::vector<Tensors> all;
    for (const auto& [x, y] : calibration) all.push_back({x});
    return all;
  }
  double sqnr(const Graph& other) {
    GraphComparison comparison(graph, other);
    comparison.add({x});
    return comparison.result().outputs.at(0).sqnr_db;
  }

  Net net;
  data::Loader train{stripes(120, 1), {.batch_size = 20, .shuffle = true}};
  data::Loader calibration{stripes(60, 2), {.batch_size = 20}};
  data::Loader validation{stripes(60, 3), {.batch_size = 60}};
  Tensor x = stripes(60, 4).inputs();
  Graph graph;
};

TEST_F(QuantizeGuide, WeightsAlone) {
  const quantize::Batches data(inputs());
  const auto [small, report] = quantize::weight_only(
      graph, {.bits = 4, .group_size = 32, .gptq = true, .data = data, .exclude = {"fc"}});
  EXPECT_EQ(report.layers.size(), 2U);
  ASSERT_EQ(report.left.size(), 1U);
  EXPECT_EQ(report.left[0].node, "fc");
  EXPECT_LT(small.bytes(), graph.bytes());
}

TEST_F(QuantizeGuide, Smooth) {
  const quantize::Batches data(inputs());
  Graph before = graph.copy();
  const quantize::SmoothReport smoothed = quantize::smooth(graph, data, {.alpha = 0.5});
  for (const auto& [layer, why] : smoothed.left) std::cout << layer << ": " << why << '\n';
  EXPECT_EQ(smoothed.places.size(), 1U);
  EXPECT_GT(sqnr(before), 100);
}

TEST_F(QuantizeGuide, Dynamic) {
  const auto [dynamic, report] = quantize::dynamic(graph, {.ops = {"linear"}});
  const Plan quick = compile(dynamic);
  const Tensor scores = quick.run(x);
  EXPECT_FALSE(report.layers.empty());
  EXPECT_EQ(scores.dim(0), x.dim(0));
}

TEST_F(QuantizeGuide, Search) {
  const quantize::Batches data(inputs());
  const auto right = [&](const Plan& plan) {
    double sum = 0, count = 0;
    for (const auto& [x, y] : validation) {
      sum += static_cast<double>(train::count_top_k(plan.run(x), y, 1));
      count += static_cast<double>(y.dim(0));
    }
    return sum / count;
  };
  const quantize::Searched found =
      quantize::search(graph, data, {.metric = right, .metric_drop = 0.01});
  const Graph& int8 = found.converted.graph;
  const std::string table = to_string(found.report);
  EXPECT_TRUE(found.report.reached) << table;
  EXPECT_GE(*found.report.metric, *found.report.float_metric - 0.01);
  EXPECT_GT(sqnr(int8), 15);
}

TEST_F(QuantizeGuide, SearchUnderABudget) {
  const quantize::Batches data(inputs());
  const quantize::Searched found = quantize::search(
      graph, data, {.weight_bits = {4, 8}, .sqnr_db = 20, .budget = {.weight_bytes = 500}});
  const bool holds = found.report.reached;
  EXPECT_EQ(holds, found.report.sqnr_db >= 20);
  EXPECT_LE(found.report.weight_bytes, 500);
}

TEST_F(QuantizeGuide, Static) {
  Graph graph = trace(net, train.example()).copy();
  Graph prepared = quantize::prepare(graph);
  {
    const NoGrad no_grad;
    for (const auto& [x, y] : calibration) prepared(x);
  }
  const auto [int8, report] = quantize::convert(prepared);
  const std::string table = to_string(report);

  const Plan plan = compile(int8);
  const Tensor logits = plan.run(x);
  const std::string steps = plan.to_string();

  EXPECT_EQ(logits.shape(), Shape({60, 3}));
  EXPECT_NE(table.find("conv2"), std::string::npos);
  EXPECT_NE(steps.find("conv2"), std::string::npos);
  EXPECT_GT(sqnr(int8), 20);
  EXPECT_LT(report.bytes_after, report.bytes_before);
}

TEST_F(QuantizeGuide, Choices) {
  quantize::QConfig config = quantize::QConfig::portable();
  config.observer = quantize::Percentile{.percentile = 99.9};
  config.exclude = {"conv1"};
  config.overrides = {{.op = "linear", .weight_observer = quantize::WeightObserver::mse},
                      {.name = "conv2", .activation_bits = 7, .weight_qmax = 7}};
  Graph prepared = quantize::prepare(graph, config);

  {
    const NoGrad no_grad;
    for (const auto& [x, y] : calibration) prepared(x);
  }
  const auto [int8, report] = quantize::convert(prepared);
  const auto first = std::ranges::find(report.nodes, "conv1", &quantize::Report::Node::name);
  ASSERT_NE(first, report.nodes.end());
  EXPECT_EQ(first->note, "excluded by name ('conv1')");
  for (const std::int8_t code : quantize::int_repr(int8, "conv2.weight").to_vector<std::int8_t>())
    EXPECT_LE(std::abs(code), 7);
}

TEST_F(QuantizeGuide, ASearchOfYourOwn) {
  const auto search = std::make_shared<TenthOff>();
  quantize::QConfig config = quantize::QConfig::x86();
  config.observer = search;
  Graph prepared = calibrated(config);
  const auto [int8, report] = quantize::convert(prepared, {.searches = {search}});
  ASSERT_FALSE(report.activations.empty());
  for (const quantize::ActivationRange& r : report.activations)
    EXPECT_NEAR(r.max, 0.9F * r.seen_max, 2 * r.scale) << r.value;
}

TEST_F(QuantizeGuide, Helpers) {
  quantize::ChannelStatistics statistics = quantize::batch_norm_statistics(graph);
  quantize::equalize(graph, {.statistics = &statistics});
  quantize::absorb_biases(graph, {.statistics = &statistics});
  Graph prepared = quantize::prepare(graph);
  quantize::correct_biases(prepared, statistics);

  for (const Tensors& x : inputs()) prepared.run(x);
  EXPECT_GT(sqnr(quantize::convert(prepared).graph), 20);
}

TEST_F(QuantizeGuide, Rounding) {
  Graph prepared = calibrated(quantize::QConfig::x86());
  const quantize::Batches data = inputs();
  const auto [rounded, fit] = quantize::round_weights(prepared, data);
  const auto [int8, report] = quantize::convert(rounded);
  EXPECT_EQ(fit.layers.size(), 3U);
  EXPECT_GT(sqnr(int8), 20);
}

TEST_F(QuantizeGuide, Sensitivity) {
  const quantize::Batches data = inputs();
  const quantize::SensitivityReport worst = quantize::sensitivity(graph, data);
  quantize::QConfig config = quantize::QConfig::x86();
  config.exclude = {worst.layers.front().name};
  EXPECT_EQ(worst.layers.size(), 3U);
  EXPECT_GT(sqnr(quantize::convert(calibrated(config)).graph), worst.all_sqnr_db);
}

TEST_F(QuantizeGuide, Training) {
  Graph qat = quantize::prepare_qat(graph);
  optim::SGD sgd(qat.parameters(), {.lr = 1e-3, .momentum = 0.9});
  train::fit(qat, train,
             {.epochs = 3,
              .optimizer = &sgd,
              // Ranges stay as they are from the third epoch on, batch norms' statistics too.
              .begin_epoch = quantize::freeze_schedule(qat, {.observers = 2, .batch_norm = 2})});
  const train::Metrics metrics = train::evaluate(qat, validation);
  const auto [int8, report] = quantize::convert(qat);

  Graph converted = int8;
  EXPECT_GT(metrics.accuracy, 0.9);
  EXPECT_NEAR(train::evaluate(converted, validation).accuracy, metrics.accuracy, 0.02);
}

TEST_F(QuantizeGuide, LearnedSteps) {
  quantize::QConfig config = quantize::QConfig::x86();
  config.activation_bits = 4;
  config.weight_qmax = 7;
  config.full_weight_range = true;  // −8 … 7
  config.overrides = {{.name = "conv1", .weight_qmax = 127}, {.name = "fc", .weight_qmax = 127}};
  Graph qat = quantize::prepare_qat(graph, config, {.method = quantize::TrainingMethod::lsq});
  optim::SGD sgd(optim::decay_groups(qat.parameters(), optim::SGDOptions{.lr = 1e-2}));
  train::fit(qat, train, {.epochs = 2, .optimizer = &sgd});
  const auto [int8, report] = quantize::convert(qat);

  Graph converted = int8;
  EXPECT_NEAR(train::evaluate(converted, validation).accuracy,
              train::evaluate(qat, validation).accuracy, 0.02);
}

TEST_F(QuantizeGuide, FrozenTrainingMovesWeightsAlone) {
  Graph qat = quantize::prepare_qat(graph);
  train::fit(qat, train, {.epochs = 1});
  qat.eval();
  const auto frozen = [&] {
    std::vector<float> all;
    for (const quantize::ActivationRange& r : quantize::observed_ranges(qat))
      all.insert(all.end(), {r.seen_min, r.seen_max});
    for (const char* name : {"bn1.running_mean", "bn2.running_var"}) {
      const auto values = qat.value(qat.find_value(name)).tensor.to_vector<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const auto weight = [&] {
    return qat.value(qat.find_value("conv1.weight")).tensor.to_vector<float>();
  };
  const std::vector<float> before = frozen(), weight_before = weight();
  ContextScope scope;
  scope->observing = false;
  train::fit(qat, train, {.epochs = 1});
  EXPECT_EQ(frozen(), before);
  EXPECT_NE(weight(), weight_before);
}

TEST_F(QuantizeGuide, Inspecting) {
  const quantize::Batches data(inputs());
  Graph prepared = calibrated(quantize::QConfig::x86());
  for (const quantize::ActivationRange& r : quantize::observed_ranges(prepared))
    EXPECT_LE(r.min, r.max) << r.value << ' ' << r.scale << ' ' << r.zero_point;
  const auto [int8, report] = quantize::convert(prepared);
  const Tensor codes = quantize::int_repr(int8, "conv1.weight");       // i8
  const Tensor scales = quantize::scale(int8, "conv1.weight");         // f32, one per channel
  const Tensor weights = quantize::dequantized(int8, "conv1.weight");  // codes · scales
  const quantize::Comparison all = quantize::compare(graph, int8, data, {.histogram_bins = 64});
  for (const auto& value : all.values) {
    EXPECT_EQ(value.histogram->edges.size(), 65U);
    EXPECT_GT(value.isolated->sqnr_db, 20) << value.name << ' ' << value.accumulated.sqnr_db;
  }
  const std::string differences = to_string(all);
  EXPECT_EQ(codes.dtype(), DType::i8);
  EXPECT_EQ(scales.shape(), Shape({8}));
  EXPECT_EQ(weights.shape(), codes.shape());
  EXPECT_GT(all.outputs.at(0).sqnr_db, 20);
  EXPECT_NE(differences.find("conv1"), std::string::npos);
}

TEST_F(QuantizeGuide, Files) {
  const test::TemporaryFolder place;
  const std::string folder = place.path("");
  Graph prepared = calibrated(quantize::QConfig::x86());
  const auto [int8, report] = quantize::convert(prepared);
  onnx::save(int8, folder + "/net.int8.onnx");
  io::save_graph(prepared, folder + "/net.prepared.pare");
  Graph resumed = io::load_graph(folder + "/net.prepared.pare");
  const auto [again, same] = quantize::convert(resumed);

  Graph read = onnx::load(folder + "/net.int8.onnx"), first = int8, second = again;
  const NoGrad no_grad;
  const std::vector<float> expected = first(x).to_vector<float>();
  EXPECT_EQ(read(x).to_vector<float>(), expected);
  EXPECT_EQ(second(x).to_vector<float>(), expected);
}

}  // namespace
}  // namespace pare
