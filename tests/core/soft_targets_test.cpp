// Losses of targets that are probabilities, against PyTorch.
#include <gtest/gtest.h>

#include "core/golden_leaves.h"
#include "core/golden_soft_targets.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

const char* const kReductions[] = {"none", "mean", "sum", "batchmean"};

TEST(SoftTargets, SoftTargetsArePyTorchs) {
  int seen = 0;
  for (const GoldenCase& c : soft_targets_golden()) {
    const std::string op = c.op;
    if (op != "cross_entropy" && op != "kl_div") continue;
    ++seen;
    const Tensors x = leaves_of(c);
    const char* reduction = kReductions[static_cast<int>(c.numbers[0])];
    if (op == "cross_entropy")
      expect_case(c,
                  cross_entropy(x[0], x[1],
                                {.weight = x.size() > 2 ? x[2] : Tensor(),
                                 .label_smoothing = c.numbers[1],
                                 .reduction = reduction}),
                  x, 2e-5F);
    else
      expect_case(c, kl_div(x[0], x[1], {.reduction = reduction, .log_target = true}), x, 2e-5F);
  }
  EXPECT_EQ(seen, 26);
}

}  // namespace
}  // namespace pare::test
