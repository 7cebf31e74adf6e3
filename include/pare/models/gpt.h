// A small GPT.
#pragma once

#include "pare/nn/attention.h"
#include "pare/nn/container.h"
#include "pare/nn/dropout.h"
#include "pare/nn/embedding.h"
#include "pare/nn/feature_norm.h"

namespace pare::models {

struct GPTOptions {
  std::int64_t vocab_size = 0;
  std::int64_t block_size = 64;  ///< longest sequence
  std::int64_t n_layer = 4;
  std::int64_t n_head = 4;
  std::int64_t n_embd = 128;
  double dropout = 0;
  bool bias = true;         ///< of linear layers and normalizations; lm_head never has one
  bool tie_weights = true;  ///< lm_head shares wte's table
};

/// Causal attention of a sequence [N, T, n_embd] to itself.
struct PARE_API GPTAttention : nn::Module {
  explicit GPTAttention(const GPTOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  void set_mode(bool train) override;
  std::string kind() const override;

  nn::Linear c_attn;
  nn::Linear c_proj;
  nn::Dropout resid_dropout;

 private:
  std::int64_t heads_, width_;
  double dropout_;
  Call attention_;
};

struct PARE_API GPTMLP : nn::Module {
  explicit GPTMLP(const GPTOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::Linear c_fc;
  nn::Linear c_proj;
  nn::Dropout dropout;
};

struct PARE_API GPTBlock : nn::Module {
  explicit GPTBlock(const GPTOptions& options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& x) override;
  std::string kind() const override;

  nn::LayerNorm ln_1;
  GPTAttention attn;
  nn::LayerNorm ln_2;
  GPTMLP mlp;
};

/// All but the last projection.
struct PARE_API GPTTransformer : nn::Module {
  explicit GPTTransformer(const GPTOptions& options);
  void members(nn::Members& m) override;
  /// Token numbers [N, T], i64 or i32 → [N, T, n_embd].
  Tensor forward(const Tensor& tokens) override;
  std::string kind() const override;

  nn::Embedding wte;
  nn::Embedding wpe;
  nn::Dropout drop;
  nn::Sequential h;
  nn::LayerNorm ln_f;
};

struct GenerateOptions {
  std::int64_t count = 100;  ///< tokens to add
  double temperature = 1;    ///< of the softmax; 0: always the likeliest
  std::int64_t top_k = 0;    ///< choose among so many; 0: among all
};

/// Tokens [N, T], T up to block_size → scores of the next token at each place [N, T, vocab_size].
/// Radford et al., "Language models are unsupervised multitask learners" (GPT-2), 2019; parameter
/// names as karpathy/nanoGPT. Throws invalid_argument for sizes below 1 or a width that is no
/// multiple of the heads; shape_mismatch for a sequence that is too long.
struct PARE_API GPT : nn::Module {
  explicit GPT(GPTOptions options);
  void members(nn::Members& m) override;
  Tensor forward(const Tensor& tokens) override;
  /// GPT-2's: normal with deviation 0.02, less for what is added to the shortcuts.
  void reset(Generator& generator) override;
  std::string kind() const override;

  /// `tokens` ([T], T ≥ 1) and what the model says comes after, drawn from the generator. Throws
  /// invalid_argument for options below 0, shape_mismatch.
  std::vector<std::int64_t> generate(const std::vector<std::int64_t>& tokens, Generator& generator,
                                     const GenerateOptions& options = {});

  GPTTransformer transformer;
  nn::Parameter lm_head;  ///< [vocab_size, n_embd]; not used where the weights are tied

 private:
  GPTOptions options_;
};

}  // namespace pare::models
