// Batch normalization and dropout.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kBatchNorm, kDropout;

struct BatchNormAttributes {
  double epsilon = 1e-5;
  double momentum = 0.1;  ///< PyTorch's: running = (1 − momentum)·running + momentum·batch
  bool frozen = false;    ///< running statistics also in training, and no update
  bool fixed = false;     ///< the same, which Module::train() and eval() leave as it is
  void fields(AttributeVisitor& visit) {
    visit("epsilon", epsilon);
    visit("momentum", momentum);
    visit("frozen", frozen);
    visit("fixed", fixed);
  }
};
struct DropoutAttributes {
  double probability = 0.5;
  bool frozen = false;  ///< passes through also in training
  void fields(AttributeVisitor& visit) {
    visit("probability", probability);
    visit("frozen", frozen);
  }
};

/// x [N, C, …], all others [C]. In training (context().training, neither frozen nor fixed)
/// normalizes by the batch's statistics and moves the running ones (unbiased variance); else by the
/// running ones. As a sixth input the op takes a tensor of x's shape whose statistics the batch's
/// are instead: x normalized as that one would be.
PARE_API Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Tensor& running_mean, const Tensor& running_variance,
                           const Attributes& attributes);
/// In training, zeroes with the probability and scales the rest by 1 / (1 − p), drawing from
/// context().generator (an error if that is null); else passes through.
PARE_API Tensor dropout(const Tensor& x, const Attributes& attributes);

}  // namespace pare
