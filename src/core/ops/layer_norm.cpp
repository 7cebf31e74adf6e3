// layer_norm and rms_norm: each row by its own statistics.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/norm_rows.h"
#include "core/ops/reduced.h"
#include "pare/core/ops/feature_norm.h"

namespace pare {
namespace {

enum Input { kX, kWeight, kBias };

struct Settings {
  std::int64_t axis;
  double epsilon;
};
template <class A> Settings settings_of(const Call& call) {
  const auto& a = call.attributes.as<A>();
  return {a.axis, a.epsilon};
}
template <bool kCentred> Settings settings_of(const Call& call) {
  if constexpr (kCentred) return settings_of<LayerNormAttributes>(call);
  return settings_of<RmsNormAttributes>(call);
}

template <bool kCentred> int first_axis(const Call& call, int rank) {
  return normalize_axis(settings_of<kCentred>(call).axis, rank, call.op->name);
}

template <bool kCentred> void infer(InferArgs& args) {
  const char* where = args.call.op->name;
  const Shape& x = args.shape(kX);
  const DType dtype = args.dtype(kX);
  PARE_CHECK(is_floating(dtype), dtype_mismatch, where, "expected a floating type, got {}", dtype);
  PARE_CHECK(x.rank() >= 1, shape_mismatch, where, "expected x of rank 1 or more, got {}", x);
  const Settings settings = settings_of<kCentred>(args.call);
  PARE_CHECK(settings.epsilon >= 0, invalid_argument, where,
             "expected an epsilon of at least 0, got {}", settings.epsilon);
  const int axis = first_axis<kCentred>(args.call, x.rank());
  static constexpr const char* kNames[] = {"x", "weight", "bias"};
  for (int i = kWeight; i < args.inputs(); ++i) {
    if (!args.has(i)) continue;
    PARE_CHECK(args.dtype(i) == dtype || (is_half(dtype) && args.dtype(i) == DType::f32),
               dtype_mismatch, where, "expected {} of x's type {}, got {}", kNames[i], dtype,
               args.dtype(i));
    const Shape& shape = args.shape(i);
    bool fits = shape.rank() == x.rank() - axis;
    for (int a = axis; fits && a < x.rank(); ++a) fits = shape.same_axis(a - axis, x, a);
    PARE_CHECK(fits, shape_mismatch, where,
               "expected {} of the shape of x's axes from {} on, x {}, got {}", kNames[i], axis, x,
               shape);
  }
  args.output(0, x, dtype);
  Shape rows;
  for (int a = 0; a < axis; ++a) rows.append(x, a);
  const DType computed = computed_type(dtype);
  for (int o = 1; o <= (kCentred ? 2 : 1); ++o) args.output(o, rows, computed);
}

struct Rows {
  std::int64_t count, length;
  Rows(const Shape& x, int axis) : count(x.elements(0, axis)), length(x.elements(axis, x.rank())) {}
  std::int64_t grain() const { return kElementGrain / 4 / std::max<std::int64_t>(1, length) + 1; }
};

template <class T> const T* data_or_null(std::span<const Tensor> inputs, std::size_t i) {
  return i < inputs.size() && inputs[i].defined() ? inputs[i].data<T>() : nullptr;
}

template <bool kCentred>
void forward(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
             const Context& context) {
  const bool narrow = std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) {
    return t.defined() && is_half(t.dtype());
  });
  if (narrow) return forward_through_float(call, inputs, outputs, context);
  const Rows rows(inputs[kX].shape(), first_axis<kCentred>(call, inputs[kX].rank()));
  const double epsilon = settings_of<kCentred>(call).epsilon;
  visit_float(inputs[kX].dtype(), call.op->name, [&](auto type) {
    using T = decltype(type);
    const T* x = inputs[kX].data<T>();
    const T* weight = data_or_null<T>(inputs, kWeight);
    const T* bias = data_or_null<T>(inputs, kBias);
    T* y = outputs[0].mutable_data<T>();
    T* mean = kCentred ? outputs[1].mutable_data<T>() : nullptr;
    T* inverse = outputs[kCentred ? 2 : 1].mutable_data<T>();
    const std::int64_t n = rows.length;
    parallel_for(0, rows.count, rows.grain(), [&](std::int64_t begin, std::int64_t end) {
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        for (std::int64_t r = begin; r < end; ++r) {
          const T m = norm_rows::normalize<kCentred>(x + r * n, y + r * n, n, epsilon, inverse + r);
          if constexpr (kCentred) mean[r] = m;
          norm_rows::affine(y + r * n, n, inverse[r], weight, bias);
        }
      });
    });
  });
}

