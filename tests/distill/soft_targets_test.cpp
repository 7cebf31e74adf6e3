// The soft-target loss against PyTorch.
#include "pare/distill/soft_targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "distill/golden_soft_targets.h"
#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"

namespace pare::distill {
namespace {

using test::error_of;
using ::testing::HasSubstr;
namespace golden = test::golden;

const Shape kLogits{5, 7};

TEST(SoftTargets, ValueAndGradientAreTorchs) {
  const Tensor teacher = Tensor::from(golden::kTeacher, kLogits);
  const Tensor labels = Tensor::from(golden::kLabels, {5});
  for (const auto& c : golden::kSoftTargets) {
    Tensor student = Tensor::from(golden::kStudent, kLogits).set_requires_grad();
    const Tensor loss = soft_target_loss(student, teacher, labels,
                                         {.temperature = c.temperature, .alpha = c.alpha});
    EXPECT_NEAR(loss.item(), c.loss, 2e-6 * (1 + c.loss)) << c.temperature;
    loss.backward();
    const auto gradient = student.grad().to_vector<float>();
    for (std::size_t i = 0; i < gradient.size(); ++i)
      EXPECT_NEAR(gradient[i], c.gradient[i], 2e-6) << c.temperature << " at " << i;
  }
}

// A teacher that says what it is run under.
struct Teacher : nn::Module {
  Tensor forward(const Tensor&) override {
    EXPECT_FALSE(context().training);
    EXPECT_FALSE(context().observing);
    EXPECT_FALSE(context().grad);
    ++runs;
    return Tensor::from(golden::kTeacher, kLogits);
  }
  int runs = 0;
};

TEST(SoftTargets, RunTheTeacherInEvaluation) {
  Teacher teacher;
  Tensor student = Tensor::from(golden::kStudent, kLogits).set_requires_grad();
  ContextScope scope;
  scope->training = true;
  const auto& c = golden::kSoftTargets.front();
  const SoftTargets loss{.teacher = teacher, .temperature = c.temperature, .alpha = c.alpha};
  const Tensor value = loss(student, {Tensor::zeros({5, 1}), Tensor::from(golden::kLabels, {5})});
  EXPECT_NEAR(value.item(), c.loss, 2e-6 * (1 + c.loss));
  EXPECT_EQ(teacher.runs, 1);
  EXPECT_TRUE(context().training);
}

TEST(SoftTargets, RefuseBadInput) {
  const Tensor logits = Tensor::from(golden::kStudent, kLogits);
  const Tensor labels = Tensor::from(golden::kLabels, {5});
  EXPECT_THAT(error_of([&] { soft_target_loss(logits, logits, labels, {.temperature = 0}); }),
              HasSubstr("expected a temperature above 0, got 0"));
  EXPECT_THAT(error_of([&] { soft_target_loss(logits, logits, labels, {.alpha = 1.5}); }),
              HasSubstr("expected alpha in [0, 1], got 1.5"));
  EXPECT_THAT(error_of([&] {
                soft_target_loss(logits, Tensor::zeros({5, 6}), labels);
              }),
              HasSubstr("the student's [5, 7] and the teacher's [5, 6]"));
  EXPECT_THAT(error_of([&] { soft_target_loss(logits, logits, Tensor()); }),
              HasSubstr("got an undefined tensor"));
  EXPECT_THAT(error_of([&] { soft_target_loss(Tensor(), logits, labels); }),
              HasSubstr("got an undefined tensor"));
}

}  // namespace
}  // namespace pare::distill
