// CTCLoss as a module.
#pragma once

#include "pare/core/ops/ctc.h"
#include "pare/nn/module.h"

namespace pare::nn {

/// core/ops/ctc.h's ctc_loss with its options kept.
struct PARE_API CTCLoss : Module {
  explicit CTCLoss(CtcLossAttributes options = {});
  Tensor operator()(const CtcOperands& operands) const { return ctc_loss(operands, options_); }
  /// Of {log_probs, targets, input_lengths, target_lengths}. Throws invalid_argument for another
  /// number.
  Tensors run(const Tensors& inputs) override;
  std::string kind() const override;

 private:
  CtcLossAttributes options_;
};

}  // namespace pare::nn
