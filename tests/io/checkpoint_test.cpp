// Checkpoints: a module's state to a file and back, with expressions; what does not fit.
#include "pare/io/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/quantization.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "temporary_folder.h"

namespace pare::io {
namespace {

using test::expect_error;
using test::TemporaryFolder;

struct Net : nn::Module {
  nn::Linear fc1{{.in = 3, .out = 4}};
  nn::BatchNorm1d norm{{.features = 4}};
  nn::Linear fc2{{.in = 4, .out = 2, .bias = false}};
  void members(nn::Members& m) override { m("fc1", fc1)("norm", norm)("fc2", fc2); }
};

Net fresh(std::uint64_t seed) {
  Net net;
  Generator generator(seed);
  nn::initialize(net, generator);
  return net;
}

// As pruning does it: weight_orig · weight_mask.
void mask(nn::Parameter& weight, const std::vector<float>& values) {
  Expression& expression = weight.expression();
  expression.leaves[0].suffix = "_orig";
  const int leaf = expression.add_leaf({"_mask", Tensor::from(values, weight.shape()), false});
  expression.append({&kMul, kMul.defaults ? kMul.defaults() : Attributes()}, {leaf});
}

const std::vector<float> kMask{1, 0, 1, 0, 1, 0, 1, 0};

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> out;
  for (const auto& named : tensors) out.push_back(named.name);
  return out;
}

void expect_equal_states(nn::Module& a, nn::Module& b) {
  const auto x = a.state(), y = b.state();
  ASSERT_EQ(names(x), names(y));
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(x[i].tensor.to_vector<float>(), y[i].tensor.to_vector<float>()) << x[i].name;
    EXPECT_EQ(x[i].trainable, y[i].trainable) << x[i].name;
  }
}

TEST(CheckpointTest, GivesBackTheState) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  net.norm.running_mean.value().fill(3);
  save(net, folder.path("net.safetensors"));
  Net other = fresh(2);
  const Tensor handle = other.fc1.weight.value();
  const LoadReport report = load(other, folder.path("net.safetensors"));
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty());
  expect_equal_states(net, other);
  // In place, so that an optimizer's handles stay valid.
  EXPECT_TRUE(handle.same_as(other.fc1.weight.value()));
  EXPECT_TRUE(handle.requires_grad());
}

TEST(CheckpointTest, LoadsIntoAModuleWithoutValues) {
  const TemporaryFolder folder;
  Net net = fresh(1), empty;
  save(net, folder.path("net"));
  load(empty, folder.path("net"));
  EXPECT_EQ(empty.fc2.weight.value().to_vector<float>(), net.fc2.weight.value().to_vector<float>());
  EXPECT_EQ(empty.parameters().size(), net.parameters().size());
}

TEST(CheckpointTest, NamesAreThoseOfTheState) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  save(net, folder.path("net"));
  auto expected = names(net.state());
  auto got = names(load_tensors(folder.path("net")).tensors);
  std::ranges::sort(expected);
  std::ranges::sort(got);
  EXPECT_EQ(got, expected);
  EXPECT_TRUE(std::ranges::binary_search(got, "norm.running_mean"));
}

TEST(CheckpointTest, ExpressionsAreRebuilt) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  mask(net.fc2.weight, kMask);
  FakeQuantizeAttributes quantization;
  quantization.axis = 0;
  quantization.qmin = -63;
  quantization.qmax = 63;
  Expression& expression = net.fc2.weight.expression();
  const int scale = expression.add_leaf({"_scale", Tensor::from({0.01F, 0.02F}, {2}), false});
  const int zero = expression.add_leaf({"_zero_point", Tensor::zeros({2}, DType::i32), false});
  expression.append({&kFakeQuantize, Attributes::of(quantization)}, {scale, zero});
  const auto value = net.fc2.weight.value().to_vector<float>();
  save(net, folder.path("net"));

  Net other = fresh(2);
  const Tensor handle = other.fc2.weight.value();
  load(other, folder.path("net"));
  EXPECT_EQ(other.fc2.weight.value().to_vector<float>(), value);
  EXPECT_EQ(names(other.state()), names(net.state()));
  const Expression& built = other.fc2.weight.expression();
  ASSERT_EQ(built.steps.size(), 2U);
  EXPECT_EQ(built.steps[1].call.op, &kFakeQuantize);
  EXPECT_EQ(built.steps[1].call.attributes, Attributes::of(quantization));
  // The plain leaf became "_orig", as when pruning, and is trained on.
  EXPECT_TRUE(built.leaves[0].value.same_as(handle));
  EXPECT_TRUE(built.leaves[0].value.requires_grad());
  EXPECT_FALSE(built.leaves[1].value.requires_grad());
  // And once more into a module that has the expression already.
  load(other, folder.path("net"));
  EXPECT_TRUE(other.fc2.weight.expression().leaves[0].value.same_as(handle));
}

