// MultiheadAttention.
#include "pare/nn/attention.h"

#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/defined.h"
#include "pare/core/ops/attention.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/normalization.h"
#include "pare/core/ops/reduction.h"
#include "pare/nn/init.h"

namespace pare::nn {
namespace {

const char* const kWhere = "MultiheadAttention";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

LinearOptions output_of(const MultiheadAttentionOptions& o) {
  PARE_CHECK(o.embed_dim > 0 && o.num_heads > 0 && o.embed_dim % o.num_heads == 0, invalid_argument,
             kWhere,
             "expected embed_dim and num_heads of at least 1, the first a multiple of the second, "
             "got embed_dim = {}, num_heads = {}",
             o.embed_dim, o.num_heads);
  PARE_CHECK(o.kdim >= 0 && o.vdim >= 0, invalid_argument, kWhere,
             "expected kdim and vdim of at least 0, got {} and {}", o.kdim, o.vdim);
  PARE_CHECK(o.dropout >= 0 && o.dropout <= 1, invalid_argument, kWhere,
             "expected dropout from 0 to 1, got {}", o.dropout);
  return {.in = o.embed_dim, .out = o.embed_dim, .bias = o.bias};
}

/// Rows [first · size, (first + 1) · size) of a parameter of three parts.
Tensor part(const Tensor& packed, int axis, std::int64_t first, std::int64_t size) {
  return slice(packed, axis, first * size, (first + 1) * size);
}

/// `count` more of the value at the end of the axis.
Tensor padded(const Tensor& x, int axis, std::int64_t count) {
  if (count == 0) return x;
  std::vector<std::int64_t> none(static_cast<std::size_t>(x.rank()), 0);
  std::vector<std::int64_t> after = none;
  after[static_cast<std::size_t>(axis < 0 ? x.rank() + axis : axis)] = count;
  return pad(x, none, after, 0);
}

Tensor as_floats(const Tensor& mask) {
  if (mask.dtype() != DType::boolean) return mask;
  return where(mask, Tensor::scalar(-kInfinity), Tensor::scalar(0));
}

/// What the two hide together, in scaled_dot_product_attention's sense.
Tensor joined(const Tensor& a, const Tensor& b) {
  if (!a.defined() && !b.defined()) return {};
  if (!a.defined() || !b.defined()) {
    const Tensor& one = a.defined() ? a : b;
    return one.dtype() == DType::boolean ? logical_not(one) : one;
  }
  if (a.dtype() == DType::boolean && b.dtype() == DType::boolean)
    return logical_not(logical_or(a, b));
  return as_floats(a) + as_floats(b);
}

}  // namespace

MultiheadAttention::MultiheadAttention(MultiheadAttentionOptions options)
    : out_proj(output_of(options)), options_(options) {
  MultiheadAttentionOptions& o = options_;
  if (o.kdim == 0) o.kdim = o.embed_dim;
  if (o.vdim == 0) o.vdim = o.embed_dim;
  const std::int64_t e = o.embed_dim;
  if (o.kdim == e && o.vdim == e) {
    in_proj_weight = Parameter({3 * e, e});
  } else {
    q_proj_weight = Parameter({e, e});
    k_proj_weight = Parameter({e, o.kdim});
    v_proj_weight = Parameter({e, o.vdim});
  }
  if (o.bias) in_proj_bias = Parameter({3 * e});
  if (o.add_bias_kv) {
    bias_k = Parameter({1, 1, e});
    bias_v = Parameter({1, 1, e});
  }
  set_mode(true);
}

void MultiheadAttention::set_mode(bool train) {
  AttentionAttributes attention{
      .dropout = options_.dropout, .frozen = !train, .length_first = true};
  attention_ = Attributes::of(attention);
  attention.causal = true;
  causal_attention_ = Attributes::of(attention);
  dropout_ = Attributes::of(DropoutAttributes{.probability = options_.dropout, .frozen = !train});
}

void MultiheadAttention::members(Members& m) {
  m("in_proj_weight", in_proj_weight)("q_proj_weight", q_proj_weight);
  m("k_proj_weight", k_proj_weight)("v_proj_weight", v_proj_weight)("in_proj_bias", in_proj_bias);
  m("bias_k", bias_k)("bias_v", bias_v)("out_proj", out_proj);
}

void MultiheadAttention::reset(Generator& generator) {
  for (Parameter* weight : {&in_proj_weight, &q_proj_weight, &k_proj_weight, &v_proj_weight})
    if (weight->defined()) weight->set(init::xavier_uniform(weight->shape(), generator));
  if (in_proj_bias.defined()) {
    in_proj_bias.set(init::zeros(in_proj_bias.shape()));
    out_proj.bias.set(init::zeros(out_proj.bias.shape()));
  }
  for (Parameter* bias : {&bias_k, &bias_v})
    if (bias->defined()) bias->set(init::xavier_normal(bias->shape(), generator));
}

std::string MultiheadAttention::kind() const { return "MultiheadAttention"; }

/// Heads of query, key and value [N, length, heads, width], and what is seen of the keys. Those
/// that one product gave are [N, length, 3, heads, width] in `query` alone.
struct MultiheadAttention::Projected {
  Tensor query, key, value;
  Tensor mask;  ///< broadcasts to [N, heads, L, S]
  bool single;  ///< sample
};

MultiheadAttention::Projected MultiheadAttention::project(const Sequences& s,
                                                          const AttentionMasks& masks) const {
  for (const Tensor* t : {&s.query, &s.key, &s.value}) require_defined(*t, kWhere);
  const bool single = s.query.rank() == 2;
  PARE_CHECK((single || s.query.rank() == 3) && s.key.rank() == s.query.rank() &&
                 s.value.rank() == s.query.rank(),
             shape_mismatch, kWhere,
             "expected query, key and value of rank 3, or 2 for a single sample, got {}, {} and {}",
             s.query.shape(), s.key.shape(), s.value.shape());
  const auto batched = [&](const Tensor& x) {
    if (single) return reshape(x, {1, x.dim(0), x.dim(1)});
    return options_.batch_first ? x : transpose(x, {1, 0, 2});
  };
  const std::int64_t e = options_.embed_dim;
  const Tensor q = batched(s.query);
  const Tensor k = s.key.same_as(s.query) ? q : batched(s.key);
  const Tensor v = s.value.same_as(s.key) ? k : batched(s.value);
  PARE_CHECK(q.dim(2) == e && k.dim(2) == options_.kdim && v.dim(2) == options_.vdim,
             shape_mismatch, kWhere, "expected widths {}, {} and {}, got {}, {} and {}", e,
             options_.kdim, options_.vdim, s.query.shape(), s.key.shape(), s.value.shape());
  const Tensor bias = in_proj_bias.value();
  const std::int64_t heads = options_.num_heads;
  Projected p;
  p.single = single;
  if (in_proj_weight.defined() && k.same_as(q) && v.same_as(q)) {
    const Tensor all = linear(q, in_proj_weight, bias);
    if (bias_k.defined() || options_.add_zero_attn) {
      p.query = part(all, 2, 0, e);
      p.key = part(all, 2, 1, e);
      p.value = part(all, 2, 2, e);
    } else {
      p.query = reshape(all, {0, 0, 3, heads, e / heads});
    }
  } else {
    const Tensor packed = in_proj_weight.value();
    const auto projected = [&](const Tensor& x, int i, const Parameter& own) {
      return linear(x, packed.defined() ? part(packed, 0, i, e) : own.value(),
                    bias.defined() ? part(bias, 0, i, e) : bias);
    };
    p.query = projected(q, 0, q_proj_weight);
    p.key = projected(k, 1, k_proj_weight);
    p.value = projected(v, 2, v_proj_weight);
  }
  std::int64_t more = 0;
  if (bias_k.defined()) {
    // The trained ones stand behind rows of zeros, which the sequence fills.
    const std::vector<std::int64_t> before{0, p.key.dim(1), 0};
    p.key = padded(p.key, 1, 1) + pad(bias_k, before, {0, 0, 0});
    p.value = padded(p.value, 1, 1) + pad(bias_v, before, {0, 0, 0});
    ++more;
  }
  if (options_.add_zero_attn) {
    p.key = padded(p.key, 1, 1);
    p.value = padded(p.value, 1, 1);
    ++more;
  }
  if (p.key.defined())
    for (Tensor* t : {&p.query, &p.key, &p.value}) *t = reshape(*t, {0, 0, heads, e / heads});
  const std::int64_t length = q.dim(1);
  const std::int64_t keys = k.dim(1);  // without those that were added
  // Masks know nothing of what was added, which all see.
  Tensor padding = masks.key_padding_mask;
  if (padding.defined()) {
    PARE_CHECK(padding.rank() == (single ? 1 : 2) && padding.dim(-1) == keys, shape_mismatch,
               kWhere, "expected a key_padding_mask of {} keys{}, got {}", keys,
               single ? "" : " for each sample", padding.shape());
    padding = padded(padding, -1, more);
    padding = single ? reshape(padding, {1, 1, 1, -1}) : reshape(padding, {0, 1, 1, -1});
  }
  Tensor attention = masks.attn_mask;
  if (attention.defined()) {
    PARE_CHECK((attention.rank() == 2 || attention.rank() == 3) && attention.dim(-2) == length &&
                   attention.dim(-1) == keys,
               shape_mismatch, kWhere,
               "expected an attn_mask of shape [{}, {}] or [N · {}, {}, {}], got {}", length, keys,
               heads, length, keys, attention.shape());
    attention = padded(attention, -1, more);
    if (attention.rank() == 3)
      attention = reshape(attention, {-1, heads, attention.dim(1), attention.dim(2)});
  }
  p.mask = joined(padding, attention);
  return p;
}

/// The result of the heads [N, L, heads, width] in the form of the query.
Tensor MultiheadAttention::finish(const Tensor& heads, bool single) {
  const Tensor y = out_proj(reshape(heads, {0, 0, options_.embed_dim}));
  if (single) return reshape(y, {y.dim(1), y.dim(2)});
  return options_.batch_first ? y : transpose(y, {1, 0, 2});
}

Tensor MultiheadAttention::forward(const Tensor& x) { return attend({x, x, x}); }

Tensors MultiheadAttention::run(const Tensors& inputs) {
  PARE_CHECK(inputs.size() >= 3 && inputs.size() <= 5, invalid_argument, kWhere,
             "expected query, key and value, then perhaps two masks, got {} inputs", inputs.size());
  AttentionMasks masks;
  if (inputs.size() > 3) masks.key_padding_mask = inputs[3];
  if (inputs.size() > 4) masks.attn_mask = inputs[4];
  return {attend({inputs[0], inputs[1], inputs[2]}, masks)};
}

Tensor MultiheadAttention::attend(const Sequences& sequences, const AttentionMasks& masks) {
  const Projected p = project(sequences, masks);
  const Call call{&kScaledDotProductAttention, masks.is_causal ? causal_attention_ : attention_};
  if (p.mask.defined())
    return finish(apply(call, detail::Borrowed(p.query, p.key, p.value, p.mask)), p.single);
  if (p.key.defined())
    return finish(apply(call, detail::Borrowed(p.query, p.key, p.value)), p.single);
  return finish(apply(call, detail::Borrowed(p.query)), p.single);
}

std::pair<Tensor, Tensor> MultiheadAttention::attend_with_weights(const Sequences& sequences,
                                                                  const AttentionMasks& masks,
                                                                  bool averaged) {
  Projected p = project(sequences, masks);
  if (!p.key.defined()) {
    const Tensor all = p.query;
    const auto one = [&](std::int64_t i) {
      return reshape(slice(all, 2, i, i + 1), {0, 0, all.dim(3), all.dim(4)});
    };
    p.query = one(0);
    p.key = one(1);
    p.value = one(2);
  }
  const double scale = 1 / std::sqrt(static_cast<double>(options_.embed_dim / options_.num_heads));
  Tensor scores = matmul(transpose(p.query, {0, 2, 1, 3}) * scale, transpose(p.key, {0, 2, 3, 1}));
  const Tensor hidden = Tensor::scalar(-kInfinity);
  if (p.mask.defined())
    scores = p.mask.dtype() == DType::boolean ? where(p.mask, scores, hidden) : scores + p.mask;
  if (masks.is_causal) {
    const std::int64_t rows = p.query.dim(1);
    const std::int64_t columns = p.key.dim(1);
    Tensor seen = Tensor::empty({rows, columns}, DType::boolean);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        seen.mutable_data<bool>()[i * columns + j] = j <= i;
    scores = where(seen, scores, hidden);
  }
  const Tensor weights = dropout(softmax(scores, -1), dropout_);
  const Tensor y = transpose(matmul(weights, transpose(p.value, {0, 2, 1, 3})), {0, 2, 1, 3});
  Tensor shown = averaged ? mean(weights, {1}) : weights;
  if (p.single) {
    std::vector<std::int64_t> shape = shown.shape().to_vector();
    shape.erase(shape.begin());
    shown = reshape(shown, shape);
  }
  return {finish(y, p.single), shown};
}

}  // namespace pare::nn
