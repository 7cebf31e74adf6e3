// Plans of symbolic sizes keep each weight once, packed, and take it from there for other sizes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "nets.h"

namespace pare {
namespace {

using test::Builder;
using test::difference;
using test::random;

constexpr double kBound = 1e-5;

/// Bytes of leaves that have more than one axis.
std::size_t weight_bytes(const Graph& graph) {
  std::size_t sum = 0;
  for (const Graph::Value& value : graph.values())
    if (value.tensor.defined() && value.shape.rank() > 1) sum += value.tensor.bytes();
  return sum;
}

/// Runs of many sizes, more than are kept, each as the interpreter's.
void expect_every_size(Graph& graph, const Plan& plan, const Shape& sample, double bound) {
  for (int round = 0; round < 2; ++round)
    for (std::int64_t batch = 1; batch <= 10; ++batch) {
      Shape shape{batch};
      for (int a = 0; a < sample.rank(); ++a) shape.append(sample[a]);
      const Tensor x = random(shape, static_cast<std::uint64_t>(batch));
      EXPECT_LE(difference(graph(x), plan.run(x)), bound) << batch;
    }
}

class PlanWeights : public ::testing::Test {
 protected:
  PlanWeights() { context().threads = 1; }
  ContextScope scope_;
  NoGrad no_grad_;
};

/// Convolutions with every kind of groups, then products both ways.
Graph mixed_net() {
  Builder b;
  const auto conv = [&](int x, const Shape& weight, std::int64_t groups, std::int64_t stride) {
    const std::int64_t padding = weight[2] / 2;
    return b.call(
        kConv2d,
        {x, b.constant(Generator(3).normal(weight, 0, 0.2)), b.constant(random({weight[0]}, 4))},
        Attributes::of(Conv2dAttributes{.stride = {stride, stride},
                                        .padding = {padding, padding, padding, padding},
                                        .groups = groups}));
  };
  int x = b.input("x", test::batch_of({3, 10, 12}));
  x = b.call(kRelu, {conv(x, {16, 3, 3, 3}, 1, 2)});
  x = b.call(kRelu, {conv(x, {32, 16, 3, 3}, 1, 1)});
  x = b.call(kAdd, {conv(x, {32, 32, 3, 3}, 1, 1), x});
  x = conv(x, {32, 1, 3, 3}, 32, 1);
  x = conv(x, {48, 8, 1, 1}, 4, 1);
  x = conv(x, {21, 48, 1, 1}, 1, 1);
  x = b.call(kReshape, {x}, Attributes::of(ReshapeAttributes{{0, -1}}));
  x = b.call(kMatmul, {x, b.constant(Generator(5).normal({21 * 30, 70}, 0, 0.05))});
  x = b.call(kLinear,
             {b.call(kRelu, {x}), b.constant(random({9, 70}, 6)), b.constant(random({9}))});
  return b.finish({x});
}

TEST_F(PlanWeights, AreKeptOnce) {
  Graph graph = mixed_net();
  const Plan plan = compile(graph, {.threads = 1});
  expect_every_size(graph, plan, {3, 10, 12}, kBound);
#if PARE_ONEDNN
  EXPECT_GE(plan.memory().weights, weight_bytes(graph)) << plan.to_string();
  EXPECT_LE(plan.memory().constants, weight_bytes(graph) / 50) << plan.to_string();
#endif
}

TEST_F(PlanWeights, OfIntegersAreKeptOnce) {
  Builder b;
  int x = b.quantize(b.input("x", test::batch_of({3, 8, 8})), 0.02, 128);
  const auto conv = [&](int codes, double scale, int zero, const Shape& weight,
                        std::int64_t groups) {
    b.groups = 1;
    const int w = b.weight(weight, 60, 3);
    const int bias = b.bias(scale, 4);
    return b.call(kConv2d, {b.dequantize(codes, scale, zero), w, bias},
                  Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}, .groups = groups}));
  };
  x = b.quantize(b.call(kRelu, {conv(x, 0.02, 128, {32, 3, 3, 3}, 1)}), 0.05, 0);
  x = b.quantize(b.call(kRelu, {conv(x, 0.05, 0, {32, 32, 3, 3}, 1)}), 0.3, 0);
  x = b.quantize(b.call(kRelu, {conv(x, 0.3, 0, {32, 1, 3, 3}, 32)}), 0.3, 0);
  x = b.dequantize(b.call(kReshape, {x}, Attributes::of(ReshapeAttributes{{0, -1}})), 0.3, 0);
  b.axis = 1;
  const int product = b.call(kMatmul, {x, b.weight({32 * 64, 10}, 60, 5)});
  Graph graph = b.finish({product});
  const Plan plan = compile(graph, {.threads = 1});
  expect_every_size(graph, plan, {3, 8, 8}, 0.02);  // a step of the codes here and there