TEST(CheckpointTest, PyTorchsPrunedStateNeedsNoMetadata) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  mask(net.fc2.weight, kMask);
  save_tensors(folder.path("net"), net.state());
  Net other = fresh(2);
  load(other, folder.path("net"));
  EXPECT_EQ(other.fc2.weight.value().to_vector<float>(), net.fc2.weight.value().to_vector<float>());
  EXPECT_EQ(names(other.state()), names(net.state()));
}

TEST(CheckpointTest, PyTorchsBatchCounterIsPassedOver) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  auto state = net.state();
  state.push_back({"norm.num_batches_tracked", Tensor::scalar(7, DType::i64), false});
  save_tensors(folder.path("net"), state);
  const LoadReport report = load(net, folder.path("net"));
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty());
}

TEST(CheckpointTest, WhatDoesNotFitIsAnErrorAndChangesNothing) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  const auto good = net.state();
  Net other = fresh(2), reference = other;
  const auto expect = [&](const std::vector<NamedTensor>& state, ErrorCode code,
                          std::initializer_list<std::string> words) {
    save_tensors(folder.path("net"), state);
    expect_error(code, words, [&] { load(other, folder.path("net")); });
    expect_equal_states(other, reference);
  };
  auto state = good;
  state.pop_back();
  state.push_back({"fc3.weight", Tensor::ones({1}), false});
  expect(state, ErrorCode::invalid_argument,
         {"net", "without [" + good.back().name, "[fc3.weight]"});
  state = good;
  state.back().tensor = Tensor::ones({4, 2});
  expect(state, ErrorCode::shape_mismatch, {good.back().name, "[2, 4]", "[4, 2]"});
  state = good;
  state.back().tensor = state.back().tensor.to(DType::f16);
  expect(state, ErrorCode::dtype_mismatch, {good.back().name, "f32", "f16"});

  save_tensors(folder.path("net"), std::vector<NamedTensor>(good.begin() + 1, good.end()));
  const LoadReport report = load(other, folder.path("net"), {.strict = false});
  EXPECT_EQ(report.missing, (std::vector<std::string>{good.front().name}));
}

TEST(CheckpointTest, DamagedExpressionsAreErrors) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  auto state = net.state();
  const auto expect = [&](const std::string& expressions, ErrorCode code,
                          std::initializer_list<std::string> words) {
    save_tensors(folder.path("net"), state, {{"pare.expressions", expressions}});
    Net other = fresh(2), reference = other;
    expect_error(code, words, [&] { load(other, folder.path("net")); });
    expect_equal_states(other, reference);
  };
  const std::string leaves = "\"leaves\":[{\"suffix\":\"\",\"trainable\":true}]";
  const auto step = [&](const std::string& text) {
    return "{\"fc2.weight\":{" + leaves + ",\"steps\":[" + text + "]}}";
  };
  expect("{", ErrorCode::corrupt_data, {"net: pare.expressions"});
  expect("[3]", ErrorCode::corrupt_data, {"pare.expressions"});
  expect("{\"fc2.weight\":{}}", ErrorCode::corrupt_data, {"pare.expressions", "leaves"});
  expect(step(""), ErrorCode::corrupt_data, {"fc2.weight", "leaves and steps"});
  expect(step("{\"op\":\"frobnicate\",\"attributes\":{},\"inputs\":[0]}"), ErrorCode::unsupported,
         {"fc2.weight", "frobnicate"});
  expect(step("{\"op\":\"mul\",\"attributes\":{},\"inputs\":[0]}"), ErrorCode::corrupt_data,
         {"fc2.weight", "2 to 2 inputs of 'mul', got 1"});
  expect(step("{\"op\":\"mul\",\"attributes\":{},\"inputs\":[0,1]}"), ErrorCode::corrupt_data,
         {"fc2.weight", "below 1, got 1"});
  expect(step("{\"op\":\"transpose\",\"attributes\":{},\"inputs\":[0]}"), ErrorCode::corrupt_data,
         {"fc2.weight", "'permutation'"});
  expect(step("{\"op\":\"transpose\",\"attributes\":{\"permutation\":[1,0]},\"inputs\":[0]}"),
         ErrorCode::shape_mismatch, {"fc2.weight", "[2, 4]", "[4, 2]"});
  expect(step("{\"op\":\"mul\",\"attributes\":{},\"inputs\":[0,-1]}"), ErrorCode::corrupt_data,
         {"fc2.weight", "from 0 to below 1, got -1"});
  // A file does not choose freely what runs while it is loaded.
  for (const std::string op : {
           "\"concat\",\"attributes\":{\"axis\":0},\"inputs\":[0,-1]",
           "\"expand\",\"attributes\":{\"shape\":[576460752303423488,2,4]},\"inputs\":[0]",
           "\"softmax\",\"attributes\":{\"axis\":1},\"inputs\":[0]",
           "\"pad\",\"attributes\":{},\"inputs\":[0]",
           "\"observe_min_max\",\"attributes\":{},\"inputs\":[0,0]",
       })
    expect(step("{\"op\":" + op + "}"), ErrorCode::unsupported,
           {"fc2.weight", "parameters are computed with", op.substr(1, op.find('"', 1) - 1)});
}

