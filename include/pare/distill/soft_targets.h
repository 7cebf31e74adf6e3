// Response distillation: a student learns a teacher's softened probabilities.
#pragma once

#include "pare/core/tensor.h"
#include "pare/data/loader.h"
#include "pare/nn/module.h"

namespace pare::distill {

struct SoftTargetOptions {
  double temperature = 4;  ///< T > 0: softens both distributions
  double alpha = 0.9;      ///< weight of the teacher, in [0, 1]; the labels have the rest
};

/// alpha · T² · KL(softmax(teacher/T) ‖ softmax(student/T)) + (1 − alpha) · cross-entropy(student).
/// Logits [N, C], labels i64 [N]; the divergence is summed over classes and averaged over the batch
/// ("batchmean"), so that T² keeps the gradients' size whatever T is (Hinton, Vinyals and Dean,
/// "Distilling the knowledge in a neural network", 2015). No gradient reaches the teacher's logits.
/// Throws shape_mismatch, invalid_argument for T ≤ 0 or alpha outside [0, 1].
PARE_API Tensor soft_target_loss(const Tensor& student_logits, const Tensor& teacher_logits,
                                 const Tensor& labels, const SoftTargetOptions& options = {});

/// A loss for train::fit: runs the teacher, in evaluation and off the tape, on every batch.
/// `train::fit(student, loader, options, distill::SoftTargets{.teacher = net, .temperature = 3})`
struct PARE_API SoftTargets {
  nn::Module& teacher;
  double temperature = 4;
  double alpha = 0.9;

  Tensor operator()(const Tensor& student_logits, const data::Batch& batch) const;
};

}  // namespace pare::distill
