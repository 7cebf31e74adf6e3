// A transformer that classifies sequences of tokens.
#pragma once

#include "pare/nn/embedding.h"
#include "pare/nn/transformer.h"

namespace pare::models {

struct TransformerClassifierOptions {
  std::int64_t vocab_size = 0;
  std::int64_t classes = 0;
  std::int64_t max_length = 128;
  std::int64_t d_model = 64;
  std::int64_t nhead = 4;
  std::int64_t num_layers = 2;
  std::int64_t dim_feedforward = 128;
  double dropout = 0.1;
  std::int64_t padding = -1;  ///< the token that stands for nothing; −1: there is none
};

/// Tokens [N, T], T up to max_length → logits [N, classes]: embeddings with learned places, an
/// encoder that normalizes first (gelu), the mean over all tokens but the padding, a linear layer.
/// Throws invalid_argument for sizes below 1; shape_mismatch for a sequence that is too long.
struct PARE_API TransformerClassifier : nn::Module {
  explicit TransformerClassifier(TransformerClassifierOptions options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& tokens) override;
  std::string kind() const override;

  nn::Embedding embedding;
  nn::Embedding position;
  nn::Dropout dropout;
  nn::TransformerEncoder encoder;
  nn::Linear fc;

 private:
  std::int64_t max_length_, padding_;
};

}  // namespace pare::models
