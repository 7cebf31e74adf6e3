// First values of weights against PyTorch's deviations (printed by make_init.py) and bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pare/core/error.h"
#include "pare/nn/conv.h"
#include "pare/nn/init.h"
#include "pare/nn/linear.h"

namespace pare {
namespace {

namespace init = nn::init;

struct Statistics {
  double mean, deviation, largest;
};

Statistics statistics(const Tensor& tensor) {
  const std::vector<float> values = tensor.to_vector<float>();
  Statistics s{};
  const auto n = static_cast<double>(values.size());
  for (const float v : values) {
    s.mean += static_cast<double>(v) / n;
    s.largest = std::max(s.largest, std::fabs(static_cast<double>(v)));
  }
  for (const float v : values) s.deviation += std::pow(static_cast<double>(v) - s.mean, 2) / n;
  s.deviation = std::sqrt(s.deviation);
  return s;
}

void expect_uniform(const Tensor& tensor, double deviation, double tolerance = 0.01) {
  const Statistics s = statistics(tensor);
  EXPECT_NEAR(s.mean, 0, 3 * tolerance * deviation);
  EXPECT_NEAR(s.deviation, deviation, tolerance * deviation);
  EXPECT_LE(s.largest, deviation * std::sqrt(3.0) * 1.002);
}

void expect_normal(const Tensor& tensor, double deviation) {
  const Statistics s = statistics(tensor);
  EXPECT_NEAR(s.mean, 0, 0.03 * deviation);
  EXPECT_NEAR(s.deviation, deviation, 0.01 * deviation);
  EXPECT_GT(s.largest, 3.5 * deviation);
}

TEST(Init, LayersStartAsPyTorchs) {
  Generator generator(7);
  nn::Linear linear{{.in = 400, .out = 300}};
  nn::initialize(linear, generator);
  expect_uniform(linear.weight, 0.028875);
  expect_uniform(linear.bias, 0.028875, 0.1);
  nn::Conv2d conv{{.in = 32, .out = 48, .kernel = 5, .groups = 2}};
  nn::initialize(conv, generator);
  expect_uniform(conv.weight, 0.028856);
  expect_uniform(conv.bias, 0.0288, 0.3);
}

TEST(Init, SchemesAreThoseOfTorchNnInit) {
  Generator generator(8);
  const Shape shape{120, 90, 3, 3};
  expect_uniform(init::kaiming_uniform(shape, generator), 0.049710);
  expect_normal(init::kaiming_normal(shape, generator), 0.049663);
  expect_uniform(init::xavier_uniform(shape, generator), 0.032530);
  expect_normal(init::xavier_normal(shape, generator), 0.032515);
  expect_normal(
      init::kaiming_normal(shape, generator,
                           {.fan = init::Fan::out, .nonlinearity = init::Nonlinearity::relu}),
      0.043056);
  expect_uniform(init::uniform({400, 400}, generator, {.low = -2, .high = 2}), 2 / std::sqrt(3.0));
  const Statistics gaussian =
      statistics(init::normal({400, 400}, generator, {.mean = 5, .deviation = 0.5}));
  EXPECT_NEAR(gaussian.mean, 5, 0.01);
  EXPECT_NEAR(gaussian.deviation, 0.5, 0.005);
  EXPECT_EQ(init::constant({2}, 0.5).to_vector<float>(), (std::vector<float>{0.5F, 0.5F}));
  EXPECT_EQ(init::zeros({1}).item(), 0);
  EXPECT_EQ(init::ones({1}).item(), 1);
}

TEST(Init, GainsArePyTorchs) {
  EXPECT_EQ(init::gain(init::Nonlinearity::linear), 1);
  EXPECT_EQ(init::gain(init::Nonlinearity::sigmoid), 1);
  EXPECT_EQ(init::gain(init::Nonlinearity::tanh), 1.6666666666666667);
  EXPECT_EQ(init::gain(init::Nonlinearity::relu), 1.4142135623730951);
  EXPECT_DOUBLE_EQ(init::gain(init::Nonlinearity::leaky_relu, 0.2), 1.3867504905630728);
}

TEST(Init, TruncatedNormalsHaveTheDeviationsOfTheirIntegrals) {
  Generator generator(9);
  // scipy.stats.truncnorm(-2, 2).std() and truncnorm(-1, 3, loc = 1, scale = 0.5)'s.
  const Statistics two = statistics(init::trunc_normal({300, 300}, generator));
  EXPECT_NEAR(two.mean, 0, 0.01);
  EXPECT_NEAR(two.deviation, 0.8796256610342398, 0.005);
  EXPECT_LE(two.largest, 2);
  EXPECT_GT(two.largest, 1.95);
  const Statistics skew = statistics(init::trunc_normal(
      {300, 300}, generator, {.mean = 1, .deviation = 0.5, .low = 0.5, .high = 2.5}));
  EXPECT_NEAR(skew.mean, 1.14139, 0.005);
  EXPECT_NEAR(skew.deviation, 0.39247, 0.005);
  const Tensor far = init::trunc_normal({1000}, generator, {.low = 3, .high = 4});
  for (const float v : far.to_vector<float>()) {
    ASSERT_GE(v, 3);
    ASSERT_LE(v, 4);
  }
  EXPECT_THROW(init::trunc_normal({2}, generator, {.low = 1, .high = 1}), Error);
  EXPECT_THROW(init::trunc_normal({2}, generator, {.deviation = 0}), Error);
  EXPECT_THROW(init::trunc_normal({2}, generator, {.low = 60, .high = 61}), Error);
}

// w·wᵀ of the smaller side.
void expect_orthogonal(const Shape& shape, double gain) {
  Generator generator(4);
  const Tensor w = init::orthogonal(shape, generator, gain);
  ASSERT_EQ(w.shape(), shape);
  const std::int64_t rows = shape[0], columns = shape.elements(1, shape.rank());
  const float* x = w.data<float>();
  const bool wide = rows <= columns;
  const std::int64_t count = std::min(rows, columns), length = std::max(rows, columns);
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t j = 0; j < count; ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < length; ++k)
        dot += wide ? static_cast<double>(x[i * columns + k]) * x[j * columns + k]
                    : static_cast<double>(x[k * columns + i]) * x[k * columns + j];
      EXPECT_NEAR(dot, i == j ? gain * gain : 0, 2e-6) << i << " " << j;
    }
}

