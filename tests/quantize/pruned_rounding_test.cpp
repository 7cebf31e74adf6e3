// Weights that are exactly 0 keep the code of 0, however codes are chosen.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/leaf_evaluator.h"
#include "pare/pare.h"
#include "quantize/moments.h"
#include "quantize/nets.h"
#include "quantize/relaxed_rounding.h"
#include "quantize/round_codes.h"

namespace pare::quantize {
namespace {

using test::random_moments;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Normal numbers, every second of them 0.
std::vector<double> half_zeros(std::int64_t rows, std::int64_t columns, Generator& generator) {
  const auto drawn = generator.normal({rows * columns}).to_vector<float>();
  std::vector<double> w(drawn.begin(), drawn.end());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < columns; ++i)
      if ((i + r) % 2 == 0) w[at(r * columns + i)] = 0;
  return w;
}

double loss_of(const SquareMatrix& moments, std::vector<double> row,
               const std::vector<double>& target) {
  for (std::size_t i = 0; i < row.size(); ++i) row[i] -= target[i];
  return quadratic(moments, row.data());
}

TEST(PrunedRounding, RowsKeepTheirZerosAndNoOtherCodeCanBeBetter) {
  Generator generator(1);
  for (int trial = 0; trial < 30; ++trial) {
    const std::int64_t n = 3 + trial % 9;
    const SquareMatrix moments = random_moments(n, generator);
    const std::vector<double> target = half_zeros(1, n, generator);
    for (const bool by_group : {false, true}) {
      RoundingProblem problem{.moments = moments, .qmax = 5, .qmin = -4};
      std::vector<float> scales{0.4F};
      if (by_group) {  // with zero points
        scales.push_back(0.3F);
        problem.zero_points = {1, -2};
        for (std::int64_t i = 0; i < n; ++i) problem.scale_of.push_back(i % 2);
      }
      const RoundedRows rounded = round_rows(problem, target, scales);
      const auto values = [&](const std::vector<double>& codes, const std::vector<float>& by) {
        std::vector<double> row;
        for (std::int64_t i = 0; i < n; ++i)
          row.push_back(codes[at(i)] * static_cast<double>(by[by_group ? at(i % 2) : 0]));
        return row;
      };
      const auto limit = [&](std::int64_t i, double code) {
        const double zero = by_group ? static_cast<double>(problem.zero_points[at(i % 2)]) : 0;
        return std::fmin(std::fmax(code, -4 - zero), 5 - zero);
      };
      const double loss = loss_of(moments, values(rounded.codes, rounded.scales), target);
      std::vector<double> nearest;
      for (std::int64_t i = 0; i < n; ++i)
        nearest.push_back(limit(
            i,
            std::nearbyint(target[at(i)] / static_cast<double>(scales[by_group ? at(i % 2) : 0]))));
      EXPECT_LE(loss, loss_of(moments, values(nearest, scales), target) * (1 + 1e-9));
      for (std::int64_t i = 0; i < n; ++i) {
        if (target[at(i)] == 0) {
          EXPECT_EQ(rounded.codes[at(i)], 0) << n << " " << i;
          continue;
        }
        for (const double step : {-1.0, 1.0}) {
          std::vector<double> other = rounded.codes;
          other[at(i)] = limit(i, other[at(i)] + step);
          EXPECT_GE(loss_of(moments, values(other, rounded.scales), target), loss * (1 - 1e-9));
        }
      }
    }
  }
}

// Where nothing can be gained by a small change of a weight that is not 0: the gradient
// A (t − w) − D w is 0 there.
TEST(PrunedRounding, TargetsAreTheBestWithTheirZeros) {
  Generator generator(2);
  constexpr std::int64_t kColumns = 20, kRows = 37;
  const SquareMatrix moments = random_moments(kColumns, generator);
  SquareMatrix difference(kColumns);
  const auto drawn = generator.normal({kColumns * kColumns}, 0, 3).to_vector<float>();
  difference.data.assign(drawn.begin(), drawn.end());
  std::vector<double> weights = half_zeros(kRows, kColumns, generator);
  for (std::int64_t i = 0; i < kColumns; ++i) {
    weights[at(3 * kColumns + i)] = 0;  // a row of nothing else
    weights[at(5 * kColumns + i)] = 1;  // and one without
  }
  const std::vector<double> targets = shifted_targets(moments, difference, weights);
  double largest = 0;
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t i = 0; i < kColumns; ++i) {
      const std::size_t e = at(r * kColumns + i);
      if (weights[e] == 0) {
        EXPECT_EQ(targets[e], 0) << r << " " << i;
        continue;
      }
      double gradient = 0, size = 0;
      for (std::int64_t k = 0; k < kColumns; ++k) {
        const double w = weights[at(r * kColumns + k)], t = targets[at(r * kColumns + k)];
        gradient += moments.row(i)[k] * (t - w) - difference.row(i)[k] * w;
        size += std::fabs(difference.row(i)[k] * w);
      }
      EXPECT_LT(std::fabs(gradient), 1e-3 * size) << r << " " << i;
      largest = std::fmax(largest, std::fabs(targets[e] - weights[e]));
    }
  EXPECT_GT(largest, 0.1);
  // A row without zeros has the targets that it has alone.
  const std::vector<double> dense(weights.begin() + 5 * kColumns, weights.begin() + 6 * kColumns);
  const std::vector<double> alone = shifted_targets(moments, difference, dense);
  for (std::int64_t i = 0; i < kColumns; ++i)
    EXPECT_NEAR(targets[at(5 * kColumns + i)], alone[at(i)], 1e-9);
}