/// The sum of `blocks` rows of `length`, in double.
template <class T> Tensor column_sums(const std::vector<T>& rows, const Shape& shape, DType dtype) {
  const std::int64_t length = shape.elements();
  std::vector<double> total(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < rows.size(); i += total.size())
    for (std::size_t j = 0; j < total.size(); ++j) total[j] += static_cast<double>(rows[i + j]);
  Tensor sum = Tensor::empty(shape, std::is_same_v<T, float> ? DType::f32 : DType::f64);
  std::transform(total.begin(), total.end(), sum.mutable_data<T>(),
                 [](double v) { return static_cast<T>(v); });
  return in_dtype(sum, dtype);
}

// Rows whose products are summed in the type of x; the sums of blocks are added in double. The
// blocks do not depend on the number of threads.
constexpr std::int64_t kBlock = 64;

template <bool kCentred> void backward(BackwardArgs& args) {
  const DType given = args.input_dtype(kX);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(in_format(args.input(kX), MemoryFormat::row_major), dtype);
  const Tensor g = in_dtype(in_format(args.grad_output(0), MemoryFormat::row_major), dtype);
  const auto has = [&](int i) { return i < args.inputs() && args.has_input(i); };
  const Tensor w = has(kWeight)
                       ? in_dtype(in_format(args.input(kWeight), MemoryFormat::row_major), dtype)
                       : Tensor();
  const bool wants_weight = has(kWeight) && args.needs(kWeight);
  const bool wants_bias = has(kBias) && args.needs(kBias);
  const Rows rows(x.shape(), first_axis<kCentred>(args.call(), x.rank()));
  const std::int64_t blocks = (rows.count + kBlock - 1) / kBlock;
  const Tensor mean = kCentred ? args.output(1) : Tensor();
  const Tensor inverse = args.output(kCentred ? 2 : 1);
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    const std::int64_t n = rows.length;
    Tensor dx = Tensor::empty(x.shape(), dtype);
    std::vector<T> of_weight(static_cast<std::size_t>(wants_weight ? blocks * n : 0));
    std::vector<T> of_bias(static_cast<std::size_t>(wants_bias ? blocks * n : 0));
    norm_rows::Gradient<T> d{.x = x.data<T>(),
                             .g = g.data<T>(),
                             .weight = w.defined() ? w.data<T>() : nullptr,
                             .mean = kCentred ? mean.data<T>() : nullptr,
                             .inverse = inverse.data<T>(),
                             .dx = dx.mutable_data<T>(),
                             .n = n};
    parallel_for(0, blocks, rows.grain() / kBlock + 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<T> normalized(static_cast<std::size_t>(n));
      T* const row = normalized.data();
      T* const dw = of_weight.empty() ? nullptr : of_weight.data();
      T* const db = of_bias.empty() ? nullptr : of_bias.data();
      multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
        for (std::int64_t b = begin; b < end; ++b)
          for (std::int64_t r = b * kBlock; r < std::min(rows.count, (b + 1) * kBlock); ++r)
            norm_rows::gradient_row<kCentred>(d, r, row, dw ? dw + b * n : nullptr,
                                              db ? db + b * n : nullptr);
      });
    });
    if (args.needs(kX)) args.set(kX, in_dtype(dx, given));
    if (wants_weight)
      args.set(kWeight,
               column_sums(of_weight, args.input_shape(kWeight), args.input_dtype(kWeight)));
    if (wants_bias)
      args.set(kBias, column_sums(of_bias, args.input_shape(kBias), args.input_dtype(kBias)));
  });
}

template <bool kCentred> void link(const Call& call, ChannelLinks& links) {
  const int rank = links.shape(in(kX)).rank();
  const int axis = first_axis<kCentred>(call, rank);
  for (int a = 0; a < rank; ++a)
    if (!links.shape(in(kX)).symbolic(a)) links.tie(in(kX), a, out(0), a);
  for (const int i : {kWeight, kBias})
    if (links.has(in(i)))
      for (int a = axis; a < rank; ++a) links.tie(in(i), a - axis, out(0), a);
}

