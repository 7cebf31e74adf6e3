// Optimizers, schedules and clipping against PyTorch's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>

#include "expect_error.h"
#include "optim/golden_optim.h"
#include "pare/core/error.h"
#include "pare/core/generator.h"
#include "pare/optim/adagrad.h"
#include "pare/optim/adam.h"
#include "pare/optim/clip.h"
#include "pare/optim/lamb.h"
#include "pare/optim/moving_average.h"
#include "pare/optim/nadam.h"
#include "pare/optim/rmsprop.h"
#include "pare/optim/schedule.h"
#include "pare/optim/sgd.h"

namespace pare {
namespace {

namespace golden = test::golden;

Tensor tensor_of(std::span<const double> values, const Shape& shape) {
  return Tensor::from(std::vector<float>(values.begin(), values.end()), shape);
}

Tensors starts() {
  Tensors result{tensor_of(golden::start_0, {3, 7}), tensor_of(golden::start_1, {5})};
  for (Tensor& t : result) t.set_requires_grad();
  return result;
}

void set_gradients(Tensors& parameters, std::size_t step) {
  parameters[0].set_grad(tensor_of(std::span(golden::gradients_0).subspan(step * 21, 21), {3, 7}));
  parameters[1].set_grad(tensor_of(std::span(golden::gradients_1).subspan(step * 5, 5), {5}));
}

void expect_near(const Tensor& found, std::span<const double> expected, double tolerance) {
  const std::vector<float> values = found.to_vector<float>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected[i], tolerance * (1 + std::fabs(expected[i]))) << i;
}

void run(optim::Optimizer& optimizer, Tensors& parameters, std::size_t from, std::size_t to,
         std::span<const double> expected) {
  for (std::size_t step = from; step < to; ++step) {
    set_gradients(parameters, step);
    if (step == 2) parameters[1].zero_grad();
    optimizer.step();
    const auto row = expected.subspan(step * 26, 26);
    ASSERT_NO_FATAL_FAILURE(expect_near(parameters[0], row.first(21), 2e-6)) << "step " << step;
    ASSERT_NO_FATAL_FAILURE(expect_near(parameters[1], row.subspan(21), 2e-6)) << "step " << step;
  }
}

template <class Optimizer, class Options>
void expect_trajectory(const Options& options, std::span<const double> expected) {
  {
    Tensors parameters = starts();
    Optimizer optimizer(parameters, options);
    run(optimizer, parameters, 0, 10, expected);
  }
  // The same, saved after five steps and taken up again by a new optimizer.
  Tensors parameters = starts();
  Optimizer first(parameters, options);
  run(first, parameters, 0, 5, expected);
  Optimizer second(parameters, options);
  second.load_state(first.state());
  run(second, parameters, 5, 10, expected);
}

TEST(Optim, SgdIsPyTorchs) {
  expect_trajectory<optim::SGD>(optim::SGDOptions{.lr = 0.1}, golden::sgd);
  expect_trajectory<optim::SGD>(optim::SGDOptions{.lr = 0.1, .weight_decay = 0.05},
                                golden::sgd_decay);
  expect_trajectory<optim::SGD>(
      optim::SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.01},
      golden::sgd_momentum);
  expect_trajectory<optim::SGD>(
      optim::SGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true},
      golden::sgd_nesterov);
}

TEST(Optim, AdamIsPyTorchs) {
  expect_trajectory<optim::Adam>(optim::AdamOptions{.lr = 0.01}, golden::adam);
  expect_trajectory<optim::Adam>(
      optim::AdamOptions{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1},
      golden::adam_decay);
}

TEST(Optim, AdamWIsPyTorchs) {
  expect_trajectory<optim::AdamW>(optim::AdamWOptions{.lr = 0.01}, golden::adamw);
  expect_trajectory<optim::AdamW>(
      optim::AdamWOptions{
          .lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1},
      golden::adamw_decay);
}

TEST(Optim, RmspropIsPyTorchs) {
  expect_trajectory<optim::RMSprop>(optim::RMSpropOptions{.lr = 0.02}, golden::rmsprop);
  expect_trajectory<optim::RMSprop>(optim::RMSpropOptions{.lr = 0.02, .momentum = 0.8},
                                    golden::rmsprop_momentum);
  expect_trajectory<optim::RMSprop>(optim::RMSpropOptions{.lr = 0.02,
                                                          .alpha = 0.9,
                                                          .eps = 1e-4,
                                                          .weight_decay = 0.05,
                                                          .momentum = 0.8,
                                                          .centered = true},
                                    golden::rmsprop_all);
}