TEST(PrunedRounding, RelaxationKeepsZeros) {
  Generator generator(3);
  constexpr std::int64_t kColumns = 12, kSamples = 300;
  const std::vector<double> weights = half_zeros(1, kColumns, generator);
  RelaxedProblem problem{
      .rows = 1, .columns = kColumns, .low = 0, .high = 6, .qmin = -3, .qmax = 3};
  problem.inputs = generator.normal({kSamples * kColumns}).to_vector<float>();
  for (std::int64_t s = 0; s < kSamples; ++s) {
    double y = 0.5;  // of weights that are not the given ones: the zeros would gain by moving
    for (std::int64_t i = 0; i < kColumns; ++i)
      y += (weights[at(i)] + 0.4) * static_cast<double>(problem.inputs[at(s * kColumns + i)]);
    problem.outputs.push_back(static_cast<float>(y));
  }
  RoundedProduct start{.codes = {}, .scales = {0.5F}, .bias = {0}};
  for (const double w : weights)
    start.codes.push_back(std::fmin(std::fmax(std::nearbyint(w / 0.5), -3), 3));
  std::vector<double> targets = weights;
  for (double& t : targets)
    if (t != 0) t += 0.4;
  const RoundedProduct found = relax(problem, start, targets, {.iterations = 300}, true, 1);
  EXPECT_LT(product_loss(problem, found), product_loss(problem, start));
  EXPECT_NE(found.codes, start.codes);
  for (std::size_t i = 0; i < weights.size(); ++i)
    EXPECT_TRUE(weights[i] != 0 || found.codes[i] == 0) << i;
}

