// resize: another number of elements along axes, by interpolation one axis after another.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/resize_taps.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"

namespace pare {
namespace {

constexpr std::int64_t kLongest = std::int64_t{1} << 31;  ///< what an index of 32 bits reaches

/// An axis that changes.
struct ResizedAxis {
  int axis;
  std::int64_t in, out;
  double scale;
};

/// A scale that is a float comes from ONNX, whose runtimes multiply floats: 10 · 0.7F is 7 there,
/// and a little less in double.
double scaled(std::int64_t size, double scale) {
  const auto single = static_cast<float>(scale);
  if (static_cast<double>(single) == scale && size < (std::int64_t{1} << 24))
    return static_cast<double>(static_cast<float>(size) * single);
  return static_cast<double>(size) * scale;
}

/// What the attributes say of an axis: a size (−1: none) or a scale.
struct Wish {
  int axis;
  std::int64_t size;
  double scale;
};

std::vector<Wish> wishes_of(const ResizeAttributes& attr, const Shape& x) {
  check_resize(attr);
  const std::size_t given = attr.sizes.size() + attr.scales.size();
  const std::size_t wanted =
      attr.axes.empty() ? static_cast<std::size_t>(x.rank()) : attr.axes.size();
  PARE_CHECK((attr.sizes.empty() || attr.scales.empty()) && given == wanted, invalid_argument,
             "resize", "expected {} sizes or {} scales for x {}, got {} and {}", wanted, wanted, x,
             attr.sizes.size(), attr.scales.size());
  std::vector<Wish> wishes;
  std::vector<bool> seen(static_cast<std::size_t>(x.rank()));
  for (std::size_t i = 0; i < given; ++i) {
    const int axis =
        attr.axes.empty() ? static_cast<int>(i) : normalize_axis(attr.axes[i], x.rank(), "resize");
    PARE_CHECK(!seen[static_cast<std::size_t>(axis)], invalid_argument, "resize",
               "expected each axis once, got [{}]", listed(attr.axes));
    seen[static_cast<std::size_t>(axis)] = true;
    if (attr.sizes.empty()) {
      PARE_CHECK(attr.scales[i] > 0 && std::isfinite(attr.scales[i]), invalid_argument, "resize",
                 "expected scales above 0 and results below 2^31, got [{}] for x {}",
                 listed(attr.scales), x);
      if (attr.scales[i] != 1) wishes.push_back({axis, -1, attr.scales[i]});
    } else {
      PARE_CHECK(attr.sizes[i] >= -1 && attr.sizes[i] < kLongest, invalid_argument, "resize",
                 "expected sizes of 0 or more (-1 keeps the input's) below 2^31, got [{}]",
                 listed(attr.sizes));
      if (attr.sizes[i] != -1) wishes.push_back({axis, attr.sizes[i], 1});
    }
  }
  return wishes;
}

/// The one scale of a policy that keeps proportions; nothing where each axis has its own.
std::optional<double> common_scale(const ResizeAttributes& attr, const std::vector<Wish>& wishes,
                                   const Shape& x) {
  if (attr.policy == "stretch" || attr.sizes.empty()) return std::nullopt;
  std::optional<double> scale;
  for (const Wish& wish : wishes) {
    PARE_CHECK(x[wish.axis] > 0, invalid_argument, "resize",
               "expected elements along resized axis {}, got x {}", wish.axis, x);
    // In single precision, as ONNX's runtimes.
    const auto own =
        static_cast<double>(static_cast<float>(wish.size) / static_cast<float>(x[wish.axis]));
    const bool takes =
        attr.policy == "not_larger" ? !scale || own < *scale : !scale || own > *scale;
    if (takes) scale = own;
  }
  return scale;
}

std::vector<ResizedAxis> resized_axes(const ResizeAttributes& attr, const Shape& x) {
  const std::vector<Wish> wishes = wishes_of(attr, x);
  const std::optional<double> common = common_scale(attr, wishes, x);
  std::vector<ResizedAxis> axes;
  for (const Wish& wish : wishes) {
    ResizedAxis axis{wish.axis, x[wish.axis], wish.size, wish.scale};
    if (common) {
      axis.scale = *common;
      axis.out = static_cast<std::int64_t>(std::floor(scaled(axis.in, axis.scale) + 0.5));
    } else if (wish.size < 0) {
      const double size = std::floor(scaled(axis.in, axis.scale));
      PARE_CHECK(size < static_cast<double>(kLongest), invalid_argument, "resize",
                 "expected scales above 0 and results below 2^31, got [{}] for x {}",
                 listed(attr.scales), x);
      axis.out = static_cast<std::int64_t>(size);
    } else {
      if (axis.out == axis.in) continue;
      axis.scale = axis.in == 0 ? 1 : static_cast<double>(axis.out) / static_cast<double>(axis.in);
    }
    PARE_CHECK(axis.in < kLongest && (axis.in > 0 || axis.out == 0), invalid_argument, "resize",
               "expected elements along resized axis {}, got x {}", wish.axis, x);
    axes.push_back(axis);
  }
  return axes;
}

/// Of a named size times a scale: exact where the scale is a fraction of small numbers.
std::optional<SizeExpression> scaled_size(const SizeExpression& size, double scale) {
  for (int divisor = 1; divisor <= 64; ++divisor) {
    const double whole = scale * divisor;
    if (whole == std::floor(whole) && whole < 0x1p31)
      return (size * static_cast<std::int64_t>(whole)).divided_down(divisor);
  }
  return std::nullopt;
}

void check_resized_dtype(const InferArgs& args) {
  const auto& attr = args.call.attributes.as<ResizeAttributes>();
  movable_bytes(args.dtype(0), "resize");
  PARE_CHECK(attr.mode == "nearest" || is_floating(args.dtype(0)), dtype_mismatch, "resize",
             "expected a floating type in mode {}, got {}", attr.mode, args.dtype(0));
}

void infer_resize(InferArgs& args) {
  const auto& attr = args.call.attributes.as<ResizeAttributes>();
  const Shape& x = args.shape(0);
  const std::vector<Wish> wishes = wishes_of(attr, x);
  Shape y = x;
  if (std::any_of(wishes.begin(), wishes.end(),
                  [&](const Wish& w) { return x.symbolic(w.axis); })) {
    const bool proportional = attr.policy != "stretch" && !attr.sizes.empty();
    for (const Wish& wish : wishes) {
      std::optional<SizeExpression> size;
      if (!proportional)
        size = wish.size >= 0 ? SizeExpression(wish.size)
                              : scaled_size(SizeExpression::of(x, wish.axis), wish.scale);
      if (size)
        size->set_in(y, wish.axis);
      else
        set_unknown(y, wish.axis);
    }
  } else {
    for (const ResizedAxis& axis : resized_axes(attr, x)) y.set(axis.axis, axis.out);
  }
  check_resized_dtype(args);
  args.output(0, y, args.dtype(0));
}

Attributes bind_resize(const Call& call, const Shape&, const Values& values) {
  ResizeAttributes attr = call.attributes.as<ResizeAttributes>();
  if (values.has(1)) attr.sizes = values.integers(1, "resize", "sizes");
  if (values.has(2)) {
    PARE_CHECK(is_floating(values[2].dtype()), dtype_mismatch, "resize",
               "expected scales of a floating type, got {}", values[2].dtype());
    attr.scales = in_dtype(values[2], DType::f64).to_vector<double>();
  }
  return Attributes::of(attr);
}

void infer_unknown_resize(InferArgs& args) {
  const auto& attr = args.call.attributes.as<ResizeAttributes>();
  check_resize(attr);
  check_resized_dtype(args);
  const Shape& x = args.shape(0);
  std::vector<std::int64_t> axes = attr.axes;
  for (int a = 0; attr.axes.empty() && a < x.rank(); ++a) axes.push_back(a);
  KnownSizes sizes(axes.size());
  if (args.has(1) && !args.has(2) && attr.policy == "stretch")
    sizes = known_sizes(args, 1, "sizes");
  PARE_CHECK(sizes.size() == axes.size(), invalid_argument, "resize",
             "expected {} sizes for x {}, got {}", axes.size(), x, sizes.size());
  Shape y = x;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int a = normalize_axis(axes[i], x.rank(), "resize");
    if (!sizes[i])
      set_unknown(y, a);
    else if (*sizes[i] != SizeExpression(-1))
      sizes[i]->set_in(y, a);
  }
  args.output(0, y, args.dtype(0));
}

/// First those that shrink, then the innermost in memory: so the least is computed.
void order_axes(std::vector<ResizedAxis>& axes, const Strides& strides) {
  std::stable_sort(axes.begin(), axes.end(), [&](const ResizedAxis& a, const ResizedAxis& b) {
    const double left =
        static_cast<double>(a.out) / static_cast<double>(std::max<std::int64_t>(1, a.in));
    const double right =
        static_cast<double>(b.out) / static_cast<double>(std::max<std::int64_t>(1, b.in));
    if (left != right) return left < right;
    const auto step = [&](const ResizedAxis& axis) {
      return strides[static_cast<std::size_t>(axis.axis)];
    };
    // A shrinking axis is cheaper where its rows are long.
    return left < 1 ? step(a) > step(b) : step(a) < step(b);
  });
}

void forward_resize(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const auto& attr = call.attributes.as<ResizeAttributes>();
  Tensor& y = outputs[0];
  if (y.elements() == 0) return;
  if (attr.mode != "nearest" && is_half(y.dtype()))
    return forward_through_float(call, inputs, outputs, context);
  Tensor x = in_format(inputs[0], y.format());
  std::vector<ResizedAxis> axes = resized_axes(attr, x.shape());
  if (axes.empty()) return y.copy_from(x);
  order_axes(axes, strides_of(x));
  for (std::size_t k = 0; k < axes.size(); ++k) {
    Shape shape = x.shape();
    shape.set(axes[k].axis, axes[k].out);
    Tensor next = k + 1 == axes.size() ? y : Tensor::empty(shape, x.dtype(), x.format());
    apply_taps(resize_taps(attr, axes[k].in, axes[k].out, axes[k].scale), axes[k].axis, x, next);
    x = std::move(next);
  }
}

void backward_resize(BackwardArgs& args) {
  const auto& attr = args.call().attributes.as<ResizeAttributes>();
  const DType own = args.input_dtype(0);
  const DType dtype = is_half(own) ? DType::f32 : own;
  Tensor g = in_dtype(args.grad_output(0), dtype);
  if (g.elements() == 0) return args.set(0, Tensor::zeros(args.input_shape(0), own));
  std::vector<ResizedAxis> axes = resized_axes(attr, args.input_shape(0));
  order_axes(axes, strides_of(g));
  for (std::size_t k = axes.size(); k-- > 0;) {
    Shape shape = g.shape();
    shape.set(axes[k].axis, axes[k].in);
    Tensor gx = Tensor::empty(shape, dtype, g.format());
    transpose_taps(resize_taps(attr, axes[k].in, axes[k].out, axes[k].scale), axes[k].axis, g, gx);
    g = std::move(gx);
  }
  args.set(0, in_dtype(g, own));
}

/// Axes that stay as they are.
void link_resize(const Call& call, ChannelLinks& links) {
  if (has_value_inputs(links)) return;
  const auto& attr = call.attributes.as<ResizeAttributes>();
  const Shape& x = links.shape(in(0));
  const Shape& y = links.shape(out(0));
  std::vector<bool> changes(static_cast<std::size_t>(x.rank()));
  for (const Wish& wish : wishes_of(attr, x))
    changes[static_cast<std::size_t>(wish.axis)] =
        attr.policy != "stretch" || !x.same_axis(wish.axis, y, wish.axis);
  for (int a = 0; a < x.rank(); ++a)
    if (!changes[static_cast<std::size_t>(a)] && !x.symbolic(a)) links.tie(in(0), a, out(0), a);
}

/// A kept axis whose size was said keeps what is left of it.
bool resize_resize(Call& call, const ChannelResize& resize) {
  ResizeAttributes attr = call.attributes.as<ResizeAttributes>();
  const int rank = resize.shape(in(0)).rank();
  for (std::size_t i = 0; i < attr.sizes.size(); ++i) {
    const int axis =
        attr.axes.empty() ? static_cast<int>(i) : normalize_axis(attr.axes[i], rank, "resize");
    if (resize.kept(in(0), axis)) attr.sizes[i] = -1;
  }
  call.attributes = Attributes::of(attr);
  return true;
}

/// Without the input `axes`, that is before opset 18: a scale of 1, or the size as it is, for axes
/// that stay. Nothing where such a size is not known.
std::optional<std::vector<Wish>> wishes_of_all(const std::vector<Wish>& wishes, const Shape& x,
                                               bool sizes) {
  std::vector<Wish> all;
  for (int a = 0; a < x.rank(); ++a) {
    const auto of_axis = std::ranges::find(wishes, a, &Wish::axis);
    if (of_axis == wishes.end() && sizes && x.symbolic(a)) return std::nullopt;
    all.push_back(of_axis != wishes.end() ? *of_axis : Wish{a, x.symbolic(a) ? -1 : x[a], 1});
  }
  return all;
}

void need_opset(const OnnxEmitter& emitter, int opset, const char* what) {
  PARE_CHECK(emitter.opset() >= opset, unsupported, "resize",
             "expected opset {} or later for {}, got {}", opset, what, emitter.opset());
}

void emit_resize(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<ResizeAttributes>();
  const bool old = emitter.opset() < 18;
  if (attr.coordinates == "half_pixel_symmetric") need_opset(emitter, 19, "half_pixel_symmetric");
  if (attr.antialias) need_opset(emitter, 18, "antialias");
  if (attr.policy != "stretch") need_opset(emitter, 18, "keep_aspect_ratio_policy");
  std::vector<std::int64_t> axes = attr.axes;
  std::vector<std::string> inputs{emitter.input(0), ""};
  if (has_value_inputs(emitter)) {
    if (!axes.empty()) need_opset(emitter, 18, "axes");
    inputs.push_back(emitter.has_input(2) ? emitter.input(2) : "");
    if (emitter.has_input(1)) inputs.push_back(emitter.input(1));
  } else {
    axes.clear();
    std::vector<std::int64_t> sizes;
    std::vector<float> scales;
    std::vector<Wish> wishes = wishes_of(attr, emitter.input_shape(0));
    if (wishes.empty()) {
      emitter.node("Identity", {emitter.input(0)}, {emitter.output(0)});
      return;
    }
    if (old) {
      auto all = wishes_of_all(wishes, emitter.input_shape(0), !attr.sizes.empty());
      if (!all) need_opset(emitter, 18, "sizes beside a named axis");
      wishes = std::move(*all);
    }
    for (const Wish& wish : wishes) {
      if (!old) axes.push_back(wish.axis);
      sizes.push_back(wish.size);
      scales.push_back(static_cast<float>(wish.scale));
    }
    const Shape shape{static_cast<std::int64_t>(wishes.size())};
    if (attr.sizes.empty()) {
      inputs.push_back(emitter.constant(Tensor::from(scales, shape)));
    } else {
      inputs.emplace_back();
      inputs.push_back(onnx_integers(emitter, sizes));
    }
  }
  auto& node = emitter.node("Resize", inputs, {emitter.output(0)});
  node.attribute("mode", attr.mode.c_str());
  node.attribute("coordinate_transformation_mode", attr.coordinates.c_str());
  node.attribute("nearest_mode", attr.nearest.c_str());
  node.attribute("cubic_coeff_a", attr.cubic_coefficient);
  node.attribute("exclude_outside", std::int64_t{attr.exclude_outside});
  if (!old) node.attribute("antialias", std::int64_t{attr.antialias});
  if (attr.policy != "stretch") node.attribute("keep_aspect_ratio_policy", attr.policy.c_str());
  if (!axes.empty()) node.attribute("axes", std::span<const std::int64_t>(axes));
}

constexpr ValueForm kForm{bind_resize, infer_unknown_resize, infer_resize, forward_resize,
                          backward_resize};

}  // namespace

constinit const OpDef kResize = {
    .name = "resize",
    .max_inputs = 3,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b110,
    .defaults = [] { return Attributes::of(ResizeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_resize, .resize = resize_resize},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Resize", .opset = 13, .emit = emit_resize},
};

Tensor resize(const Tensor& x, const ResizeAttributes& attributes) {
  return apply({&kResize, Attributes::of(attributes)}, detail::Borrowed(x));
}

}  // namespace pare