TEST(Optim, AdagradIsPyTorchs) {
  expect_trajectory<optim::Adagrad>(optim::AdagradOptions{.lr = 0.1}, golden::adagrad);
  expect_trajectory<optim::Adagrad>(optim::AdagradOptions{.lr = 0.1,
                                                          .lr_decay = 0.1,
                                                          .weight_decay = 0.05,
                                                          .initial_accumulator_value = 0.2,
                                                          .eps = 1e-4},
                                    golden::adagrad_all);
}

TEST(Optim, NadamIsPyTorchs) {
  expect_trajectory<optim::NAdam>(optim::NAdamOptions{.lr = 0.01}, golden::nadam);
  expect_trajectory<optim::NAdam>(optim::NAdamOptions{.lr = 0.02,
                                                      .beta1 = 0.8,
                                                      .beta2 = 0.95,
                                                      .eps = 1e-3,
                                                      .weight_decay = 0.1,
                                                      .momentum_decay = 0.01},
                                  golden::nadam_all);
}

TEST(Optim, LambIsThePapers) {
  expect_trajectory<optim::LAMB>(optim::LAMBOptions{.lr = 0.01}, golden::lamb);
  expect_trajectory<optim::LAMB>(
      optim::LAMBOptions{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1},
      golden::lamb_all);
}

TEST(Optim, TheAverageFollowsTheWeights) {
  Tensor w = Tensor::full({3}, 1);
  w.set_requires_grad();
  optim::MovingAverage average({w}, {.decay = 0.9, .warm_up = false});
  EXPECT_THROW(average.swap(), Error);
  average.update();
  EXPECT_EQ(average.averages()[0].to_vector<float>(), (std::vector<float>{1, 1, 1}));
  w.copy_from(Tensor::full({3}, 2));
  average.update();
  EXPECT_NEAR(average.averages()[0].to_vector<float>()[1], 1.1, 1e-6);
  average.swap();
  EXPECT_NEAR(w.to_vector<float>()[2], 1.1, 1e-6);
  average.swap();
  EXPECT_EQ(w.to_vector<float>(), (std::vector<float>{2, 2, 2}));
  // With a warm-up update t keeps at most t / (t + 9).
  optim::MovingAverage early({w});
  early.update();
  w.copy_from(Tensor::full({3}, 13));
  early.update();
  EXPECT_NEAR(early.averages()[0].to_vector<float>()[0], 2 * (2.0 / 11) + 13 * (9.0 / 11), 1e-5);
  EXPECT_THROW(optim::MovingAverage({w}, {.decay = 1}), Error);
  EXPECT_THROW(optim::MovingAverage({}), Error);
}

// Long enough for several pieces of parallel_for, not a multiple of a vector.
TEST(Optim, LargeTensorsAreUpdatedWhole) {
  const std::int64_t n = 200'003;
  Tensor w = Tensor::full({n}, 1);
  w.set_requires_grad();
  w.set_grad(Tensor::full({n}, 2));
  optim::SGD sgd({w}, {.lr = 0.25, .momentum = 0.5});
  sgd.step();
  sgd.step();
  for (const float value : w.to_vector<float>()) ASSERT_EQ(value, 1 - 0.25F * 2 - 0.25F * 3);
}

TEST(Optim, MomentsOfVanishedGradientsBecomeZero) {
  const auto moments = [](auto optimizer, Tensor w) {
    for (int step = 0; step < 1000; ++step) {
      w.set_grad(Tensor::full({9}, step == 0 ? 1e-3 : 0));
      optimizer.step();
    }
    return optimizer.state();
  };
  const auto parameter = [] {
    Tensor w = Tensor::full({9}, 1);
    w.set_requires_grad();
    return w;
  };
  const Tensor a = parameter();
  for (const auto& [name, t] : moments(optim::Adam({a}), a))
    if (name.find("exp_avg") != std::string::npos && name.find("sq") == std::string::npos) {
      EXPECT_EQ(t.to_vector<float>(), std::vector<float>(9, 0.0F)) << name;
    }
  for (const bool nesterov : {false, true}) {
    const Tensor b = parameter();
    for (const auto& [name, t] :
         moments(optim::SGD({b}, {.momentum = 0.9, .nesterov = nesterov}), b))
      if (name.find("momentum_buffer") != std::string::npos) {
        EXPECT_EQ(t.to_vector<float>(), std::vector<float>(9, 0.0F)) << name;
      }
  }
}

