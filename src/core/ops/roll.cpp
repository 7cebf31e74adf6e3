// roll: elements shifted along axes; those that leave at one end return at the other.
#include <algorithm>
#include <array>
#include <limits>

#include "core/check.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/strided.h"
#include "pare/core/ops/arrange.h"

namespace pare {
namespace {

/// Per axis by how many places its elements move towards the end, in [0, size).
using Shifts = std::array<std::int64_t, Shape::kMaxRank>;

Shifts shifts_of(const RollAttributes& attr, const Shape& x) {
  PARE_CHECK(attr.shifts.size() == attr.axes.size(), invalid_argument, "roll",
             "expected one shift for each axis, got [{}] for axes [{}]", listed(attr.shifts),
             listed(attr.axes));
  Shifts shifts{};
  for (std::size_t i = 0; i < attr.axes.size(); ++i) {
    const int axis = normalize_axis(attr.axes[i], x.rank(), "roll");
    PARE_CHECK(!x.symbolic(axis), unsupported, "roll",
               "expected a known size of rolled axis {}, got {}", axis, x);
    const std::int64_t size = std::max<std::int64_t>(1, x[axis]);
    std::int64_t& shift = shifts[static_cast<std::size_t>(axis)];
    shift = (shift + (attr.shifts[i] % size + size) % size) % size;
  }
  return shifts;
}

void infer_roll(InferArgs& args) {
  movable_bytes(args.dtype(0), "roll");
  static_cast<void>(shifts_of(args.call.attributes.as<RollAttributes>(), args.shape(0)));
  args.output(0, args.shape(0), args.dtype(0));
}

/// Per rolled axis there are two parts, so 2^axes blocks are copied.
void roll_blocks(const Tensor& x, Tensor& y, const Shifts& shifts) {
  const std::size_t bytes = movable_bytes(x.dtype(), "roll");
  const Strides from = strides_of(x);
  const Strides to = strides_of(y);
  std::vector<int> axes;
  for (int a = 0; a < x.rank(); ++a)
    if (shifts[static_cast<std::size_t>(a)] != 0) axes.push_back(a);
  for (unsigned part = 0; part < 1U << axes.size(); ++part) {
    Shape sizes = x.shape();
    std::int64_t source = 0;
    std::int64_t target = 0;
    for (std::size_t k = 0; k < axes.size(); ++k) {
      const auto a = static_cast<std::size_t>(axes[k]);
      const std::int64_t kept = x.dim(axes[k]) - shifts[a];
      const bool returns = (part >> k & 1U) != 0;
      sizes.set(axes[k], returns ? shifts[a] : kept);
      (returns ? source : target) += (returns ? kept : shifts[a]) * (returns ? from[a] : to[a]);
    }
    const auto size = static_cast<std::int64_t>(bytes);
    copy_strided(sizes, bytes, {static_cast<std::byte*>(y.mutable_raw()) + target * size, to},
                 {static_cast<const std::byte*>(x.raw()) + source * size, from});
  }
}

void forward_roll(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) {
  if (outputs[0].elements() == 0) return;
  roll_blocks(inputs[0], outputs[0],
              shifts_of(call.attributes.as<RollAttributes>(), inputs[0].shape()));
}

void backward_roll(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  Tensor gx = Tensor::empty(g.shape(), g.dtype(), g.format());
  Shifts shifts = shifts_of(args.call().attributes.as<RollAttributes>(), g.shape());
  for (int a = 0; a < g.rank(); ++a) {
    std::int64_t& shift = shifts[static_cast<std::size_t>(a)];
    if (shift != 0) shift = g.dim(a) - shift;
  }
  if (g.elements() > 0) roll_blocks(g, gx, shifts);
  args.set(0, std::move(gx));
}

void link_roll(const Call& call, ChannelLinks& links) {
  const Shape& x = links.shape(in(0));
  const Shifts shifts = shifts_of(call.attributes.as<RollAttributes>(), x);
  for (int a = 0; a < x.rank(); ++a) {
    if (x.symbolic(a)) continue;
    for (std::int64_t i = 0; i < x[a]; ++i)
      links.tie_at(in(0), a, i, out(0), a, (i + shifts[static_cast<std::size_t>(a)]) % x[a]);
  }
}

/// As many return as are kept of those that returned.
bool resize_roll(Call& call, const ChannelResize& resize) {
  const Shape& x = resize.shape(in(0));
  const Shifts shifts = shifts_of(call.attributes.as<RollAttributes>(), x);
  RollAttributes attr;
  for (int a = 0; a < x.rank(); ++a) {
    std::int64_t shift = shifts[static_cast<std::size_t>(a)];
    if (shift == 0) continue;
    if (const std::vector<std::int64_t>* kept = resize.kept(in(0), a))
      shift = kept->end() - std::lower_bound(kept->begin(), kept->end(), x[a] - shift);
    attr.axes.push_back(a);
    attr.shifts.push_back(shift);
  }
  call.attributes = Attributes::of(attr);
  return true;
}

/// ONNX has no such op: per axis two slices, joined the other way round.
void emit_roll(const Call& call, OnnxEmitter& emitter) {
  const Shape& x = emitter.input_shape(0);
  const Shifts shifts = shifts_of(call.attributes.as<RollAttributes>(), x);
  const auto number = [&](std::int64_t value) { return onnx_integers(emitter, {value}); };
  std::vector<int> axes;
  for (int a = 0; a < x.rank(); ++a)
    if (shifts[static_cast<std::size_t>(a)] != 0) axes.push_back(a);
  std::string value = emitter.input(0);
  for (std::size_t k = 0; k < axes.size(); ++k) {
    const std::string axis = number(axes[k]);
    const std::string middle = number(x[axes[k]] - shifts[static_cast<std::size_t>(axes[k])]);
    const std::string head = emitter.temporary();
    const std::string tail = emitter.temporary();
    const std::string joined = k + 1 == axes.size() ? emitter.output(0) : emitter.temporary();
    emitter.node("Slice", {value, number(0), middle, axis}, {head});
    emitter.node("Slice", {value, middle, number(std::numeric_limits<std::int64_t>::max()), axis},
                 {tail});
    emitter.node("Concat", {tail, head}, {joined})
        .attribute("axis", static_cast<std::int64_t>(axes[k]));
    value = joined;
  }
  if (axes.empty()) emitter.node("Identity", {value}, {emitter.output(0)});
}

}  // namespace

constinit const OpDef kRoll = {
    .name = "roll",
    .format = FormatRule::keep,
    .infer = infer_roll,
    .forward = forward_roll,
    .backward = backward_roll,
    .defaults = [] { return Attributes::of(RollAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_roll, .resize = resize_roll},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Concat", .opset = 10, .emit = emit_roll},
};

Tensor roll(const Tensor& x, const std::vector<std::int64_t>& shifts,
            const std::vector<std::int64_t>& axes) {
  return apply({&kRoll, Attributes::of(RollAttributes{shifts, axes})}, detail::Borrowed(x));
}

}  // namespace pare