#if PARE_ONEDNN
  if (isa_cap() < Isa::avx2) return;  // it runs in f32 there, and keeps the codes
  EXPECT_LE(plan.memory().constants, weight_bytes(graph) / 10) << plan.to_string();
#endif
}

TEST_F(PlanWeights, InNarrowPrecisionAreKeptOnce) {
  Graph graph = mixed_net();
  const Plan plan = compile(graph, {.threads = 1, .precision = Precision::bf16});
  expect_every_size(graph, plan, {3, 10, 12}, plan.precision() == Precision::bf16 ? 0.05 : kBound);
#if PARE_ONEDNN
  EXPECT_LE(plan.memory().constants, weight_bytes(graph) / 50) << plan.to_string();
#endif
}

struct TableNet : nn::Module {
  nn::Embedding table{{.num_embeddings = 40, .embedding_dim = 24}};
  nn::Linear fc{{.in = 24, .out = 7}};
  void members(nn::Members& m) override { m("table", table)("fc", fc); }
  Tensor forward(const Tensor& ids) override { return fc(table(ids)); }
};

// A traced graph shares the module's tensors: packed, read in place and added.
TEST_F(PlanWeights, AreThoseOfTheModuleWhenItWasCompiled) {
  TableNet net;
  Generator generator(7);
  nn::initialize(net, generator);
  for (Tensor& p : net.parameters()) p.fill(0.5);
  const auto ids = [](std::int64_t batch) {
    return Tensor::from(std::vector<std::int64_t>(static_cast<std::size_t>(batch * 3), 5),
                        {batch, 3});
  };
  const Plan plan = compile(trace(net, ids(2)), {.threads = 1});
  const Tensor expected = net(ids(1));
  for (Tensor& p : net.parameters()) p.fill(-3);
  for (const std::int64_t batch : {1, 2, 5, 2})
    EXPECT_EQ(plan.run(ids(batch)).to_vector<float>()[0], expected.to_vector<float>()[0]) << batch;
}

// NaN is not equal to itself, but the packed form that holds it is the same.
TEST_F(PlanWeights, WithNaNAreKeptOnceToo) {
  Builder b;
  Tensor weight = random({32, 32, 3, 3});
  weight.mutable_data<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  weight.mutable_data<float>()[4000] = std::numeric_limits<float>::infinity();
  const int x = b.input("x", test::batch_of({32, 6, 6}));
  const Graph graph = b.finish({b.call(kConv2d, {x, b.constant(weight)},
                                       Attributes::of(Conv2dAttributes{.padding = {1, 1, 1, 1}}))});
  const Plan plan = compile(graph, {.threads = 1});
  for (std::int64_t batch = 1; batch <= 3; ++batch) {
    const auto y = plan.run(random({batch, 32, 6, 6})).to_vector<float>();
    EXPECT_TRUE(std::isnan(y[0])) << batch;          // of the first filter
    EXPECT_TRUE(std::isfinite(y[5 * 36])) << batch;  // of another
  }
}

TEST_F(PlanWeights, OfNoElements) {
  for (const auto& shape : {Shape{0, 8}, Shape{8, 0}}) {
    Builder b;
    const int x = b.input("x", test::batch_of({shape[1]}));
    Graph graph = b.finish({b.call(kLinear, {x, b.constant(Tensor::empty(shape))})});
    const Plan plan = compile(graph, {.threads = 1});
    EXPECT_EQ(plan.run(Tensor::zeros({3, shape[1]})).to_vector<float>(),
              graph(Tensor::zeros({3, shape[1]})).to_vector<float>());
  }
}

// The table is read row by row, and so is the matrix of the product.
TEST_F(PlanWeights, ThatAreReadAsTheyAreStay) {
  Builder b;
  const int table = b.constant(random({40, 24}));
  Shape shape;
  shape.append_symbol("batch");
  shape.append(6);
  const int ids = b.input("ids", shape, DType::i64);
  const int rows = b.call(kEmbedding, {ids, table}, Attributes::of(EmbeddingAttributes{}));
  Graph graph = b.finish({b.call(kLinear, {rows, table})});
  const Plan plan = compile(graph, {.threads = 1});
  for (std::int64_t batch = 1; batch <= 3; ++batch) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(batch * 6));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<std::int64_t>(7 * i % 40);
    const Tensor x = Tensor::from(values, {batch, 6});
    EXPECT_LE(difference(graph(x), plan.run(x)), kBound);
  }
  EXPECT_GE(plan.memory().constants, weight_bytes(graph)) << plan.to_string();
}

}  // namespace
}  // namespace pare
