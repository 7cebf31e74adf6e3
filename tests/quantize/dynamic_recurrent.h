// What the tests of dynamically quantized recurrent layers share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "pare/core/context.h"
#include "pare/graph/trace.h"
#include "pare/quantize/dynamic.h"
#include "pare/runtime/compile.h"

namespace pare::quantize {

class DynamicRecurrent : public testing::Test {
 protected:
  void SetUp() override {
    scope_->threads = 1;
    scope_->grad = scope_->observing = false;
  }

 private:
  ContextScope scope_;
};

inline Graph quantized(const Graph& graph) { return dynamic(graph, {.weight_qmax = 127}).graph; }

inline double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>();
  const std::vector<float> y = b.to_vector<float>();
  double most = x.size() == y.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    most = std::max(most, std::fabs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  return most;
}

/// Signal to noise of b against a, in dB.
inline double sqnr(std::span<const double> a, std::span<const double> b) {
  double signal = 0;
  double noise = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    signal += a[i] * a[i];
    noise += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return 10 * std::log10(signal / noise);
}

template <class Net> Graph graph_of(Net& net, const Tensor& x) { return trace(net, x).copy(); }

/// Every step of the plan of a net that is nothing but recurrent layers multiplies integers.
inline void expect_integers(const Plan& plan) {
  EXPECT_TRUE(plan.report().left.empty()) << plan.report().to_string();
  int layers = 0;
  for (const PlanStep& step : plan.steps()) {
    if (step.macs == 0) continue;
    ++layers;
    EXPECT_FALSE(step.slow);
    EXPECT_NE(step.kernel, "gemm");
    EXPECT_NE(step.kernel, "reference");
  }
  EXPECT_GT(layers, 0);
}

}  // namespace pare::quantize
