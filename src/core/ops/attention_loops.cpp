// scaled_dot_product_attention, block by block of the queries.
#include "core/ops/attention_loops.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/attention_rows.h"
#include "core/ops/attention_sizes.h"
#include "core/ops/dropout.h"

namespace pare {
namespace {

using namespace attention_rows;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kBlock = 64;  // queries whose weights are made together, at most

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// What is added to the products of queries and keys.
class Mask {
 public:
  Mask() = default;
  /// `shape` is [..., H, L, S].
  Mask(const Tensor& mask, const Shape& shape) {
    if (!mask.defined()) return;
    mask_ = mask.dtype() == DType::boolean ? mask : in_dtype(mask, DType::f32);
    const Strides strides = broadcast_strides(mask_, shape);
    const int rank = shape.rank();
    column_ = strides[at(rank - 1)];
    row_ = strides[at(rank - 2)];
    head_ = rank > 2 ? strides[at(rank - 3)] : 0;
    const std::int64_t samples = rank > 3 ? shape.elements(0, rank - 3) : 1;
    for (std::int64_t n = 0; n < samples; ++n) {
      std::int64_t offset = 0;
      std::int64_t rest = n;
      for (int a = rank - 4; a >= 0; --a) {
        offset += rest % shape[a] * strides[at(a)];
        rest /= shape[a];
      }
      samples_.push_back(offset);
    }
  }
  bool defined() const { return mask_.defined(); }
  /// Of query i's row.
  void apply(std::int64_t n, std::int64_t h, std::int64_t i, MaskedRow row) const {
    const std::int64_t first = samples_[at(n)] + h * head_ + i * row_;
    if (mask_.dtype() == DType::boolean)
      hide(row, mask_.data<bool>() + first, column_);
    else
      add_mask(row, mask_.data<float>() + first, column_);
  }

 private:
  Tensor mask_;
  std::int64_t column_ = 0, row_ = 0, head_ = 0;
  std::vector<std::int64_t> samples_;
};

/// What forward and backward have in common.
struct Attention {
  const AttentionAttributes& attr;
  AttentionSizes sizes;
  HeadLayout q_at, k_at, v_at, y_at;
  std::int64_t samples, heads, key_heads, queries, keys, width, value_width;
  float scale;
  std::int64_t part;  ///< elements from query to key to value where they are packed
  Mask mask;
  const float *q, *k, *v;
  const std::uint8_t* keep = nullptr;  ///< of dropout, [..., H, L, S]
  float keep_factor = 1;

  /// `shapes` of query, key and value, `y` of the result; packed, `query` holds all three.
  struct Operands {
    const Tensor &query, &key, &value, &mask;
    bool packed;
  };
  Attention(const Call& call, const Operands& o, const Shape& y)
      : attr(call.attributes.as<AttentionAttributes>()),
        sizes(call, y.rank(), o.packed),
        samples(sizes.samples(y)),
        heads(sizes.heads(y)),
        queries(sizes.length(y)) {
    const Shape one = o.packed ? unpacked(o.query.shape()) : o.query.shape();
    const Shape& of_key = o.packed ? one : o.key.shape();
    const Shape& of_value = o.packed ? one : o.value.shape();
    const std::int64_t parts = o.packed ? 3 : 1;
    q_at = sizes.layout(one, parts);
    k_at = sizes.layout(of_key, parts);
    v_at = sizes.layout(of_value, parts);
    y_at = sizes.layout(y);
    key_heads = sizes.heads(of_key);
    keys = sizes.length(of_key);
    width = one[-1];
    value_width = of_value[-1];
    scale = static_cast<float>(attention_scale(attr, width));
    part = o.packed ? heads * width : 0;
    q = o.query.data<float>();
    k = o.packed ? q + part : o.key.data<float>();
    v = o.packed ? k + part : o.value.data<float>();
    mask = Mask(o.mask, scores_shape(y));
  }

  /// [..., H, L, S]
  Shape scores_shape(const Shape& y) const {
    Shape scores;
    for (int a = 0; a < sizes.rank - 3; ++a) scores.append(y[a]);
    if (sizes.head_axis >= 0) scores.append(heads);
    scores.append(queries);
    scores.append(keys);
    return scores;
  }

  /// Queries of a block: smaller ones leave out more of the keys that causal queries do not see.
  std::int64_t block() const { return attr.causal ? kBlock / 2 : kBlock; }
  std::int64_t key_head(std::int64_t h) const { return h / (heads / key_heads); }
  /// Keys that query i may see; causal ones lie before the rest.
  std::int64_t seen(std::int64_t i) const { return attr.causal ? std::min(keys, i + 1) : keys; }
  const std::uint8_t* keep_row(std::int64_t n, std::int64_t h, std::int64_t i) const {
    return keep + ((n * heads + h) * queries + i) * keys;
  }