TEST(Init, OrthogonalMatrices) {
  expect_orthogonal({7, 20}, 1);
  expect_orthogonal({20, 7}, 2);
  expect_orthogonal({9, 9}, 1);
  expect_orthogonal({6, 2, 2, 2}, 1);
  Generator generator(4);
  EXPECT_THROW(init::orthogonal({3}, generator), Error);
}

TEST(Init, SparseHasItsZerosInEveryColumn) {
  Generator generator(4);
  const Tensor w = init::sparse({50, 40}, generator, {.share = 0.33, .deviation = 2});
  const float* x = w.data<float>();
  for (int c = 0; c < 40; ++c) {
    int zeros = 0;
    for (int r = 0; r < 50; ++r) zeros += x[r * 40 + c] == 0 ? 1 : 0;
    EXPECT_EQ(zeros, 17) << c;
  }
  EXPECT_NEAR(statistics(w).deviation, 2 * std::sqrt(33.0 / 50), 0.1);
  EXPECT_THROW(init::sparse({2, 2, 2}, generator), Error);
  EXPECT_THROW(init::sparse({2, 2}, generator, {.share = 1.5}), Error);
}

TEST(Init, ExactOnes) {
  EXPECT_EQ(init::eye({2, 3}).to_vector<float>(), (std::vector<float>{1, 0, 0, 0, 1, 0}));
  EXPECT_THROW(init::eye({2}), Error);
  // torch.nn.init.dirac_(torch.empty(4, 2, 3), groups=2)
  EXPECT_EQ(
      init::dirac({4, 2, 3}, 2).to_vector<float>(),
      (std::vector<float>{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  const Tensor two = init::dirac({3, 2, 2, 3});
  EXPECT_EQ(two.data<float>()[4], 1);   // [0, 0, 1, 1]
  EXPECT_EQ(two.data<float>()[22], 1);  // [1, 1, 1, 1]
  EXPECT_THROW(init::dirac({2, 2}), Error);
  EXPECT_THROW(init::dirac({3, 2, 3}, 2), Error);
  EXPECT_EQ(init::gain(init::Nonlinearity::selu), 0.75);
}

TEST(Init, FansNeedTwoAxes) { EXPECT_THROW(init::fans({3}), Error); }

TEST(Init, SameSeedSameBits) {
  const auto draw = [](std::uint64_t seed) {
    Generator generator(seed);
    nn::Linear layer{{.in = 20, .out = 30}};
    nn::initialize(layer, generator);
    return layer.weight.value().to_vector<float>();
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

}  // namespace
}  // namespace pare
