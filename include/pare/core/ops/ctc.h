// ctc_loss: sequences of labels that are not aligned with the steps that predict them.
#pragma once

#include <string>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kCtcLoss;

struct CtcLossAttributes {
  std::int64_t blank = 0;
  bool zero_infinity = false;  ///< losses of targets that do not fit, and their gradients, are 0
  std::string reduction = "mean";  ///< mean: each loss over its target's length first; sum; none
  void fields(AttributeVisitor& visit) {
    visit("blank", blank);
    visit("zero_infinity", zero_infinity);
    visit("reduction", reduction);
  }
};

struct CtcOperands {
  Tensor log_probs;       ///< f32 or f64 [T, N, C] or [T, C], of log_softmax
  Tensor targets;         ///< i64 or i32 [N, S], or all labels one behind the other
  Tensor input_lengths;   ///< i64 or i32 [N], each up to T
  Tensor target_lengths;  ///< i64 or i32 [N]
};

/// −log of the probability of a target, summed over all its alignments (Graves et al.,
/// "Connectionist temporal classification", 2006). The gradient is that of log_probs as they are
/// (minus the posterior); PyTorch's differs from it by what log_softmax's own gradient takes away.
/// Throws shape_mismatch, dtype_mismatch, out_of_range.
PARE_API Tensor ctc_loss(const CtcOperands& operands, const CtcLossAttributes& attributes = {});

}  // namespace pare
