// Parameter groups, names, and states that go through a file: resumed equals uninterrupted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/io/state.h"
#include "pare/nn/module.h"
#include "pare/optim/adagrad.h"
#include "pare/optim/adam.h"
#include "pare/optim/clip.h"
#include "pare/optim/lamb.h"
#include "pare/optim/moving_average.h"
#include "pare/optim/nadam.h"
#include "pare/optim/rmsprop.h"
#include "pare/optim/schedule.h"
#include "pare/optim/sgd.h"
#include "temporary_folder.h"

namespace pare::optim {
namespace {

using test::expect_error;
using test::TemporaryFolder;

Tensors starts() {
  Generator generator(3);
  Tensors result{generator.normal({3, 7}), generator.normal({5}), generator.normal({2, 2, 2, 2})};
  result[2] = result[2].to(MemoryFormat::channels_last);
  for (Tensor& t : result) t.set_requires_grad();
  return result;
}

void set_gradients(Tensors& parameters, std::uint64_t step) {
  Generator generator(100 + step);
  for (Tensor& p : parameters) p.set_grad(generator.normal(p.shape()));
}

std::vector<std::vector<float>> values(const Tensors& parameters) {
  std::vector<std::vector<float>> result;
  for (const Tensor& p : parameters) result.push_back(p.to_vector<float>());
  return result;
}

const std::vector<nn::NamedTensor> named(const Tensors& p) {
  return {{"a.weight", p[0], true}, {"a.bias", p[1], true}, {"1", p[2], true}};
}

// Through a safetensors file, as a checkpoint would.
NamedState through_file(const NamedState& state) {
  const TemporaryFolder folder;
  io::save_state(state, folder.path("state"));
  return io::load_state(folder.path("state"));
}

// Two groups; saved after three steps of six, loaded by another optimizer.
template <class Optimizer, class Options> void expect_resumes(const Options& a, const Options& b) {
  const auto make = [&](Tensors& p) {
    Optimizer optimizer(
        {{.parameters = {p[0], p[2]}, .options = a}, {.parameters = {p[1]}, .options = b}});
    optimizer.set_names(named(p));
    return optimizer;
  };
  Tensors whole = starts(), first = starts();
  Optimizer uninterrupted = make(whole), before = make(first);
  for (std::uint64_t s = 0; s < 6; ++s) {
    set_gradients(whole, s);
    uninterrupted.step();
    if (s == 2) uninterrupted.set_learning_rate(0.03, 1);
  }
  for (std::uint64_t s = 0; s < 3; ++s) {
    set_gradients(first, s);
    before.step();
  }
  before.set_learning_rate(0.03, 1);
  Tensors second = starts();
  for (std::size_t i = 0; i < second.size(); ++i) second[i].copy_from(first[i]);
  Optimizer after = make(second);
  after.load_state(through_file(before.state()));
  for (std::uint64_t s = 3; s < 6; ++s) {
    set_gradients(second, s);
    after.step();
  }
  EXPECT_EQ(values(second), values(whole)) << after.kind();
  EXPECT_EQ(after.learning_rate(1), 0.03);
}

TEST(Groups, EveryOptimizerResumesBitForBit) {
  expect_resumes<SGD>(SGDOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true},
                      SGDOptions{.lr = 0.2});
  expect_resumes<Adam>(AdamOptions{.lr = 0.1}, AdamOptions{.lr = 0.2, .beta1 = 0.5});
  expect_resumes<AdamW>(AdamWOptions{.lr = 0.1}, AdamWOptions{.lr = 0.2, .weight_decay = 0});
  expect_resumes<NAdam>(NAdamOptions{.lr = 0.1}, NAdamOptions{.beta1 = 0.5, .momentum_decay = 0.1});
  expect_resumes<LAMB>(LAMBOptions{.lr = 0.1}, LAMBOptions{.weight_decay = 0});
  expect_resumes<Adagrad>(AdagradOptions{.lr = 0.1}, AdagradOptions{.lr_decay = 0.5});
  expect_resumes<RMSprop>(RMSpropOptions{.momentum = 0.9, .centered = true}, RMSpropOptions{});
}

// A group is what an optimizer of its own would be.
template <class Optimizer, class Options> void expect_separate(const Options& a, const Options& b) {
  Tensors together = starts(), apart = starts();
  Optimizer both({{.parameters = {together[0], together[2]}, .options = a},
                  {.parameters = {together[1]}, .options = b}});
  Optimizer one({apart[0], apart[2]}, a);
  Optimizer other({apart[1]}, b);
  for (std::uint64_t s = 0; s < 3; ++s) {
    set_gradients(together, s);
    set_gradients(apart, s);
    both.step();
    one.step();
    other.step();
  }
  EXPECT_EQ(values(together), values(apart)) << both.kind();
  ASSERT_EQ(both.groups(), 2);
  EXPECT_EQ(both.learning_rate(1), b.lr);
  EXPECT_TRUE(both.parameters(1)[0].same_as(together[1]));
}

TEST(Groups, AreOptimizersOfTheirOwn) {
  expect_separate<SGD>(SGDOptions{.lr = 0.1}, SGDOptions{.lr = 0.3, .momentum = 0.9});
  expect_separate<AdamW>(AdamWOptions{.lr = 0.1}, AdamWOptions{.beta2 = 0.9, .weight_decay = 0});
  expect_separate<NAdam>(NAdamOptions{.lr = 0.1}, NAdamOptions{.beta1 = 0.5});
  expect_separate<LAMB>(LAMBOptions{.lr = 0.1}, LAMBOptions{.eps = 1e-3});
  expect_separate<Adagrad>(AdagradOptions{.lr = 0.1}, AdagradOptions{.weight_decay = 0.1});
  expect_separate<RMSprop>(RMSpropOptions{.centered = true}, RMSpropOptions{.momentum = 0.5});
}

TEST(Groups, DecayLeavesBiasesAndNormsAlone) {
  Tensors p = starts();
  const auto groups = decay_groups(p, AdamWOptions{.lr = 0.25, .weight_decay = 0.5});
  ASSERT_EQ(groups.size(), 2U);
  ASSERT_EQ(groups[0].parameters.size(), 2U);
  EXPECT_TRUE(groups[0].parameters[1].same_as(p[2]));
  EXPECT_EQ(groups[0].options.weight_decay, 0.5);
  EXPECT_TRUE(groups[1].parameters[0].same_as(p[1]));
  EXPECT_EQ(groups[1].options.weight_decay, 0);
  EXPECT_EQ(groups[1].options.lr, 0.25);
  AdamW adamw(groups);
  const std::vector<float> before = p[1].to_vector<float>();
  for (Tensor& t : p) t.set_grad(Tensor::zeros(t.shape()));
  const float weight = p[0].data<float>()[0];
  adamw.step();
  EXPECT_EQ(p[1].to_vector<float>(), before);
  EXPECT_FLOAT_EQ(p[0].data<float>()[0], weight * (1 - 0.25F * 0.5F));
  EXPECT_EQ(decay_groups<AdamWOptions>({p[1]}).size(), 1U);
  EXPECT_EQ(decay_groups<AdamWOptions>({p[0]}).size(), 1U);
  EXPECT_EQ(decay_groups<AdamWOptions>({p[0]})[0].options.weight_decay, 0.01);
}

TEST(Groups, StatesHaveTheNamesOfTheParameters) {
  Tensors p = starts();
  SGD sgd(p, {.lr = 0.5, .momentum = 0.9});
  sgd.set_names(named(p));
  set_gradients(p, 0);
  sgd.step();
  std::vector<std::string> names;
  for (const auto& [name, tensor] : sgd.state()) names.push_back(name);
  EXPECT_THAT(names, testing::ElementsAre("learning_rate", "a.weight.step",
                                          "a.weight.momentum_buffer", "a.bias.step",
                                          "a.bias.momentum_buffer", "1.step", "1.momentum_buffer"));
}

TEST(Groups, TheGradientScaleIsThatOfTheGradients) {
  Tensors a = starts(), b = starts();
  SGD sa(a, {.lr = 0.5, .momentum = 0.5, .weight_decay = 0.25});
  SGD sb(b, {.lr = 0.5, .momentum = 0.5, .weight_decay = 0.25});
  RMSprop ra(a), rb(b);
  Adagrad ga(a), gb(b);
  LAMB la(a), lb(b);
  NAdam na(a), nb(b);
  Adam aa(a), ab(b);
  const auto steps = [](std::initializer_list<Optimizer*> optimizers, const StepOptions& options) {
    for (Optimizer* optimizer : optimizers) optimizer->step(options);
  };
  for (std::uint64_t s = 0; s < 2; ++s) {
    set_gradients(a, s);
    set_gradients(b, s);
    for (Tensor& t : b) {
      Tensor g = t.grad();
      for (std::int64_t i = 0; i < g.elements(); ++i) g.mutable_data<float>()[i] *= 0.25F;
    }
    steps({&sa, &ra, &ga, &la, &na, &aa}, {.gradient_scale = 0.25});
    steps({&sb, &rb, &gb, &lb, &nb, &ab}, {});
  }
  EXPECT_EQ(values(a), values(b));
  expect_error(ErrorCode::invalid_argument, {"SGD", "gradient_scale", "inf"},
               [&] { sa.step({.gradient_scale = INFINITY}); });
}

TEST(Groups, SchedulesDriveEveryGroupFromItsOwnRate) {
  Tensors p = starts();
  const auto make = [&] {
    return SGD({{.parameters = {p[0]}, .options = {.lr = 0.4}},
                {.parameters = {p[1], p[2]}, .options = {.lr = 0.1}}});
  };
  SGD sgd = make();
  Scheduler scheduler(sgd, StepLR{.step_size = 2, .gamma = 0.5});
  for (int i = 0; i < 3; ++i) scheduler.step();
  EXPECT_DOUBLE_EQ(sgd.learning_rate(0), 0.2);
  EXPECT_DOUBLE_EQ(sgd.learning_rate(1), 0.05);
  SGD other = make();
  Scheduler resumed(other, StepLR{.step_size = 2, .gamma = 0.5});
  other.set_learning_rate(7);
  resumed.load_state(through_file(scheduler.state()));
  EXPECT_EQ(resumed.epoch(), 3);
  EXPECT_EQ(other.learning_rate(1), sgd.learning_rate(1));
  resumed.step();
  EXPECT_DOUBLE_EQ(other.learning_rate(0), 0.1);
  SGD two = make();
  Scheduler each(two, {StepLR{.gamma = 0.5}, ConstantLR{.factor = 0.25}});
  each.step();
  EXPECT_DOUBLE_EQ(two.learning_rate(0), 0.2);
  EXPECT_DOUBLE_EQ(two.learning_rate(1), 0.025);
  expect_error(ErrorCode::invalid_argument, {"Scheduler", "2 groups", "got 1"},
               [&] { Scheduler wrong(two, std::vector<Schedule>{StepLR{}}); });
  expect_error(ErrorCode::invalid_argument, {"Scheduler", "empty function"},
               [&] { Scheduler wrong(two, Schedule()); });
  NamedState damaged = scheduler.state();
  damaged.pop_back();
  expect_error(ErrorCode::invalid_argument, {"Scheduler", "base.1"},
               [&] { resumed.load_state(damaged); });
  EXPECT_EQ(resumed.epoch(), 4);
}

TEST(Groups, ThePlateauResumesAndLowersEveryGroup) {
  Tensors p = starts();
  SGD sgd({{.parameters = {p[0]}, .options = {.lr = 0.4}},
           {.parameters = {p[1]}, .options = {.lr = 0.1}}});
  ReduceLROnPlateau plateau({.factor = 0.5, .patience = 2});
  for (const double metric : {1.0, 1.0, 1.0}) plateau.step(metric, sgd);
  EXPECT_EQ(sgd.learning_rate(1), 0.1);
  ReduceLROnPlateau resumed({.factor = 0.5, .patience = 2});
  resumed.load_state(through_file(plateau.state()));
  resumed.step(1.0, sgd);
  EXPECT_DOUBLE_EQ(sgd.learning_rate(0), 0.2);
  EXPECT_DOUBLE_EQ(sgd.learning_rate(1), 0.05);
  expect_error(ErrorCode::invalid_argument, {"ReduceLROnPlateau", "'cooldown'"}, [&] {
    resumed.load_state({{"best", Tensor::scalar(1)}, {"bad", Tensor::scalar(1)}});
  });
}

TEST(Groups, TheMovingAverageResumes) {
  Tensors p = starts();
  const std::vector<std::string> names{"x", "y", "z"};
  MovingAverage whole(p), first(p);
  const auto change = [&](std::uint64_t step) {
    Generator generator(step);
    for (Tensor& t : p) t.copy_from(generator.normal(t.shape()));
  };
  change(1);
  whole.update();
  first.update();
  MovingAverage second(p);
  second.load_state(through_file(first.state(names)), names);
  change(2);
  whole.update();
  second.update();
  EXPECT_EQ(values(second.averages()), values(whole.averages()));
  EXPECT_EQ(second.updates(), 2);
  expect_error(ErrorCode::invalid_argument, {"MovingAverage", "'0'"},
               [&] { second.load_state(first.state(names)); });
  NamedState wrong = first.state(names);
  wrong[1].second = Tensor::zeros({4});
  expect_error(ErrorCode::shape_mismatch, {"x", "[3, 7]", "[4]"},
               [&] { second.load_state(wrong, names); });
}

TEST(Groups, GradNormIsThatOfClipping) {
  Tensors p = starts();
  set_gradients(p, 1);
  const double norm = grad_norm(p);
  EXPECT_EQ(clip_grad_norm(p, {.max_norm = 1}), norm);
  EXPECT_NEAR(grad_norm(p), 1, 1e-5);
  expect_error(ErrorCode::invalid_argument, {"grad_norm", "norm_type"}, [&] { grad_norm(p, 0); });
}

TEST(Groups, BadInputIsNamed) {
  Tensors p = starts();
  expect_error(ErrorCode::invalid_argument, {"SGD", "none in group 1"}, [&] {
    SGD sgd({{.parameters = {p[0]}}, {.parameters = {}}});
  });
  expect_error(ErrorCode::invalid_argument, {"SGD", "twice"}, [&] {
    SGD sgd({{.parameters = {p[0]}}, {.parameters = {p[0]}}});
  });
  expect_error(ErrorCode::invalid_argument, {"AdamW", "beta1"}, [&] {
    AdamW adamw({{.parameters = {p[0]}}, {.parameters = {p[1]}, .options = {.beta1 = 2}}});
  });
  SGD sgd(p);
  expect_error(ErrorCode::out_of_range, {"group from 0 to 0", "got 1"},
               [&] { (void)sgd.learning_rate(1); });
  expect_error(ErrorCode::out_of_range, {"got -1"}, [&] { sgd.set_learning_rate(1, -1); });
  expect_error(ErrorCode::invalid_argument, {"names that differ", "'x'"}, [&] {
    sgd.set_names({{"x", p[0]}, {"x", p[1]}});
  });
  expect_error(ErrorCode::invalid_argument, {"'learning_rate.1'"}, [&] {
    sgd.load_state({{"learning_rate.1", Tensor::scalar(1)}});
  });
  expect_error(ErrorCode::invalid_argument, {"0.step", "at least 1"}, [&] {
    sgd.load_state({{"0.step", Tensor::scalar(-3)}});
  });
}

}  // namespace
}  // namespace pare::optim
