// pad: a constant border around a tensor; a negative one crops.
#include <algorithm>

#include "core/check.h"
#include "core/ops/pads.h"
#include "core/ops/strided.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

void infer_pad(InferArgs& args) {
  const Shape& x = args.shape(0);
  const auto& attr = args.call.attributes.as<PadAttributes>();
  movable_bytes(args.dtype(0), "pad");
  PARE_CHECK(static_cast<int>(attr.before.size()) == x.rank() &&
                 static_cast<int>(attr.after.size()) == x.rank(),
             invalid_argument, "pad",
             "expected {} numbers before and after for x {}, got {} and {}", x.rank(), x,
             attr.before.size(), attr.after.size());
  Shape y = x;
  for (int a = 0; a < x.rank(); ++a) {
    const auto i = static_cast<std::size_t>(a);
    if (attr.before[i] == 0 && attr.after[i] == 0) continue;
    if (x.symbolic(a)) {
      (SizeExpression::of(x, a) + attr.before[i] + attr.after[i]).set_in(y, a);
      continue;
    }
    const std::int64_t cropped_before = std::min<std::int64_t>(0, attr.before[i]);
    const std::int64_t cropped_after = std::min<std::int64_t>(0, attr.after[i]);
    PARE_CHECK(cropped_before >= -x[a] && cropped_after >= -x[a] - cropped_before, shape_mismatch,
               "pad", "expected at most {} elements cropped from axis {} of x {}, got {} and {}",
               x[a], a, x, attr.before[i], attr.after[i]);
    std::int64_t size = 0;
    PARE_CHECK(!__builtin_add_overflow(x[a], attr.before[i], &size) &&
                   !__builtin_add_overflow(size, attr.after[i], &size),
               invalid_argument, "pad",
               "expected axis {} of x {} to stay below 2^63 elements, got {} and {} more", a, x,
               attr.before[i], attr.after[i]);
    y.set(a, size);
  }
  args.output(0, y, args.dtype(0));
}

/// The part that x and the padded tensor have in common, and where it begins in each.
struct Common {
  Common(const PadAttributes& attr, const Shape& x, const Strides& in_x, const Strides& in_y)
      : sizes(x) {
    for (int a = 0; a < x.rank(); ++a) {
      const auto i = static_cast<std::size_t>(a);
      sizes.set(a, x[a] + std::min<std::int64_t>(0, attr.before[i]) +
                       std::min<std::int64_t>(0, attr.after[i]));
      x_offset += std::max<std::int64_t>(0, -attr.before[i]) * in_x[i];
      y_offset += std::max<std::int64_t>(0, attr.before[i]) * in_y[i];
    }
  }
  Shape sizes;
  std::int64_t x_offset = 0;
  std::int64_t y_offset = 0;
};

void forward_pad(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context&) {
  const auto& attr = call.attributes.as<PadAttributes>();
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  const std::size_t bytes = movable_bytes(x.dtype(), "pad");
  const Strides in_x = strides_of(x);
  const Strides in_y = strides_of(y);
  const Common common(attr, x.shape(), in_x, in_y);
  if (common.sizes.elements() < y.elements()) y.fill(attr.value);
  const auto size = static_cast<std::int64_t>(bytes);
  copy_strided(common.sizes, bytes,
               {static_cast<std::byte*>(y.mutable_raw()) + common.y_offset * size, in_y},
               {static_cast<const std::byte*>(x.raw()) + common.x_offset * size, in_x});
}

void backward_pad(BackwardArgs& args) {
  const auto& attr = args.call().attributes.as<PadAttributes>();
  const Tensor& g = args.grad_output(0);
  const Shape& shape = args.input_shape(0);
  Tensor gx = Tensor::empty(shape, g.dtype(), args.input_format(0));
  const std::size_t bytes = movable_bytes(g.dtype(), "pad");
  const Strides in_x = strides_of(gx);
  const Strides in_y = strides_of(g);
  const Common common(attr, shape, in_x, in_y);
  if (common.sizes.elements() < shape.elements()) gx.fill(0);
  const auto size = static_cast<std::int64_t>(bytes);
  copy_strided(common.sizes, bytes,
               {static_cast<std::byte*>(gx.mutable_raw()) + common.x_offset * size, in_x},
               {static_cast<const std::byte*>(g.raw()) + common.y_offset * size, in_y});
  args.set(0, std::move(gx));
}

