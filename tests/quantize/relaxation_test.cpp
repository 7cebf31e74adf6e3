// AdaRound's relaxation: against all codes there are, and in whole nets beside the search by
// columns.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "pare/pare.h"
#include "quantize/nets.h"
#include "quantize/relaxed_rounding.h"

namespace pare::quantize {
namespace {

using test::Branchy;
using test::expect_error;
using test::graph_of;
using test::infer_with;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One row of eight weights on related inputs, which a ReLU follows.
struct OneRow {
  RelaxedProblem problem;
  RoundedProduct nearest;
  std::vector<double> weights;

  explicit OneRow(std::uint64_t seed, double low) {
    constexpr std::int64_t kColumns = 8, kSamples = 400;
    Generator generator(seed);
    const auto x = generator.normal({kSamples, kColumns}).to_vector<float>();
    const auto w = generator.uniform({kColumns}, -0.9F, 0.9F).to_vector<float>();
    problem = {
        .rows = 1, .columns = kColumns, .low = low, .high = kInfinity, .qmin = -3, .qmax = 3};
    for (std::size_t s = 0; s < kSamples; ++s) {
      float y = -0.3F;
      for (std::size_t i = 0; i < kColumns; ++i) {
        problem.inputs.push_back(x[s * kColumns + i] + 0.8F * x[s * kColumns]);
        y += problem.inputs.back() * w[i];
      }
      problem.outputs.push_back(y);
    }
    weights.assign(w.begin(), w.end());
    nearest = {.scales = {0.3F}, .bias = {-0.3F}};
    for (const double v : weights)
      nearest.codes.push_back(std::fmin(std::fmax(std::nearbyint(v / 0.3F), -3), 3));
  }

  // By its definition, in double.
  double loss(const std::vector<double>& codes) const {
    double sum = 0;
    for (std::size_t s = 0; s < problem.outputs.size(); ++s) {
      double y = static_cast<double>(-0.3F);
      for (std::size_t i = 0; i < codes.size(); ++i)
        y += static_cast<double>(problem.inputs[s * codes.size() + i]) * codes[i] *
             static_cast<double>(0.3F);
      const double error = std::fmax(y, problem.low) -
                           std::fmax(static_cast<double>(problem.outputs[s]), problem.low);
      sum += error * error;
    }
    return sum / static_cast<double>(problem.outputs.size());
  }

  // Of all ways to round each weight up or down.
  double best() const {
    double least = kInfinity;
    for (unsigned choice = 0; choice < 256; ++choice) {
      std::vector<double> codes;
      for (std::size_t i = 0; i < 8; ++i)
        codes.push_back(std::fmin(
            std::fmax(std::floor(weights[i] / static_cast<double>(0.3F)), -3) + (choice >> i & 1U),
            3));
      least = std::fmin(least, loss(codes));
    }
    return least;
  }
};

TEST(Relaxation, FindsNearlyTheBestOfAllCodes) {
  for (const double low : {-kInfinity, 0.0}) {
    double found = 0, nearest = 0, best = 0;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const OneRow row(seed, low);
      EXPECT_NEAR(product_loss(row.problem, row.nearest), row.loss(row.nearest.codes), 1e-5);
      const RoundedProduct result =
          relax(row.problem, row.nearest, row.weights, {.iterations = 1000}, false, seed);
      for (const double code : result.codes) {
        EXPECT_EQ(code, std::nearbyint(code));
        EXPECT_LE(std::fabs(code), 3);
      }
      EXPECT_EQ(result.bias, row.nearest.bias);
      EXPECT_LE(row.loss(result.codes), row.loss(row.nearest.codes) * (1 + 1e-6));
      found += row.loss(result.codes);
      nearest += row.loss(row.nearest.codes);
      best += row.best();
    }
    EXPECT_LT(best, 0.7 * nearest);
    EXPECT_LT(found, 1.25 * best) << "nearest " << nearest << ", best " << best;
  }
}

TEST(Relaxation, BiasesFollowWhereTheyMay) {
  OneRow row(3, 0);
  row.nearest.bias = {0.2F};
  const RoundedProduct result =
      relax(row.problem, row.nearest, row.weights, {.iterations = 200}, true, 1);
  EXPECT_LT(product_loss(row.problem, result), 0.5 * product_loss(row.problem, row.nearest));
  EXPECT_NEAR(result.bias[0], -0.3, 0.25);
}

class RelaxedNet : public testing::Test {
 protected:
  RelaxedNet() {
    context().threads = 1;
    Branchy net;
    float_ = graph_of(net, Tensor::zeros({8, 3, 8, 8}));
    QConfig config = QConfig::x86(Isa::avx512_vnni);
    config.weight_qmax = config.depthwise_weight_qmax = 3;  // errors that show
    prepared_ = prepare(float_, config);
    Generator generator(3);
    for (int i = 0; i < 6; ++i) data_.push_back({generator.normal({8, 3, 8, 8})});
    const NoGrad no_grad;
    for (const Tensors& batch : data_) prepared_.run(batch);
  }
  ~RelaxedNet() override { context().threads = 0; }

