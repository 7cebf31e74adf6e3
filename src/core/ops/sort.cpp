// sort and topk along an axis, stable, with the indices; argsort.
#include <limits>
#include <vector>

#include "core/dtype_switch.h"
#include "core/ops/lines.h"
#include "core/ops/reduced.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/sort.h"

namespace pare {
namespace {

void infer_sort(InferArgs& args) {
  const char* where = args.call.op->name;
  PARE_CHECK(is_arithmetic(args.dtype(0)), dtype_mismatch, where, "expected a number type, got {}",
             args.dtype(0));
  Shape shape = args.shape(0);
  if (args.call.op == &kTopk) {
    const auto& a = args.call.attributes.as<TopkAttributes>();
    const int axis = normalize_axis(a.axis, shape.rank(), where);
    PARE_CHECK(a.k >= 0 && (shape.symbolic(axis) || a.k <= shape[axis]), out_of_range, where,
               "expected k from 0 to the length of axis {} of {}, got {}", axis, shape, a.k);
    shape.set(axis, a.k);
  } else {
    normalize_axis(args.call.attributes.as<SortAttributes>().axis, shape.rank(), where);
  }
  args.output(0, shape, args.dtype(0));
  args.output(1, shape, DType::i64);
}

/// A number's place in the order, as an unsigned integer: the same for ±0, the last for NaN.
std::uint32_t rank_of(float v) {
  if (v != v) return 0xffffffffU;
  const auto bits = __builtin_bit_cast(std::uint32_t, v == 0.0F ? 0.0F : v);
  return (bits >> 31U) != 0 ? ~bits : bits | 0x80000000U;
}
std::uint64_t rank_of(double v) {
  if (v != v) return ~std::uint64_t{0};
  const auto bits = __builtin_bit_cast(std::uint64_t, v == 0.0 ? 0.0 : v);
  return (bits >> 63U) != 0 ? ~bits : bits | std::uint64_t{1} << 63U;
}
template <class T> auto rank_of(T v) {
  if constexpr (sizeof(T) <= 4)
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(v)) ^ std::uint32_t{1} << 31U;
  else
    return static_cast<std::uint64_t>(v) ^ std::uint64_t{1} << 63U;
}

/// By rank, then by index, which makes any sort a stable one.
struct WideKey {
  std::uint64_t rank;
  std::int64_t number;
  WideKey() = default;
  WideKey(std::uint64_t r, std::int64_t i) : rank(r), number(i) {}
  std::int64_t index() const { return number; }
  bool operator<(const WideKey& other) const {
    return rank != other.rank ? rank < other.rank : number < other.number;
  }
};
/// The same in one integer, for ranks and lines of 32 bits: several times faster to compare.
struct ShortKey {
  std::uint64_t both;
  ShortKey() = default;
  ShortKey(std::uint64_t r, std::int64_t i) : both(r << 32U | static_cast<std::uint64_t>(i)) {}
  std::int64_t index() const { return static_cast<std::int64_t>(both & 0xffffffffU); }
  bool operator<(const ShortKey& other) const { return both < other.both; }
};

/// Brings the first `k` in order to the front of `keys`, where line[i] has the i-th.
template <class Key, class Line>
void order_first(std::vector<Key>& keys, std::int64_t length, std::int64_t k, const Line& line) {
  // A few are kept in order while the line runs past: most of it is not among them.
  constexpr std::int64_t kFew = 32;
  if (k <= kFew && k < length) {
    std::int64_t held = 0;
    for (std::int64_t i = 0; i < length; ++i) {
      const Key key = line(i);
      if (held == k && !(key < keys[static_cast<std::size_t>(k - 1)])) continue;
      std::int64_t place = held < k ? held++ : k - 1;
      for (; place > 0 && key < keys[static_cast<std::size_t>(place - 1)]; --place)
        keys[static_cast<std::size_t>(place)] = keys[static_cast<std::size_t>(place - 1)];
      keys[static_cast<std::size_t>(place)] = key;
    }
    return;
  }
  for (std::int64_t i = 0; i < length; ++i) keys[static_cast<std::size_t>(i)] = line(i);
  const auto middle = keys.begin() + static_cast<std::ptrdiff_t>(k);
  if (middle != keys.end()) std::nth_element(keys.begin(), middle, keys.end());
  std::sort(keys.begin(), middle);
}

/// The first `k` of each line.
template <class Key, class T>
void sort_lines(const Tensor& x, Tensor& values, Tensor& indices, int axis, bool descending) {
  const Lines from(x, axis);
  const Lines to(values, axis);
  const T* data = x.data<T>();
  T* value = values.mutable_data<T>();
  auto* index = indices.mutable_data<std::int64_t>();
  using Rank = decltype(rank_of(T{}));
  const Rank flip = descending ? static_cast<Rank>(~Rank{0}) : Rank{0};
  if (to.count == 0) return;
  for_lines(from, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Key> keys(static_cast<std::size_t>(from.length));
    for (std::int64_t line = begin; line < end; ++line) {
      const T* in = data + from.begin(line);
      order_first(keys, from.length, to.length,
                  [&](std::int64_t i) { return Key(rank_of(in[i * from.stride]) ^ flip, i); });
      const std::int64_t out = to.begin(line);
      for (std::int64_t i = 0; i < to.length; ++i) {
        const std::int64_t source = keys[static_cast<std::size_t>(i)].index();
        index[out + i * to.stride] = source;
        value[out + i * to.stride] = in[source * from.stride];
      }
    }
  });
}

