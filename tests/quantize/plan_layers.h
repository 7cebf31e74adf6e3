// Which layers of a plan run on integers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace pare::test {

/// Layers run on codes, or the plan's report says why not (signed activations have no exact kernel
/// where the CPU has no VNNI).
inline void expect_no_silent_float(const Plan& plan, const std::vector<std::string>& layers) {
  for (const std::string& layer : layers) {
    const auto step = std::ranges::find_if(plan.steps(), [&](const PlanStep& s) {
      return s.node == layer || s.node.starts_with(layer + " + ");
    });
    ASSERT_NE(step, plan.steps().end()) << layer << plan.to_string();
    const bool said = std::ranges::any_of(plan.report().left, [&](const PassReport::Line& line) {
      return line.node == layer && line.text.starts_with("runs in f32: no exact int8 kernel");
    });
    EXPECT_TRUE(!is_floating(step->source) || said) << layer << '\n' << plan.to_string();
  }
}

}  // namespace pare::test
