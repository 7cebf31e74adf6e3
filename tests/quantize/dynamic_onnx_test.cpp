// Dynamically quantized graphs as ONNX files: they come back, and plans run them on integers again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "nets.h"
#include "pare/pare.h"
#include "temporary_folder.h"

namespace pare::quantize {
namespace {

struct TwoLayers : nn::Module {
  nn::Linear up{{.in = 21, .out = 30}};
  nn::Linear down{{.in = 30, .out = 17, .bias = false}};
  void members(nn::Members& m) override { m("up", up)("down", down); }
  Tensor forward(const Tensor& x) override { return down(relu(up(x))); }
};

template <class Net> Graph traced(Generator& g, const Tensor& x) {
  Net net;
  initialize(net, g);
  return trace(net, x).copy();
}

int products(const Plan& plan) {
  return static_cast<int>(std::ranges::count_if(plan.steps(), [](const PlanStep& step) {
    return step.macs > 0 && step.source == DType::u8 && step.destination == DType::f32;
  }));
}

double worst(const Tensor& a, const Tensor& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.elements(); ++i)
    most = std::max(most, std::abs(double{a.data<float>()[i]} - double{b.data<float>()[i]}));
  return most;
}

TEST(DynamicOnnx, OneRangeComesBackToTheBit) {
  Generator g(3);
  const test::TemporaryFolder folder;
  const Tensor x = g.normal({4, 3, 21});
  for (const Granularity granularity : {Granularity::per_channel, Granularity::per_tensor}) {
    const Graph graph =
        dynamic(traced<TwoLayers>(g, x), {.per_row = false, .granularity = granularity}).graph;
    onnx::save(graph, folder.path("net.onnx"));
    const Plan before = compile(graph.copy(), {.threads = 1});
    const Plan after = compile(onnx::load(folder.path("net.onnx")), {.threads = 1});
    EXPECT_EQ(products(before), 2) << before.to_string();
    EXPECT_EQ(products(after), 2) << after.to_string();
    EXPECT_EQ(before.run(x).to_vector<float>(), after.run(x).to_vector<float>());
  }
}

// Attention: query, key and value read one dynamic_quantize_linear, in the file too.
TEST(DynamicOnnx, SharedInputsStayShared) {
  Generator g(4);
  const test::TemporaryFolder folder;
  const Tensor x = g.normal({2, 6, 8});
  const Graph graph = dynamic(traced<test::Scores>(g, x), {.per_row = false}).graph;
  onnx::save(graph, folder.path("net.onnx"));
  const Graph back = onnx::load(folder.path("net.onnx"));
  EXPECT_EQ(std::ranges::count_if(
                back.nodes(),
                [](const Graph::Node& node) { return node.call.op == &kDynamicQuantizeLinear; }),
            2);
  const Plan plan = compile(back.copy(), {.threads = 1});
  EXPECT_EQ(products(plan), 4) << plan.to_string();
}

// Rows are spelled out, and found again.
TEST(DynamicOnnx, RowsKeepTheirNumbers) {
  Generator g(5);
  const test::TemporaryFolder folder;
  const Tensor x = g.normal({4, 3, 21}, 0.3F, 2.0F);
  const Graph graph = dynamic(traced<TwoLayers>(g, x)).graph;
  for (const int opset : {13, 18, 21}) {
    onnx::save(graph, folder.path("net.onnx"), {.opset = opset});
    const Plan before = compile(graph.copy(), {.threads = 1});
    const Plan after = compile(onnx::load(folder.path("net.onnx")), {.threads = 1});
    EXPECT_EQ(products(after), 2) << after.to_string();
    EXPECT_EQ(before.run(x).to_vector<float>(), after.run(x).to_vector<float>());
    ContextScope scope;
    scope->grad = false;
    Graph read = onnx::load(folder.path("net.onnx"));
    EXPECT_LT(worst(before.run(x), read.run({x})[0]), 1e-5) << opset;
  }
}

}  // namespace
}  // namespace pare::quantize
