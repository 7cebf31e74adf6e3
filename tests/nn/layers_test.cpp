// Layers: shapes, settings, bad settings; Sequential as a value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/nn/activation.h"
#include "pare/nn/container.h"
#include "pare/nn/conv.h"
#include "pare/nn/dropout.h"
#include "pare/nn/flatten.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/nn/pooling.h"

namespace pare {
namespace {

template <class Run> void expect_error(ErrorCode code, const std::string& part, Run run) {
  try {
    run();
    ADD_FAILURE() << "no error with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

Shape shape_after(nn::Module&& layer, const Shape& input) {
  Generator generator(1);
  nn::initialize(layer, generator);
  return layer(generator.normal(input)).shape();
}

TEST(Layers, ShapesFollowTheSettings) {
  EXPECT_EQ(shape_after(nn::Linear{{.in = 3, .out = 5}}, {2, 4, 3}), (Shape{2, 4, 5}));
  EXPECT_EQ(shape_after(nn::Conv2d{{.in = 4,
                                    .out = 6,
                                    .kernel = {3, 5},
                                    .stride = {1, 2},
                                    .padding = {1, 0},
                                    .dilation = 1,
                                    .groups = 2}},
                        {1, 4, 8, 11}),
            (Shape{1, 6, 8, 4}));
  EXPECT_EQ(shape_after(nn::Conv2d{{.in = 1, .out = 1, .kernel = 3, .dilation = 2}}, {1, 1, 9, 7}),
            (Shape{1, 1, 5, 3}));
  EXPECT_EQ(shape_after(nn::MaxPool2d{{.kernel = 2}}, {1, 3, 7, 8}), (Shape{1, 3, 3, 4}));
  EXPECT_EQ(shape_after(nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, {1, 3, 7, 8}),
            (Shape{1, 3, 4, 4}));
  EXPECT_EQ(shape_after(nn::AvgPool2d{{.kernel = {2, 1}}}, {1, 3, 8, 8}), (Shape{1, 3, 4, 8}));
  EXPECT_EQ(shape_after(nn::GlobalAveragePool{}, {2, 3, 4, 5}), (Shape{2, 3, 1, 1}));
  EXPECT_EQ(shape_after(nn::Flatten{}, {2, 3, 4, 5}), (Shape{2, 60}));
  EXPECT_EQ(shape_after(nn::Flatten{{.start = 1, .end = 2}}, {2, 3, 4, 5}), (Shape{2, 12, 5}));
  EXPECT_EQ(shape_after(nn::Flatten{{.start = -2}}, {2, 3, 4, 5}), (Shape{2, 3, 20}));
  EXPECT_EQ(shape_after(nn::BatchNorm1d{{.features = 3}}, {2, 3}), (Shape{2, 3}));
  EXPECT_EQ(shape_after(nn::BatchNorm2d{{.features = 3}}, {2, 3, 4, 4}), (Shape{2, 3, 4, 4}));
}

TEST(Layers, AreTheOpsTheyAreNamedAfter) {
  Generator generator(2);
  const Tensor x = generator.normal({3, 4}, 0, 4);
  const auto expect = [&](nn::Module&& layer, const Tensor& expected) {
    EXPECT_EQ(layer(x).to_vector<float>(), expected.to_vector<float>()) << layer.kind();
  };
  expect(nn::ReLU{}, relu(x));
  expect(nn::ReLU6{}, relu6(x));
  expect(nn::Sigmoid{}, sigmoid(x));
  expect(nn::Tanh{}, tanh(x));
  expect(nn::LeakyReLU{}, leaky_relu(x, 0.01));
  expect(nn::LeakyReLU{{.negative_slope = 0.3}}, leaky_relu(x, 0.3));
  expect(nn::ELU{}, elu(x, 1));
  expect(nn::ELU{{.alpha = 2}}, elu(x, 2));
  expect(nn::SELU{}, selu(x));
  expect(nn::CELU{{.alpha = 0.5}}, celu(x, 0.5));
  expect(nn::Hardsigmoid{}, hardsigmoid(x));
  expect(nn::Hardswish{}, hardswish(x));
  expect(nn::Hardtanh{}, hardtanh(x, -1, 1));
  expect(nn::Hardtanh{{.min_val = -2, .max_val = 0.5}}, hardtanh(x, -2, 0.5));
  expect(nn::Softplus{}, softplus(x, {.beta = 1, .threshold = 20}));
  expect(nn::Softplus{{.beta = 2, .threshold = 3}}, softplus(x, {.beta = 2, .threshold = 3}));
  expect(nn::Softsign{}, softsign(x));
  expect(nn::GELU{}, gelu(x, "none"));
  expect(nn::GELU{{.approximate = "tanh"}}, gelu(x, "tanh"));
  expect(nn::SiLU{}, silu(x));
  expect(nn::Mish{}, mish(x));
  expect(nn::LogSigmoid{}, log_sigmoid(x));
  expect(nn::GLU{}, glu(x, -1));
  expect(nn::Softmax{{.axis = 0}}, softmax(x, 0));
  expect(nn::LogSoftmax{}, log_softmax(x, -1));
  expect(nn::Identity{}, x);
  expect(nn::Dropout{}, x);
}

TEST(Layers, PReLULearnsItsSlopes) {
  nn::PReLU layer{{.num_parameters = 3}};
  Generator generator(4);
  nn::initialize(layer, generator);
  EXPECT_EQ(Tensor(layer.weight).to_vector<float>(), (std::vector<float>{0.25F, 0.25F, 0.25F}));
  EXPECT_EQ(layer.named_parameters().at(0).name, "weight");
  EXPECT_EQ(layer.kind(), "PReLU");
  const Tensor x = generator.normal({2, 3, 4, 4});
  EXPECT_EQ(layer(x).to_vector<float>(), leaky_relu(x, 0.25).to_vector<float>());
  layer(x).backward(Tensor::ones(x.shape()));
  EXPECT_EQ(layer.parameters()[0].grad().shape(), (Shape{3}));
}

TEST(Layers, DropoutDropsInTrainingUnlessFrozen) {
  nn::Dropout dropout{{.p = 0.25}};
  Generator generator(3);
  ContextScope scope;
  scope->training = true;
  scope->generator = &generator;
  const Tensor x = Tensor::ones({1000});
  int zeros = 0;
  for (const float value : dropout(x).to_vector<float>()) {
    if (value == 0) {
      ++zeros;
    } else {
      EXPECT_FLOAT_EQ(value, 4.0F / 3.0F);
    }
  }
  EXPECT_NEAR(zeros, 250, 50);
  dropout.eval();
  EXPECT_EQ(dropout(x).to_vector<float>(), x.to_vector<float>());
}

TEST(Layers, BadSettingsAreNamed) {
  const auto code = ErrorCode::invalid_argument;
  expect_error(code, "in = 0", [] { nn::Linear layer{{.out = 3}}; });
  expect_error(code, "kernel", [] { nn::Conv2d layer{{.in = 1, .out = 1, .kernel = 0}}; });
  expect_error(code, "padding", [] { nn::Conv2d layer{{.in = 1, .out = 1, .padding = -1}}; });
  expect_error(code, "groups that divide in = 4 and out = 6, got 4",
               [] { nn::Conv2d layer{{.in = 4, .out = 6, .groups = 4}}; });
  expect_error(code, "half the kernel", [] { nn::MaxPool2d layer{{.kernel = 2, .padding = 2}}; });
  expect_error(code, "stride", [] { nn::AvgPool2d layer{{.kernel = 2, .stride = {0, 1}}}; });
  expect_error(code, "features", [] { nn::BatchNorm2d layer{{}}; });
  expect_error(code, "num_parameters", [] { nn::PReLU layer{{.num_parameters = 0}}; });
  expect_error(code, "alpha", [] { nn::CELU layer{{.alpha = 0}}; });
  expect_error(code, "min_val", [] { nn::Hardtanh layer{{.min_val = 1, .max_val = 0}}; });
  expect_error(code, "beta", [] { nn::Softplus layer{{.beta = 0}}; });
  expect_error(code, "none or tanh", [] { nn::GELU layer{{.approximate = "exact"}}; });
  expect_error(code, "p from 0 to 1", [] { nn::Dropout layer{{.p = 1.5}}; });
  expect_error(ErrorCode::shape_mismatch, "rank 4, got shape [2, 3]", [] {
    nn::BatchNorm2d{{.features = 3}}(Tensor::zeros({2, 3}));
  });
}

nn::Sequential made(std::uint64_t seed) {
  nn::Sequential net{nn::Linear{{.in = 4, .out = 3}}, nn::ReLU{}, nn::Linear{{.in = 3, .out = 2}}};
  Generator generator(seed);
  nn::initialize(net, generator);
  return net;
}

std::vector<std::string> names_of(nn::Module& net) {
  std::vector<std::string> result;
  for (const auto& entry : net.named_parameters()) result.push_back(entry.name);
  return result;
}

TEST(Sequential, RunsItsPartsInOrder) {
  nn::Sequential net = made(1);
  EXPECT_THAT(names_of(net), testing::ElementsAre("0.weight", "0.bias", "2.weight", "2.bias"));
  Generator generator(5);
  const Tensor x = generator.normal({2, 4});
  auto& first = net[0].as<nn::Linear>();
  auto& last = net[2].as<nn::Linear>();
  EXPECT_EQ(net(x).to_vector<float>(), last(relu(first(x))).to_vector<float>());
  EXPECT_TRUE(nn::Sequential()(x).same_as(x));
}

TEST(Sequential, PartsMayHaveNames) {
  nn::Sequential net{{"hidden", nn::Linear{{.in = 4, .out = 3}}}, {"act", nn::Tanh{}}};
  net.add("tail", nn::Sequential{nn::Linear{{.in = 3, .out = 1}}, nn::Identity{}});
  net.add(nn::Sigmoid{});
  Generator generator(1);
  nn::initialize(net, generator);
  EXPECT_THAT(names_of(net),
              testing::ElementsAre("hidden.weight", "hidden.bias", "tail.0.weight", "tail.0.bias"));
  EXPECT_EQ(net["act"]->kind(), "Tanh");
  EXPECT_EQ(net.entries()[3].first, "3");
  EXPECT_EQ(net.size(), 4);
  expect_error(ErrorCode::out_of_range, "'none'", [&] { net["none"]; });
  expect_error(ErrorCode::out_of_range, "got 4", [&] { net[4]; });
  expect_error(ErrorCode::invalid_argument, "'act' twice", [&] { net.add("act", nn::ReLU{}); });
  expect_error(ErrorCode::invalid_argument, "'a.b'", [&] { net.add("a.b", nn::ReLU{}); });
  expect_error(ErrorCode::invalid_argument, "a Tanh", [&] { net["act"].as<nn::ReLU>(); });
}

TEST(Sequential, CopyIsTheDeepClone) {
  nn::Sequential net = made(1);
  nn::Sequential copy{net};
  EXPECT_EQ(copy.size(), 3);
  EXPECT_FALSE(net.parameters()[0].same_as(copy.parameters()[0]));
  copy.parameters()[0].fill(0);
  EXPECT_NE(net.parameters()[0].data<float>()[0], 0);
}

TEST(Sequential, AssignmentWritesInPlaceOrRetires) {
  nn::Sequential net = made(1);
  const Tensors before = net.parameters();
  net = made(2);
  EXPECT_TRUE(net.parameters()[0].same_as(before[0]));
  EXPECT_EQ(before[0].to_vector<float>(), made(2).parameters()[0].to_vector<float>());
  const nn::Sequential other{nn::ReLU{}};
  net = other;
  EXPECT_EQ(net.size(), 1);
  EXPECT_TRUE(before[0].impl()->retired);
}

TEST(Sequential, PartsOfAnotherTypeAreReplaced) {
  nn::AnyModule part = nn::Linear{{.in = 2, .out = 2}};
  Generator generator(1);
  nn::initialize(*part, generator);
  const Tensor weight = part.as<nn::Linear>().weight;
  part = nn::ReLU{};
  EXPECT_EQ(part->kind(), "ReLU");
  EXPECT_TRUE(weight.impl()->retired);
}

}  // namespace
}  // namespace pare
