// slice: regular selections along axes, with NumPy's meaning.
#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

constexpr std::int64_t kToTheEnd = std::numeric_limits<std::int64_t>::max();

/// The indices start, start + step, … that are taken of an axis.
struct Range {
  std::int64_t start, step, count;
};

Range range_of(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t size) {
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? size : size - 1;
  const auto place = [&](std::int64_t i) { return std::clamp(i < 0 ? i + size : i, low, high); };
  const std::int64_t first = place(start);
  const std::int64_t last = place(end);
  const std::int64_t span = step > 0 ? last - first : first - last;
  // −step overflows for the smallest step only, of which one element is taken.
  const std::int64_t stride = step > 0 ? step : step == -kToTheEnd - 1 ? kToTheEnd : -step;
  return {first, step, span <= 0 ? 0 : (span - 1) / stride + 1};
}

/// Within what −step can be written: beyond it one element is taken all the same.
std::int64_t bounded_step(std::int64_t step) { return std::max(step, -kToTheEnd); }

/// Per axis, what is taken. Axes that are not sliced are whole.
struct Selection {
  Selection(const SliceAttributes& attr, const Shape& x) {
    const std::size_t count = attr.axes.size();
    PARE_CHECK(
        attr.starts.size() == count && attr.ends.size() == count && attr.steps.size() == count,
        invalid_argument, "slice",
        "expected one start, end and step for each of {} axes, got {}, {} and {}", count,
        attr.starts.size(), attr.ends.size(), attr.steps.size());
    for (int a = 0; a < x.rank(); ++a) ranges[a] = {0, 1, x.symbolic(a) ? -1 : x[a]};
    bool seen[Shape::kMaxRank] = {};
    for (std::size_t i = 0; i < count; ++i) {
      const int axis = normalize_axis(attr.axes[i], x.rank(), "slice");
      PARE_CHECK(!seen[axis], invalid_argument, "slice", "expected each axis once, got [{}]",
                 listed(attr.axes));
      seen[axis] = true;
      PARE_CHECK(attr.steps[i] != 0, invalid_argument, "slice",
                 "expected a step other than 0 for axis {}", axis);
      if (x.symbolic(axis)) continue;
      ranges[axis] = range_of(attr.starts[i], attr.ends[i], attr.steps[i], x[axis]);
    }
  }
  /// The steps through x, and how far from its first element the selection begins.
  Strides steps(const Strides& x, int rank) const {
    Strides s{};
    for (int a = 0; a < rank; ++a)
      // The step of one element is never taken, and may be too large to multiply.
      s[static_cast<std::size_t>(a)] =
          ranges[a].count > 1 ? x[static_cast<std::size_t>(a)] * ranges[a].step : 0;
    return s;
  }
  std::int64_t offset(const Strides& x, int rank) const {
    std::int64_t sum = 0;
    for (int a = 0; a < rank; ++a) sum += x[static_cast<std::size_t>(a)] * ranges[a].start;
    return sum;
  }

  Range ranges[Shape::kMaxRank];
};

/// The elements from `start` to `end` of an axis whose size is not a number, or bounds that are
/// not.
std::optional<SizeExpression> count_of(const std::optional<SizeExpression>& start,
                                       const std::optional<SizeExpression>& end, std::int64_t step,
                                       const SizeExpression& size) {
  if (!start || !end) return std::nullopt;
  // Beyond 31 bits a bound means the end of the axis.
  constexpr std::int64_t kFar = std::numeric_limits<std::int32_t>::max();
  const bool forward = step > 0;
  const SizeExpression low(forward ? 0 : -1);
  const SizeExpression high = forward ? size : size - 1;
  // A named size is taken to hold the near bound, and a named bound to lie within a known size.
  const auto place = [&](const SizeExpression& bound, bool far) {
    if (!bound.is_number()) {
      const SizeExpression beyond = bound - high;
      if (beyond.is_number()) return beyond.constant() >= 0 ? high : bound;
      return size.is_number() || !far ? bound : min(bound, high);
    }
    const std::int64_t n = bound.constant();
    if (n >= kFar) return high;
    if (n <= -kFar) return low;
    if (n < 0) return size.is_number() ? max(bound + size, low) : bound + size;
    return size.is_number() || (far && n > 0) ? min(bound, high) : bound;
  };
  const SizeExpression span =
      forward ? place(*end, true) - place(*start, false) : place(*start, true) - place(*end, false);
  if (span.is_number() && span.constant() <= 0) return SizeExpression(0);
  return span.divided_up(SizeExpression(forward ? step : -step));
}