void forward_sorted(std::span<const Tensor> inputs, std::span<Tensor> outputs, std::int64_t axis,
                    bool descending, const char* where) {
  const Tensor x = in_format(inputs[0], outputs[0].format());
  const int own = normalize_axis(axis, x.rank(), where);
  visit_arithmetic(x.dtype(), where, [&](auto type) {
    using T = decltype(type);
    if constexpr (sizeof(rank_of(T{})) == 4) {
      if (x.shape()[own] <= std::numeric_limits<std::uint32_t>::max())
        return sort_lines<ShortKey, T>(x, outputs[0], outputs[1], own, descending);
    }
    sort_lines<WideKey, T>(x, outputs[0], outputs[1], own, descending);
  });
}

/// Every element's gradient goes back to where it came from.
void backward_sorted(BackwardArgs& args, std::int64_t axis) {
  if (!args.grad_output(0).defined()) return;
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor& indices = args.output(1);
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), indices.format());
  Tensor dx = Tensor::zeros(args.input_shape(0), dtype, indices.format());
  const int own = normalize_axis(axis, dx.rank(), args.call().op->name);
  const Lines from(indices, own);
  const Lines to(dx, own);
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    const auto* index = indices.data<std::int64_t>();
    const T* gradient = g.data<T>();
    T* out = dx.mutable_data<T>();
    for_lines(from, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line)
        for (std::int64_t i = 0; i < from.length; ++i) {
          const std::int64_t at = from.begin(line) + i * from.stride;
          out[to.begin(line) + index[at] * to.stride] = gradient[at];
        }
    });
  });
  args.set(0, in_dtype(dx, given));
}

void link_sorted(ChannelLinks& links, std::int64_t axis, const char* where) {
  if (has_value_inputs(links)) return;
  const int rank = links.shape(in(0)).rank();
  const int own = normalize_axis(axis, rank, where);
  for (int a = 0; a < rank; ++a)
    for (int o = 0; o < 2; ++o)
      if (a != own && links.has(out(o))) links.tie(in(0), a, out(o), a);
}

void forward_topk(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& a = call.attributes.as<TopkAttributes>();
  forward_sorted(inputs, outputs, a.axis, a.largest, "topk");
}

void backward_topk(BackwardArgs& args) {
  backward_sorted(args, args.call().attributes.as<TopkAttributes>().axis);
}

Attributes bind_topk(const Call& call, const Shape&, const Values& values) {
  TopkAttributes attr = call.attributes.as<TopkAttributes>();
  attr.k = values.integer(1, "topk", "k");
  return Attributes::of(attr);
}

