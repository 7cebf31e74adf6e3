// scaled_dot_product_attention: its record.
#include "pare/core/ops/attention.h"

#include <array>
#include <limits>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/kernels.h"
#include "core/ops/attention_loops.h"
#include "core/ops/attention_sizes.h"
#include "core/ops/onnx_integers.h"

namespace pare {
namespace {

enum Input { kQuery, kKey, kValue, kMask };

const AttentionAttributes& attributes_of(const Call& call) {
  return call.attributes.as<AttentionAttributes>();
}

const char* const kWhere = "scaled_dot_product_attention";

/// [..., H, L, S] (or [L, S] without an axis of heads), symbols included.
Shape scores_shape(const AttentionSizes& sizes, const Shape& query, const Shape& key) {
  Shape scores;
  for (int a = 0; a < sizes.rank - 3; ++a) scores.append(query, a);
  if (sizes.head_axis >= 0) scores.append(query, sizes.head_axis);
  scores.append(query, sizes.length_axis);
  scores.append(key, sizes.length_axis);
  return scores;
}

/// The shapes of query, key and value, taken apart where they are packed.
struct Shapes {
  bool packed;
  Shape query, key, value;
  explicit Shapes(const InferArgs& args) : packed(!args.has(kKey)) {
    const Shape& q = args.shape(kQuery);
    PARE_CHECK(args.has(kKey) == args.has(kValue), invalid_argument, kWhere,
               "expected both key and value or neither, got one");
    PARE_CHECK(!packed || (q.rank() >= 4 && !q.symbolic(q.rank() - 3) && q[-3] == 3),
               shape_mismatch, kWhere,
               "expected a query of shape [..., L, 3, H, E] without key and value, got {}", q);
    query = packed ? unpacked(q) : q;
    key = packed ? query : args.shape(kKey);
    value = packed ? query : args.shape(kValue);
  }
  AttentionSizes sizes(const Call& call) const { return {call, query.rank(), packed}; }
};

void check_shapes(const Call& call, const Shapes& shapes) {
  const auto& attr = attributes_of(call);
  const Shape& q = shapes.query;
  const Shape& k = shapes.key;
  const Shape& v = shapes.value;
  const int least = attr.length_first ? 3 : 2;
  PARE_CHECK(q.rank() >= least && q.rank() == k.rank() && q.rank() == v.rank(), shape_mismatch,
             kWhere, "expected query, key and value of one rank of {} or more, got {}, {} and {}",
             least, q, k, v);
  const AttentionSizes sizes = shapes.sizes(call);
  PARE_CHECK(q.same_axis(q.rank() - 1, k, k.rank() - 1), shape_mismatch, kWhere,
             "expected query and key of one width, got {} and {}", q, k);
  PARE_CHECK(k.same_axis(sizes.length_axis, v, sizes.length_axis), shape_mismatch, kWhere,
             "expected as many values as keys, got key {} and value {}", k, v);
  for (int a = 0; a < q.rank() - 3; ++a)
    PARE_CHECK(q.same_axis(a, k, a) && q.same_axis(a, v, a), shape_mismatch, kWhere,
               "expected equal batch axes, got query {}, key {} and value {}", q, k, v);
  if (sizes.head_axis < 0) return;
  const int h = sizes.head_axis;
  PARE_CHECK(k.same_axis(h, v, h), shape_mismatch, kWhere,
             "expected as many heads of values as of keys, got key {} and value {}", k, v);
  if (!attr.grouped || q.symbolic(h) || k.symbolic(h)) {
    PARE_CHECK(q.same_axis(h, k, h), shape_mismatch, kWhere,
               "expected equal numbers of heads (or grouped), got query {} and key {}", q, k);
  } else {
    PARE_CHECK(k[h] > 0 ? q[h] % k[h] == 0 : q[h] == 0, shape_mismatch, kWhere,
               "expected the heads of the query to be a multiple of the key's, got {} and {}", q[h],
               k[h]);
  }
}

void infer_attention(InferArgs& args) {
  const auto& attr = attributes_of(args.call);
  const DType dtype = args.dtype(kQuery);
  const auto type_of = [&](int i) { return args.has(i) ? args.dtype(i) : dtype; };
  PARE_CHECK(
      (dtype == DType::f32 || is_half(dtype)) && type_of(kKey) == dtype && type_of(kValue) == dtype,
      dtype_mismatch, kWhere,
      "expected query, key and value of f32, f16 or bf16, got {}, {} and {}", dtype, type_of(kKey),
      type_of(kValue));
  PARE_CHECK(attr.dropout >= 0 && attr.dropout <= 1, invalid_argument, kWhere,
             "expected a probability of dropout from 0 to 1, got {}", attr.dropout);
  PARE_CHECK(std::isfinite(attr.scale), invalid_argument, kWhere, "expected a finite scale, got {}",
             attr.scale);
  const Shapes shapes(args);
  check_shapes(args.call, shapes);
  const Shape& q = shapes.query;
  const Shape scores = scores_shape(shapes.sizes(args.call), q, shapes.key);
  if (args.has(kMask)) {
    PARE_CHECK(args.dtype(kMask) == DType::boolean || is_floating(args.dtype(kMask)),
               dtype_mismatch, kWhere, "expected a mask of bool or a floating type, got {}",
               args.dtype(kMask));
    const Shape& mask = args.shape(kMask);
    PARE_CHECK(broadcast_shapes(mask, scores, kWhere) == scores, shape_mismatch, kWhere,
               "expected a mask that broadcasts to {}, got {}", scores, mask);
  }
  Shape y;
  for (int a = 0; a + 1 < q.rank(); ++a) y.append(q, a);
  y.append(shapes.value, q.rank() - 1);
  args.output(0, y, dtype);
  Shape rows;
  for (int a = 0; a + 1 < scores.rank(); ++a) rows.append(scores, a);
  args.output(1, rows, DType::f32);
  if (args.training && !attr.frozen && attr.dropout > 0) args.output(2, scores, DType::u8);
}

void forward_attention(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  attention_forward(call, inputs, outputs, context, gemm);
}

void backward_attention(BackwardArgs& args) { attention_backward(args, gemm); }

/// A mask of each head goes with the heads of the output, along its axis `h`.
void link_mask(ChannelLinks& links, int h) {
  if (!links.has(in(kMask))) return;
  const Shape& mask = links.shape(in(kMask));
  const std::int64_t heads = links.shape(out(0))[h];
  const int axis = mask.rank() - 3;
  if (axis >= 0 && mask[axis] == heads && heads > 1) links.tie(in(kMask), axis, out(0), h);
}

/// Heads belong together, as do the widths of queries and keys, which are summed against each
/// other, and those of values and output.
void link_attention(const Call& call, ChannelLinks& links) {
  if (!links.has(in(kKey))) {
    const int end = links.shape(in(kQuery)).rank();
    links.tie(in(kQuery), end - 1, out(0), end - 2);
    if (!links.shape(in(kQuery)).symbolic(end - 2)) links.tie(in(kQuery), end - 2, out(0), end - 3);
    link_mask(links, end - 3);
    return;
  }
  const Shape& q = links.shape(in(kQuery));
  const Shape& k = links.shape(in(kKey));
  const int last = q.rank() - 1;
  links.reduce(in(kQuery), last, in(kKey), last);
  links.tie(in(kValue), last, out(0), last);
  const int h = AttentionSizes(call, q.rank(), false).head_axis;
  if (h < 0 || q.symbolic(h) || k.symbolic(h) || k[h] == 0) return;
  const std::int64_t shared = q[h] / k[h];
  links.tie(in(kQuery), h, out(0), h);
  links.tie(in(kKey), h, in(kValue), h);
  for (std::int64_t i = 0; i < q[h]; ++i) {
    links.tie_at(in(kKey), h, i / shared, out(0), h, i);
    links.tie_at(in(kValue), h, i / shared, out(0), h, i);
  }
  link_mask(links, h);
}

/// What is left keeps its scale.
bool resize_attention(Call& call, const ChannelResize& resize) {
  AttentionAttributes attr = attributes_of(call);
  const Shape& q = resize.shape(in(kQuery));
  if (!resize.kept(in(kQuery), q.rank() - 1)) return true;
  attr.scale = attention_scale(attr, q[-1]);
  call.attributes = Attributes::of(attr);
  return true;
}

class AttentionEmitter {
 public:
  AttentionEmitter(const Call& call, OnnxEmitter& e)
      : attr_(attributes_of(call)),
        e_(e),
        packed_(!e.has_input(kKey)),
        sizes_(call, e.input_shape(kQuery).rank() - (packed_ ? 1 : 0), packed_) {}

