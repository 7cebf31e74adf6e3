// tile: a tensor several times along its axes.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/strided.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops/arrange.h"
#include "pare/core/ops/reduction.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

const std::vector<std::int64_t>& repeats_of(const Call& call) {
  return call.attributes.as<TileAttributes>().repeats;
}

void infer_tile(InferArgs& args) {
  const Shape& x = args.shape(0);
  const std::vector<std::int64_t>& repeats = repeats_of(args.call);
  movable_bytes(args.dtype(0), "tile");
  PARE_CHECK(static_cast<int>(repeats.size()) == x.rank(), invalid_argument, "tile",
             "expected {} repeats for x {}, got {}", x.rank(), x, repeats.size());
  Shape y = x;
  for (int a = 0; a < x.rank(); ++a) {
    const std::int64_t count = repeats[static_cast<std::size_t>(a)];
    PARE_CHECK(count >= 0, invalid_argument, "tile", "expected repeats of 0 or more, got [{}]",
               listed(repeats));
    if (count == 1) continue;
    if (x.symbolic(a)) {
      (SizeExpression::of(x, a) * count).set_in(y, a);
      continue;
    }
    std::int64_t size = 0;
    PARE_CHECK(!__builtin_mul_overflow(x[a], count, &size), invalid_argument, "tile",
               "expected axis {} of x {} to stay below 2^63 elements, got {} repeats", a, x, count);
    y.set(a, size);
  }
  args.output(0, y, args.dtype(0));
}

Attributes bind_tile(const Call&, const Shape&, const Values& values) {
  return Attributes::of(TileAttributes{values.integers(1, "tile", "repeats")});
}

void infer_unknown_tile(InferArgs& args) {
  const Shape& x = args.shape(0);
  movable_bytes(args.dtype(0), "tile");
  const KnownSizes repeats = known_sizes(args, 1, "repeats");
  PARE_CHECK(static_cast<int>(repeats.size()) == x.rank(), invalid_argument, "tile",
             "expected {} repeats for x {}, got {}", x.rank(), x, repeats.size());
  Shape y = x;
  for (int a = 0; a < x.rank(); ++a) {
    if (const auto& count = repeats[static_cast<std::size_t>(a)])
      (SizeExpression::of(x, a) * *count).set_in(y, a);
    else
      set_unknown(y, a);
  }
  args.output(0, y, args.dtype(0));
}

/// Axes in memory order, outermost first.
std::vector<int> memory_order(const Tensor& t) {
  std::vector<int> axes;
  for (int a = 0; a < t.rank(); ++a)
    if (!t.channels_last() || a != 1) axes.push_back(a);
  if (t.channels_last()) axes.push_back(1);
  return axes;
}

void forward_tile(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context&) {
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  if (y.elements() == 0) return;
  const std::vector<std::int64_t>& repeats = repeats_of(call);
  const auto bytes = static_cast<std::int64_t>(movable_bytes(x.dtype(), "tile"));
  const Strides strides = strides_of(y);
  copy_strided(x.shape(), static_cast<std::size_t>(bytes), {y.mutable_raw(), strides},
               {x.raw(), strides_of(x)});
  auto* data = static_cast<std::byte*>(y.mutable_raw());
  // From the innermost axis out, what lies together is repeated behind itself.
  const std::vector<int> axes = memory_order(y);
  for (std::size_t k = axes.size(); k-- > 0;) {
    const auto axis = static_cast<std::size_t>(axes[k]);
    const std::int64_t count = repeats[axis];
    if (count == 1) continue;
    const std::int64_t piece = x.dim(axes[k]) * strides[axis] * bytes;
    std::int64_t outer = 1;
    for (std::size_t o = 0; o < k; ++o) outer *= x.dim(axes[o]);
    const std::int64_t grain = std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, piece));
    // Short pieces double what is there, long ones are copied while they are near.
    parallel_for(0, outer, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        std::byte* first = data;
        std::int64_t rest = i;
        for (std::size_t o = k; o-- > 0;) {
          const std::int64_t size = x.dim(axes[o]);
          first += rest % size * strides[static_cast<std::size_t>(axes[o])] * bytes;
          rest /= size;
        }
        const std::int64_t whole = count * piece;
        for (std::int64_t done = piece; done < whole;) {
          const std::int64_t next = std::min(whole - done, done <= 16384 ? done : piece);
          std::memcpy(first + done, first, static_cast<std::size_t>(next));
          done += next;
        }
      }
    });
  }
}

/// The repeats of one axis after another are summed, as [repeats, size] in its place.
void backward_tile(BackwardArgs& args) {
  const std::vector<std::int64_t>& repeats = repeats_of(args.call());
  const Shape& shape = args.input_shape(0);
  Tensor g = in_format(args.grad_output(0), MemoryFormat::row_major);
  if (g.elements() == 0) {
    args.set(0, Tensor::zeros(shape, g.dtype()));
    return;
  }
  for (int a = 0; a < shape.rank(); ++a) {
    const std::int64_t count = repeats[static_cast<std::size_t>(a)];
    if (count == 1) continue;
    const Shape apart{g.shape().elements(0, a), count, shape[a],
                      g.shape().elements(a + 1, g.rank())};
    Shape joined = g.shape();
    joined.set(a, shape[a]);
    g = share_memory(in_format(sum(share_memory(g, apart), {1}), MemoryFormat::row_major), joined);
  }
  args.set(0, std::move(g));
}

/// Element i and its repeats belong together.
void link_tile(const Call& call, ChannelLinks& links) {
  if (has_value_inputs(links)) return;
  const Shape& x = links.shape(in(0));
  for (int a = 0; a < x.rank(); ++a) {
    if (x.symbolic(a)) continue;
    for (std::int64_t r = 0; r < repeats_of(call)[static_cast<std::size_t>(a)]; ++r)
      for (std::int64_t i = 0; i < x[a]; ++i) links.tie_at(in(0), a, i, out(0), a, r * x[a] + i);
  }
}

void emit_tile(const Call& call, OnnxEmitter& emitter) {
  const std::string counts = integers_or_input(emitter, 1, repeats_of(call));
  emitter.node("Tile", {emitter.input(0), counts}, {emitter.output(0)});
}

constexpr ValueForm kForm{bind_tile, infer_unknown_tile, infer_tile, forward_tile, backward_tile};

}  // namespace

constinit const OpDef kTile = {
    .name = "tile",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b10,
    .defaults = [] { return Attributes::of(TileAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_tile},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Tile", .opset = 6, .emit = emit_tile},
};

}  // namespace pare