std::int64_t count_below(const std::vector<std::int64_t>& kept, std::int64_t bound) {
  return std::lower_bound(kept.begin(), kept.end(), bound) - kept.begin();
}

bool resize_pad(Call& call, const ChannelResize& resize) {
  PadAttributes attr = call.attributes.as<PadAttributes>();
  const Shape& x = resize.shape(in(0));
  for (int a = 0; a < x.rank(); ++a) {
    const std::vector<std::int64_t>* kept_in = resize.kept(in(0), a);
    const std::vector<std::int64_t>* kept_out = resize.kept(out(0), a);
    if (!kept_in && !kept_out) continue;
    std::int64_t& before = attr.before[static_cast<std::size_t>(a)];
    std::int64_t& after = attr.after[static_cast<std::size_t>(a)];
    const std::int64_t in_size = x[a];
    const std::int64_t out_size = in_size + before + after;
    const auto keeps = [](const std::vector<std::int64_t>* kept, std::int64_t i) {
      return !kept || std::binary_search(kept->begin(), kept->end(), i);
    };
    for (std::int64_t j = std::max<std::int64_t>(0, before);
         j < out_size - std::max<std::int64_t>(0, after); ++j)
      if (keeps(kept_out, j) != keeps(kept_in, j - before)) return false;
    // A border loses what is cut of it; a crop, what is cut of that.
    const auto remaining = [](const std::vector<std::int64_t>* kept, std::int64_t begin,
                              std::int64_t end) {
      return kept ? count_below(*kept, end) - count_below(*kept, begin) : end - begin;
    };
    before = before >= 0 ? remaining(kept_out, 0, before) : -remaining(kept_in, 0, -before);
    after = after >= 0 ? remaining(kept_out, out_size - after, out_size)
                       : -remaining(kept_in, in_size + after, in_size);
  }
  call.attributes = Attributes::of(attr);
  return true;
}

Attributes bind_pad(const Call& call, const Shape& x, const Values& values) {
  PadAttributes attr = call.attributes.as<PadAttributes>();
  if (values.has(1)) bind_pads(values, x, "pad", attr.before, attr.after);
  if (values.has(3)) {
    PARE_CHECK(values[3].elements() == 1, shape_mismatch, "pad",
               "expected a value of one element, got {}", values[3].shape());
    attr.value = values[3].item();
  }
  return Attributes::of(attr);
}

/// The pads alone say the shape, where only the value is not known.
void infer_unknown_pad(InferArgs& args) {
  if (!args.has(1)) return infer_pad(args);
  movable_bytes(args.dtype(0), "pad");
  infer_unknown_pads(args);
}

void emit_pad(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<PadAttributes>();
  const std::string value =
      emitter.has_input(3) ? emitter.input(3)
                           : emitter.constant(Tensor::scalar(attr.value, emitter.input_dtype(0)));
  emit_value_pad(emitter, attr.before, attr.after, value, "constant");
}

constexpr ValueForm kForm{bind_pad, infer_unknown_pad, infer_pad, forward_pad, backward_pad};

}  // namespace

constinit const OpDef kPad = {
    .name = "pad",
    .max_inputs = 4,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b1110,
    .defaults = [] { return Attributes::of(PadAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::movement, .resize = resize_pad},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Pad", .opset = 11, .emit = emit_pad},
};

Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before,
           const std::vector<std::int64_t>& after, double value) {
  return apply({&kPad, Attributes::of(PadAttributes{before, after, value})}, detail::Borrowed(x));
}

}  // namespace pare