  void run() {
    const Shape& q = e_.input_shape(kQuery);
    PARE_CHECK(!q.symbolic(q.rank() - 1), unsupported, kWhere,
               "expected a known width for ONNX, got query {}", q);
    const std::string key = repeated(operand(kKey), kKey);
    const std::string value = repeated(operand(kValue), kValue);
    std::vector<std::int64_t> swapped = identity();
    std::swap(swapped[swapped.size() - 1], swapped[swapped.size() - 2]);
    std::string scores = node("MatMul", {operand(kQuery), transposed(key, swapped)});
    scores = node("Mul", {scores, number(attention_scale(attr_, q[-1]))});
    if (e_.has_input(kMask)) {
      if (e_.input_dtype(kMask) == DType::boolean) {
        scores = node("Where", {e_.input(kMask), scores, number(-kInfinity)});
      } else if (e_.input_dtype(kMask) == e_.input_dtype(kQuery)) {
        scores = node("Add", {scores, e_.input(kMask)});
      } else {
        scores = node("Add", {scores, node("CastLike", {e_.input(kMask), scores})});
      }
    }
    if (attr_.causal) {
      const std::string shape = node("Shape", {scores});
      const std::string hidden = node("Expand", {number(-kInfinity), shape});
      const std::string later = e_.temporary();
      const Tensor one = Tensor::from(std::vector<std::int64_t>{1}, {});
      e_.node("Trilu", {hidden, e_.constant(one)}, {later}).attribute("upper", std::int64_t{1});
      scores = node("Add", {scores, later});
    }
    std::string weights = e_.temporary();
    e_.node("Softmax", {scores}, {weights}).attribute("axis", std::int64_t{-1});
    // Of a query that sees nothing the weights are 0 / 0.
    if (e_.has_input(kMask))
      weights = node("Where", {node("IsNaN", {weights}), number(0), weights});
    if (!length_first()) {
      e_.node("MatMul", {weights, value}, {e_.output(0)});
      return;
    }
    const std::string result = node("MatMul", {weights, value});
    e_.node("Transpose", {result}, {e_.output(0)}).attribute("perm", exchanged());
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  std::string node(const char* op, std::vector<std::string> inputs) {
    std::string result = e_.temporary();
    e_.node(op, std::move(inputs), {result});
    return result;
  }
  std::string number(double v) { return e_.constant(Tensor::scalar(v, e_.input_dtype(kQuery))); }
  std::vector<std::int64_t> identity() const {
    std::vector<std::int64_t> axes;
    for (int a = 0; a < sizes_.rank; ++a) axes.push_back(a);
    return axes;
  }
  std::vector<std::int64_t> exchanged() const {
    std::vector<std::int64_t> axes = identity();
    std::swap(axes[axes.size() - 2], axes[axes.size() - 3]);
    return axes;
  }
  std::string transposed(const std::string& x, const std::vector<std::int64_t>& permutation) {
    std::string y = e_.temporary();
    e_.node("Transpose", {x}, {y}).attribute("perm", permutation);
    return y;
  }
  bool length_first() const { return packed_ || attr_.length_first; }
  /// Query, key or value with its heads before its rows.
  std::string operand(int i) {
    std::string x = e_.input(packed_ ? 0 : i);
    if (packed_) {
      const Tensor which = Tensor::from(std::vector<std::int64_t>{i}, {});
      x = e_.temporary();
      e_.node("Gather", {e_.input(0), e_.constant(which)}, {x})
          .attribute("axis", static_cast<std::int64_t>(sizes_.rank - 2));
    }
    return length_first() ? transposed(x, exchanged()) : x;
  }

  /// Keys or values [..., H', S, E], each head as often as queries share it.
  std::string repeated(const std::string& x, int input) {
    if (!attr_.grouped || packed_ || sizes_.head_axis < 0) return x;
    const Shape& shape = e_.input_shape(input);
    PARE_CHECK(!shape.symbolic(shape.rank() - 1), unsupported, kWhere,
               "expected a known width for ONNX, got {}", shape);
    const std::int64_t width = shape[-1];
    const std::int64_t heads = e_.input_shape(kQuery)[sizes_.head_axis];
    const std::int64_t own = shape[sizes_.head_axis];
    if (own == heads || own == 0) return x;
    const auto axis = static_cast<std::int64_t>(sizes_.rank - 2);
    const std::string apart = node("Unsqueeze", {x, onnx_integers(e_, {axis})});
    std::vector<std::int64_t> times(static_cast<std::size_t>(sizes_.rank + 1), 1);
    times[static_cast<std::size_t>(axis)] = heads / own;
    const std::string copies = node("Expand", {apart, onnx_integers(e_, times)});
    std::vector<std::int64_t> target(static_cast<std::size_t>(sizes_.rank), 0);
    // Behind the axis that is joined a 0 would copy another one: the width is given.
    target[static_cast<std::size_t>(axis - 1)] = heads;
    target[static_cast<std::size_t>(axis)] = -1;
    target[static_cast<std::size_t>(axis + 1)] = width;
    return node("Reshape", {copies, onnx_integers(e_, target)});
  }

  const AttentionAttributes& attr_;
  OnnxEmitter& e_;
  bool packed_;
  AttentionSizes sizes_;
};

}  // namespace

constinit const OpDef kScaledDotProductAttention = {
    .name = "scaled_dot_product_attention",
    .max_inputs = 4,
    .hidden_outputs = 2,
    .infer = infer_attention,
    .forward = forward_attention,
    .backward = backward_attention,
    .saves_inputs = 0b1111,
    .saves_outputs = 0b111,
    .products = 0b111,
    .kernels = &kernels::kAttention,
    .defaults = [] { return Attributes::of(AttentionAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule = link_attention,
                 .resize = resize_attention},
    .onnx = {.op_type = "MatMul",
             .opset = 15,
             .emit = [](const Call& call, OnnxEmitter& e) { AttentionEmitter(call, e).run(); }},
};

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& mask, const AttentionAttributes& attributes) {
  const Call call{&kScaledDotProductAttention, Attributes::of(attributes)};
  if (!key.defined() && !value.defined() && !mask.defined())
    return apply(call, detail::Borrowed(query));
  if (!mask.defined()) return apply(call, detail::Borrowed(query, key, value));
  return apply(call, detail::Borrowed(query, key, value, mask));
}

}  // namespace pare
