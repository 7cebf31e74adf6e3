// Embedding and EmbeddingBag.
#include "pare/nn/embedding.h"

#include <algorithm>

#include "core/check.h"
#include "pare/nn/init.h"

namespace pare::nn {
namespace {

Parameter table(const char* where, std::int64_t rows, std::int64_t columns, std::int64_t padding) {
  PARE_CHECK(rows > 0 && columns > 0, invalid_argument, where,
             "expected num_embeddings and embedding_dim of at least 1, got {}, {}", rows, columns);
  PARE_CHECK(padding >= -1 && padding < rows, out_of_range, where,
             "expected padding_idx from 0 to {} or -1 for none, got {}", rows - 1, padding);
  return Parameter({rows, columns});
}

std::optional<EmbeddingRenormOptions> renorm(const char* where, std::optional<double> max_norm,
                                             double norm_type) {
  if (!max_norm) return {};
  PARE_CHECK(*max_norm >= 0 && norm_type > 0, invalid_argument, where,
             "expected a max_norm of at least 0 and a norm_type above 0, got {} and {}", *max_norm,
             norm_type);
  return EmbeddingRenormOptions{.max_norm = *max_norm, .norm_type = norm_type};
}

// In place, so it needs the one tensor that the optimizer has.
void renormalize(const char* where, Parameter& weight, const Tensor& indices,
                 const EmbeddingRenormOptions& options) {
  PARE_CHECK(weight.initialized(), invalid_state, where,
             "expected an initialized weight, got one of shape {}", weight.shape());
  Expression& expression = weight.expression();
  PARE_CHECK(expression.steps.empty() && expression.leaves.size() == 1, invalid_state, where,
             "expected a plain weight for max_norm, got an expression of {} leaves",
             expression.leaves.size());
  embedding_renorm(expression.leaves[0].value, indices, options);
}

Tensor first_rows(const Shape& shape, std::int64_t padding, Generator& generator) {
  Tensor rows = init::normal(shape, generator);
  if (padding >= 0) std::fill_n(rows.mutable_data<float>() + padding * shape[1], shape[1], 0.0F);
  return rows;
}

}  // namespace

Embedding::Embedding(const EmbeddingOptions& options)
    : weight(
          table("Embedding", options.num_embeddings, options.embedding_dim, options.padding_idx)),
      attributes_{options.padding_idx, options.scale_grad_by_freq},
      renorm_(renorm("Embedding", options.max_norm, options.norm_type)) {}

void Embedding::members(Members& m) { m("weight", weight); }
Tensor Embedding::forward(const Tensor& indices) {
  if (renorm_) renormalize("Embedding", weight, indices, *renorm_);
  return embedding(indices, weight, attributes_);
}
void Embedding::reset(Generator& generator) {
  weight.set(first_rows(weight.shape(), attributes_.padding_idx, generator));
}
std::string Embedding::kind() const { return "Embedding"; }

EmbeddingBag::EmbeddingBag(const EmbeddingBagOptions& options)
    : weight(table("EmbeddingBag", options.num_embeddings, options.embedding_dim,
                   options.padding_idx)),
      attributes_{options.mode, options.padding_idx, options.scale_grad_by_freq,
                  options.include_last_offset},
      renorm_(renorm("EmbeddingBag", options.max_norm, options.norm_type)) {
  PARE_CHECK(options.mode == "sum" || options.mode == "mean" || options.mode == "max",
             invalid_argument, "EmbeddingBag", "expected the mode sum, mean or max, got '{}'",
             options.mode);
}

void EmbeddingBag::members(Members& m) { m("weight", weight); }
Tensor EmbeddingBag::forward(const Tensor& indices) { return run({indices})[0]; }
Tensors EmbeddingBag::run(const Tensors& inputs) {
  PARE_CHECK(!inputs.empty() && inputs.size() <= 3, invalid_argument, "EmbeddingBag",
             "expected 1 to 3 inputs, got {}", inputs.size());
  const auto given = [&](std::size_t i) { return i < inputs.size() ? inputs[i] : Tensor(); };
  if (renorm_) renormalize("EmbeddingBag", weight, inputs[0], *renorm_);
  return {embedding_bag({inputs[0], weight, given(1), given(2)}, attributes_)};
}
void EmbeddingBag::reset(Generator& generator) {
  weight.set(first_rows(weight.shape(), attributes_.padding_idx, generator));
}
std::string EmbeddingBag::kind() const { return "EmbeddingBag"; }

}  // namespace pare::nn
