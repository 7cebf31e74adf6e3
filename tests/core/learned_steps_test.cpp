// Learned fake-quantization against PyTorch; where steps start; what one pass for ReLU changes.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/golden_learned_steps.h"
#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/core/ops/quantization.h"

namespace pare::test {
namespace {

using ::testing::ElementsAreArray;
using Learned = FakeQuantizeLearnedAttributes;

constexpr MemoryFormat kLast = MemoryFormat::channels_last;

Tensor leaf(const std::vector<float>& values, const Shape& shape) {
  Tensor t = Tensor::from(values, shape);
  t.set_requires_grad(true);
  return t;
}

void expect_near(const Tensor& got, const std::vector<float>& expected, float tolerance,
                 const std::string& what) {
  const auto values = got.to_vector<float>();
  ASSERT_EQ(values.size(), expected.size()) << what;
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(values[i], expected[i], tolerance * (1 + std::fabs(expected[i])))
        << what << " at " << i;
}

TEST(LearnedSteps, ResultsAndGradientsArePyTorchs) {
  for (const golden::LearnedStep& c : golden::kLearnedSteps) {
    SCOPED_TRACE(c.name);
    Shape shape;
    for (const std::int64_t d : c.shape) shape.append(d);
    const bool affine = std::string(c.form) == "scale";
    const Shape steps = c.axis < 0 ? Shape{} : Shape{static_cast<std::int64_t>(c.step.size())};
    const Learned a{.qmin = c.qmin,
                    .qmax = c.qmax,
                    .axis = c.axis,
                    .zero_point = affine ? 0 : static_cast<std::int64_t>(c.zero[0]),
                    .form = c.form,
                    .gradient_factor = c.factor};
    for (const bool last : {false, true}) {
      if (last && shape.rank() < 3) continue;
      const Tensor leaf_x = leaf(c.x, shape);
      const Tensor step = leaf(c.step, steps);
      const Tensor zero = affine ? leaf(c.zero, steps) : Tensor();
      const Tensor x = last ? leaf_x.to(kLast) : leaf_x;
      const Tensor y = fake_quantize_learned(x, step, zero, a);
      y.backward(Tensor::from(c.dy, shape));
      expect_near(y, c.y, 1e-6F, "y");
      expect_near(leaf_x.grad(), c.dx, 1e-6F, "dx");
      expect_near(step.grad(), c.dstep, 2e-5F, "dstep");
      if (affine) expect_near(zero.grad(), c.dzero, 2e-5F, "dzero");
    }
  }
}

TEST(LearnedSteps, GradientOfTheStepIsTheDerivativeOfItsStraightThroughForm) {
  // With codes held, the result is s·code(s0) inside plus (x/s − x/s0)·s0 of the rounding's
  // straight-through part: its derivative by s at s0 is code − x/s0; outside it is the bound.
  Generator g(3);
  const Tensor x = g.normal({500});
  for (const double s0 : {0.05, 0.4}) {
    const auto loss = [&](double s) {
      double sum = 0;
      for (const float v : x.to_vector<float>()) {
        const double code = std::nearbyint(static_cast<double>(v) / s0);
        const double rest = code - static_cast<double>(v) / s0;
        const bool inside = code >= -8 && code <= 7;
        const double through = static_cast<double>(v) / s + rest;
        sum += s * (inside ? through : std::clamp(code, -8.0, 7.0));
      }
      return sum;
    };
    const Tensor step = leaf({static_cast<float>(s0)}, {});
    sum(fake_quantize_learned(x, step, {}, {.qmin = -8, .qmax = 7, .gradient_factor = 1}))
        .backward();
    const double h = 1e-6;
    EXPECT_NEAR(step.grad().item(), (loss(s0 + h) - loss(s0 - h)) / (2 * h), 1e-2) << s0;
  }
}

TEST(LearnedSteps, FactorIsThatOfTheElementsPerStep) {
  Generator g(4);
  const Tensor x = g.normal({4, 30});
  const auto gradient = [&](double factor, std::int64_t axis) {
    const Tensor step = axis < 0 ? leaf({0.1F}, {}) : leaf({0.1F, 0.2F, 0.3F, 0.1F}, {4});
    sum(fake_quantize_learned(x, step, {},
                              {.qmin = -7, .qmax = 7, .axis = axis, .gradient_factor = factor}))
        .backward();
    return step.grad().to_vector<float>();
  };
  EXPECT_NEAR(gradient(0, -1)[0], gradient(1 / std::sqrt(120.0 * 7), -1)[0], 1e-5);
  const auto own = gradient(0, 0), given = gradient(1 / std::sqrt(30.0 * 7), 0);
  for (std::size_t c = 0; c < own.size(); ++c) EXPECT_NEAR(own[c], given[c], 1e-5) << c;
}

TEST(LearnedSteps, ReluWithinIsReluBefore) {
  Generator g(5);
  const Tensor values = g.normal({2, 3, 9, 7});
  const Tensor dy = g.normal({2, 3, 9, 7});
  for (const char* form : {"scale", "clip", "log2"})
    for (const bool last : {false, true}) {
      const auto run = [&](bool within) {
        Tensor x = values.clone();
        x.set_requires_grad(true);
        const Tensor step = leaf({std::string(form) == "scale" ? 0.07F : 0.9F}, {});
        const Tensor given = last ? x.to(kLast) : x;
        Learned a{.qmax = 15, .form = form, .relu = within};
        fake_quantize_learned(within ? given : relu(given), step, {}, a).backward(dy);
        return std::pair{x.grad().to_vector<float>(), step.grad().to_vector<float>()};
      };
      const auto [dx, dstep] = run(true);
      const auto [expected_dx, expected_dstep] = run(false);
      EXPECT_EQ(dx, expected_dx) << form;
      EXPECT_NEAR(dstep[0], expected_dstep[0], 1e-5F) << form;
    }
}

TEST(LearnedSteps, SumsDoNotDependOnThreads) {
  Generator g(6);
  const Tensor x = g.normal({8, 16, 33, 31});
  const auto gradient = [&](int threads) {
    ContextScope scope;
    scope->threads = threads;
    const Tensor step = leaf({0.1F}, {});
    sum(fake_quantize_learned(x, step, {}, {.qmin = -8, .qmax = 7})).backward();
    return step.grad().to_vector<float>();
  };
  EXPECT_EQ(gradient(1), gradient(2));
}

TEST(LearnedSteps, TheFirstValuesSeenSetUnsetSteps) {
  Generator g(7);
  const Tensor x = g.normal({64, 32}, 0.3F, 1.0F);
  Tensor step = leaf({kUnsetStep}, {});
  const Learned a{.qmax = 15, .relu = true};
  {
    ContextScope scope;
    scope->observing = false;
    const Tensor y = fake_quantize_learned(x, step, {}, a);
    EXPECT_THAT(y.to_vector<float>(), ElementsAreArray(relu(x).to_vector<float>()));
    EXPECT_TRUE(std::isnan(step.item()));
  }
  const Tensor y = fake_quantize_learned(x, step, {}, a);
  double magnitude = 0;
  for (const float v : relu(x).to_vector<float>()) magnitude += static_cast<double>(v);
  const double expected = 2 * magnitude / (64 * 32) / std::sqrt(15.0);
  EXPECT_NEAR(step.item(), expected, 1e-6);
  // The call that sets the step uses it already, and so does its gradient.
  const float scale = static_cast<float>(step.item());
  const Tensor expected_y =
      fake_quantize(relu(x), step.detach(), Tensor::scalar(0, DType::i32), {.qmin = 0, .qmax = 15});
  EXPECT_THAT(y.to_vector<float>(), ElementsAreArray(expected_y.to_vector<float>()));
  sum(y).backward();
  EXPECT_TRUE(std::isfinite(step.grad().item()));
  fake_quantize_learned(g.normal({64, 32}, 0, 50), step, {}, a);
  EXPECT_EQ(static_cast<float>(step.item()), scale);
}

TEST(LearnedSteps, StartsAreWhatTheySay) {
  const std::vector<float> values{-1, -0.5F, 0, 0.25F, 0.25F, 1, 1.5F, 3};
  const Tensor x = Tensor::from(values, {8});
  double mean = 0, squares = 0, magnitude = 0;
  for (const float v : values) {
    mean += static_cast<double>(v) / 8;
    squares += static_cast<double>(v) * static_cast<double>(v) / 8;
    magnitude += std::fabs(static_cast<double>(v)) / 8;
  }
  const double reach = std::min(3.0, mean + 3 * std::sqrt(squares - mean * mean));
  const auto start = [&](Learned a, bool with_zero = false) {
    a.qmin = -8;
    a.qmax = 7;
    return starting_steps(x, a, with_zero);
  };
  EXPECT_NEAR(start({.start = "mean"}).step.item(), 2 * magnitude / std::sqrt(7.0), 1e-6);
  EXPECT_NEAR(start({.start = "deviation"}).step.item(), reach / 7, 1e-6);
  EXPECT_NEAR(start({.start = "largest"}).step.item(), 3.0 / 7, 1e-6);
  EXPECT_NEAR(start({.form = "clip", .start = "largest"}).step.item(), 3, 1e-6);
  EXPECT_NEAR(start({.form = "log2", .start = "largest"}).step.item(), std::log2(3.0 / 7 * 8),
              1e-6);
  const StartingSteps affine = start({.start = "largest"}, true);
  EXPECT_NEAR(affine.step.item(), 4.0 / 15, 1e-6);
  EXPECT_EQ(affine.zero_point.item(), std::nearbyint(-8 + 1 / (4.0 / 15)));
  // No step of the hundred loses less.
  const double best = start({.start = "least_squares"}).step.item();
  const auto loss = [&](double s) {
    double sum = 0;
    for (const float v : values) {
      const double d = static_cast<double>(v) -
                       s * std::clamp(std::nearbyint(static_cast<double>(v) / s), -8.0, 7.0);
      sum += d * d;
    }
    return sum;
  };
  for (int k = 1; k <= 100; ++k) EXPECT_LE(loss(best), loss(3.0 / 7 * k / 100) + 1e-6) << k;
}

TEST(LearnedSteps, StepsOfChannelsStartEachByItself) {
  const Tensor x = Tensor::from({1, 2, 3, 4, 10, 20, 30, 40, 0, 0, 0, 0}, {3, 4});
  const Learned a{.qmin = -7, .qmax = 7, .axis = 0, .start = "largest"};
  expect_near(starting_steps(x, a, false).step, {4.0F / 7, 40.0F / 7, 1.0F / 7}, 1e-6F, "axis 0");
  Learned columns = a;
  columns.axis = 1;
  expect_near(starting_steps(x, columns, false).step, {10.0F / 7, 20.0F / 7, 30.0F / 7, 40.0F / 7},
              1e-6F, "axis 1");
  const Tensor pictures = transpose(reshape(x, {3, 2, 2, 1}), {1, 0, 2, 3}).to(kLast);
  expect_near(starting_steps(pictures, columns, false).step, {4.0F / 7, 40.0F / 7, 1.0F / 7}, 1e-6F,
              "channels last");
}

TEST(LearnedSteps, ScalesStayAboveTheSmallest) {
  const Tensor x = Tensor::from({1, -1, 0.5F}, {3});
  for (const float s : {0.0F, -2.0F, 1e-20F}) {
    Tensor step = leaf({s}, {});
    const Tensor y = fake_quantize_learned(x, step, {}, {.qmin = -8, .qmax = 7});
    EXPECT_NEAR(max(y).item(), 7 * 0x1p-23, 1e-12) << s;
    // It grows where that lowers the loss, and is not pushed further down.
    y.backward(Tensor::from({-1, 0, 0}, {3}));
    EXPECT_LT(step.grad().item(), 0) << s;
    step.zero_grad();
    fake_quantize_learned(x, step, {}, {.qmin = -8, .qmax = 7})
        .backward(Tensor::from({1, 0, 0}, {3}));
    EXPECT_EQ(step.grad().item(), 0) << s;
  }
}

TEST(LearnedSteps, LearnedZeroPointsAreRoundedAndClamped) {
  const auto zero_of = [](float zero, bool even) {
    return learned_parameters(Tensor::scalar(0.5), Tensor::scalar(zero),
                              {.qmin = 0, .qmax = 15, .even_zero_point = even})[0]
        .zero_point;
  };
  EXPECT_EQ(zero_of(6.4F, false), 6);
  EXPECT_EQ(zero_of(6.6F, false), 7);
  EXPECT_EQ(zero_of(6.9F, true), 6);
  EXPECT_EQ(zero_of(7.2F, true), 8);
  EXPECT_EQ(zero_of(-3.0F, false), 0);
  EXPECT_EQ(zero_of(99.0F, false), 15);
  EXPECT_EQ(zero_of(99.0F, true), 14);
}

TEST(LearnedSteps, ThresholdsGivePowersOfTwo) {
  for (const float theta : {-3.7F, -1.0F, 0.2F, 2.0F}) {
    const auto p = learned_parameters(Tensor::scalar(theta), {},
                                      {.qmin = -128, .qmax = 127, .form = "log2"})[0];
    EXPECT_EQ(p.scale, std::exp2(std::ceil(theta)) / 128) << theta;
    int exponent = 0;
    EXPECT_EQ(std::frexp(p.scale, &exponent), 0.5F) << theta;
  }
}

TEST(LearnedSteps, BadInput) {
  const Tensor x = Tensor::from({1, -1, 0.5F}, {3});
  const Tensor one = Tensor::scalar(1.0);
  const auto call = [&](const Tensor& step, const Learned& a, const Tensor& zero = {}) {
    fake_quantize_learned(x, step, zero, a);
  };
  constexpr ErrorCode kInvalid = ErrorCode::invalid_argument;
  expect_error(kInvalid, {"qmin < qmax"}, [&] { call(one, {.qmin = 7, .qmax = 7}); });
  expect_error(kInvalid, {"zero point", "255"}, [&] { call(one, {.zero_point = 255}); });
  expect_error(kInvalid, {"got 'steps'"}, [&] { call(one, {.form = "steps"}); });
  expect_error(kInvalid, {"got 'middle'"}, [&] { call(one, {.start = "middle"}); });
  expect_error(kInvalid, {"gradient_factor"}, [&] { call(one, {.gradient_factor = -1}); });
  expect_error(ErrorCode::shape_mismatch, {"axis 0"}, [&] {
    call(Tensor::from({1, 1}, {2}), {.axis = 0});
  });
  expect_error(ErrorCode::dtype_mismatch, {"f32"},
               [&] { call(one, {}, Tensor::scalar(3, DType::i32)); });
  expect_error(kInvalid, {"finite scales", "inf"},
               [&] { call(Tensor::scalar(std::numeric_limits<double>::infinity()), {}); });
  const Tensor bad = Tensor::from({1, std::numeric_limits<float>::infinity()}, {2});
  expect_error(kInvalid, {"fake_quantize_learned", "inf"},
               [&] { fake_quantize_learned(bad, Tensor::scalar(kUnsetStep), {}, {}); });
}

}  // namespace
}  // namespace pare::test