/// Convolutions, one of groups, a layer and a product with a matrix; half of the weights pruned.
struct Net : nn::Module {
  nn::Conv2d conv{{.in = 3, .out = 8, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d norm{{.features = 8}};
  nn::Conv2d grouped{{.in = 8, .out = 8, .kernel = 3, .padding = 1, .groups = 2}};
  nn::Linear fc{{.in = 8 * 9, .out = 10}};
  nn::Parameter last{Shape{10, 6}};
  void members(nn::Members& m) override {
    m("conv", conv)("norm", norm)("grouped", grouped)("fc", fc)("last", last);
  }
  void reset(Generator& generator) override { last.set(generator.normal({10, 6}, 0, 0.3F)); }
  Tensor forward(const Tensor& x) override {
    const Tensor a = max_pool2d(relu(grouped(relu(norm(conv(x))))));
    return matmul(relu(fc(flatten(a, 1))), last);
  }
};

const Shape kShape{8, 3, 6, 6};

class PrunedNet : public testing::Test {
 protected:
  PrunedNet() {
    context().threads = 1;
    Net net;
    Generator generator(4);
    initialize(net, generator);
    for (const char* name : {"conv.weight", "grouped.weight", "fc.weight", "last"})
      prune::l1_unstructured(net, name, 0.5);
    float_ = trace(net, Tensor::zeros(kShape)).copy();
    for (const Graph::Node& node : float_.nodes())
      if (node.call.op == &kConv2d || node.call.op == &kLinear || node.call.op == &kMatmul)
        layers_.push_back(node.name);
    for (int i = 0; i < 4; ++i) data_.push_back({generator.normal(kShape)});
  }
  ~PrunedNet() override { context().threads = 0; }

  static std::vector<float> weight_of(const Graph& graph, const std::string& layer) {
    return LeafEvaluator(graph)(graph.node(graph.find_node(layer)).inputs[1]).to_vector<float>();
  }
  void expect_zeros(const Graph& quantized) const {
    ASSERT_EQ(layers_.size(), 4U);
    for (const std::string& layer : layers_) {
      const std::vector<float> w = weight_of(float_, layer), q = weight_of(quantized, layer);
      ASSERT_EQ(w.size(), q.size());
      std::size_t zeros = 0, back = 0, alive = 0;
      for (std::size_t i = 0; i < w.size(); ++i) {
        zeros += w[i] == 0;
        back += w[i] == 0 && q[i] != 0;
        alive += q[i] != 0;
      }
      EXPECT_GE(2 * zeros, w.size()) << layer;
      EXPECT_EQ(back, 0U) << layer << " of " << zeros;
      EXPECT_GT(5 * alive, w.size()) << layer;
    }
  }
  double noise(Graph quantized) const {
    Graph reference = float_.copy();
    double sum = 0;
    for (const Tensors& batch : data_) {
      const auto a = test::infer_with(reference, batch[0]).to_vector<float>();
      const auto b = test::infer_with(quantized, batch[0]).to_vector<float>();
      for (std::size_t i = 0; i < a.size(); ++i)
        sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    }
    return sum;
  }

  std::vector<Tensors> data_;
  std::vector<std::string> layers_;
  Graph float_;
};

TEST_F(PrunedNet, RoundWeightsKeepsZerosAndIsNoWorseThanNearest) {
  for (const std::int64_t qmax : {7, 127}) {
    QConfig config = QConfig::x86(Isa::avx512_vnni);
    config.weight_qmax = config.depthwise_weight_qmax = qmax;
    Graph prepared = prepare(float_, config);
    {
      const NoGrad no_grad;
      for (const Tensors& batch : data_) prepared.run(batch);
    }
    const double nearest = noise(convert(prepared).graph);
    for (const RoundingMethod method : {RoundingMethod::gptq_descent, RoundingMethod::adaround})
      for (const bool corrects : {true, false}) {
        SCOPED_TRACE(testing::Message() << qmax << " " << static_cast<int>(method) << corrects);
        const Rounded rounded = round_weights(
            prepared, data_,
            {.method = method, .relaxation = {.iterations = 100}, .correct_bias = corrects});
        for (const RoundingReport::Layer& layer : rounded.report.layers) {
          EXPECT_GT(layer.changed, 0) << layer.name;
          EXPECT_GE(layer.after, layer.before - (method == RoundingMethod::adaround ? 0.5 : 0))
              << layer.name;
        }
        const Graph quantized = convert(rounded.graph).graph;
        expect_zeros(quantized);
        EXPECT_LT(noise(quantized), nearest);
      }
  }
}

TEST_F(PrunedNet, GptqOfWeightsAloneKeepsZeros) {
  for (const int bits : {2, 4, 8})
    for (const std::int64_t group : {0, 4})
      for (const bool symmetric : {true, false}) {
        SCOPED_TRACE(testing::Message() << bits << " " << group << " " << symmetric);
        const WeightOnly quantized = weight_only(float_, {.bits = bits,
                                                          .group_size = group,
                                                          .symmetric = symmetric,
                                                          .gptq = true,
                                                          .data = data_});
        for (const WeightOnlyReport::Layer& layer : quantized.report.layers) {
          EXPECT_TRUE(layer.gptq) << layer.name;
          EXPECT_GE(*layer.output_sqnr_db, *layer.nearest_sqnr_db - 0.05) << layer.name;
        }
        expect_zeros(quantized.graph);
      }
}

}  // namespace
}  // namespace pare::quantize
