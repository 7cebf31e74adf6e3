// Contractions, pooling and normalization: symbols, ties between channels, bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/isa.h"
#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

Shape with_batch(std::initializer_list<std::int64_t> rest) {
  Shape shape;
  shape.append_symbol("batch");
  for (const std::int64_t size : rest) shape.append(size);
  return shape;
}

Shape inferred(const OpDef& op, const std::vector<Shape>& shapes) {
  std::vector<InferArgs::Input> inputs;
  for (const Shape& shape : shapes) inputs.push_back({&shape, DType::f32, nullptr});
  return infer({&op, op.defaults ? op.defaults() : Attributes()}, inputs)[0].shape;
}

TEST(Contraction, TheBatchMayBeASymbol) {
  EXPECT_EQ(inferred(kConv2d, {with_batch({3, 8, 8}), {5, 3, 3, 3}}), with_batch({5, 6, 6}));
  EXPECT_EQ(inferred(kLinear, {with_batch({7}), {4, 7}}), with_batch({4}));
  EXPECT_EQ(inferred(kMatmul, {with_batch({3, 4}), {4, 2}}), with_batch({3, 2}));
  EXPECT_EQ(inferred(kMaxPool2d, {with_batch({3, 8, 8})}), with_batch({3, 4, 4}));
  EXPECT_EQ(inferred(kAveragePool2d, {with_batch({3, 8, 8})}), with_batch({3, 4, 4}));
  EXPECT_EQ(inferred(kGlobalAveragePool, {with_batch({3, 8, 8})}), with_batch({3, 1, 1}));
  EXPECT_EQ(inferred(kBatchNorm, {with_batch({3, 8, 8}), {3}, {3}, {3}, {3}}),
            with_batch({3, 8, 8}));
  EXPECT_EQ(inferred(kDropout, {with_batch({3})}), with_batch({3}));
}

// The contract test compares its numbers with the reference's; here: that it runs where it is for.
TEST(Contraction, WinogradRunsInTrainingWhereItPays) {
  const ForwardKernel& winograd = kConv2d.kernels->forward.front();
  ASSERT_STREQ(winograd.name, "winograd");
  Generator generator(3);
  const auto runs = [&](std::int64_t channels, std::int64_t stride, bool training) {
    ContextScope scope;
    scope->training = training;
    const Tensors inputs{generator.normal({2, channels, 32, 32}).to(MemoryFormat::channels_last),
                         generator.normal({16, channels, 3, 3})};
    const Call call{&kConv2d, Attributes::of(Conv2dAttributes{.stride = {stride, stride},
                                                              .padding = {1, 1, 1, 1}})};
    Tensors outputs{
        Tensor::empty({2, 16, 32 / stride, 32 / stride}, DType::f32, MemoryFormat::channels_last)};
    return winograd.run(call, inputs, outputs, context());
  };
  EXPECT_EQ(runs(16, 1, true),
            isa_cap() >= Isa::avx2 && (isa_cap() < Isa::avx512 || halves_avx512()));
  EXPECT_FALSE(runs(16, 1, false));
  EXPECT_FALSE(runs(16, 2, true));
  EXPECT_FALSE(runs(8, 1, true));
}

