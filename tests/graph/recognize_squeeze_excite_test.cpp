// recognize: squeeze-and-excite in every spelling becomes pooling and convolutions of one pixel.
#include <gmock/gmock.h>

#include "graph/nets.h"

namespace pare::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kChannels = 6;
constexpr std::int64_t kFew = 3;

/// A picture times a gate that a function makes of it, with the leaves of both ways to write it.
struct Gated : nn::Module {
  using Body = std::function<Tensor(Gated& net, const Tensor& x)>;
  explicit Gated(Body b) : body(std::move(b)) { fill(*this); }
  Body body;
  nn::Conv2d squeeze{{.in = kChannels, .out = kFew, .kernel = 1}};
  nn::Conv2d excite{{.in = kFew, .out = kChannels, .kernel = 1}};
  nn::Linear down{{.in = kChannels, .out = kFew}};
  nn::Linear up{{.in = kFew, .out = kChannels}};
  void members(nn::Members& m) override {
    m("squeeze", squeeze)("excite", excite)("down", down)("up", up);
  }
  Tensor forward(const Tensor& x) override { return body(*this, x); }
};

const Shape kPicture{2, kChannels, 5, 4};

std::vector<std::string> ops_of(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Graph::Node& node : graph.nodes()) ops.emplace_back(node.call.op->name);
  return ops;
}

/// The normal form with an activation and a gate; pools stay pools.
std::vector<std::string> normal(const char* activation, const char* gate, bool pool = false) {
  return {pool ? "global_average_pool" : "mean", "conv2d", activation, "conv2d", gate, "mul"};
}