void infer_slice(InferArgs& args) {
  const Shape& x = args.shape(0);
  movable_bytes(args.dtype(0), "slice");
  const auto& attr = args.call.attributes.as<SliceAttributes>();
  const Selection selection(attr, x);
  Shape y = x;
  for (int a = 0; a < x.rank(); ++a)
    if (!x.symbolic(a)) y.set(a, selection.ranges[a].count);
  for (std::size_t i = 0; i < attr.axes.size(); ++i) {
    const int axis = normalize_axis(attr.axes[i], x.rank(), "slice");
    if (!x.symbolic(axis)) continue;
    const auto count = count_of(SizeExpression(attr.starts[i]), SizeExpression(attr.ends[i]),
                                bounded_step(attr.steps[i]), SizeExpression::of(x, axis));
    count->set_in(y, axis);
  }
  args.output(0, y, args.dtype(0));
}

/// Which axes the call with value inputs slices; nothing where they are not known.
std::optional<std::vector<std::int64_t>> sliced_axes(const InferArgs& args, std::size_t count) {
  std::vector<std::int64_t> axes(count);
  for (std::size_t i = 0; i < count; ++i) axes[i] = static_cast<std::int64_t>(i);
  if (!args.has(3)) return axes;
  const KnownSizes known = known_sizes(args, 3, "axes");
  PARE_CHECK(known.size() == count, invalid_argument, "slice",
             "expected an axis for each of {} starts, got {}", count, known.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (!known[i] || !known[i]->is_number()) return std::nullopt;
    axes[i] = known[i]->constant();
  }
  return axes;
}

void infer_unknown_slice(InferArgs& args) {
  const Shape& x = args.shape(0);
  movable_bytes(args.dtype(0), "slice");
  PARE_CHECK(args.has(1) && args.has(2), invalid_argument, "slice",
             "expected starts and ends, got one without the other");
  const KnownSizes starts = known_sizes(args, 1, "starts");
  const KnownSizes ends = known_sizes(args, 2, "ends");
  const KnownSizes steps =
      args.has(4) ? known_sizes(args, 4, "steps") : KnownSizes(starts.size(), SizeExpression(1));
  PARE_CHECK(ends.size() == starts.size() && steps.size() == starts.size(), invalid_argument,
             "slice", "expected one start, end and step for each axis, got {}, {} and {}",
             starts.size(), ends.size(), steps.size());
  const auto axes = sliced_axes(args, starts.size());
  Shape y = x;
  if (!axes)
    for (int a = 0; a < x.rank(); ++a) set_unknown(y, a);
  for (std::size_t i = 0; axes && i < axes->size(); ++i) {
    const int axis = normalize_axis((*axes)[i], x.rank(), "slice");
    std::optional<SizeExpression> count;
    if (steps[i] && steps[i]->is_number() && steps[i]->constant() != 0)
      count = count_of(starts[i], ends[i], bounded_step(steps[i]->constant()),
                       SizeExpression::of(x, axis));
    if (count)
      count->set_in(y, axis);
    else
      set_unknown(y, axis);
  }
  args.output(0, y, args.dtype(0));
}

Attributes bind_slice(const Call&, const Shape&, const Values& values) {
  PARE_CHECK(values.has(1) && values.has(2), invalid_argument, "slice",
             "expected starts and ends, got one without the other");
  SliceAttributes attr;
  attr.starts = values.integers(1, "slice", "starts");
  attr.ends = values.integers(2, "slice", "ends");
  if (values.has(3)) {
    attr.axes = values.integers(3, "slice", "axes");
  } else {
    for (std::size_t i = 0; i < attr.starts.size(); ++i)
      attr.axes.push_back(static_cast<std::int64_t>(i));
  }
  attr.steps = values.has(4) ? values.integers(4, "slice", "steps")
                             : std::vector<std::int64_t>(attr.starts.size(), 1);
  return Attributes::of(attr);
}

void forward_slice(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   const Context&) {
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  if (y.elements() == 0) return;
  const Selection selection(call.attributes.as<SliceAttributes>(), x.shape());
  const std::size_t bytes = movable_bytes(x.dtype(), "slice");
  const Strides strides = strides_of(x);
  const auto* first = static_cast<const std::byte*>(x.raw()) +
                      selection.offset(strides, x.rank()) * static_cast<std::int64_t>(bytes);
  copy_strided(y.shape(), bytes, {y.mutable_raw(), strides_of(y)},
               {first, selection.steps(strides, x.rank())});
}