  /// The masked products of queries [first, end) with the keys that the last of them sees, in rows
  /// of `limit`; beyond what a query sees they are not of use.
  void scores(std::int64_t n, std::int64_t h, std::int64_t first, std::int64_t end, float* s,
              Multiply multiply) const {
    const std::int64_t limit = seen(end - 1);
    multiply(end - first, limit, width, {q + q_at.at(n, h) + first * q_at.row, q_at.row},
             {k + k_at.at(n, key_head(h)), k_at.row, true}, s, limit, false);
    if (!mask.defined()) return;
    for (std::int64_t i = first; i < end; ++i)
      mask.apply(n, h, i, {s + (i - first) * limit, seen(i), scale});
  }
  /// What is left to multiply the scores by.
  float factor() const { return mask.defined() ? 1 : scale; }
};

bool drops(const AttentionAttributes& attr, bool training) {
  return training && !attr.frozen && attr.dropout > 0;
}

}  // namespace

void attention_forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context, Multiply multiply) {
  const Tensor none;
  const auto given = [&](std::size_t i) -> const Tensor& {
    return i < inputs.size() ? inputs[i] : none;
  };
  Attention a(call, {inputs[0], given(1), given(2), given(3), is_packed(inputs)},
              outputs[0].shape());
  if (drops(a.attr, context.training)) {
    PARE_CHECK(context.generator, invalid_state, "scaled_dot_product_attention",
               "expected a generator in the context (scope->generator = &generator) for training, "
               "got none");
    draw_mask(*context.generator, static_cast<float>(a.attr.dropout), outputs[2]);
    a.keep = outputs[2].data<std::uint8_t>();
    a.keep_factor = a.attr.dropout < 1 ? static_cast<float>(1 / (1 - a.attr.dropout)) : 0.0F;
  }
  float* y = outputs[0].mutable_data<float>();
  float* log_sums = outputs[1].mutable_data<float>();
  if (a.keys == 0) {
    std::fill_n(y, outputs[0].elements(), 0.0F);
    std::fill_n(log_sums, outputs[1].elements(), kInfinity);
    return;
  }
  const std::int64_t block = a.block();
  const std::int64_t blocks = (a.queries + block - 1) / block;
  const std::int64_t work = std::min(block, a.queries) * a.keys * (a.width + a.value_width + 1);
  parallel_for(0, a.samples * a.heads * blocks, 262144 / std::max<std::int64_t>(1, work) + 1,
               [&](std::int64_t begin, std::int64_t stop) {
                 std::vector<float> room(at(std::min(block, a.queries) * a.keys));
                 float* const s = room.data();
                 for (std::int64_t unit = begin; unit < stop; ++unit) {
                   const std::int64_t n = unit / blocks / a.heads;
                   const std::int64_t h = unit / blocks % a.heads;
                   const std::int64_t first = unit % blocks * block;
                   const std::int64_t end = std::min(a.queries, first + block);
                   const std::int64_t limit = a.seen(end - 1);
                   a.scores(n, h, first, end, s, multiply);
                   float factor[kBlock];
                   weigh({s, end - first, limit, a.attr.causal ? first : -1, a.factor(),
                          log_sums + (n * a.heads + h) * a.queries + first, factor});
                   for (std::int64_t i = first; a.keep && i < end; ++i)
                     drop(s + (i - first) * limit, a.keep_row(n, h, i), a.seen(i), a.keep_factor);
                   float* out = y + a.y_at.at(n, h) + first * a.y_at.row;
                   multiply(end - first, a.value_width, limit, {s, limit},
                            {a.v + a.v_at.at(n, a.key_head(h)), a.v_at.row}, out, a.y_at.row,
                            false);
                   scale_rows(out, end - first, a.y_at.row, a.value_width, factor);
                 }
               });
}