TEST(Contraction, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({1, 3, 4, 4});
  EXPECT_ERROR(conv2d(x, Tensor::zeros({2, 3, 5, 1})), shape_mismatch,
               "conv2d: expected a kernel no larger than the padded input", "height 5", "over 4");
  EXPECT_ERROR(conv2d(x, Tensor::zeros({2, 3, 3, 3}), {}, Conv2dAttributes{.dilation = {1, 2}}),
               shape_mismatch, "conv2d", "width 5");
  EXPECT_ERROR(conv2d(x, Tensor::zeros({2, 4, 1, 1})), shape_mismatch,
               "conv2d: expected x with 4 channels");
  EXPECT_ERROR(conv2d(x, Tensor::zeros({4, 1, 1, 1}), {}, Conv2dAttributes{.groups = 3}),
               shape_mismatch, "conv2d: expected output channels divisible by 3 groups");
  EXPECT_ERROR(conv2d(x, Tensor::zeros({2, 1, 1, 1}), {}, Conv2dAttributes{.groups = 0}),
               invalid_argument, "conv2d: expected groups of 1 or more, got 0");
  EXPECT_ERROR(conv2d(Tensor::zeros({3, 4, 4}), Tensor::zeros({2, 3, 1, 1})), shape_mismatch,
               "conv2d: expected x of shape [N, C, H, W], got [3, 4, 4]");
  EXPECT_ERROR(conv2d(x, Tensor::zeros({2, 3, 1, 1}), Tensor::zeros({3})), shape_mismatch,
               "conv2d: expected a bias of shape [2], got [3]");
  EXPECT_ERROR(conv2d(Tensor::zeros({1, 3, 4, 4}, DType::u8), Tensor::zeros({2, 3, 1, 1})),
               dtype_mismatch, "conv2d: expected f32", "u8");
  EXPECT_ERROR(linear(Tensor::zeros({2, 3}), Tensor::zeros({4, 5})), shape_mismatch,
               "linear: expected x of shape [..., 5]", "got [2, 3]");
  EXPECT_ERROR(linear(Tensor::zeros({2, 3}), Tensor::zeros({3})), shape_mismatch, "linear");
  EXPECT_ERROR(linear(Tensor::zeros({2, 3}, DType::i8), Tensor::zeros({4, 3})), dtype_mismatch,
               "linear: expected f32", "i8");
  EXPECT_ERROR(matmul(Tensor::zeros({2, 3}), Tensor::zeros({2, 3})), shape_mismatch, "matmul",
               "[2, 3]");
  EXPECT_ERROR(matmul(Tensor::zeros({2, 2, 3}), Tensor::zeros({3, 3, 4})), shape_mismatch,
               "matmul: expected batch axes that broadcast");
}

TEST(Pooling, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({1, 3, 4, 4});
  EXPECT_ERROR(max_pool2d(x, {.kernel = {5, 1}}), shape_mismatch,
               "max_pool2d: expected a kernel no larger than the padded input");
  EXPECT_ERROR(max_pool2d(x, {.padding = {2, 0, 0, 0}}), invalid_argument,
               "max_pool2d: expected padding of at most half the kernel");
  EXPECT_ERROR(average_pool2d(x, {.stride = {0, 1}}), invalid_argument, "average_pool2d");
  EXPECT_ERROR(average_pool2d(Tensor::zeros({3, 4, 4})), shape_mismatch,
               "average_pool2d: expected x of shape [N, C, H, W]");
  EXPECT_ERROR(max_pool2d(x.to(DType::i64)), dtype_mismatch, "max_pool2d", "i64");
  EXPECT_ERROR(global_average_pool(Tensor::zeros({2, 3})), shape_mismatch, "global_average_pool");
}

TEST(Pooling, TakesCodes) {
  const Tensor x =
      Tensor::from(std::vector<std::uint8_t>{1, 2, 4, 4, 200, 255, 7, 0}, {1, 2, 2, 2});
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor codes = x.to(format);
    EXPECT_THAT(max_pool2d(codes).to_vector<std::uint8_t>(), testing::ElementsAre(4, 255));
    // 11/4 and 462/4 = 115.5: halves go to the even code.
    EXPECT_THAT(average_pool2d(codes).to_vector<std::uint8_t>(), testing::ElementsAre(3, 116));
    EXPECT_THAT(global_average_pool(codes).to_vector<std::uint8_t>(), testing::ElementsAre(3, 116));
  }
}

TEST(Normalization, RefusesWhatDoesNotFit) {
  const Tensor c = Tensor::ones({3});
  const Attributes attributes = Attributes::of(BatchNormAttributes{});
  EXPECT_ERROR(batch_norm(Tensor::zeros({2, 4}), c, c, c, c, attributes), shape_mismatch,
               "batch_norm: expected weight of shape [4]", "got [3]");
  EXPECT_ERROR(batch_norm(Tensor::zeros({3}), c, c, c, c, attributes), shape_mismatch,
               "batch_norm: expected x of shape [N, C");
  ContextScope scope;
  scope->training = true;
  EXPECT_ERROR(batch_norm(Tensor::zeros({1, 3}), c, c, c, c, attributes), shape_mismatch,
               "batch_norm: expected more than one value per channel");
}

