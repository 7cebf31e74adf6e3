// resize: another number of elements along axes, by interpolation one axis after another.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/resize_taps.h"
#include "core/ops/strided.h"

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

std::vector<ResizedAxis> resized_axes(const ResizeAttributes& attr, const Shape& x) {
  check_resize(attr);
  const std::size_t given = attr.sizes.size() + attr.scales.size();
  PARE_CHECK((attr.sizes.empty() || attr.scales.empty()) && static_cast<int>(given) == x.rank(),
             invalid_argument, "resize", "expected {} sizes or {} scales for x {}, got {} and {}",
             x.rank(), x.rank(), x, attr.sizes.size(), attr.scales.size());
  std::vector<ResizedAxis> axes;
  for (int a = 0; a < x.rank(); ++a) {
    const auto i = static_cast<std::size_t>(a);
    if (attr.sizes.empty() ? attr.scales[i] == 1 : attr.sizes[i] == -1) continue;
    PARE_CHECK(!x.symbolic(a), unsupported, "resize",
               "expected a known size of resized axis {}, got {}", a, x);
    ResizedAxis axis{a, x[a], 0, 1};
    if (attr.sizes.empty()) {
      axis.scale = attr.scales[i];
      const double size = std::floor(scaled(axis.in, axis.scale));
      PARE_CHECK(axis.scale > 0 && size < static_cast<double>(kLongest), invalid_argument, "resize",
                 "expected scales above 0 and results below 2^31, got [{}] for x {}",
                 fmt::join(attr.scales, ", "), x);
      axis.out = static_cast<std::int64_t>(size);
    } else {
      axis.out = attr.sizes[i];
      PARE_CHECK(axis.out >= 0 && axis.out < kLongest, invalid_argument, "resize",
                 "expected sizes of 0 or more (-1 keeps the input's) below 2^31, got [{}]",
                 fmt::join(attr.sizes, ", "));
      if (axis.out == axis.in) continue;
      axis.scale = axis.in == 0 ? 1 : static_cast<double>(axis.out) / static_cast<double>(axis.in);
    }
    PARE_CHECK(axis.in < kLongest && (axis.in > 0 || axis.out == 0), invalid_argument, "resize",
               "expected elements along resized axis {}, got x {}", a, x);
    axes.push_back(axis);
  }
  return axes;
}

void infer_resize(InferArgs& args) {
  const auto& attr = args.call.attributes.as<ResizeAttributes>();
  const Shape& x = args.shape(0);
  Shape y = x;
  for (const ResizedAxis& axis : resized_axes(attr, x)) y.set(axis.axis, axis.out);
  movable_bytes(args.dtype(0), "resize");
  PARE_CHECK(attr.mode == "nearest" || is_floating(args.dtype(0)), dtype_mismatch, "resize",
             "expected a floating type in mode {}, got {}", attr.mode, args.dtype(0));
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
  const Shape& x = links.shape(in(0));
  std::vector<bool> changes(static_cast<std::size_t>(x.rank()));
  for (const ResizedAxis& axis : resized_axes(call.attributes.as<ResizeAttributes>(), x))
    changes[static_cast<std::size_t>(axis.axis)] = true;
  for (int a = 0; a < x.rank(); ++a)
    if (!changes[static_cast<std::size_t>(a)] && !x.symbolic(a)) links.tie(in(0), a, out(0), a);
}

/// A kept axis whose size was said keeps what is left of it.
bool resize_resize(Call& call, const ChannelResize& resize) {
  ResizeAttributes attr = call.attributes.as<ResizeAttributes>();
  for (std::size_t a = 0; a < attr.sizes.size(); ++a)
    if (resize.kept(in(0), static_cast<int>(a))) attr.sizes[a] = -1;
  call.attributes = Attributes::of(attr);
  return true;
}

void emit_resize(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<ResizeAttributes>();
  std::vector<std::int64_t> axes, sizes;
  std::vector<float> scales;
  for (const ResizedAxis& axis : resized_axes(attr, emitter.input_shape(0))) {
    axes.push_back(axis.axis);
    sizes.push_back(axis.out);
    scales.push_back(static_cast<float>(axis.scale));
  }
  const Shape shape{static_cast<std::int64_t>(axes.size())};
  std::vector<std::string> inputs{emitter.input(0), ""};
  if (axes.empty()) {
    emitter.node("Identity", {emitter.input(0)}, {emitter.output(0)});
    return;
  }
  if (attr.sizes.empty()) {
    inputs.push_back(emitter.constant(Tensor::from(scales, shape)));
  } else {
    inputs.emplace_back();
    inputs.push_back(emitter.constant(Tensor::from(sizes, shape)));
  }
  auto& node = emitter.node("Resize", inputs, {emitter.output(0)});
  node.attribute("mode", attr.mode.c_str());
  node.attribute("coordinate_transformation_mode", attr.coordinates.c_str());
  node.attribute("nearest_mode", attr.nearest.c_str());
  node.attribute("cubic_coeff_a", attr.cubic_coefficient);
  node.attribute("exclude_outside", std::int64_t{attr.exclude_outside});
  node.attribute("antialias", std::int64_t{attr.antialias});
  node.attribute("axes", std::span<const std::int64_t>(axes));
}

}  // namespace

constinit const OpDef kResize = {
    .name = "resize",
    .format = FormatRule::keep,
    .infer = infer_resize,
    .forward = forward_resize,
    .backward = backward_resize,
    .defaults = [] { return Attributes::of(ResizeAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_resize, .resize = resize_resize},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Resize", .opset = 19, .emit = emit_resize},
};

Tensor resize(const Tensor& x, const ResizeAttributes& attributes) {
  return apply({&kResize, Attributes::of(attributes)}, detail::Borrowed(x));
}

}  // namespace pare