void infer_unknown_topk(InferArgs& args) {
  Shape shape = args.shape(0);
  const int axis =
      normalize_axis(args.call.attributes.as<TopkAttributes>().axis, shape.rank(), "topk");
  const KnownSizes k = known_sizes(args, 1, "k");
  PARE_CHECK(k.size() == 1, shape_mismatch, "topk", "expected k of one element, got {}", k.size());
  if (k[0])
    k[0]->set_in(shape, axis);
  else
    set_unknown(shape, axis);
  args.output(0, shape, args.dtype(0));
  args.output(1, shape, DType::i64);
}

constexpr ValueForm kTopkForm{bind_topk, infer_unknown_topk, infer_sort, forward_topk,
                              backward_topk};

void emit_topk(OnnxEmitter& e, std::int64_t k, std::int64_t axis, bool largest) {
  const std::string count = integers_or_input(e, 1, {k});
  e.node("TopK", {e.input(0), count}, {e.output(0), e.output(1)})
      .attribute("axis", axis)
      .attribute("largest", std::int64_t{largest})
      .attribute("sorted", std::int64_t{1});
}

}  // namespace

constinit const OpDef kSort = {
    .name = "sort",
    .visible_outputs = 2,
    .format = FormatRule::keep,
    .infer = infer_sort,
    .forward =
        [](const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
           const Context& context) {
          if (is_half(inputs[0].dtype()))
            return forward_through_float(call, inputs, outputs, context);
          const auto& a = call.attributes.as<SortAttributes>();
          forward_sorted(inputs, outputs, a.axis, a.descending, "sort");
        },
    .backward =
        [](BackwardArgs& args) {
          backward_sorted(args, args.call().attributes.as<SortAttributes>().axis);
        },
    .saves_outputs = 2,
    .defaults = [] { return Attributes::of(SortAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_sorted(links, call.attributes.as<SortAttributes>().axis, "sort");
                     }},
    .onnx = {.op_type = "TopK", .opset = 11, .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<SortAttributes>();
               const Shape& x = e.input_shape(0);
               const int axis = normalize_axis(a.axis, x.rank(), "sort");
               PARE_CHECK(!x.symbolic(axis), unsupported, "sort",
                          "expected a known length of axis {} for ONNX, got {}", axis, x);
               emit_topk(e, x[axis], a.axis, a.descending);
             }}};

constinit const OpDef kTopk = {
    .name = "topk",
    .max_inputs = 2,
    .visible_outputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kTopkForm>,
    .forward = forward_values<kTopkForm>,
    .backward = backward_values<kTopkForm>,
    .saves_inputs = 0b10,
    .saves_outputs = 2,
    .defaults = [] { return Attributes::of(TopkAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_sorted(links, call.attributes.as<TopkAttributes>().axis, "topk");
                     }},
    .onnx = {.op_type = "TopK", .opset = 11, .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<TopkAttributes>();
               emit_topk(e, a.k, a.axis, a.largest);
             }}};

namespace {

Sorted sorted(const OpDef& op, Attributes attributes, const Tensor& x) {
  const bool scalar = is_scalar(x);
  const Tensor line = scalar ? line_of(x) : x;
  Tensors both = apply_all({&op, std::move(attributes)}, detail::Borrowed(line));
  // Of no elements (topk of 0) a scalar cannot be made.
  for (Tensor& t : both)
    if (scalar && t.elements() == 1) t = scalar_of(t);
  return {both[0], both[1]};
}

}  // namespace

Sorted sort(const Tensor& x, const SortAttributes& attributes) {
  return sorted(kSort, Attributes::of(attributes), x);
}
Tensor argsort(const Tensor& x, const SortAttributes& attributes) {
  return sort(x, attributes).indices;
}
Sorted topk(const Tensor& x, const TopkAttributes& attributes) {
  return sorted(kTopk, Attributes::of(attributes), x);
}

}  // namespace pare
