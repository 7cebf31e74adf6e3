// pad_border: a border taken from the tensor itself (reflected, replicated, circular).
#include <algorithm>
#include <cstring>
#include <utility>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/pads.h"
#include "core/ops/strided.h"
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
    if (x.symbolic(a)) {
      (SizeExpression::of(x, a) + before + after).set_in(y, a);
      continue;
    }
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
std::vector<std::int64_t> sources(const std::string& mode, std::int64_t size, std::int64_t before,
                                  std::int64_t after) {
  std::vector<std::int64_t> from;
  for (std::int64_t i = -before; i < size + after; ++i) {
    if (mode == "reflect")
      from.push_back(i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i);
    else if (mode == "circular")
      from.push_back((i + size) % size);
    else
      from.push_back(std::clamp<std::int64_t>(i, 0, size - 1));
  }
  return from;
}

/// The tensors in memory order as [outer, rows, line, block]: no axis of `outer` and `block` has a
/// border, the line is the last axis that has one, rows are what lies between.
struct Border {
  Border(const PadBorderAttributes& attr, const Shape& x, MemoryFormat format) {
    std::vector<int> axes;
    for (int a = 0; a < x.rank(); ++a)
      if (format == MemoryFormat::row_major || a != 1) axes.push_back(a);
    if (format == MemoryFormat::channels_last) axes.push_back(1);
    const auto amount = [](const std::vector<std::int64_t>& list, int a) {
      return list[static_cast<std::size_t>(a)];
    };
    const auto bare = [&](int a) {
      return amount(attr.before, a) == 0 && amount(attr.after, a) == 0;
    };
    std::size_t first = 0;
    while (first < axes.size() && bare(axes[first])) outer *= x[axes[first++]];
    std::size_t last = axes.size();
    while (last > first && bare(axes[last - 1])) block *= x[axes[--last]];
    if (first == last) {
      std::swap(outer, block);
      line.resize(1);
      return;
    }
    const int inner = axes[last - 1];
    size = x[inner];
    before = amount(attr.before, inner);
    line = sources(attr.mode, size, before, amount(attr.after, inner));
    for (std::size_t k = first; k + 1 < last; ++k) {
      const int a = axes[k];
      std::vector<std::int64_t> joined;
      const auto axis = sources(attr.mode, x[a], amount(attr.before, a), amount(attr.after, a));
      for (const std::int64_t row : rows)
        for (const std::int64_t i : axis) joined.push_back(row * x[a] + i);
      rows = std::move(joined);
      x_rows *= x[a];
    }
  }
  std::int64_t x_elements() const { return x_rows * size * block; }
  std::int64_t line_elements() const { return static_cast<std::int64_t>(line.size()) * block; }
  std::int64_t row_count() const { return static_cast<std::int64_t>(rows.size()); }
  std::int64_t after_begin() const { return before + size; }

  std::int64_t outer = 1, block = 1, size = 1, before = 0, x_rows = 1;
  std::vector<std::int64_t> rows{0};  ///< of each row of the result that of x
  std::vector<std::int64_t> line;     ///< of each place in a line of the result that in x's
};

/// Calls visit(place in the line, element of x's line, elements) for the border of a line.
template <class Visit> void each_beside(const Border& b, const Visit& visit) {
  const auto end = static_cast<std::int64_t>(b.line.size());
  for (std::int64_t j = 0; j < b.before; ++j)
    visit(j * b.block, b.line[static_cast<std::size_t>(j)] * b.block);
  for (std::int64_t j = b.after_begin(); j < end; ++j)
    visit(j * b.block, b.line[static_cast<std::size_t>(j)] * b.block);
}

template <class T> void copy_with_border(const Border& b, const void* source, void* target) {
  const T* x = static_cast<const T*>(source);
  T* y = static_cast<T*>(target);
  const std::int64_t length = b.line_elements();
  const auto inside = static_cast<std::size_t>(b.size * b.block) * sizeof(T);
  const std::int64_t grain = kElementGrain / std::max<std::int64_t>(1, length) + 1;
  parallel_for(0, b.outer * b.row_count(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t o = row / b.row_count();
      const auto within = static_cast<std::size_t>(row - o * b.row_count());
      const T* from = x + o * b.x_elements() + b.rows[within] * b.size * b.block;
      T* to = y + row * length;
      std::memcpy(to + b.before * b.block, from, inside);
      each_beside(b, [&](std::int64_t at, std::int64_t of) {
        if (b.block == 1)
          to[at] = from[of];
        else
          std::memcpy(to + at, from + of, static_cast<std::size_t>(b.block) * sizeof(T));
      });
    }
  });
}

