// Layers of transformers, and stacks of them.
#pragma once

#include <optional>

#include "pare/nn/attention.h"
#include "pare/nn/container.h"
#include "pare/nn/dropout.h"
#include "pare/nn/feature_norm.h"

namespace pare::nn {

enum class TransformerActivation { relu, gelu };

struct TransformerLayerOptions {
  std::int64_t d_model = 0;
  std::int64_t nhead = 0;
  std::int64_t dim_feedforward = 2048;
  double dropout = 0.1;
  TransformerActivation activation = TransformerActivation::relu;
  double layer_norm_eps = 1e-5;
  bool batch_first = false;
  bool norm_first = false;  ///< normalize what goes into each part, not what comes out
  bool bias = true;
};

/// Self-attention and two linear layers, each around a shortcut and normalized. x [L, N, d_model]
/// (batch_first: [N, L, d_model]; a single sample: [L, d_model]) → the same. Vaswani et al.,
/// "Attention is all you need", 2017. Throws as MultiheadAttention.
struct PARE_API TransformerEncoderLayer : Module {
  explicit TransformerEncoderLayer(TransformerLayerOptions options);
  void members(Members& m) override;
  std::string kind() const override;
  Tensor forward(const Tensor& x) override;
  /// {x}, then key_padding_mask and attn_mask, either of which may be undefined or not there.
  Tensors run(const Tensors& inputs) override;
  Tensor encode(const Tensor& x, const AttentionMasks& masks = {});

  MultiheadAttention self_attn;
  Linear linear1;
  Dropout dropout;
  Linear linear2;
  LayerNorm norm1;
  LayerNorm norm2;
  Dropout dropout1;
  Dropout dropout2;

 private:
  Tensor feed_forward(const Tensor& x);
  TransformerActivation activation_;
  bool norm_first_;
};

/// What a decoder may not see of the sequence before it and of the encoder's result.
struct DecoderMasks {
  AttentionMasks target = {};
  AttentionMasks memory = {};
};

/// Self-attention, attention to the encoder's result, and two linear layers. x [T, N, d_model],
/// memory [S, N, d_model] (batch_first: [N, …]; a single sample: [T, d_model], …) → as x. Throws as
/// MultiheadAttention.
struct PARE_API TransformerDecoderLayer : Module {
  explicit TransformerDecoderLayer(TransformerLayerOptions options);
  void members(Members& m) override;
  std::string kind() const override;
  /// {x, memory}, then the key padding mask and attention mask of x and those of the memory, each
  /// of which may be undefined or not there.
  Tensors run(const Tensors& inputs) override;
  Tensor decode(const Tensor& x, const Tensor& memory, const DecoderMasks& masks = {});

  MultiheadAttention self_attn;
  MultiheadAttention multihead_attn;
  Linear linear1;
  Dropout dropout;
  Linear linear2;
  LayerNorm norm1;
  LayerNorm norm2;
  LayerNorm norm3;
  Dropout dropout1;
  Dropout dropout2;
  Dropout dropout3;

 private:
  Tensor feed_forward(const Tensor& x);
  TransformerActivation activation_;
  bool norm_first_;
};

/// Copies of a layer one after another, and perhaps a last normalization. Throws invalid_argument
/// for a number of layers below 1.
struct PARE_API TransformerEncoder : Module {
  TransformerEncoder(const TransformerEncoderLayer& layer, int num_layers,
                     std::optional<LayerNorm> norm = {});
  void members(Members& m) override;
  std::string kind() const override;
  Tensor forward(const Tensor& x) override;
  /// As the layer's.
  Tensors run(const Tensors& inputs) override;
  Tensor encode(const Tensor& x, const AttentionMasks& masks = {});

  Sequential layers;
  std::optional<LayerNorm> norm;
};

/// Copies of a layer one after another, and perhaps a last normalization. Throws invalid_argument
/// for a number of layers below 1.
struct PARE_API TransformerDecoder : Module {
  TransformerDecoder(const TransformerDecoderLayer& layer, int num_layers,
                     std::optional<LayerNorm> norm = {});
  void members(Members& m) override;
  std::string kind() const override;
  /// As the layer's.
  Tensors run(const Tensors& inputs) override;
  Tensor decode(const Tensor& x, const Tensor& memory, const DecoderMasks& masks = {});

  Sequential layers;
  std::optional<LayerNorm> norm;
};

}  // namespace pare::nn