/// ONNX wants a scale.
std::string weight_or_ones(OnnxEmitter& e, const Shape& x, int axis, const char* where) {
  if (e.has_input(kWeight)) return e.input(kWeight);
  Shape shape;
  for (int a = axis; a < x.rank(); ++a) {
    PARE_CHECK(!x.symbolic(a), unsupported, where,
               "expected normalized axes of known size for ONNX, got x {}", x);
    shape.append(x, a);
  }
  return e.constant(Tensor::ones(shape, e.input_dtype(kX)));
}

void emit_layer_norm(const Call& call, OnnxEmitter& e) {
  const int axis = first_axis<true>(call, e.input_shape(kX).rank());
  std::vector<std::string> names{e.input(kX),
                                 weight_or_ones(e, e.input_shape(kX), axis, "layer_norm")};
  if (e.has_input(kBias)) names.push_back(e.input(kBias));
  e.node("LayerNormalization", names, {e.output(0)})
      .attribute("axis", static_cast<std::int64_t>(axis))
      .attribute("epsilon", call.attributes.as<LayerNormAttributes>().epsilon);
}

void emit_rms_norm(const Call& call, OnnxEmitter& e) {
  const Shape& x = e.input_shape(kX);
  const int axis = first_axis<false>(call, x.rank());
  const double epsilon = call.attributes.as<RmsNormAttributes>().epsilon;
  if (e.opset() >= 23) {
    const std::string weight = weight_or_ones(e, x, axis, "rms_norm");
    e.node("RMSNormalization", {e.input(kX), weight}, {e.output(0)})
        .attribute("axis", static_cast<std::int64_t>(axis))
        .attribute("epsilon", epsilon);
    return;
  }
  std::vector<std::int64_t> axes;
  for (int a = axis; a < x.rank(); ++a) axes.push_back(a);
  const std::string square = e.temporary();
  const std::string average = e.temporary();
  const std::string shifted = e.temporary();
  const std::string root = e.temporary();
  const std::string quotient = e.has_input(kWeight) ? e.temporary() : e.output(0);
  e.node("Mul", {e.input(kX), e.input(kX)}, {square});
  emit_reduced(e, "ReduceMean", 18, square, average, axes, true);
  e.node("Add", {average, e.constant(Tensor::scalar(epsilon, e.input_dtype(kX)))}, {shifted});
  e.node("Sqrt", {shifted}, {root});
  e.node("Div", {e.input(kX), root}, {quotient});
  if (e.has_input(kWeight)) e.node("Mul", {quotient, e.input(kWeight)}, {e.output(0)});
}

}  // namespace

constinit const OpDef kLayerNorm = {
    .name = "layer_norm",
    .max_inputs = 3,
    .hidden_outputs = 2,
    .infer = infer<true>,
    .forward = forward<true>,
    .backward = backward<true>,
    .saves_inputs = 1U << kX | 1U << kWeight,
    .saves_outputs = 0b110,
    .defaults = [] { return Attributes::of(LayerNormAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link<true>, .statistics = true},
    .onnx = {.op_type = "LayerNormalization", .opset = 17, .emit = emit_layer_norm},
};

constinit const OpDef kRmsNorm = {
    .name = "rms_norm",
    .max_inputs = 2,
    .hidden_outputs = 1,
    .infer = infer<false>,
    .forward = forward<false>,
    .backward = backward<false>,
    .saves_inputs = 1U << kX | 1U << kWeight,
    .saves_outputs = 0b10,
    .defaults = [] { return Attributes::of(RmsNormAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link<false>, .statistics = true},
    .onnx = {.op_type = "RMSNormalization", .emit = emit_rms_norm},
};

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const LayerNormAttributes& attributes) {
  return apply({&kLayerNorm, Attributes::of(attributes)}, detail::Borrowed(x, weight, bias));
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, const RmsNormAttributes& attributes) {
  return apply({&kRmsNorm, Attributes::of(attributes)}, detail::Borrowed(x, weight));
}

}  // namespace pare
