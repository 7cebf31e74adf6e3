// MultiheadAttention.
#pragma once

#include <utility>

#include "pare/nn/linear.h"

namespace pare::nn {

struct MultiheadAttentionOptions {
  std::int64_t embed_dim = 0;
  std::int64_t num_heads = 0;
  double dropout = 0;          ///< of the weights, in training
  bool bias = true;            ///< of the projections
  bool add_bias_kv = false;    ///< a trained key and value at the end of the sequence
  bool add_zero_attn = false;  ///< a key and value of zeros at the very end
  std::int64_t kdim = 0;       ///< width of the keys; 0: embed_dim
  std::int64_t vdim = 0;
  bool batch_first = false;
};

/// What a query may not see. In masks of bool, true hides (PyTorch's sense, the reverse of
/// scaled_dot_product_attention's); masks of floats are added. Undefined ones hide nothing.
struct AttentionMasks {
  Tensor key_padding_mask = {};  ///< [N, S]; [S] of a single sample
  Tensor attn_mask = {};         ///< [L, S] or [N · heads, L, S]
  bool is_causal = false;        ///< query i sees keys 0 … i, besides
};

/// Query [L, N, E], key [S, N, kdim] and value [S, N, vdim] (batch_first: [N, L, E], …; of a single
/// sample [L, E], …) → [L, N, E]. Vaswani et al., "Attention is all you need", 2017. Throws
/// invalid_argument for sizes that are no multiple of num_heads or below 1, shape_mismatch,
/// dtype_mismatch.
struct PARE_API MultiheadAttention : Module {
  explicit MultiheadAttention(MultiheadAttentionOptions options);
  void members(Members& m) override;
  void reset(Generator& generator) override;
  /// false switches dropout off, also in training.
  void set_mode(bool train) override;
  std::string kind() const override;

  /// Of a sequence to itself, all seen.
  Tensor forward(const Tensor& x) override;
  /// {query, key, value}, then key_padding_mask and attn_mask, either of which may be undefined or
  /// not there → {result}.
  Tensors run(const Tensors& inputs) override;
  struct Sequences {
    const Tensor& query;
    const Tensor& key;
    const Tensor& value;
  };
  Tensor attend(const Sequences& sequences, const AttentionMasks& masks = {});
  /// The result and the weights [N, L, S], their mean over the heads; or (not `averaged`)
  /// [N, heads, L, S]. A query that sees nothing gets NaN, as in PyTorch.
  std::pair<Tensor, Tensor> attend_with_weights(const Sequences& sequences,
                                                const AttentionMasks& masks = {},
                                                bool averaged = true);

  Parameter in_proj_weight;  ///< [3 · embed_dim, embed_dim]; where all widths are equal
  Parameter q_proj_weight;   ///< [embed_dim, embed_dim]; these three where they are not
  Parameter k_proj_weight;   ///< [embed_dim, kdim]
  Parameter v_proj_weight;   ///< [embed_dim, vdim]
  Parameter in_proj_bias;    ///< [3 · embed_dim]
  Parameter bias_k;          ///< [1, 1, embed_dim]
  Parameter bias_v;          ///< [1, 1, embed_dim]
  Linear out_proj;

 private:
  struct Projected;
  Projected project(const Sequences& sequences, const AttentionMasks& masks) const;
  Tensor finish(const Tensor& heads, bool single);

  MultiheadAttentionOptions options_;
  Attributes attention_;
  Attributes causal_attention_;
  Attributes dropout_;
};

}  // namespace pare::nn
