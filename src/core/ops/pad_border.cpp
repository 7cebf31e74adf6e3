// pad_border: a border taken from the tensor itself (reflected, replicated, circular).
#include <algorithm>
#include <utility>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/strided.h"
#include "core/ops/taps.h"
#include "pare/core/ops/arrange.h"

namespace pare {
namespace {

constexpr std::int64_t kLongest = std::int64_t{1} << 31;  ///< what an index of 32 bits reaches

void infer_pad_border(InferArgs& args) {
  const Shape& x = args.shape(0);
  const auto& attr = args.call.attributes.as<PadBorderAttributes>();
  movable_bytes(args.dtype(0), "pad");
  PARE_CHECK(attr.mode == "reflect" || attr.mode == "replicate" || attr.mode == "circular",
             invalid_argument, "pad", "expected mode reflect, replicate or circular, got '{}'",
             attr.mode);
  PARE_CHECK(static_cast<int>(attr.before.size()) == x.rank() &&
                 static_cast<int>(attr.after.size()) == x.rank(),
             invalid_argument, "pad",
             "expected {} numbers before and after for x {}, got {} and {}", x.rank(), x,
             attr.before.size(), attr.after.size());
  Shape y = x;
  for (int a = 0; a < x.rank(); ++a) {
    const std::int64_t before = attr.before[static_cast<std::size_t>(a)];
    const std::int64_t after = attr.after[static_cast<std::size_t>(a)];
    if (before == 0 && after == 0) continue;
    PARE_CHECK(before >= 0 && after >= 0, invalid_argument, "pad",
               "expected a border of 0 or more in mode {}, got {} and {}", attr.mode, before,
               after);
    PARE_CHECK(!x.symbolic(a), unsupported, "pad",
               "expected a known size of padded axis {}, got {}", a, x);
    const std::int64_t size = x[a];
    const std::int64_t most = attr.mode == "reflect"    ? size - 1
                              : attr.mode == "circular" ? size
                              : size > 0                ? kLongest
                                                        : 0;
    PARE_CHECK(before <= most && after <= most, invalid_argument, "pad",
               "expected a border of at most {} in mode {} on axis {} of x {}, got {} and {}",
               std::max<std::int64_t>(0, most), attr.mode, a, x, before, after);
    PARE_CHECK(size + before + after < kLongest, unsupported, "pad",
               "expected fewer than 2^31 elements along axis {}, got {}", a, size + before + after);
    y.set(a, size + before + after);
  }
  args.output(0, y, args.dtype(0));
}

/// Where along an axis each element of the result comes from.
Taps border_taps(const PadBorderAttributes& attr, int axis, std::int64_t size) {
  const std::int64_t before = attr.before[static_cast<std::size_t>(axis)];
  Taps taps;
  taps.out = size + before + attr.after[static_cast<std::size_t>(axis)];
  for (std::int64_t j = 0; j < taps.out; ++j) {
    std::int64_t i = j - before;
    if (attr.mode == "reflect")
      i = i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
    else if (attr.mode == "circular")
      i = (i + size) % size;
    else
      i = std::clamp<std::int64_t>(i, 0, size - 1);
    taps.index.push_back(static_cast<std::int32_t>(i));
  }
  return taps;
}

/// The padded axes from the innermost in memory out.
std::vector<int> padded_axes(const PadBorderAttributes& attr, const Tensor& x) {
  std::vector<int> axes;
  const Strides strides = strides_of(x);
  for (int a = 0; a < x.rank(); ++a)
    if (attr.before[static_cast<std::size_t>(a)] != 0 ||
        attr.after[static_cast<std::size_t>(a)] != 0)
      axes.push_back(a);
  std::stable_sort(axes.begin(), axes.end(), [&](int a, int b) {
    return strides[static_cast<std::size_t>(a)] < strides[static_cast<std::size_t>(b)];
  });
  return axes;
}

void forward_pad_border(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  const auto& attr = call.attributes.as<PadBorderAttributes>();
  Tensor& y = outputs[0];
  Tensor x = in_format(inputs[0], y.format());
  const std::vector<int> axes = padded_axes(attr, x);
  if (axes.empty()) return y.copy_from(x);
  for (std::size_t k = 0; k < axes.size(); ++k) {
    const Taps taps = border_taps(attr, axes[k], x.dim(axes[k]));
    Shape shape = x.shape();
    shape.set(axes[k], taps.out);
    Tensor next = k + 1 == axes.size() ? y : Tensor::empty(shape, x.dtype(), x.format());
    apply_taps(taps, axes[k], x, next);
    x = std::move(next);
  }
}

void backward_pad_border(BackwardArgs& args) {
  const auto& attr = args.call().attributes.as<PadBorderAttributes>();
  const DType own = args.input_dtype(0);
  const DType dtype = is_half(own) ? DType::f32 : own;
  Tensor g = in_dtype(args.grad_output(0), dtype);
  const std::vector<int> axes = padded_axes(attr, g);
  for (std::size_t k = axes.size(); k-- > 0;) {
    Shape shape = g.shape();
    shape.set(axes[k], args.input_shape(0)[axes[k]]);
    Tensor gx = Tensor::empty(shape, dtype, g.format());
    transpose_taps(border_taps(attr, axes[k], shape[axes[k]]), axes[k], g, gx);
    g = std::move(gx);
  }
  args.set(0, in_dtype(g, own));
}

/// Axes without a border.
void link_pad_border(const Call& call, ChannelLinks& links) {
  const auto& attr = call.attributes.as<PadBorderAttributes>();
  const Shape& x = links.shape(in(0));
  for (int a = 0; a < x.rank(); ++a)
    if (attr.before[static_cast<std::size_t>(a)] == 0 &&
        attr.after[static_cast<std::size_t>(a)] == 0 && !x.symbolic(a))
      links.tie(in(0), a, out(0), a);
}

void emit_pad_border(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<PadBorderAttributes>();
  std::vector<std::int64_t> pads = attr.before;
  pads.insert(pads.end(), attr.after.begin(), attr.after.end());
  const std::string amounts =
      emitter.constant(Tensor::from(pads, Shape{static_cast<std::int64_t>(pads.size())}));
  emitter.node("Pad", {emitter.input(0), amounts}, {emitter.output(0)})
      .attribute("mode", attr.mode == "replicate"  ? "edge"
                         : attr.mode == "circular" ? "wrap"
                                                   : "reflect");
}

}  // namespace

constinit const OpDef kPadBorder = {
    .name = "pad_border",
    .format = FormatRule::keep,
    .infer = infer_pad_border,
    .forward = forward_pad_border,
    .backward = backward_pad_border,
    .defaults = [] { return Attributes::of(PadBorderAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_pad_border},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Pad", .opset = 19, .emit = emit_pad_border},
};

Tensor pad(const Tensor& x, const PadBorderAttributes& attributes) {
  return apply({&kPadBorder, Attributes::of(attributes)}, detail::Borrowed(x));
}

}  // namespace pare
