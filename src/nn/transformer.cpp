// Layers of transformers, and stacks of them.
#include "pare/nn/transformer.h"

#include "core/check.h"
#include "pare/core/ops/elementwise.h"

namespace pare::nn {
namespace {

MultiheadAttentionOptions attention_of(const TransformerLayerOptions& o) {
  return {.embed_dim = o.d_model,
          .num_heads = o.nhead,
          .dropout = o.dropout,
          .bias = o.bias,
          .batch_first = o.batch_first};
}
LinearOptions widening(const TransformerLayerOptions& o) {
  return {.in = o.d_model, .out = o.dim_feedforward, .bias = o.bias};
}
LinearOptions narrowing(const TransformerLayerOptions& o) {
  return {.in = o.dim_feedforward, .out = o.d_model, .bias = o.bias};
}
LayerNormOptions norm_of(const TransformerLayerOptions& o) {
  return {.shape = {o.d_model}, .eps = o.layer_norm_eps, .bias = o.bias};
}

Tensor activated(const Tensor& x, TransformerActivation activation) {
  return activation == TransformerActivation::relu ? relu(x) : gelu(x);
}

AttentionMasks masks_from(const Tensors& inputs, std::size_t first) {
  AttentionMasks masks;
  if (inputs.size() > first) masks.key_padding_mask = inputs[first];
  if (inputs.size() > first + 1) masks.attn_mask = inputs[first + 1];
  return masks;
}

template <class Layer> Sequential copies(const Layer& layer, int count, const char* where) {
  PARE_CHECK(count >= 1, invalid_argument, where, "expected at least one layer, got {}", count);
  Sequential layers;
  for (int i = 0; i < count; ++i) layers.add(AnyModule(Layer(layer)));
  return layers;
}

Tensor encoded(Module& module, const Tensors& inputs,
               const std::function<Tensor(const AttentionMasks&)>& encode) {
  PARE_CHECK(!inputs.empty() && inputs.size() <= 3, invalid_argument, module.kind(),
             "expected a sequence, then perhaps two masks, got {} inputs", inputs.size());
  return encode(masks_from(inputs, 1));
}

Tensor decoded(Module& module, const Tensors& inputs,
               const std::function<Tensor(const DecoderMasks&)>& decode) {
  PARE_CHECK(inputs.size() >= 2 && inputs.size() <= 6, invalid_argument, module.kind(),
             "expected two sequences, then perhaps four masks, got {} inputs", inputs.size());
  return decode({.target = masks_from(inputs, 2), .memory = masks_from(inputs, 4)});
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(TransformerLayerOptions options)
    : self_attn(attention_of(options)),
      linear1(widening(options)),
      dropout({.p = options.dropout}),
      linear2(narrowing(options)),
      norm1(norm_of(options)),
      norm2(norm_of(options)),
      dropout1({.p = options.dropout}),
      dropout2({.p = options.dropout}),
      activation_(options.activation),
      norm_first_(options.norm_first) {}

void TransformerEncoderLayer::members(Members& m) {
  m("self_attn", self_attn)("linear1", linear1)("dropout", dropout)("linear2", linear2);
  m("norm1", norm1)("norm2", norm2)("dropout1", dropout1)("dropout2", dropout2);
}

std::string TransformerEncoderLayer::kind() const { return "TransformerEncoderLayer"; }

Tensor TransformerEncoderLayer::feed_forward(const Tensor& x) {
  return dropout2(linear2(dropout(activated(linear1(x), activation_))));
}

Tensor TransformerEncoderLayer::encode(const Tensor& x, const AttentionMasks& masks) {
  const auto attention = [&](const Tensor& s) {
    return dropout1(self_attn.attend({s, s, s}, masks));
  };
  if (norm_first_) {
    const Tensor y = x + attention(norm1(x));
    return y + feed_forward(norm2(y));
  }
  const Tensor y = norm1(x + attention(x));
  return norm2(y + feed_forward(y));
}

Tensor TransformerEncoderLayer::forward(const Tensor& x) { return encode(x); }

Tensors TransformerEncoderLayer::run(const Tensors& inputs) {
  return {encoded(*this, inputs, [&](const AttentionMasks& m) { return encode(inputs[0], m); })};
}

TransformerDecoderLayer::TransformerDecoderLayer(TransformerLayerOptions options)
    : self_attn(attention_of(options)),
      multihead_attn(attention_of(options)),
      linear1(widening(options)),
      dropout({.p = options.dropout}),
      linear2(narrowing(options)),
      norm1(norm_of(options)),
      norm2(norm_of(options)),
      norm3(norm_of(options)),
      dropout1({.p = options.dropout}),
      dropout2({.p = options.dropout}),
      dropout3({.p = options.dropout}),
      activation_(options.activation),
      norm_first_(options.norm_first) {}

void TransformerDecoderLayer::members(Members& m) {
  m("self_attn", self_attn)("multihead_attn", multihead_attn)("linear1", linear1);
  m("dropout", dropout)("linear2", linear2)("norm1", norm1)("norm2", norm2)("norm3", norm3);
  m("dropout1", dropout1)("dropout2", dropout2)("dropout3", dropout3);
}

std::string TransformerDecoderLayer::kind() const { return "TransformerDecoderLayer"; }

Tensor TransformerDecoderLayer::feed_forward(const Tensor& x) {
  return dropout3(linear2(dropout(activated(linear1(x), activation_))));
}

Tensor TransformerDecoderLayer::decode(const Tensor& x, const Tensor& memory,
                                       const DecoderMasks& masks) {
  const auto own = [&](const Tensor& s) {
    return dropout1(self_attn.attend({s, s, s}, masks.target));
  };
  const auto other = [&](const Tensor& s) {
    return dropout2(multihead_attn.attend({s, memory, memory}, masks.memory));
  };
  if (norm_first_) {
    Tensor y = x + own(norm1(x));
    y = y + other(norm2(y));
    return y + feed_forward(norm3(y));
  }
  Tensor y = norm1(x + own(x));
  y = norm2(y + other(y));
  return norm3(y + feed_forward(y));
}

Tensors TransformerDecoderLayer::run(const Tensors& inputs) {
  return {decoded(*this, inputs,
                  [&](const DecoderMasks& m) { return decode(inputs[0], inputs[1], m); })};
}

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& layer, int num_layers,
                                       std::optional<LayerNorm> last)
    : layers(copies(layer, num_layers, "TransformerEncoder")), norm(std::move(last)) {}

void TransformerEncoder::members(Members& m) {
  m("layers", layers);
  if (norm) m("norm", *norm);
}

std::string TransformerEncoder::kind() const { return "TransformerEncoder"; }

Tensor TransformerEncoder::encode(const Tensor& x, const AttentionMasks& masks) {
  Tensor y = x;
  for (const auto& [name, layer] : layers.entries())
    y = layer.as<TransformerEncoderLayer>().encode(y, masks);
  return norm ? (*norm)(y) : y;
}

Tensor TransformerEncoder::forward(const Tensor& x) { return encode(x); }

Tensors TransformerEncoder::run(const Tensors& inputs) {
  return {encoded(*this, inputs, [&](const AttentionMasks& m) { return encode(inputs[0], m); })};
}

TransformerDecoder::TransformerDecoder(const TransformerDecoderLayer& layer, int num_layers,
                                       std::optional<LayerNorm> last)
    : layers(copies(layer, num_layers, "TransformerDecoder")), norm(std::move(last)) {}

void TransformerDecoder::members(Members& m) {
  m("layers", layers);
  if (norm) m("norm", *norm);
}

std::string TransformerDecoder::kind() const { return "TransformerDecoder"; }

Tensor TransformerDecoder::decode(const Tensor& x, const Tensor& memory,
                                  const DecoderMasks& masks) {
  Tensor y = x;
  for (const auto& [name, layer] : layers.entries())
    y = layer.as<TransformerDecoderLayer>().decode(y, memory, masks);
  return norm ? (*norm)(y) : y;
}

Tensors TransformerDecoder::run(const Tensors& inputs) {
  return {decoded(*this, inputs,
                  [&](const DecoderMasks& m) { return decode(inputs[0], inputs[1], m); })};
}

}  // namespace pare::nn
