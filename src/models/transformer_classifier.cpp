// A transformer that classifies sequences of tokens.
#include "pare/models/transformer_classifier.h"

#include "core/check.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"

namespace pare::models {
namespace {

const TransformerClassifierOptions& checked(const TransformerClassifierOptions& o) {
  PARE_CHECK(o.vocab_size > 0 && o.classes > 0 && o.max_length > 0 && o.num_layers > 0,
             invalid_argument, "TransformerClassifier",
             "expected sizes of at least 1, got vocab_size = {}, classes = {}, max_length = {}, "
             "num_layers = {}",
             o.vocab_size, o.classes, o.max_length, o.num_layers);
  return o;
}

nn::TransformerEncoder encoder_of(const TransformerClassifierOptions& o) {
  const nn::TransformerEncoderLayer layer({.d_model = o.d_model,
                                           .nhead = o.nhead,
                                           .dim_feedforward = o.dim_feedforward,
                                           .dropout = o.dropout,
                                           .activation = nn::TransformerActivation::gelu,
                                           .batch_first = true,
                                           .norm_first = true});
  return {layer, static_cast<int>(o.num_layers), nn::LayerNorm({.shape = {o.d_model}})};
}

}  // namespace

TransformerClassifier::TransformerClassifier(TransformerClassifierOptions options)
    : embedding({.num_embeddings = checked(options).vocab_size, .embedding_dim = options.d_model}),
      position({.num_embeddings = options.max_length, .embedding_dim = options.d_model}),
      dropout({.p = options.dropout}),
      encoder(encoder_of(options)),
      fc({.in = options.d_model, .out = options.classes}),
      max_length_(options.max_length),
      padding_(options.padding) {}

void TransformerClassifier::members(nn::Members& m) {
  m("embedding", embedding)("position", position)("dropout", dropout);
  m("encoder", encoder)("fc", fc);
}

Tensor TransformerClassifier::forward(const Tensor& tokens) {
  PARE_CHECK(tokens.rank() == 2 && tokens.dim(1) >= 1 && tokens.dim(1) <= max_length_,
             shape_mismatch, "TransformerClassifier",
             "expected tokens of shape [N, T] with T from 1 to {}, got {}", max_length_,
             tokens.shape());
  const Tensor places = slice(position.weight, 0, 0, tokens.dim(1));
  Tensor nothing;
  if (padding_ >= 0) nothing = equal(tokens, static_cast<double>(padding_));
  const Tensor x = dropout(embedding(tokens) + places);
  const Tensor y = encoder.encode(x, {.key_padding_mask = nothing});
  if (padding_ < 0) return fc(mean(y, {1}));
  const Tensor something = cast(logical_not(nothing), DType::f32);
  const Tensor weighed = y * reshape(something, {0, -1, 1});
  // A sample of padding alone has the mean 0.
  const Tensor count = maximum(sum(something, {1}, true), Tensor::scalar(1));
  return fc(sum(weighed, {1}) / count);
}

std::string TransformerClassifier::kind() const { return "TransformerClassifier"; }

}  // namespace pare::models