/// The pass makes the normal form of a module's graph, with the same values, the same parameters,
/// and nothing to do a second time.
void expect_normal(const Gated::Body& body, const char* activation = "relu",
                   const char* gate = "sigmoid", const TraceOptions& options = {}) {
  Gated net(body);
  Graph graph = trace(net, random(kPicture), options).copy();
  auto [found, report] = recognize(graph);
  EXPECT_THAT(report.to_string(), HasSubstr("is squeeze-and-excite"));
  const std::vector<std::string> ops = ops_of(fold_constants(found).graph);
  EXPECT_EQ(ops, normal(activation, gate, ops.front() != "mean")) << found.to_string();
  const Tensor x = random(kPicture, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
  EXPECT_EQ(graph.output_names(), found.output_names());
  std::vector<std::string> before, after;
  for (const nn::NamedTensor& p : graph.named_parameters()) before.push_back(p.name);
  for (const nn::NamedTensor& p : found.named_parameters()) after.push_back(p.name);
  EXPECT_THAT(after, testing::UnorderedElementsAreArray(before));
  const PassResult again = recognize(found);
  EXPECT_THAT(again.report.done, IsEmpty()) << again.report.to_string();
  EXPECT_EQ(again.graph.to_string(), found.to_string());
}

void expect_stays(const Gated::Body& body, const Shape& shape = kPicture) {
  Gated net(body);
  Graph graph = trace(net, random(shape)).copy();
  auto [found, report] = recognize(graph);
  EXPECT_THAT(report.done, IsEmpty()) << report.to_string();
  EXPECT_EQ(found.to_string(), graph.to_string());
}

Tensor flat(const Tensor& x) { return reshape(x, {x.dim(0), x.dim(1)}); }
Tensor pixel(const Tensor& x) { return reshape(x, {x.dim(0), x.dim(1), 1, 1}); }
Tensor convolved(Gated& net, const Tensor& mean) { return net.excite(relu(net.squeeze(mean))); }
Tensor dense(Gated& net, const Tensor& mean) { return net.up(relu(net.down(mean))); }

TEST(RecognizeSqueezeExcite, MeansOfEverySpelling) {
  const auto with = [](const auto& mean_of) {
    expect_normal(
        [=](Gated& net, const Tensor& x) { return x * sigmoid(convolved(net, mean_of(x))); });
  };
  with([](const Tensor& x) { return pixel(mean(x, {2, 3})); });
  with([](const Tensor& x) { return mean(mean(x, {2}, true), {3}, true); });
  with([](const Tensor& x) { return pixel(mean(mean(x, {-1}), {-1})); });
  with([](const Tensor& x) { return pixel(mean(reshape(x, {x.dim(0), kChannels, 20}), {2})); });
  with([](const Tensor& x) {
    return average_pool2d(x, Pool2dAttributes{.kernel = {5, 4}, .stride = {5, 4}});
  });
}

TEST(RecognizeSqueezeExcite, LayersOfEverySpelling) {
  expect_normal([](Gated& net, const Tensor& x) {
    return pixel(sigmoid(dense(net, flat(global_average_pool(x))))) * x;
  });
  expect_normal([](Gated& net, const Tensor& x) {
    return sigmoid(pixel(dense(net, mean(x, {2, 3})))) * x;
  });
  // The channels are last, as in NHWC.
  expect_normal([](Gated& net, const Tensor& x) {
    const Tensor row = reshape(mean(x, {2, 3}), {x.dim(0), 1, 1, kChannels});
    return transpose(sigmoid(dense(net, row)), {0, 3, 1, 2}) * x;
  });
  // One of each.
  expect_normal([](Gated& net, const Tensor& x) {
    const Tensor few = relu(net.squeeze(global_average_pool(x)));
    return x * sigmoid(pixel(net.up(flat(few))));
  });
  expect_normal([](Gated& net, const Tensor& x) {
    const Tensor gate = pixel(sigmoid(dense(net, mean(x, {2, 3}))));
    return x * expand(gate, {x.dim(0), x.dim(1), x.dim(2), x.dim(3)});
  });
}

// Exporters write a dense layer as a product with the turned matrix; where the bias stands in the
// sum differs.
TEST(RecognizeSqueezeExcite, ProductsAndSums) {
  Gated net([](Gated& self, const Tensor& x) {
    const auto turned = [](const nn::Parameter& w) { return transpose(Tensor(w), {1, 0}); };
    const Tensor few =
        relu(Tensor(self.down.bias) + matmul(mean(x, {2, 3}), turned(self.down.weight)));
    const Tensor all = matmul(few, turned(self.up.weight)) + reshape(Tensor(self.up.bias), {1, -1});
    return x * pixel(sigmoid(all));
  });
  Graph graph = fold_constants(trace(net, random(kPicture)).copy()).graph;
  const Graph found = recognize(graph).graph;
  Graph folded = fold_constants(found).graph;
  EXPECT_EQ(ops_of(folded), normal("relu", "sigmoid")) << found.to_string();
  const Tensor x = random(kPicture, 9);
  EXPECT_LT(difference(run_one(folded, x), run_one(graph, x)), 2e-6);
}

TEST(RecognizeSqueezeExcite, BiasesThatAreAddedToConvolutions) {
  Gated net([](Gated& self, const Tensor& x) {
    const auto added = [](const Tensor& y, const nn::Conv2d& layer) {
      return y + reshape(Tensor(layer.bias), {-1, 1, 1});
    };
    const Tensor few = added(conv2d(global_average_pool(x), self.squeeze.weight), self.squeeze);
    return x * sigmoid(added(conv2d(relu(few), self.excite.weight), self.excite));
  });
  Graph graph = fold_constants(trace(net, random(kPicture)).copy()).graph;
  Graph found = fold_constants(recognize(graph).graph).graph;
  EXPECT_EQ(ops_of(found), normal("relu", "sigmoid", true)) << found.to_string();
  const Tensor x = random(kPicture, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
}

TEST(RecognizeSqueezeExcite, ActivationsThatWereWrittenOut) {
  const auto constant = [](float value) { return Tensor::scalar(value); };
  expect_normal(
      [&](Gated& net, const Tensor& x) {
        const Tensor z = net.down(mean(x, {2, 3}));
        const Tensor gate = clamp(net.up(z * sigmoid(z)) + constant(3), 0, 6) / constant(6);
        return x * pixel(gate);
      },
      "silu", "hardsigmoid");
  // Paddle's hard sigmoid has another slope.
  Gated net([&](Gated& self, const Tensor& x) {
    const Tensor z = dense(self, flat(global_average_pool(x)));
    return x * pixel(clamp(z * constant(0.2F) + constant(0.5F), 0, 1));
  });
  Graph graph = trace(net, random(kPicture)).copy();
  Graph found = fold_constants(recognize(graph).graph).graph;
  EXPECT_THAT(ops_of(found), ElementsAre("global_average_pool", "conv2d", "relu", "conv2d", "mul",
                                         "add", "clamp", "mul"));
  const Tensor x = random(kPicture, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
}

TEST(RecognizeSqueezeExcite, OfNamedHeightsAndFixedBatches) {
  const Gated::Body body = [](Gated& net, const Tensor& x) {
    return x * pixel(sigmoid(dense(net, mean(x, {2, 3}))));
  };
  expect_normal(body, "relu", "sigmoid", {.symbolic_batch = false});
  expect_normal(body, "relu", "sigmoid", {.axes = {{0, 2, "height"}, {0, 3, "width"}}});
}

TEST(RecognizeSqueezeExcite, ModulesThatReadEachOther) {
  Gated net([](Gated& self, const Tensor& x) {
    const auto module = [&](const Tensor& y) {
      return y * pixel(sigmoid(dense(self, mean(y, {2, 3}))));
    };
    return module(relu(module(x))) + x;
  });
  Graph graph = trace(net, random(kPicture)).copy();
  auto [found, report] = recognize(graph);
  EXPECT_EQ(report.done.size(), 2U) << report.to_string();
  const Tensor x = random(kPicture, 9);
  EXPECT_LT(difference(run_one(found, x), run_one(graph, x)), 2e-6);
}

TEST(RecognizeSqueezeExcite, TheNormalFormStays) {
  expect_stays([](Gated& net, const Tensor& x) {
    return x * sigmoid(convolved(net, global_average_pool(x)));
  });
  expect_stays([](Gated& net, const Tensor& x) {
    return x * sigmoid(convolved(net, mean(x, {-1, -2}, true)));
  });
}

TEST(RecognizeSqueezeExcite, WhatOnlyResemblesItStays) {
  // The mean of another picture.
  expect_stays([](Gated& net, const Tensor& x) {
    return x * pixel(sigmoid(dense(net, mean(relu(x), {2, 3}))));
  });
  // Over other axes.
  expect_stays(
      [](Gated& net, const Tensor& x) { return x * sigmoid(convolved(net, mean(x, {2}, true))); });
  expect_stays(
      [](Gated& net, const Tensor& x) {
        return x * pixel(sigmoid(dense(net, mean(x, {1, 3}))));
      },
      {2, kChannels, kChannels, 4});
  // No gate, one layer, no activation between two.
  expect_stays([](Gated& net, const Tensor& x) {
    return x * pixel(tanh(dense(net, mean(x, {2, 3}))));
  });
  expect_stays([](Gated& net, const Tensor& x) {
    return mean(x, {2, 3}, true) * sigmoid(x) + pixel(net.up(net.down(mean(x, {2, 3}))));
  });
  expect_stays([](Gated& net, const Tensor& x) {
    return x * pixel(sigmoid(net.up(net.down(mean(x, {2, 3})))));
  });
  // Sums instead of means, sums of module and picture.
  expect_stays([](Gated& net, const Tensor& x) {
    return x * pixel(sigmoid(dense(net, sum(x, {2, 3}))));
  });
  expect_stays([](Gated& net, const Tensor& x) {
    return x + pixel(sigmoid(dense(net, mean(x, {2, 3}))));
  });
  // A softmax is no function of single elements.
  expect_stays([](Gated& net, const Tensor& x) {
    return x * pixel(sigmoid(net.up(softmax(net.down(mean(x, {2, 3})), 1))));
  });
}

// Its shape would be another one for the other reader.
TEST(RecognizeSqueezeExcite, ReadElsewhereItStays) {
  expect_stays([](Gated& net, const Tensor& x) {
    const Tensor row = mean(x, {2, 3});
    return x * pixel(sigmoid(dense(net, row))) + pixel(exp(row));
  });
  expect_stays([](Gated& net, const Tensor& x) {
    const Tensor gate = sigmoid(dense(net, mean(x, {2, 3})));
    return x * pixel(gate) + pixel(exp(gate));
  });
}

// A product with as many samples as channels must not take one for the other.
TEST(RecognizeSqueezeExcite, SamplesAreNoChannels) {
  Gated net([](Gated& self, const Tensor& x) {
    const Tensor row = transpose(mean(x, {2, 3}), {1, 0});
    return x * pixel(transpose(sigmoid(dense(self, row)), {1, 0}));
  });
  Graph graph = trace(net, random({kChannels, kChannels, 5, 4}), {.symbolic_batch = false}).copy();
  auto [found, report] = recognize(graph);
  EXPECT_THAT(report.done, IsEmpty()) << report.to_string();
  EXPECT_EQ(found.to_string(), graph.to_string());
}

TEST(RecognizeSqueezeExcite, QuantizedItStays) {
  expect_stays([](Gated& net, const Tensor& x) {
    const Tensor scale = Tensor::scalar(0.05F);
    const Tensor zero = Tensor::scalar(128, DType::u8);
    const auto coded = [&](const Tensor& y) {
      return dequantize_linear(quantize_linear(y, scale, zero, QuantizeAttributes{}), scale, zero);
    };
    return x * pixel(sigmoid(coded(dense(net, mean(x, {2, 3})))));
  });
}

TEST(RecognizeSqueezeExcite, TrainsAsWritten) {
  Gated net([](Gated& self, const Tensor& x) {
    return x * pixel(sigmoid(dense(self, mean(x, {2, 3}))));
  });
  Graph graph = trace(net, random(kPicture)).copy();
  Graph found = recognize(graph).graph;
  const Tensor x = random(kPicture, 9);
  for (Graph* const g : {&graph, &found}) sum(g->forward(x)).backward();
  for (const char* const name : {"down.weight", "down.bias", "up.weight", "up.bias"}) {
    SCOPED_TRACE(name);
    const auto gradient = [&](const Graph& g) { return g.value(g.find_value(name)).tensor.grad(); };
    EXPECT_LT(difference(gradient(found), gradient(graph)), 1e-5);
  }
}

}  // namespace
}  // namespace pare::test
