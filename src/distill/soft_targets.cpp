// The soft-target loss of response distillation.
#include "pare/distill/soft_targets.h"

#include "core/check.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"

namespace pare::distill {

Tensor soft_target_loss(const Tensor& student_logits, const Tensor& teacher_logits,
                        const Tensor& labels, const SoftTargetOptions& options) {
  constexpr const char* where = "soft_target_loss";
  PARE_CHECK(options.temperature > 0, invalid_argument, where,
             "expected a temperature above 0, got {}", options.temperature);
  PARE_CHECK(options.alpha >= 0 && options.alpha <= 1, invalid_argument, where,
             "expected alpha in [0, 1], got {}", options.alpha);
  PARE_CHECK(student_logits.defined() && teacher_logits.defined() && labels.defined(),
             invalid_argument, where,
             "expected logits of the student and the teacher and labels, got an undefined tensor");
  PARE_CHECK(student_logits.rank() == 2 && student_logits.shape() == teacher_logits.shape(),
             shape_mismatch, where,
             "expected logits [N, C] of one shape, got the student's {} and the teacher's {}",
             student_logits.shape(), teacher_logits.shape());
  const double t = options.temperature;
  const Tensor soft = kl_div(log_softmax(student_logits / t), softmax(teacher_logits.detach() / t));
  const Tensor hard = cross_entropy(student_logits, labels);
  return soft * (options.alpha * t * t) + hard * (1 - options.alpha);
}

Tensor SoftTargets::operator()(const Tensor& student_logits, const data::Batch& batch) const {
  Tensor teacher_logits;
  {
    ContextScope scope;
    scope->training = false;
    scope->observing = false;
    scope->grad = false;
    teacher_logits = teacher(batch.x);
  }
  return soft_target_loss(student_logits, teacher_logits, batch.y,
                          {.temperature = temperature, .alpha = alpha});
}

}  // namespace pare::distill