void attention_backward(BackwardArgs& args, Multiply multiply) {
  const auto plain = [](const Tensor& t) {
    return in_format(in_dtype(t, DType::f32), MemoryFormat::row_major);
  };
  const auto has = [&](int i) { return i < args.inputs() && args.has_input(i); };
  const bool packed = !has(1);
  const Tensor query = plain(args.input(0));
  const Tensor key = packed ? Tensor() : plain(args.input(1));
  const Tensor value = packed ? Tensor() : plain(args.input(2));
  const Tensor mask = has(3) ? in_format(args.input(3), MemoryFormat::row_major) : Tensor();
  const Tensor y = plain(args.output(0));
  const Tensor g = plain(args.grad_output(0));
  Attention a(args.call(), {query, key, value, mask, packed}, y.shape());
  if (drops(a.attr, args.training())) {
    a.keep = args.output(2).data<std::uint8_t>();
    a.keep_factor = a.attr.dropout < 1 ? static_cast<float>(1 / (1 - a.attr.dropout)) : 0.0F;
  }
  const float* log_sums = args.output(1).data<float>();
  const float* dy = g.data<float>();
  // All of it is written, unless there is nothing to write it from.
  const bool any = a.keys > 0 && a.queries > 0;
  const auto room_for = [&](const Tensor& t) {
    return any ? Tensor::empty(t.shape()) : Tensor::zeros(t.shape());
  };
  Tensor dq = room_for(query);
  Tensor dk = packed ? Tensor() : room_for(key);
  Tensor dv = packed ? Tensor() : room_for(value);
  Tensor dmask;
  if (mask.defined() && args.needs(3)) dmask = Tensor::zeros(a.scores_shape(y.shape()));
  float* const to_q = dq.mutable_data<float>();
  float* const to_k = packed ? to_q + a.part : dk.mutable_data<float>();
  float* const to_v = packed ? to_k + a.part : dv.mutable_data<float>();
  float* const to_mask = dmask.defined() ? dmask.mutable_data<float>() : nullptr;
  const std::int64_t block = a.block();
  const std::int64_t shared = a.key_heads > 0 ? a.heads / a.key_heads : 0;
  // One thread has all that adds to a head of the keys and values.
  const std::int64_t work = a.queries * a.keys * (a.width + a.value_width + 1) * shared;
  const std::int64_t units = any ? a.samples * a.key_heads : 0;
  parallel_for(
      0, units, 131072 / std::max<std::int64_t>(1, work) + 1,
      [&](std::int64_t begin, std::int64_t stop) {
        const std::int64_t size = std::min(block, a.queries) * a.keys;
        std::vector<float> room(at(size * (a.keep ? 3 : 2)));
        float* const p = room.data();
        float* const ds = p + size;
        float* const dropped = a.keep ? ds + size : p;
        for (std::int64_t unit = begin; unit < stop; ++unit) {
          const std::int64_t n = unit / a.key_heads;
          const std::int64_t kh = unit % a.key_heads;
          const std::int64_t k_first = a.k_at.at(n, kh);
          const std::int64_t v_first = a.v_at.at(n, kh);
          bool add = false;
          for (std::int64_t h = kh * shared; h < (kh + 1) * shared; ++h)
            // The last block first: no other sees more keys.
            for (std::int64_t first = (a.queries - 1) / block * block; first >= 0; first -= block) {
              const std::int64_t end = std::min(a.queries, first + block);
              const std::int64_t rows = end - first;
              const std::int64_t limit = a.seen(end - 1);
              const std::int64_t q_first = a.q_at.at(n, h) + first * a.q_at.row;
              const std::int64_t y_first = a.y_at.at(n, h) + first * a.y_at.row;
              a.scores(n, h, first, end, p, multiply);
              multiply(rows, limit, a.value_width, {dy + y_first, a.y_at.row},
                       {a.v + v_first, a.v_at.row, true}, ds, limit, false);
              for (std::int64_t i = first; i < end; ++i) {
                float* row = p + (i - first) * limit;
                float* ds_row = ds + (i - first) * limit;
                const std::int64_t seen = a.seen(i);
                const std::int64_t y_row = y_first + (i - first) * a.y_at.row;
                const double delta =
                    attention_rows::dot(dy + y_row, y.data<float>() + y_row, a.value_width);
                const ScoreRow scores(row, seen, limit);
                if (a.keep) drop(ds_row, a.keep_row(n, h, i), seen, a.keep_factor);
                weigh_gradient(scores, ds_row,
                               {.factor = a.factor(),
                                .log_sum = log_sums[(n * a.heads + h) * a.queries + i],
                                .delta = static_cast<float>(delta),
                                .scale = to_mask ? 1 : a.scale});
                if (a.keep) {
                  float* dropped_row = dropped + (i - first) * limit;
                  std::copy_n(row, limit, dropped_row);
                  drop(dropped_row, a.keep_row(n, h, i), seen, a.keep_factor);
                }
                if (to_mask) {
                  std::copy_n(ds_row, seen, to_mask + ((n * a.heads + h) * a.queries + i) * a.keys);
                  scale_rows(ds_row, 1, seen, seen, &a.scale);
                }
              }
              multiply(limit, a.value_width, rows, {dropped, limit, true},
                       {dy + y_first, a.y_at.row}, to_v + v_first, a.v_at.row, add);
              multiply(rows, a.width, limit, {ds, limit}, {a.k + k_first, a.k_at.row},
                       to_q + q_first, a.q_at.row, false);
              multiply(limit, a.width, rows, {ds, limit, true}, {a.q + q_first, a.q_at.row},
                       to_k + k_first, a.k_at.row, add);
              for (std::int64_t i = add ? a.keys : limit; i < a.keys; ++i) {
                std::fill_n(to_k + k_first + i * a.k_at.row, a.width, 0.0F);
                std::fill_n(to_v + v_first + i * a.v_at.row, a.value_width, 0.0F);
              }
              add = true;
            }
        }
      });
  const auto give = [&](int i, const Tensor& t) {
    if (t.defined() && args.needs(i)) args.set(i, in_dtype(t, args.input_dtype(i)));
  };
  give(0, dq);
  give(1, dk);
  give(2, dv);
  if (dmask.defined()) give(3, sum_to_shape(dmask, args.input_shape(3)));
}

}  // namespace pare