void backward_slice(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  const Shape& shape = args.input_shape(0);
  // What takes every element, as flip does, leaves none to clear.
  Tensor gx = g.elements() == shape.elements()
                  ? Tensor::empty(shape, g.dtype(), args.input_format(0))
                  : Tensor::zeros(shape, g.dtype(), args.input_format(0));
  if (g.elements() > 0) {
    const Selection selection(args.call().attributes.as<SliceAttributes>(), shape);
    const std::size_t bytes = movable_bytes(g.dtype(), "slice");
    const Strides strides = strides_of(gx);
    auto* first = static_cast<std::byte*>(gx.mutable_raw()) +
                  selection.offset(strides, shape.rank()) * static_cast<std::int64_t>(bytes);
    copy_strided(g.shape(), bytes, {first, selection.steps(strides, shape.rank())},
                 {g.raw(), strides_of(g)});
  }
  args.set(0, std::move(gx));
}

/// The bounds that take `kept_out` of the whole selection when only `kept_in` of the axis is left;
/// false where those are not evenly spaced.
bool rewrite(SliceAttributes& attr, std::size_t i, const Range& range, std::int64_t size,
             const std::vector<std::int64_t>* kept_in, const std::vector<std::int64_t>* kept_out) {
  const std::int64_t count = kept_out ? static_cast<std::int64_t>(kept_out->size()) : range.count;
  std::vector<std::int64_t> places;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t j = kept_out ? (*kept_out)[static_cast<std::size_t>(k)] : k;
    std::int64_t place = range.start + j * range.step;
    if (kept_in) {
      const auto at = std::lower_bound(kept_in->begin(), kept_in->end(), place);
      if (at == kept_in->end() || *at != place) return false;
      place = at - kept_in->begin();
    }
    places.push_back(place);
  }
  const std::int64_t left = kept_in ? static_cast<std::int64_t>(kept_in->size()) : size;
  const std::int64_t step = places.size() > 1 ? places[1] - places[0] : (range.step > 0 ? 1 : -1);
  for (std::size_t k = 1; k < places.size(); ++k)
    if (places[k] - places[k - 1] != step) return false;
  attr.starts[i] = places.empty() ? 0 : places.front();
  attr.steps[i] = step;
  const std::int64_t end = places.empty() ? 0 : places.back() + (step > 0 ? 1 : -1);
  // −1 would count from the end; far below the first element means "to the first".
  attr.ends[i] = end < 0 ? -left - 1 : end;
  return true;
}

bool resize_slice(Call& call, const ChannelResize& resize) {
  SliceAttributes attr = call.attributes.as<SliceAttributes>();
  const Shape& x = resize.shape(in(0));
  const Selection selection(attr, x);
  for (std::size_t i = 0; i < attr.axes.size(); ++i) {
    const int axis = normalize_axis(attr.axes[i], x.rank(), "slice");
    const std::vector<std::int64_t>* kept_in = resize.kept(in(0), axis);
    const std::vector<std::int64_t>* kept_out = resize.kept(out(0), axis);
    if (!kept_in && !kept_out) continue;
    if (!rewrite(attr, i, selection.ranges[axis], x[axis], kept_in, kept_out)) return false;
  }
  call.attributes = Attributes::of(attr);
  return true;
}

void emit_slice(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<SliceAttributes>();
  if (has_value_inputs(emitter)) {
    std::vector<std::string> inputs;
    for (int i = 0; i < 5; ++i) inputs.push_back(emitter.has_input(i) ? emitter.input(i) : "");
    while (inputs.back().empty()) inputs.pop_back();
    emitter.node("Slice", inputs, {emitter.output(0)});
    return;
  }
  emitter.node(
      "Slice",
      {emitter.input(0), onnx_integers(emitter, attr.starts), onnx_integers(emitter, attr.ends),
       onnx_integers(emitter, attr.axes), onnx_integers(emitter, attr.steps)},
      {emitter.output(0)});
}

constexpr ValueForm kForm{bind_slice, infer_unknown_slice, infer_slice, forward_slice,
                          backward_slice};

}  // namespace

constinit const OpDef kSlice = {
    .name = "slice",
    .max_inputs = 5,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b11110,
    .defaults = [] { return Attributes::of(SliceAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::movement, .resize = resize_slice},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Slice", .opset = 10, .emit = emit_slice},
};

Tensor slice(const Tensor& x, const SliceAttributes& attributes) {
  return apply({&kSlice, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t end, std::int64_t step) {
  return slice(x, SliceAttributes{{axis}, {start}, {end}, {step}});
}

}  // namespace pare
