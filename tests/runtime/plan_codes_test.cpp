// Plans of quantized nets whose ops only move elements: they move codes, and nothing else changes.
#include <gtest/gtest.h>

#include <cmath>

#include "pare/pare.h"

namespace pare {
namespace {

/// Between two convolutions everything that moves elements without computing.
struct MovingNet : nn::Module {
  nn::Conv2d first{{.in = 3, .out = 8, .kernel = 3, .padding = 1}};
  nn::Conv2d last{{.in = 8, .out = 4, .kernel = 3}};
  void members(nn::Members& m) override { m("first", first)("last", last); }
  Tensor forward(const Tensor& x) override {
    Tensor y = pixel_shuffle(relu(first(x)), 2);
    y = interpolate(y, {.scale = {2}});
    y = tile(pad(y, {{0, 0, 1, 1}, {0, 0, 1, 1}, "reflect"}), {1, 4, 1, 1});
    y = roll(y, {1, 2}, {2, 3});
    return last(pixel_unshuffle(slice(y, 1, 0, 2), 2));
  }
};

TEST(PlanCodes, MovementKeepsCodes) {
  ContextScope scope;
  scope->threads = 1;
  MovingNet net;
  Generator generator(3);
  initialize(net, generator);
  const Tensor example = generator.normal({2, 3, 6, 6});
  Graph prepared = quantize::prepare(trace(net, example).copy());
  const NoGrad no_grad;
  prepared(example);
  Graph converted = quantize::convert(prepared).graph;
  // One scale from the first convolution's result to the last one's input.
  std::vector<double> scales;
  for (const Graph::Node& node : converted.nodes())
    if (node.call.op == &kQuantizeLinear)
      scales.push_back(converted.value(node.inputs[1]).tensor.item());
  ASSERT_EQ(scales.size(), 9U);  // the picture; the convolution and seven ops behind it
  for (std::size_t i = 2; i < scales.size(); ++i) EXPECT_EQ(scales[i], scales[1]);
  const Plan plan = compile(converted, {.threads = 1});
  int moved = 0;
  for (const PlanStep& step : plan.steps())
    for (const char* name : {"depth_to_space", "resize", "pad_border", "tile", "roll"})
      if (step.node.find(name) != std::string::npos) {
        EXPECT_EQ(step.source, DType::u8) << plan.to_string();
        EXPECT_EQ(step.destination, DType::u8) << plan.to_string();
        ++moved;
      }
  EXPECT_EQ(moved, 5) << plan.to_string();
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor x = generator.normal({2, 3, 6, 6}).to(format);
    const auto expected = converted(x).to_vector<float>();
    const auto found = plan.run(x).to_vector<float>();
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
      worst = std::max(worst, std::fabs(static_cast<double>(found[i] - expected[i])));
    }
    EXPECT_LE(worst, 0.02 * largest);  // a code that lies on a tie
  }
}

}  // namespace
}  // namespace pare
