// Losses. Each gives a scalar, the mean over the batch.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kCrossEntropy, kKlDiv, kMse;

/// −log softmax(logits)[label], averaged over N. logits [N, C], labels i64 [N].
/// Throws out_of_range naming the first label outside [0, C).
PARE_API Tensor cross_entropy(const Tensor& logits, const Tensor& labels);
/// Σ target·(log target − log_input) / N (PyTorch's kl_div with batchmean): both [N, …], `target`
/// holds probabilities, `log_input` log-probabilities.
PARE_API Tensor kl_div(const Tensor& log_input, const Tensor& target);
/// Mean of the squared differences over all elements.
PARE_API Tensor mse(const Tensor& input, const Tensor& target);

}  // namespace pare