TEST(Optim, GradientInAnotherMemoryFormat) {
  const auto step = [](MemoryFormat format) {
    Generator generator(1);
    Tensor w = generator.normal({4, 3, 2, 5});
    w.set_requires_grad();
    w.set_grad(generator.normal({4, 3, 2, 5}).to(format));
    optim::Adam adam({w});
    adam.step();
    return w.to_vector<float>();
  };
  EXPECT_EQ(step(MemoryFormat::row_major), step(MemoryFormat::channels_last));
}

TEST(Optim, StepCountsAsChangeAndZeroGradDrops) {
  Tensors parameters = starts();
  optim::SGD sgd(parameters);
  set_gradients(parameters, 0);
  const auto version = parameters[0].impl()->storage->version.load();
  sgd.step();
  EXPECT_GT(parameters[0].impl()->storage->version.load(), version);
  sgd.zero_grad();
  EXPECT_FALSE(parameters[0].grad().defined());
}

TEST(Optim, StepSkipsAParameterWithoutAGradient) {
  Tensors parameters{Tensor::ones({3}).set_requires_grad(), Tensor::ones({3}).set_requires_grad()};
  optim::SGD sgd(parameters, {.lr = 0.5, .momentum = 0.9, .weight_decay = 0.1});
  optim::Adam adam(parameters, {.lr = 0.5, .weight_decay = 0.1});
  for (optim::Optimizer* optimizer : std::initializer_list<optim::Optimizer*>{&sgd, &adam}) {
    const auto before = parameters[0].to_vector<float>();
    parameters[0].set_grad(Tensor::ones({3}));
    optimizer->step();
    EXPECT_NE(parameters[0].to_vector<float>(), before);
    // Not even decayed: PyTorch leaves it alone as well.
    EXPECT_EQ(parameters[1].to_vector<float>(), (std::vector<float>{1, 1, 1}));
  }
}

TEST(Optim, SchedulesArePyTorchs) {
  const auto expect = [](const optim::Schedule& schedule, std::span<const double> rates) {
    for (std::size_t epoch = 0; epoch < rates.size(); ++epoch)
      EXPECT_NEAR(schedule(0.4, static_cast<std::int64_t>(epoch)), rates[epoch], 1e-14);
  };
  expect(optim::StepLR{.step_size = 3, .gamma = 0.5}, golden::step_lr);
  expect(optim::CosineAnnealingLR{.T_max = 8, .eta_min = 0.01}, golden::cosine_lr);
  expect(optim::ConstantLR{.factor = 0.25, .total_iters = 4}, golden::constant_lr);
  expect(optim::ExponentialLR{.gamma = 0.7}, golden::exponential_lr);
  expect(optim::MultiStepLR{.milestones = {2, 5}, .gamma = 0.3}, golden::multi_step_lr);
  expect(optim::LinearLR{.start_factor = 0.2, .end_factor = 0.9, .total_iters = 4},
         golden::linear_lr);
  expect(optim::PolynomialLR{.total_iters = 5, .power = 1.5}, golden::polynomial_lr);
  expect(optim::CosineAnnealingWarmRestarts{.T_0 = 3, .T_mult = 2, .eta_min = 0.02},
         golden::restarts_lr);
  expect(optim::OneCycleLR{.max_lr = 0.8, .total_steps = 10}, golden::one_cycle_lr);
  expect(optim::OneCycleLR{.max_lr = 0.8,
                           .total_steps = 12,
                           .pct_start = 0.4,
                           .div_factor = 10,
                           .final_div_factor = 100,
                           .linear = true},
         golden::one_cycle_linear_lr);
  expect(optim::WarmUp{.epochs = 3, .start_factor = 0.1, .then = optim::ExponentialLR{0.5}},
         golden::warm_up_lr);
  EXPECT_THROW((optim::MultiStepLR{.milestones = {5, 2}}(1, 1)), Error);
  EXPECT_THROW((optim::LinearLR{.total_iters = 0}(1, 1)), Error);
  EXPECT_THROW((optim::OneCycleLR{.total_steps = 0}(1, 1)), Error);
  EXPECT_THROW((optim::WarmUp{.epochs = 0}(1, 1)), Error);
  EXPECT_THROW(optim::StepLR{.step_size = 0}(1, 1), Error);
  EXPECT_THROW(optim::CosineAnnealingLR{.T_max = 0}(1, 1), Error);
}