void forward_pad_border(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  Tensor& y = outputs[0];
  if (y.elements() == 0) return;
  const Tensor x = in_format(inputs[0], y.format());
  const Border b(call.attributes.as<PadBorderAttributes>(), x.shape(), y.format());
  switch (movable_bytes(x.dtype(), "pad")) {
    case 1:
      return copy_with_border<std::uint8_t>(b, x.raw(), y.mutable_raw());
    case 2:
      return copy_with_border<std::uint16_t>(b, x.raw(), y.mutable_raw());
    case 4:
      return copy_with_border<std::uint32_t>(b, x.raw(), y.mutable_raw());
    default:
      return copy_with_border<std::uint64_t>(b, x.raw(), y.mutable_raw());
  }
}

/// Adds up what was copied; pieces without a border between them are apart, so threads share them.
template <class T> void add_with_border(const Border& b, const T* g, T* gx) {
  const std::int64_t length = b.line_elements();
  const std::int64_t inside = b.size * b.block;
  const std::int64_t grain = kElementGrain / std::max<std::int64_t>(1, length * b.row_count()) + 1;
  parallel_for(0, b.outer, grain, [&](std::int64_t begin, std::int64_t end) {
    std::fill(gx + begin * b.x_elements(), gx + end * b.x_elements(), T(0));
    for (std::int64_t o = begin; o < end; ++o)
      for (std::size_t r = 0; r < b.rows.size(); ++r) {
        const T* __restrict from = g + (o * b.row_count() + static_cast<std::int64_t>(r)) * length;
        T* __restrict to = gx + o * b.x_elements() + b.rows[r] * inside;
        const T* middle = from + b.before * b.block;
        for (std::int64_t i = 0; i < inside; ++i) to[i] += middle[i];
        each_beside(b, [&](std::int64_t at, std::int64_t of) {
          for (std::int64_t i = 0; i < b.block; ++i) to[of + i] += from[at + i];
        });
      }
  });
}

void backward_pad_border(BackwardArgs& args) {
  const DType own = args.input_dtype(0);
  const DType dtype = is_half(own) ? DType::f32 : own;
  const Tensor g = in_dtype(args.grad_output(0), dtype);
  Tensor gx = Tensor::empty(args.input_shape(0), dtype, g.format());
  const Border b(args.call().attributes.as<PadBorderAttributes>(), gx.shape(), g.format());
  visit_float(dtype, "pad", [&](auto type) {
    using T = decltype(type);
    add_with_border<T>(b, g.data<T>(), gx.mutable_data<T>());
  });
  args.set(0, in_dtype(gx, own));
}

Attributes bind_pad_border(const Call& call, const Shape& x, const Values& values) {
  PadBorderAttributes attr = call.attributes.as<PadBorderAttributes>();
  if (values.has(1)) bind_pads(values, x, "pad", attr.before, attr.after);
  return Attributes::of(attr);
}

void infer_unknown_pad_border(InferArgs& args) {
  PARE_CHECK(args.has(1), invalid_argument, "pad", "expected amounts for the axes, got none");
  movable_bytes(args.dtype(0), "pad");
  infer_unknown_pads(args);
}

/// Axes without a border.
void link_pad_border(const Call& call, ChannelLinks& links) {
  if (has_value_inputs(links)) return;
  const auto& attr = call.attributes.as<PadBorderAttributes>();
  const Shape& x = links.shape(in(0));
  for (int a = 0; a < x.rank(); ++a)
    if (attr.before[static_cast<std::size_t>(a)] == 0 &&
        attr.after[static_cast<std::size_t>(a)] == 0 && !x.symbolic(a))
      links.tie(in(0), a, out(0), a);
}

void emit_pad_border(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<PadBorderAttributes>();
  const char* mode = attr.mode == "replicate"  ? "edge"
                     : attr.mode == "circular" ? "wrap"
                                               : "reflect";
  PARE_CHECK(attr.mode != "circular" || emitter.opset() >= 19, unsupported, "pad",
             "expected opset 19 or later for a circular border, got {}", emitter.opset());
  emit_value_pad(emitter, attr.before, attr.after, "", mode);
}

constexpr ValueForm kForm{bind_pad_border, infer_unknown_pad_border, infer_pad_border,
                          forward_pad_border, backward_pad_border};

}  // namespace

constinit const OpDef kPadBorder = {
    .name = "pad_border",
    .max_inputs = 3,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b110,
    .defaults = [] { return Attributes::of(PadBorderAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_pad_border},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Pad", .opset = 11, .emit = emit_pad_border},
};

Tensor pad(const Tensor& x, const PadBorderAttributes& attributes) {
  return apply({&kPadBorder, Attributes::of(attributes)}, detail::Borrowed(x));
}

}  // namespace pare
