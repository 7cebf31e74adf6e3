// Sensitivity: each layer alone, against the arithmetic written out and against convert.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"

namespace pare::quantize {
namespace {

using test::expect_error;
using test::graph_of;
using test::infer_with;

const Shape kPictures{8, 3, 8, 8};

class Sensitive : public testing::Test {
 protected:
  Sensitive() { context().threads = 1; }
  ~Sensitive() override { context().threads = 0; }

  static std::vector<Tensors> batches(const Shape& shape, int count = 2) {
    Generator generator(3);
    std::vector<Tensors> all;
    for (int i = 0; i < count; ++i) all.push_back({generator.normal(shape)});
    return all;
  }
  static Graph branchy() {
    test::Branchy net;
    return graph_of(net, Tensor::zeros(kPictures));
  }
  static const SensitivityReport::Layer& layer(const SensitivityReport& report,
                                               const std::string& name) {
    for (const SensitivityReport::Layer& line : report.layers)
      if (line.name == name) return line;
    throw Error(ErrorCode::internal, "no layer " + name);
  }
  static void expect_converts_noise(const Graph& graph, QConfig config);
};

// y = x·Wᵀ + b with the codes' numbers of x and of W, in double.
TEST_F(Sensitive, IsTheNoiseOfTheLayersWeightAndInput) {
  test::OneLinear net(false);
  const Graph graph = graph_of(net, Tensor::zeros({4, 40}));
  const auto data = batches({16, 40});
  QConfig config = QConfig::x86(Isa::avx512_vnni);
  config.observer = Observer::min_max;
  const SensitivityReport report = sensitivity(graph, data, {.config = config});
  ASSERT_EQ(report.layers.size(), 1U);
  EXPECT_EQ(report.layers[0].name, "fc");
  EXPECT_EQ(report.layers[0].op, "linear");
  EXPECT_FALSE(report.layers[0].metric.has_value());

  std::vector<double> x;
  for (const Tensors& batch : data)
    for (const float v : batch[0].to_vector<float>()) x.push_back(static_cast<double>(v));
  const double low = *std::min_element(x.begin(), x.end());
  const double scale = (*std::max_element(x.begin(), x.end()) - low) / 255;
  const double zero = 2 * std::nearbyint(-low / scale / 2);  // even
  const auto w = graph.value(graph.find_value("fc.weight")).tensor.to_vector<float>();
  const auto b = graph.value(graph.find_value("fc.bias")).tensor.to_vector<float>();
  double signal = 0, noise = 0;
  for (std::size_t n = 0; n < 32; ++n)
    for (std::size_t o = 0; o < 12; ++o) {
      double largest = 0, exact = static_cast<double>(b[o]), rounded = exact;
      for (std::size_t i = 0; i < 40; ++i)
        largest = std::max(largest, std::fabs(static_cast<double>(w[o * 40 + i])));
      for (std::size_t i = 0; i < 40; ++i) {
        const double v = x[n * 40 + i], u = static_cast<double>(w[o * 40 + i]);
        const double code = std::min(std::max(std::nearbyint(v / scale) + zero, 0.0), 255.0);
        exact += v * u;
        rounded += (code - zero) * scale * std::nearbyint(u / largest * 127) * largest / 127;
      }
      signal += exact * exact;
      noise += (exact - rounded) * (exact - rounded);
    }
  EXPECT_NEAR(report.layers[0].sqnr_db, 10 * std::log10(signal / noise), 0.05);
  EXPECT_NEAR(report.all_sqnr_db, report.layers[0].sqnr_db, 1e-6);
}

// Every layer of a net with shared ranges, residual sums and batch norms: as convert with all
// others excluded makes it, up to a bias's rounding and to what calibration saw.
void Sensitive::expect_converts_noise(const Graph& graph, QConfig config) {
  const auto data = batches(kPictures);
  config.observer = Observer::min_max;
  config.weight_qmax = config.depthwise_weight_qmax = 15;
  const SensitivityReport report = sensitivity(graph, data, {.config = config});
  const std::vector<std::string> names{"stem", "inner", "left", "right", "fc"};
  ASSERT_EQ(report.layers.size(), names.size());
  for (std::size_t i = 1; i < report.layers.size(); ++i)
    EXPECT_LE(report.layers[i - 1].sqnr_db, report.layers[i].sqnr_db);
  // Errors of all may make up for one another, a little.
  EXPECT_LT(report.all_sqnr_db, report.layers[0].sqnr_db + 1);
  for (const std::string& name : names) {
    config.exclude.clear();
    for (const std::string& other : names)
      if (other != name) config.exclude.push_back(other);
    Graph prepared = prepare(graph, config);
    {
      const NoGrad no_grad;
      for (const Tensors& batch : data) prepared.run(batch);
    }
    Graph reference = graph, integer = convert(prepared).graph;
    DifferenceMeter meter;
    for (const Tensors& batch : data)
      meter.add(infer_with(reference, batch[0]), infer_with(integer, batch[0]));
    EXPECT_NEAR(layer(report, name).sqnr_db, meter.result("").sqnr_db, 0.5) << name;
  }
}

TEST_F(Sensitive, IsWhatConvertGivesWithTheOthersExcluded) {
  expect_converts_noise(branchy(), QConfig::x86(Isa::avx512_vnni));
}

// Groups that fill up (3 of 8 and 14 inputs) and ones that are the channels (of 3 and 1).
TEST_F(Sensitive, OfWeightsByGroup) {
  QConfig config = QConfig::x86(Isa::avx512_vnni);
  config.weight_granularity = Granularity::per_group;
  config.weight_group_size = 3;
  expect_converts_noise(branchy(), config);
  test::OneMatmul net;
  const Graph product = graph_of(net, Tensor::zeros({4, 40}));
  const SensitivityReport report = sensitivity(product, batches({16, 40}), {.config = config});
  ASSERT_EQ(report.layers.size(), 1U);
  EXPECT_NEAR(report.layers[0].sqnr_db, report.all_sqnr_db, 1e-6);
}

TEST_F(Sensitive, ProductsOfActivationsAreLayers) {
  test::Scores net;
  const Graph graph = graph_of(net, Tensor::zeros({2, 6, 8}));
  const SensitivityReport report = sensitivity(graph, batches({4, 6, 8}));
  int products = 0;
  for (const SensitivityReport::Layer& line : report.layers) {
    EXPECT_TRUE(std::isfinite(line.sqnr_db)) << line.name;
    products += line.op == "matmul" ? 1 : 0;
  }
  EXPECT_EQ(report.layers.size(), static_cast<std::size_t>(4 + products)) << to_string(report);
  EXPECT_GT(products, 0);
}

TEST_F(Sensitive, TheMetricDecidesTheOrderAndDataIsWhatIsMeasured) {
  const Graph graph = branchy();
  int runs = 0;
  const Batches test(batches(kPictures, 5));
  SensitivityOptions options{.data = test};
  options.metric = [&](const Plan& plan) {
    EXPECT_EQ(plan.run(test.get(0))[0].shape(), (Shape{8, 5}));
    return runs++ == 4 ? -1.0 : 0.5;  // float, all, stem, inner, left
  };
  const SensitivityReport report = sensitivity(graph, batches(kPictures), options);
  EXPECT_EQ(runs, 7);
  EXPECT_EQ(report.layers[0].name, "left");
  EXPECT_EQ(report.layers[0].metric, -1.0);
  EXPECT_EQ(report.float_metric, 0.5);
  EXPECT_EQ(report.all_metric, 0.5);
  EXPECT_NE(to_string(report).find("-1.0000"), std::string::npos);
  EXPECT_NE(layer(report, "fc").sqnr_db,
            layer(sensitivity(graph, batches(kPictures)), "fc").sqnr_db);
}

TEST_F(Sensitive, NamesWhatStaysFloatAndStopsWhenAsked) {
  const Graph graph = branchy();
  SensitivityOptions options;
  options.config.exclude = {"inner"};
  std::vector<std::string> seen;
  options.progress = [&](const LayerProgress& progress) {
    EXPECT_EQ(progress.layers, 4);
    EXPECT_EQ(progress.done, static_cast<std::int64_t>(seen.size()));
    seen.push_back(progress.layer);
    return seen.size() < 3;
  };
  const SensitivityReport report = sensitivity(graph, batches(kPictures), options);
  EXPECT_EQ(seen, (std::vector<std::string>{"stem", "left", "right"}));
  EXPECT_EQ(report.layers.size(), 2U);
  ASSERT_EQ(report.left.size(), 1U);
  EXPECT_EQ(report.left[0].node, "inner");
  EXPECT_NE(report.left[0].text.find("excluded"), std::string::npos);
  EXPECT_NE(to_string(report).find("inner"), std::string::npos);
}

TEST_F(Sensitive, Refusals) {
  const Graph graph = branchy();
  const auto data = batches(kPictures);
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string> words,
                          const Batches& calibration, const SensitivityOptions& options = {}) {
    expect_error(code, words, [&] { sensitivity(graph, calibration, options); });
  };
  expect(ErrorCode::invalid_argument, {"calibration data", "none"}, std::vector<Tensors>{});
  expect(ErrorCode::invalid_argument, {"one batch of data", "none"}, data,
         {.data = Batches(std::vector<Tensors>{})});
  expect(ErrorCode::invalid_argument, {"'stemm'", "'stem'"}, data,
         {.config = {.isa = "avx2", .exclude = {"stemm"}}});
  for (const double bad : {std::nan(""), static_cast<double>(-INFINITY)})
    expect(ErrorCode::invalid_argument,
           {"sensitivity", "a finite metric", std::isnan(bad) ? "nan" : "inf"}, data,
           {.metric = [&](const Plan&) { return bad; }});
  expect(ErrorCode::shape_mismatch, {"[8, 4, 8, 8]"}, batches({8, 4, 8, 8}));
  Tensor bad = data[0][0].clone();
  bad.mutable_data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  expect(ErrorCode::invalid_argument, {"nan"}, std::vector<Tensors>{{bad}});
  expect_error(ErrorCode::invalid_state, {"prepared or quantized"},
               [&] { sensitivity(prepare(graph), data); });
}

}  // namespace
}  // namespace pare::quantize
