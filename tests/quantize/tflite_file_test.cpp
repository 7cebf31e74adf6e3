// An int8 model of the TFLite converter, as tf2onnx writes it: its codes, and training on it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "pare/pare.h"
#include "quantize/golden_tflite.h"
#include "quantize/nets.h"
#include "quantize/plan_layers.h"

namespace pare::quantize {
namespace {

Graph file() { return onnx::parse(std::as_bytes(std::span(golden::kTfliteFile))); }

Tensor given() {
  const std::span<const std::int8_t> codes(golden::kTfliteInput);
  return Tensor::from(std::vector<std::int8_t>(codes.begin(), codes.end()), {8, 8, 8, 3});
}

std::vector<int> expected() {
  const std::span<const std::int8_t> codes(golden::kTfliteOutput);
  return {codes.begin(), codes.end()};
}

// TFLite's kernels round in whole numbers: the mean of a pool away from zero, where ONNX's goes to
// the even code. A code that turns there moves the probabilities, of 1/256, by a few steps.
void expect_as_tflite(const Tensor& y, const char* what) {
  ASSERT_EQ(y.dtype(), DType::i8) << what;
  const auto codes = y.to_vector<std::int8_t>();
  const std::vector<int> all = expected();
  ASSERT_EQ(codes.size(), all.size());
  for (std::size_t row = 0; row < all.size(); row += 5) {
    const auto best = [&](const auto& v) {
      const auto begin = v.begin() + static_cast<std::ptrdiff_t>(row);
      return std::max_element(begin, begin + 5) - begin;
    };
    EXPECT_EQ(best(codes), best(all)) << what << ", sample " << row / 5;
  }
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_NEAR(codes[i], all[i], 8) << what;
}

TEST(TfliteFile, InterpreterAndPlanComputeWhatTfliteDoes) {
  Graph graph = file();
  expect_as_tflite(test::infer_with(graph, given()), "interpreter");
  const Plan plan = compile(graph.copy());
  expect_as_tflite(plan.run(given()), "plan");
  // All four layers run on integers, biases among their sums.
  const Graph recognized = recognize(graph.copy()).graph;
  std::vector<std::string> layers;
  for (const Graph::Node& node : recognized.nodes())
    if (node.call.op->quantization.weight_input >= 0) layers.push_back(node.name);
  EXPECT_EQ(layers.size(), 4U);
  test::expect_no_silent_float(plan, layers);
}

TEST(TfliteFile, TrainsAndConvertsAgain) {
  const Graph graph = file();
  FakeQuantized fake = to_fake_quantize(graph);
  EXPECT_TRUE(fake.report.left.empty()) << fake.report.to_string();
  EXPECT_EQ(fake.graph.parameters().size(), 8U);  // four weights, four biases
  ContextScope scope;
  scope->threads = 1;
  scope->training = true;
  std::vector<std::int64_t> classes;
  for (std::size_t i = 0; i < 8; ++i) classes.push_back(static_cast<std::int64_t>(i % 5));
  const Tensor labels = Tensor::from(classes, {8});
  optim::Adam optimizer(fake.graph.parameters(), {.lr = 1e-2});
  double first = 0, last = 0;
  for (int step = 0; step < 40; ++step) {
    const Tensor loss = nll(log(fake.graph(given()) + Tensor::scalar(1e-3F)), labels);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    last = loss.item();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, 0.7 * first);
  scope->training = false;
  Graph integers = convert(fake.graph).graph;
  const Tensor a = test::infer_with(fake.graph, given()), b = test::infer_with(integers, given());
  const Tensor c = compile(integers.copy()).run(given());
  EXPECT_EQ(argmax(a, 1).to_vector<std::int64_t>(), argmax(b, 1).to_vector<std::int64_t>());
  EXPECT_EQ(argmax(a, 1).to_vector<std::int64_t>(), argmax(c, 1).to_vector<std::int64_t>());
}

}  // namespace
}  // namespace pare::quantize