TEST(Normalization, FrozenBatchNormKeepsItsStatistics) {
  ContextScope scope;
  scope->training = true;
  Generator generator(1);
  const Tensor x = generator.normal({4, 3});
  const Tensor c = Tensor::ones({3});
  const Tensor mean = Tensor::zeros({3});
  const Tensor variance = Tensor::ones({3});
  batch_norm(x, c, c, mean, variance, Attributes::of(BatchNormAttributes{.frozen = true}));
  EXPECT_EQ(mean.to_vector<float>(), (std::vector<float>{0, 0, 0}));
  batch_norm(x, c, c, mean, variance, Attributes::of(BatchNormAttributes{}));
  EXPECT_NE(mean.to_vector<float>(), (std::vector<float>{0, 0, 0}));
}

/// The results and gradients of a stack of layers with `threads` threads.
std::vector<float> stack(const Tensor& picture, int threads) {
  Generator generator(3);
  ContextScope scope;
  scope->training = true;
  scope->threads = threads;
  const std::int64_t channels = picture.dim(1);
  Tensor x = picture.clone().set_requires_grad();
  Tensor weight = generator.normal({channels, channels, 3, 3}, 0, 0.1F).set_requires_grad();
  Tensor scale = Tensor::ones({channels}).set_requires_grad();
  const Tensor bias = Tensor::zeros({channels});
  const Tensor mean = Tensor::zeros({channels});
  Tensor y = conv2d(x, weight, {}, Conv2dAttributes{.padding = {1, 1, 1, 1}});
  y = batch_norm(y, scale, bias, mean, Tensor::ones({channels}),
                 Attributes::of(BatchNormAttributes{}));
  y = pad(slice(y, 2, 0, 100, 2), {0, 1, 0, 0}, {0, 0, 0, 0});
  y = average_pool2d(max_pool2d(y, {.kernel = {3, 3}, .stride = {1, 1}}));
  y = global_average_pool(y);
  y.backward(generator.normal(y.shape()));
  std::vector<float> all = y.to_vector<float>();
  for (const Tensor& t : {x.grad(), weight.grad(), scale.grad(), mean}) {
    const std::vector<float> values = t.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(Threads, ResultsDoNotDependOnThreadsBeyondRounding) {
  Generator generator(11);
  const Tensor x = generator.normal({7, 13, 24, 20}, 3, 1);
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const std::vector<float> one = stack(x.to(format), 1);
    const std::vector<float> three = stack(x.to(format), 3);
    EXPECT_EQ(three, stack(x.to(format), 3));
    ASSERT_EQ(one.size(), three.size());
    for (std::size_t i = 0; i < one.size(); ++i)
      ASSERT_NEAR(one[i], three[i], 1e-4F * (1 + std::abs(one[i]))) << i;
  }
}

TEST(Dropout, KeepsAndScales) {
  Generator generator(7);
  ContextScope scope;
  scope->training = true;
  const Attributes attributes = Attributes::of(DropoutAttributes{.probability = 0.25});
  Tensor x = Tensor::ones({100, 400});
  x.set_requires_grad();
  EXPECT_ERROR(dropout(x, attributes), invalid_state, "dropout: expected a generator", "got none");
  scope->generator = &generator;
  const Tensor y = dropout(x, attributes);
  const std::vector<float> values = y.to_vector<float>();
  const auto zeros = std::count(values.begin(), values.end(), 0.0F);
  EXPECT_NEAR(static_cast<double>(zeros) / 40000, 0.25, 0.01);
  EXPECT_EQ(std::count(values.begin(), values.end(), 1 / 0.75F), 40000 - zeros);
  y.backward(Tensor::ones(x.shape()));
  EXPECT_EQ(x.grad().to_vector<float>(), values);
  EXPECT_ERROR(dropout(x, Attributes::of(DropoutAttributes{.probability = 1.5})), invalid_argument,
               "dropout: expected a probability from 0 to 1, got 1.5");
}

TEST(Dropout, DrawsDependOnNeitherThreadsNorFormat) {
  const Attributes attributes = Attributes::of(DropoutAttributes{});
  const Tensor x = Tensor::ones({9, 7, 31, 33});
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 3})
    for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      Generator generator(5);
      ContextScope scope;
      scope->training = true;
      scope->generator = &generator;
      scope->threads = threads;
      results.push_back(dropout(x.to(format), attributes).to_vector<float>());
      results.back().push_back(generator.uniform());
    }
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

TEST(Dropout, PassesThroughInEvaluation) {
  const Tensor x = Tensor::ones({3});
  EXPECT_EQ(dropout(x, Attributes::of(DropoutAttributes{})).raw(), x.raw());
}

}  // namespace
}  // namespace pare
