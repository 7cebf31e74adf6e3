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