  static RoundingOptions relaxed(std::int64_t iterations = 300) {
    return {.method = RoundingMethod::adaround, .relaxation = {.iterations = iterations}};
  }
  double sqnr(const Graph& other) {
    GraphComparison comparison(float_, other);
    Generator generator(9);
    for (int i = 0; i < 4; ++i) comparison.add({generator.normal({8, 3, 8, 8})});
    return comparison.result().outputs.at(0).sqnr_db;
  }

  std::vector<Tensors> data_;
  Graph float_, prepared_;
};

TEST_F(RelaxedNet, IsCloserThanTheSearchByColumns) {
  const Rounded columns = round_weights(prepared_, data_);
  const Rounded result = round_weights(prepared_, data_, relaxed());
  double parts = 0;
  for (std::size_t l = 0; l < result.report.layers.size(); ++l) {
    const RoundingReport::Layer& layer = result.report.layers[l];
    EXPECT_TRUE(layer.fitted) << layer.name;
    EXPECT_LE(layer.relaxed, 1) << layer.name;
    EXPECT_GT(layer.relaxed, 0) << layer.name;
    EXPECT_EQ(columns.report.layers[l].relaxed, 1);
    parts += layer.relaxed / static_cast<double>(result.report.layers.size());
  }
  EXPECT_LT(parts, 1) << to_string(result.report);
  EXPECT_GT(sqnr(convert(result.graph).graph), sqnr(convert(prepared_).graph) + 3);
  EXPECT_GT(sqnr(convert(result.graph).graph), sqnr(convert(columns.graph).graph) - 0.5);
  // Whole codes, which convert keeps.
  const Graph integers = convert(result.graph).graph;
  for (const std::int8_t code : int_repr(integers, "right.weight").to_vector<std::int8_t>())
    EXPECT_LE(std::abs(int{code}), 3);
}

TEST_F(RelaxedNet, SameOnAnyNumberOfThreads) {
  const Rounded one = round_weights(prepared_, data_, relaxed(40));
  context().threads = 2;
  const Rounded two = round_weights(prepared_, data_, relaxed(40));
  const Graph a = convert(one.graph).graph, b = convert(two.graph).graph;
  for (const char* name : {"left.weight", "right.weight", "fc.weight"})
    EXPECT_EQ(int_repr(a, name).to_vector<std::int8_t>(),
              int_repr(b, name).to_vector<std::int8_t>())
        << name;
  const RoundingOptions other{
      .method = RoundingMethod::adaround, .relaxation = {.iterations = 40}, .seed = 7};
  EXPECT_GT(sqnr(convert(round_weights(prepared_, data_, other).graph).graph), 0);
}

// Not only between layers: these steps would take hours.
TEST_F(RelaxedNet, StopsInTheMiddleOfALayer) {
  RoundingOptions options = relaxed(100'000'000);
  int asked = 0;
  options.progress = [&](const LayerProgress& progress) {
    EXPECT_EQ(progress.layer, "stem");
    EXPECT_EQ(progress.done, 0);
    return ++asked < 6;
  };
  const Rounded rounded = round_weights(prepared_, data_, options);
  EXPECT_EQ(asked, 6);
  EXPECT_TRUE(rounded.report.layers[0].fitted);
  EXPECT_LE(rounded.report.layers[0].relaxed, 1);
  for (std::size_t l = 1; l < rounded.report.layers.size(); ++l)
    EXPECT_EQ(rounded.report.layers[l].note, "stopped before it");
  EXPECT_GT(convert(rounded.graph).report.nodes.size(), 0U);
}

TEST_F(RelaxedNet, Refusals) {
  const auto expect = [&](std::initializer_list<std::string> words, const RelaxationOptions& r) {
    expect_error(ErrorCode::invalid_argument, words, [&] {
      round_weights(prepared_, data_, {.method = RoundingMethod::adaround, .relaxation = r});
    });
  };
  expect({"iteration", "0"}, {.iterations = 0});
  expect({"position", "0"}, {.batch = 0});
  expect({"learning_rate", "-1"}, {.learning_rate = -1});
  expect({"regularization", "-1"}, {.regularization = -1});
  expect({"warm_start", "1"}, {.warm_start = 1});
  expect({"betas", "2 to 20"}, {.first_beta = 2, .last_beta = 20});
}

}  // namespace
}  // namespace pare::quantize
