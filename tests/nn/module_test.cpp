// Modules: names, clones, assignment in place, bad use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"

namespace pare {
namespace {

struct Net : nn::Module {
  nn::Linear first{{.in = 3, .out = 4}};
  nn::BatchNorm1d norm{{.features = 4}};
  nn::Linear second{{.in = 4, .out = 2, .bias = false}};
  void members(nn::Members& m) override { m("first", first)("norm", norm)("second", second); }
  Tensor forward(const Tensor& x) override { return second(norm(first(x))); }
};

Net made(std::uint64_t seed = 1) {
  Net net;
  Generator generator(seed);
  nn::initialize(net, generator);
  return net;
}

std::vector<std::string> names_of(const std::vector<nn::NamedTensor>& list) {
  std::vector<std::string> result;
  for (const auto& entry : list) result.push_back(entry.name);
  return result;
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

TEST(Module, NamesFollowTheMembers) {
  Net net = made();
  EXPECT_THAT(names_of(net.named_parameters()),
              testing::ElementsAre("first.weight", "first.bias", "norm.weight", "norm.bias",
                                   "second.weight"));
  EXPECT_THAT(names_of(net.named_buffers()),
              testing::ElementsAre("norm.running_mean", "norm.running_var"));
  EXPECT_THAT(names_of(net.state()),
              testing::ElementsAre("first.weight", "first.bias", "norm.weight", "norm.bias",
                                   "norm.running_mean", "norm.running_var", "second.weight"));
  std::vector<std::string> modules;
  net.for_each_module([&](const std::string& name, nn::Module& part) {
    modules.push_back(name + ":" + part.kind());
  });
  EXPECT_THAT(modules,
              testing::ElementsAre(":Module", "first:Linear", "norm:BatchNorm1d", "second:Linear"));
  std::vector<std::string> buffers;
  net.for_each_buffer([&](const std::string& name, nn::Buffer&) { buffers.push_back(name); });
  EXPECT_THAT(buffers, testing::ElementsAre("norm.running_mean", "norm.running_var"));
}

TEST(Module, UseBeforeInitializeIsAnError) {
  Net net;
  const Tensor x = Tensor::zeros({1, 3});
  expect_error(ErrorCode::invalid_state, "a parameter of shape [4", [&] { net(x); });
  expect_error(ErrorCode::invalid_state, "initialize(net, generator)", [&] { net(x); });
  expect_error(ErrorCode::invalid_state, "first.weight", [&] { net.parameters(); });
  expect_error(ErrorCode::invalid_state, "first.weight", [&] { net.state(); });
  EXPECT_NO_THROW(net.zero_grad());
}

TEST(Module, ResetThatForgetsAParameterIsNamed) {
  struct Forgetful : nn::Module {
    nn::Parameter scale{Shape{5}};
    void members(nn::Members& m) override { m("scale", scale); }
  } net;
  Generator generator(1);
  expect_error(ErrorCode::invalid_state, "'scale' of shape [5]",
               [&] { nn::initialize(net, generator); });
}

TEST(Module, WithoutForwardIsAnError) {
  struct Empty : nn::Module {
  } empty;
  const Tensor x = Tensor::zeros({1});
  expect_error(ErrorCode::invalid_state, "overrides forward(x)", [&] { empty(x); });
  expect_error(ErrorCode::invalid_state, "overrides forward(x)", [&] { empty.run({x}); });
}

TEST(Module, RunIsForwardForOneInput) {
  Net net = made();
  EXPECT_EQ(net.run({Tensor::zeros({2, 3})})[0].shape(), (Shape{2, 2}));
  expect_error(ErrorCode::invalid_argument, "expected one input, got 0", [&] { net.run({}); });
}

TEST(Module, CopyIsTheDeepClone) {
  Net net = made();
  Net copy = net;
  const Tensors mine = net.parameters();
  const Tensors others = copy.parameters();
  for (std::size_t i = 0; i < mine.size(); ++i) {
    EXPECT_FALSE(mine[i].same_as(others[i]));
    EXPECT_NE(mine[i].raw(), others[i].raw());
    EXPECT_TRUE(others[i].requires_grad());
    EXPECT_EQ(mine[i].to_vector<float>(), others[i].to_vector<float>());
  }
  EXPECT_NE(net.norm.running_var.value().raw(), copy.norm.running_var.value().raw());
}

TEST(Module, AssignmentWritesInPlace) {
  Net net = made(1);
  Net other = made(2);
  other.norm.running_mean.value().fill(0.5);
  const Tensors before = net.parameters();
  const Tensor mean = net.norm.running_mean.value();
  net = other;
  EXPECT_EQ(before[0].to_vector<float>(), other.first.weight.value().to_vector<float>());
  EXPECT_TRUE(net.parameters()[0].same_as(before[0]));
  EXPECT_EQ(mean.data<float>()[0], 0.5F);
  net = made(3);  // a temporary is written in place as well
  EXPECT_TRUE(net.parameters()[0].same_as(before[0]));
  EXPECT_FALSE(before[0].impl()->retired);
  EXPECT_EQ(before[0].to_vector<float>(), made(3).first.weight.value().to_vector<float>());
}

TEST(Module, MovingKeepsTheTensors) {
  Net net = made();
  const Tensors before = net.parameters();
  Net moved = std::move(net);
  EXPECT_TRUE(moved.parameters()[0].same_as(before[0]));
}

TEST(Module, AssignmentOfAnotherShapeRetires) {
  nn::Linear small{{.in = 2, .out = 2}};
  nn::Linear large{{.in = 5, .out = 2}};
  Generator generator(1);
  nn::initialize(small, generator);
  nn::initialize(large, generator);
  const Tensor old = small.weight;
  const Tensor bias = small.bias;
  small = large;
  EXPECT_TRUE(old.impl()->retired);
  EXPECT_FALSE(bias.impl()->retired);
  EXPECT_EQ(small.weight.shape(), (Shape{2, 5}));
  EXPECT_NE(small.weight.value().raw(), large.weight.value().raw());
}

TEST(Module, TrainsAndDropsGradients) {
  Net net = made();
  ContextScope scope;
  scope->training = true;
  Generator generator(1);
  sum(net(generator.normal({6, 3}))).backward();
  EXPECT_TRUE(net.second.weight.value().grad().defined());
  EXPECT_NE(net.norm.running_mean.value().data<float>()[0], 0);
  net.zero_grad();
  for (const Tensor& parameter : net.parameters()) EXPECT_FALSE(parameter.grad().defined());
}

TEST(Module, EvalFreezesBatchNormInTraining) {
  Net net = made();
  net.eval();
  ContextScope scope;
  scope->training = true;
  Generator generator(1);
  const Tensor x = generator.normal({6, 3});
  const std::vector<float> first = net(x).to_vector<float>();
  EXPECT_EQ(net.norm.running_mean.value().data<float>()[0], 0);
  EXPECT_EQ(net(x).to_vector<float>(), first);
  net.train();
  net(x);
  EXPECT_NE(net.norm.running_mean.value().data<float>()[0], 0);
}

TEST(Module, TiedLeavesAreListedOnceAndSavedTwice) {
  struct Tied : nn::Module {
    nn::Linear a{{.in = 3, .out = 3, .bias = false}};
    nn::Linear b{{.in = 3, .out = 3, .bias = false}};
    void members(nn::Members& m) override { m("a", a)("b", b); }
  } net;
  Generator generator(1);
  nn::initialize(net, generator);
  net.b.weight.replace(net.a.weight.expression(), net.a.weight.shape());
  EXPECT_THAT(names_of(net.named_parameters()), testing::ElementsAre("a.weight"));
  EXPECT_EQ(net.parameters().size(), 1U);
  EXPECT_THAT(names_of(net.state()), testing::ElementsAre("a.weight", "b.weight"));
}

TEST(Parameter, SetWritesInPlaceAndChecksShapes) {
  nn::Parameter parameter(Shape{2});
  parameter.set(Tensor::from({1, 2}, {2}));
  const Tensor leaf = parameter;
  EXPECT_TRUE(leaf.requires_grad());
  parameter.set(Tensor::from({3, 4}, {2}));
  EXPECT_TRUE(parameter.value().same_as(leaf));
  EXPECT_EQ(leaf.to_vector<float>(), (std::vector<float>{3, 4}));
  expect_error(ErrorCode::shape_mismatch, "expected shape [2], got [3]",
               [&] { parameter.set(Tensor::zeros({3})); });
}

TEST(Parameter, ExpressionsAreEvaluatedAndCloned) {
  nn::Parameter parameter(Shape{3});
  parameter.set(Tensor::from({1, 2, 3}, {3}));
  const Tensor leaf = parameter;
  Expression& expression = parameter.expression();
  expression.leaves[0].suffix = "_orig";
  const int mask = expression.add_leaf({"_mask", Tensor::from({1, 0, 1}, {3}), false});
  expression.append({&kMul, {}}, {mask});
  EXPECT_EQ(parameter.value().to_vector<float>(), (std::vector<float>{1, 0, 3}));

  nn::Parameter copy = parameter;
  EXPECT_EQ(copy.value().to_vector<float>(), (std::vector<float>{1, 0, 3}));
  EXPECT_TRUE(copy.expression().leaves[0].value.requires_grad());
  EXPECT_FALSE(copy.expression().leaves[1].value.requires_grad());
  copy.expression().leaves[1].value.fill(1);
  EXPECT_EQ(parameter.value().to_vector<float>(), (std::vector<float>{1, 0, 3}));
  parameter = copy;  // the same structure: in place
  EXPECT_TRUE(parameter.expression().leaves[0].value.same_as(leaf));
  EXPECT_EQ(parameter.value().to_vector<float>(), (std::vector<float>{1, 2, 3}));

  const Tensor old_mask = parameter.expression().leaves[1].value;
  parameter.set(Tensor::from({7, 8, 9}, {3}));  // plain again, the trained leaf stays
  EXPECT_TRUE(parameter.value().same_as(leaf));
  EXPECT_TRUE(old_mask.impl()->retired);
}

TEST(Parameter, FrozenOnesAreNotTrained) {
  Net net = made();
  net.first.weight.set_trainable(false);
  EXPECT_EQ(net.parameters().size(), 4U);
  EXPECT_FALSE(net.first.weight.value().requires_grad());
  EXPECT_THAT(names_of(net.named_buffers()), testing::Contains("first.weight"));
  Net copy = net;
  EXPECT_FALSE(copy.first.weight.value().requires_grad());
  net.first.weight.set_trainable(true);
  EXPECT_EQ(net.parameters().size(), 5U);
}

TEST(Summary, ShowsPartsShapesAndTotals) {
  nn::Sequential net{nn::Conv2d{{.in = 1, .out = 20, .kernel = 5}},
                     nn::BatchNorm2d{{.features = 20}}};
  Generator generator(1);
  nn::initialize(net, generator);
  net.named_parameters();
  net[0].as<nn::Conv2d>().bias.set_trainable(false);
  EXPECT_EQ(nn::summary(net, Tensor::zeros({2, 1, 28, 28})),
            "name     kind         output           parameters\n"
            "(whole)  Sequential   [2, 20, 24, 24]           -\n"
            "0        Conv2d       [2, 20, 24, 24]         520\n"
            "1        BatchNorm2d  [2, 20, 24, 24]          40\n"
            "560 parameters, 540 of them trained; 2,400 bytes with buffers\n");
}

}  // namespace
}  // namespace pare
