// embedding and embedding_bag: rows of a table by their indices.
#pragma once

#include <string>

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kEmbedding, kEmbeddingBag;

struct EmbeddingAttributes {
  std::int64_t padding_idx = -1;    ///< the row that gets no gradient; −1: none
  bool scale_grad_by_freq = false;  ///< a row's gradient is divided by how often it was read
  void fields(AttributeVisitor& visit) {
    visit("padding_idx", padding_idx);
    visit("scale_grad_by_freq", scale_grad_by_freq);
  }
};
struct EmbeddingBagAttributes {
  std::string mode = "mean";         ///< or "sum" or "max"
  std::int64_t padding_idx = -1;     ///< the row that counts as nothing; −1: none
  bool scale_grad_by_freq = false;   ///< not with max
  bool include_last_offset = false;  ///< the last offset is the end of the last bag
  void fields(AttributeVisitor& visit) {
    visit("mode", mode);
    visit("padding_idx", padding_idx);
    visit("scale_grad_by_freq", scale_grad_by_freq);
    visit("include_last_offset", include_last_offset);
  }
};

struct EmbeddingBagOperands {
  Tensor indices;                  ///< i64 or i32: [B, L], a bag a row, or [M] with offsets
  Tensor weight;                   ///< f32 [V, E]
  Tensor offsets = {};             ///< i64 or i32 [B]: where each bag begins, ascending from 0
  Tensor per_sample_weights = {};  ///< f32 of the indices' shape, with mode sum alone
};

/// weight[indices]: indices of any shape, i64 or i32, weight f32 or f64 [V, E] → [..., E]. Throws
/// out_of_range for an index outside [0, V).
PARE_API Tensor embedding(const Tensor& indices, const Tensor& weight,
                          const EmbeddingAttributes& attributes = {});
/// The sum, mean or maximum of the rows of each bag [B, E], 0 for an empty one. Throws
/// shape_mismatch, dtype_mismatch, invalid_argument, out_of_range.
PARE_API Tensor embedding_bag(const EmbeddingBagOperands& operands,
                              const EmbeddingBagAttributes& attributes = {});

struct EmbeddingRenormOptions {
  double max_norm = 1;   ///< at least 0
  double norm_type = 2;  ///< p of the p-norm, above 0; infinity: the largest magnitude
};
/// Scales, in place and off the tape, the rows of weight [V, E], f32 or f64, that the indices name
/// and whose norm exceeds max_norm, down to that norm (PyTorch's embedding_renorm_). Throws as
/// embedding, and invalid_argument for options outside of what they say; then nothing has changed.
PARE_API void embedding_renorm(Tensor& weight, const Tensor& indices,
                               const EmbeddingRenormOptions& options = {});

}  // namespace pare