TEST(CheckpointTest, ExpressionsCannotAskForMoreMemoryThanTheParameter) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  auto state = net.state();
  std::erase_if(state, [](const NamedTensor& named) { return named.name == "fc2.weight"; });
  constexpr std::int64_t kLong = 40'000;
  state.push_back({"fc2.weight_u", Tensor::ones({kLong, 1}), true});
  state.push_back({"fc2.weight_v", Tensor::ones({1, kLong}), true});
  save_tensors(folder.path("net"), state,
               {{"pare.expressions",
                 "{\"fc2.weight\":{\"leaves\":[{\"suffix\":\"_u\",\"trainable\":true},"
                 "{\"suffix\":\"_v\",\"trainable\":true}],\"steps\":[{\"op\":\"matmul\","
                 "\"attributes\":{},\"inputs\":[0,1]}]}}"}});
  expect_error(ErrorCode::shape_mismatch,
               {"fc2.weight", "at most the 8 elements", "[40000, 40000]"},
               [&] { load(net, folder.path("net")); });
}

TEST(CheckpointTest, DeeplyNestedExpressionsAreErrors) {
  const TemporaryFolder folder;
  Net net = fresh(1);
  const std::string deep = std::string(300'000, '[') + std::string(300'000, ']');
  const auto expect = [&](ErrorCode code, const std::string& call) {
    const std::string leaves = "\"leaves\":[{\"suffix\":\"\",\"trainable\":true}]";
    const std::string steps = "\"steps\":[{\"op\":" + call + "}]";
    save_tensors(folder.path("net"), net.state(),
                 {{"pare.expressions", "{\"fc2.weight\":{" + leaves + "," + steps + "}}"}});
    expect_error(code, {"pare.expressions"}, [&] { load(net, folder.path("net")); });
  };
  expect(ErrorCode::corrupt_data,
         "\"reshape\",\"attributes\":{\"shape\":" + deep + "},\"inputs\":[0]");
  expect(ErrorCode::corrupt_data, "\"reshape\",\"attributes\":" + deep + ",\"inputs\":[0]");
  expect(ErrorCode::corrupt_data, "\"mul\",\"attributes\":{},\"inputs\":" + deep);
  expect(ErrorCode::unsupported,
         "\"pad\",\"attributes\":{\"before\":[0,0],\"after\":[0,0],\"value\":" + deep +
             "},\"inputs\":[0]");
}

TEST(CheckpointTest, SavingNeedsValues) {
  const TemporaryFolder folder;
  Net empty;
  expect_error(ErrorCode::invalid_state, {"'fc1.weight'", "initialize"},
               [&] { save(empty, folder.path("net")); });
  EXPECT_EQ(folder.files(), 0);
}

}  // namespace
}  // namespace pare::io
