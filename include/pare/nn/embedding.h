// Embedding and EmbeddingBag: trained tables of vectors.
#pragma once

#include <optional>
#include <string>

#include "pare/core/ops/embedding.h"
#include "pare/nn/module.h"

namespace pare::nn {

struct EmbeddingOptions {
  std::int64_t num_embeddings = 0;
  std::int64_t embedding_dim = 0;
  std::int64_t padding_idx = -1;    ///< a row that is zero at first and is not trained; −1: none
  bool scale_grad_by_freq = false;  ///< a row's gradient is divided by how often it was read
  /// Every forward pass, in evaluation too, first scales the rows that it reads down to this norm,
  /// in place and off the tape. A traced graph holds the rows as they then are, and no longer does.
  std::optional<double> max_norm = {};
  double norm_type = 2;  ///< p of that norm
};
struct EmbeddingBagOptions {
  std::int64_t num_embeddings = 0;
  std::int64_t embedding_dim = 0;
  std::string mode = "mean";      ///< or "sum" or "max"
  std::int64_t padding_idx = -1;  ///< a row that counts as nothing; −1: none
  bool scale_grad_by_freq = false;
  bool include_last_offset = false;
  std::optional<double> max_norm = {};  ///< as Embedding's
  double norm_type = 2;
};

/// Indices of any shape, i64 or i32 → [..., embedding_dim]. Throws invalid_argument for sizes below
/// 1, a max_norm below 0 or a norm_type of 0 or less, out_of_range for a padding_idx that is no
/// row; forward throws invalid_state for a max_norm of a weight that is an expression.
struct PARE_API Embedding : Module {
  explicit Embedding(const EmbeddingOptions& options);
  void members(Members& m) override;
  Tensor forward(const Tensor& indices) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [num_embeddings, embedding_dim]

 private:
  EmbeddingAttributes attributes_;
  std::optional<EmbeddingRenormOptions> renorm_;
};

/// Bags of indices [B, L], or [M] with offsets [B] → [B, embedding_dim]. Throws as Embedding, and
/// invalid_argument for an unknown mode.
struct PARE_API EmbeddingBag : Module {
  explicit EmbeddingBag(const EmbeddingBagOptions& options);
  void members(Members& m) override;
  Tensor forward(const Tensor& indices) override;
  /// {indices, offsets, per_sample_weights}, those at the end or undefined left out.
  Tensors run(const Tensors& inputs) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [num_embeddings, embedding_dim]

 private:
  EmbeddingBagAttributes attributes_;
  std::optional<EmbeddingRenormOptions> renorm_;
};

}  // namespace pare::nn
