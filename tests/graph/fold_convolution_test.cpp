// Folding of batch norms into convolutions over one and three axes and into transposed ones.
#include <gtest/gtest.h>

#include <cmath>

#include "pare/core/ops.h"
#include "pare/graph/passes.h"
#include "pare/graph/trace.h"
#include "pare/nn/conv.h"
#include "pare/nn/convolution.h"
#include "pare/nn/linear.h"

namespace pare {
namespace {

/// A layer and a batch norm of `channels`, behind or in front of it, with random statistics.
template <class Layer> struct Normed : nn::Module {
  Normed(Layer l, std::int64_t channels, bool norm_first)
      : first(norm_first), layer(std::move(l)), gamma(Shape{channels}), beta(Shape{channels}) {
    Generator generator(3);
    mean = nn::Buffer(generator.normal({channels}));
    variance = nn::Buffer(generator.uniform({channels}, 0.5F, 2.0F));
  }
  void members(nn::Members& m) override {
    m("layer", layer)("gamma", gamma)("beta", beta)("mean", mean)("variance", variance);
  }
  Tensor forward(const Tensor& x) override {
    const auto norm = [&](const Tensor& t) {
      return batch_norm(t, gamma, beta, mean, variance, Attributes::of(BatchNormAttributes{}));
    };
    return first ? layer(norm(x)) : norm(layer(x));
  }
  void reset(Generator& generator) override {
    gamma.set(generator.normal(gamma.shape()));
    beta.set(generator.normal(beta.shape()));
  }
  bool first;
  Layer layer;
  nn::Parameter gamma, beta;
  nn::Buffer mean, variance;
};

template <class Layer>
PassResult folded(Layer layer, std::int64_t channels, const Shape& shape, bool first = false) {
  Normed<Layer> net(std::move(layer), channels, first);
  Generator generator(1);
  initialize(net, generator);
  const Tensor x = generator.normal(shape);
  Graph graph = trace(net, x);
  PassResult result = fold_batch_norm(graph);
  const auto wanted = graph(x).template to_vector<float>();
  const auto found = result.graph(x).template to_vector<float>();
  EXPECT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 1e-4F) << i;
  return result;
}

bool has_norm(const Graph& graph) {
  for (const Graph::Node& node : graph.nodes())
    if (node.call.op == &kBatchNorm) return true;
  return false;
}

TEST(FoldConvolution, IntoLinesVolumesAndTransposed) {
  const auto line =
      folded(nn::Conv1d({.in = 4, .out = 6, .kernel = 3, .padding = 1, .groups = 2}), 6, {2, 4, 5});
  EXPECT_FALSE(has_norm(line.graph));
  const auto volume = folded(nn::Conv3d({.in = 2, .out = 3, .kernel = 2}), 3, {2, 2, 3, 3, 4});
  EXPECT_FALSE(has_norm(volume.graph));
  // Channels are axis 1 of the weight: 3 inputs, 5 outputs, so that axis 0 would not fit.
  const auto transposed =
      folded(nn::ConvTranspose2d({.in = 3, .out = 5, .kernel = 3, .stride = 2}), 5, {2, 3, 4, 4});
  EXPECT_FALSE(has_norm(transposed.graph));
}

// Their output channels are no axis of the weight: group g of its inputs has group g's factors.
TEST(FoldConvolution, IntoGroupsOfATransposedConvolution) {
  const auto result =
      folded(nn::ConvTranspose2d({.in = 4, .out = 6, .kernel = 2, .groups = 2}), 6, {1, 4, 3, 3});
  EXPECT_FALSE(has_norm(result.graph)) << result.report.to_string();
}

TEST(FoldConvolution, OfANormInFront) {
  constexpr bool kFirst = true;
  const auto line = folded(nn::Conv1d({.in = 4, .out = 6, .kernel = 3}), 4, {2, 4, 5}, kFirst);
  EXPECT_FALSE(has_norm(line.graph)) << line.report.to_string();
  const auto picture =
      folded(nn::Conv2d({.in = 4, .out = 6, .kernel = 3, .bias = false}), 4, {2, 4, 5, 6}, kFirst);
  EXPECT_FALSE(has_norm(picture.graph)) << picture.report.to_string();
  const auto dense = folded(nn::Linear({.in = 4, .out = 3}), 4, {2, 4}, kFirst);
  EXPECT_FALSE(has_norm(dense.graph)) << dense.report.to_string();
}

// The shift of a batch norm does not reach the zeros of a padding.
TEST(FoldConvolution, ANormInFrontOfPaddingOrGroupsStays) {
  constexpr bool kFirst = true;
  const auto padded =
      folded(nn::Conv2d({.in = 4, .out = 6, .kernel = 3, .padding = 1}), 4, {2, 4, 5, 6}, kFirst);
  EXPECT_TRUE(has_norm(padded.graph));
  const auto grouped =
      folded(nn::Conv2d({.in = 4, .out = 6, .kernel = 3, .groups = 2}), 4, {2, 4, 5, 6}, kFirst);
  EXPECT_TRUE(has_norm(grouped.graph));
}

}  // namespace
}  // namespace pare
