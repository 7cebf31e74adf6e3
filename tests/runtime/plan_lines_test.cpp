// Plans of nets of lines and volumes: conv1d in f32 and int8, its pooling, conv3d and transposed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "pare/nn/activation.h"
#include "pare/nn/adaptive_pooling.h"
#include "pare/nn/container.h"
#include "pare/nn/convolution.h"
#include "pare/nn/flatten.h"
#include "pare/nn/linear.h"
#include "pare/nn/pooling.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "pare/runtime/compile.h"

namespace pare {
namespace {

double largest_difference(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<float>();
  const auto y = b.to_vector<float>();
  EXPECT_EQ(x.size(), y.size());
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    most = std::max(most, static_cast<double>(std::abs(x[i] - y[i])));
  return most;
}

Graph lines() {
  nn::Sequential net{nn::Conv1d{{.in = 3, .out = 16, .kernel = 5, .stride = 2, .padding = 2}},
                     nn::ReLU{},
                     nn::MaxPool1d{{.kernel = 2}},
                     nn::Conv1d{{.in = 16, .out = 16, .kernel = 3, .padding = 1, .groups = 16}},
                     nn::ReLU{},
                     nn::Conv1d{{.in = 16, .out = 32, .kernel = 1}},
                     nn::ReLU{},
                     nn::AdaptiveAvgPool1d{3},
                     nn::Flatten{},
                     nn::Linear{{.in = 96, .out = 5}}};
  Generator generator(3);
  initialize(net, generator);
  return trace(net, generator.normal({2, 3, 40})).copy();
}

bool runs(const Plan& plan, const std::string& kernel) {
  return std::ranges::any_of(plan.steps(), [&](const PlanStep& step) {
    return step.kernel.find(kernel) != std::string::npos;
  });
}

TEST(PlanOfLines, IsTheInterpreter) {
  const NoGrad no_grad;
  Graph graph = lines();
  const Plan plan = compile(graph, {.threads = 1});
  for (const std::int64_t batch : {1, 4}) {
    const Tensor x = Generator(5).normal({batch, 3, 40});
    const Tensor wanted = graph(x);
    EXPECT_LE(largest_difference(plan.run(x), wanted), 1e-5) << plan.to_string();
    EXPECT_LE(largest_difference(plan.run(x.to(MemoryFormat::channels_last)), wanted), 1e-5);
  }
  EXPECT_TRUE(runs(plan, "max pool")) << plan.to_string();
  EXPECT_TRUE(runs(plan, "average pool")) << plan.to_string();
}

TEST(PlanOfLines, InInt8IsTheInterpreterAndNearTheFloatNet) {
  const NoGrad no_grad;
  Graph graph = lines();
  Graph prepared = quantize::prepare(graph, quantize::QConfig::x86());
  Generator generator(7);
  for (int i = 0; i < 4; ++i) prepared(generator.normal({8, 3, 40}));
  auto [int8, report] = quantize::convert(prepared);
  int integer_weights = 0;
  for (const Graph::Node& node : int8.nodes())
    if (node.call.op == &kConv1d) {
      const int weight = int8.value(node.inputs[1]).producer;
      ASSERT_GE(weight, 0);
      EXPECT_EQ(int8.node(weight).call.op, &kDequantizeLinear);
      ++integer_weights;
    }
  EXPECT_EQ(integer_weights, 3);
  const Plan plan = compile(int8, {.threads = 1});
  const Tensor x = generator.normal({64, 3, 40});
  const Tensor found = plan.run(x);
  const Tensor wanted = int8(x);
  const Tensor real = graph(x);
  double size = 0;
  double noise = 0;
  const auto r = real.to_vector<float>();
  const auto f = found.to_vector<float>();
  for (std::size_t i = 0; i < r.size(); ++i) {
    size += static_cast<double>(r[i]) * r[i];
    noise += static_cast<double>(r[i] - f[i]) * (r[i] - f[i]);
  }
  EXPECT_GT(10 * std::log10(size / noise), 20);
  // Codes may differ by one next to ties; each moves the result by less than a hundredth.
  EXPECT_LE(largest_difference(found, wanted),
            0.02 * std::sqrt(size / static_cast<double>(r.size())))
      << plan.to_string();
  for (const PlanStep& step : plan.steps())
    if (step.macs > 0) {
      EXPECT_NE(step.source, DType::f32) << step.node << "\n" << plan.to_string();
    }
}

TEST(PlanOfVolumes, IsTheInterpreter) {
  const NoGrad no_grad;
  nn::Sequential net{nn::Conv3d{{.in = 2, .out = 4, .kernel = 3, .padding = 1}},
                     nn::ReLU{},
                     nn::MaxPool3d{{.kernel = {1, 2, 2}, .ceil_mode = true}},
                     nn::ConvTranspose3d{{.in = 4, .out = 3, .kernel = 2, .stride = 2}},
                     nn::AvgPool3d{{.kernel = 3, .stride = 2, .padding = 1}},
                     nn::AdaptiveMaxPool3d{{2, 2, 1}}};
  Generator generator(9);
  initialize(net, generator);
  Graph graph = trace(net, generator.normal({2, 2, 3, 5, 4})).copy();
  const Plan plan = compile(graph, {.threads = 1});
  const Tensor x = generator.normal({3, 2, 3, 5, 4});
  EXPECT_LE(largest_difference(plan.run(x), graph(x)), 1e-5) << plan.to_string();
}

}  // namespace
}  // namespace pare
