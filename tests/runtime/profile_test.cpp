// The times of a plan's steps.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "runtime/nets.h"

namespace pare::test {
namespace {

TEST(PlanProfileTest, EveryStepOfThoseSizesHasATime) {
  nn::Sequential net{nn::Conv2d{{.in = 2, .out = 4, .kernel = 3, .padding = 1}}, nn::ReLU{},
                     nn::MaxPool2d{{.kernel = 2}}};
  const Plan plan = compile(traced(net, random({1, 2, 8, 8})), {.threads = 1});
  const PlanProfile profile = plan.profile({random({3, 2, 8, 8})}, 5);
  ASSERT_EQ(profile.rows.size(), plan.steps().size());
  double sum = 0;
  for (std::size_t s = 0; s < profile.rows.size(); ++s) {
    EXPECT_EQ(profile.rows[s].step.node, plan.steps()[s].node);
    EXPECT_GE(profile.rows[s].seconds, 0);
    sum += profile.rows[s].seconds;
  }
  EXPECT_DOUBLE_EQ(profile.seconds, sum);
  EXPECT_NE(profile.to_string().find("all steps"), std::string::npos);
  EXPECT_ERROR(plan.profile({random({3, 2, 8, 8})}, 0), invalid_argument, "at least one run");
  EXPECT_ERROR(plan.profile({random({3, 2, 8, 9})}), shape_mismatch, "plan");
  EXPECT_ERROR(plan.profile({}), invalid_argument, "plan");
}

}  // namespace
}  // namespace pare::test
