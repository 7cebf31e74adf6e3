// Embedding and EmbeddingBag: trained tables of vectors.
#pragma once

#include <string>

#include "pare/core/ops/embedding.h"
#include "pare/nn/module.h"

namespace pare::nn {

/// There is no max_norm: it would change the weight while it is read.
struct EmbeddingOptions {
  std::int64_t num_embeddings = 0;
  std::int64_t embedding_dim = 0;
  std::int64_t padding_idx = -1;    ///< a row that is zero at first and is not trained; −1: none
  bool scale_grad_by_freq = false;  ///< a row's gradient is divided by how often it was read
};
struct EmbeddingBagOptions {
  std::int64_t num_embeddings = 0;
  std::int64_t embedding_dim = 0;
  std::string mode = "mean";      ///< or "sum" or "max"
  std::int64_t padding_idx = -1;  ///< a row that counts as nothing; −1: none
  bool scale_grad_by_freq = false;
  bool include_last_offset = false;
};

/// Indices of any shape, i64 or i32 → [..., embedding_dim]. Throws invalid_argument for sizes below
/// 1, out_of_range for a padding_idx that is no row.
struct PARE_API Embedding : Module {
  explicit Embedding(const EmbeddingOptions& options);
  void members(Members& m) override;
  Tensor forward(const Tensor& indices) override;
  void reset(Generator& generator) override;
  std::string kind() const override;

  Parameter weight;  ///< [num_embeddings, embedding_dim]

 private:
  EmbeddingAttributes attributes_;
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
};

}  // namespace pare::nn
