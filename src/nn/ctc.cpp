// CTCLoss as a module.
#include "pare/nn/ctc.h"

#include "core/check.h"

namespace pare::nn {

CTCLoss::CTCLoss(CtcLossAttributes options) : options_(std::move(options)) {}
Tensors CTCLoss::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() == 4, invalid_argument, "CTCLoss",
             "expected log_probs, targets, input_lengths and target_lengths, got {} inputs",
             inputs.size());
  return {ctc_loss({inputs[0], inputs[1], inputs[2], inputs[3]}, options_)};
}
std::string CTCLoss::kind() const { return "CTCLoss"; }

}  // namespace pare::nn