TEST(Optim, SchedulesRefuseEpochsThatAreNone) {
  using test::expect_error;
  const auto expect_refused = [](const char* name, const optim::Schedule& schedule) {
    expect_error(ErrorCode::invalid_argument,
                 {std::string(name) + ": expected an epoch of at least 0, got -1"},
                 [&] { schedule(0.1, -1); });
  };
  expect_refused("StepLR", optim::StepLR{});
  expect_refused("CosineAnnealingLR", optim::CosineAnnealingLR{.T_max = 3});
  expect_refused("ConstantLR", optim::ConstantLR{});
  expect_refused("ExponentialLR", optim::ExponentialLR{});
  expect_refused("MultiStepLR", optim::MultiStepLR{});
  expect_refused("LinearLR", optim::LinearLR{});
  expect_refused("PolynomialLR", optim::PolynomialLR{});
  expect_refused("CosineAnnealingWarmRestarts", optim::CosineAnnealingWarmRestarts{.T_0 = 3});
  expect_refused("OneCycleLR", optim::OneCycleLR{.total_steps = 3});
  expect_refused("WarmUp", optim::WarmUp{});
  const optim::OneCycleLR cycle{.max_lr = 0.5, .total_steps = 3};
  EXPECT_EQ(cycle(0.1, 3), cycle(0.1, 2));
  expect_error(ErrorCode::invalid_argument, {"OneCycleLR: expected at most total_steps (3)", "4"},
               [&] { cycle(0.1, 4); });
}

TEST(Optim, ThePlateauIsPyTorchs) {
  optim::ReduceLROnPlateau plateau({.factor = 0.5, .patience = 1, .cooldown = 1, .min_lr = 0.09});
  double rate = 0.4;
  for (std::size_t epoch = 0; epoch < std::size(golden::plateau_lr); ++epoch) {
    const double metric = golden::plateau_metrics[epoch];
    rate = plateau.step(metric < 0 ? std::nan("") : metric, rate);
    EXPECT_NEAR(rate, golden::plateau_lr[epoch], 1e-15) << epoch;
  }
  EXPECT_THROW(optim::ReduceLROnPlateau({.factor = 1}), Error);
}

TEST(Optim, ClipGradNormIsPyTorchs) {
  const auto expect = [](double p, double norm, std::span<const double> clipped) {
    Tensors parameters = starts();
    set_gradients(parameters, 0);
    EXPECT_NEAR(optim::clip_grad_norm(parameters, {.max_norm = 1.5, .norm_type = p}), norm,
                1e-5 * norm);
    expect_near(parameters[0].grad(), clipped.first(21), 1e-6);
    expect_near(parameters[1].grad(), clipped.subspan(21), 1e-6);
  };
  expect(2, golden::norm_2[0], golden::clipped_2);
  expect(1, golden::norm_1[0], golden::clipped_1);
  expect(3, golden::norm_3[0], golden::clipped_3);
  expect(std::numeric_limits<double>::infinity(), golden::norm_inf[0], golden::clipped_inf);
}

TEST(Optim, ClipGradNormOfLargeTensorsAndSmallNorms) {
  Tensor w = Tensor::zeros({100'001});
  w.set_requires_grad();
  w.set_grad(Tensor::full({100'001}, 0.5));
  const double norm = 0.5 * std::sqrt(100'001.0);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_NEAR(optim::clip_grad_norm(Tensors{w}, {.max_norm = 1000}), norm, 1e-9 * norm);
  EXPECT_EQ(optim::clip_grad_norm(Tensors{w}, {.max_norm = 1000, .norm_type = infinity}), 0.5);
  EXPECT_EQ(w.grad().data<float>()[100'000], 0.5F);
  w.grad().mutable_data<float>()[70'000] = std::nanf("");
  EXPECT_TRUE(std::isnan(optim::clip_grad_norm(Tensors{w}, {.norm_type = infinity})));
  EXPECT_THROW(optim::clip_grad_norm(Tensors{w}, {.error_if_nonfinite = true}), Error);
}

TEST(Optim, ClipGradValue) {
  Tensor w = Tensor::zeros({4});
  w.set_requires_grad();
  w.set_grad(Tensor::from({-3, -0.5, 0.25, 2}, {4}));
  optim::clip_grad_value(Tensors{w}, 0.5);
  EXPECT_THAT(w.grad().to_vector<float>(), testing::ElementsAre(-0.5F, -0.5F, 0.25F, 0.5F));
  EXPECT_THROW(optim::clip_grad_value(Tensors{w}, -1), Error);
}

template <class Run> void expect_error(ErrorCode code, const std::string& part, Run run) {
  try {
    run();
    ADD_FAILURE() << "no error with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

TEST(Optim, BadInputIsNamed) {
  Tensors parameters = starts();
  expect_error(ErrorCode::invalid_argument, "expected parameters", [] { optim::SGD sgd({}); });
  expect_error(ErrorCode::invalid_argument, "twice", [&] {
    optim::Adam adam({parameters[0], parameters[0]});
  });
  expect_error(ErrorCode::invalid_argument, "requires none",
               [&] { optim::Adam adam({Tensor::zeros({2})}); });
  expect_error(ErrorCode::dtype_mismatch, "got one of f64 [2]",
               [&] { optim::Adam adam({Tensor::zeros({2}, DType::f64)}); });
  expect_error(ErrorCode::invalid_argument, "learning rate",
               [&] { optim::SGD sgd(parameters, {.lr = -1}); });
  expect_error(ErrorCode::invalid_argument, "nesterov",
               [&] { optim::SGD sgd(parameters, {.nesterov = true}); });
  expect_error(ErrorCode::invalid_argument, "beta1",
               [&] { optim::AdamW adam(parameters, {.beta1 = 1}); });
}

TEST(Optim, StaleHandlesAreRefusedUntilRebuild) {
  Tensors parameters = starts();
  optim::SGD sgd(parameters, {.lr = 1, .momentum = 0.5});
  set_gradients(parameters, 0);
  sgd.step();
  const std::vector<float> before = parameters[1].to_vector<float>();

  Tensor smaller = Tensor::zeros({2, 3});
  smaller.set_requires_grad();
  parameters[0].impl()->retired = true;
  set_gradients(parameters, 1);
  expect_error(ErrorCode::invalid_state, "optimizer.rebuild(replacements)", [&] { sgd.step(); });
  EXPECT_EQ(parameters[1].to_vector<float>(), before);

  const std::vector<Replacement> edit{
      {.old = parameters[0], .now = smaller, .kept = {{{0, 2}}, {{1, 3, 6}}}}};
  sgd.rebuild(edit);
  EXPECT_TRUE(sgd.parameters()[0].same_as(smaller));
  // With a gradient of zero the step is half the old momentum, cut as the parameter was.
  parameters[1].zero_grad();
  smaller.set_grad(Tensor::zeros({2, 3}));
  sgd.step();
  const std::vector<float> moved = smaller.to_vector<float>();
  std::size_t i = 0;
  for (const std::size_t row : {0U, 2U})
    for (const std::size_t column : {1U, 3U, 6U})
      EXPECT_FLOAT_EQ(moved[i++], static_cast<float>(-0.5 * golden::gradients_0[row * 7 + column]));
}

TEST(Optim, RebuildAddsDropsAndStartsAnew) {
  Tensors parameters = starts();
  optim::Adam adam(parameters);
  set_gradients(parameters, 0);
  adam.step();
  Tensor u = Tensor::zeros({3, 2}), v = Tensor::zeros({2, 7});
  u.set_requires_grad();
  v.set_requires_grad();
  const std::vector<Replacement> edit{{.old = parameters[0], .now = u},
                                      {.old = {}, .now = v},
                                      {.old = parameters[1], .now = {}},
                                      {.old = Tensor::zeros({1}), .now = u}};
  adam.rebuild(edit);
  ASSERT_EQ(adam.parameters().size(), 2U);
  EXPECT_TRUE(adam.parameters()[0].same_as(u));
  EXPECT_TRUE(adam.parameters()[1].same_as(v));
  EXPECT_EQ(adam.state().size(), 1U);  // the learning rate
  const std::vector<Replacement> wrong{{.old = u, .now = v, .kept = {{{0, 5}}}}};
  optim::Adam other({u});
  expect_error(ErrorCode::out_of_range, "from 0 to 2 on axis 0, got 5",
               [&] { other.rebuild(wrong); });
}

TEST(Optim, StateOfAnotherIsRefusedWhole) {
  Tensors parameters = starts();
  optim::Adam adam(parameters, {.lr = 0.5});
  set_gradients(parameters, 0);
  adam.step();
  optim::SGD sgd(parameters, {.lr = 0.125, .momentum = 0.9});
  expect_error(ErrorCode::invalid_argument, "'0.exp_avg'", [&] { sgd.load_state(adam.state()); });
  EXPECT_EQ(sgd.learning_rate(), 0.125);
  optim::NamedState state = adam.state();
  for (auto& [name, tensor] : state)
    if (name == "1.exp_avg") tensor = Tensor::zeros({6});
  expect_error(ErrorCode::shape_mismatch, "1.exp_avg: expected shape [5], got [6]",
               [&] { adam.load_state(state); });
}

}  // namespace
}  // namespace pare
