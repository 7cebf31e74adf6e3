// gather: slices of a tensor picked by indices (embeddings, codebooks).
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/ops/layout.h"
#include "core/ops/strided.h"
#include "pare/core/ops/movement.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

int axis_of(const Call& call, const Shape& x) {
  return normalize_axis(call.attributes.as<GatherAttributes>().axis, x.rank(), "gather");
}

void infer_gather(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& indices = args.shape(1);
  movable_bytes(args.dtype(0), "gather");
  PARE_CHECK(args.dtype(1) == DType::i64 || args.dtype(1) == DType::i32, dtype_mismatch, "gather",
             "expected i64 or i32 indices, got {}", args.dtype(1));
  const int axis = axis_of(args.call, x);
  PARE_CHECK(x.rank() - 1 + indices.rank() <= Shape::kMaxRank, unsupported, "gather",
             "expected a result of at most {} axes, got x {} and indices {}", Shape::kMaxRank, x,
             indices);
  Shape y;
  for (int a = 0; a < axis; ++a) y.append(x, a);
  for (int a = 0; a < indices.rank(); ++a) y.append(indices, a);
  for (int a = axis + 1; a < x.rank(); ++a) y.append(x, a);
  args.output(0, y, args.dtype(0));
}

std::vector<std::int64_t> read_indices(const Tensor& tensor, std::int64_t size) {
  const Tensor indices = in_format(tensor, MemoryFormat::row_major);
  std::vector<std::int64_t> out(static_cast<std::size_t>(indices.elements()));
  if (indices.dtype() == DType::i64) {
    std::copy_n(indices.data<std::int64_t>(), out.size(), out.begin());
  } else {
    std::copy_n(indices.data<std::int32_t>(), out.size(), out.begin());
  }
  for (std::int64_t& index : out) {
    PARE_CHECK(index >= -size && index < size, out_of_range, "gather",
               "expected indices from {} to {}, got {}", -size, size - 1, index);
    if (index < 0) index += size;
  }
  return out;
}

/// x as [outer, size, inner] in memory: the indexed axis in the middle.
struct Blocks {
  Blocks(const Shape& x, int axis, MemoryFormat format) : size(x[axis]) {
    if (format == MemoryFormat::row_major) {
      outer = x.elements(0, axis);
      inner = x.elements(axis + 1, x.rank());
    } else if (axis == 1) {
      outer = x[0] * x.elements(2, x.rank());
      inner = 1;
    } else {
      outer = axis == 0 ? 1 : x[0] * x.elements(2, axis);
      inner = x.elements(axis + 1, x.rank()) * (axis == 0 ? 1 : x[1]);
    }
  }
  std::int64_t outer, size, inner;
};

/// Channels-last on both sides lie alike where the indices stand for just one axis.
MemoryFormat common_format(MemoryFormat x, MemoryFormat y, const Shape& indices) {
  return x == y && indices.rank() == 1 ? x : MemoryFormat::row_major;
}

template <class T>
void pick(const Blocks& b, const std::vector<std::int64_t>& indices, const void* from, void* to) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, b.inner));
  parallel_for(0, b.outer * count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* source =
          x + (i / count * b.size + indices[static_cast<std::size_t>(i % count)]) * b.inner;
      if (b.inner == 1) {
        y[i] = *source;
      } else {
        std::memcpy(y + i * b.inner, source, static_cast<std::size_t>(b.inner) * sizeof(T));
      }
    }
  });
}

void forward_gather(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  const int axis = axis_of(call, inputs[0].shape());
  const std::vector<std::int64_t> indices = read_indices(inputs[1], inputs[0].dim(axis));
  Tensor& y = outputs[0];
  const MemoryFormat format = common_format(inputs[0].format(), y.format(), inputs[1].shape());
  const Tensor x = in_format(inputs[0], format);
  Tensor result = y.format() == format ? y : Tensor::empty(y.shape(), y.dtype(), format);
  const Blocks blocks(x.shape(), axis, format);
  switch (movable_bytes(x.dtype(), "gather")) {
    case 1:
      pick<std::uint8_t>(blocks, indices, x.raw(), result.mutable_raw());
      break;
    case 2:
      pick<std::uint16_t>(blocks, indices, x.raw(), result.mutable_raw());
      break;
    case 4:
      pick<std::uint32_t>(blocks, indices, x.raw(), result.mutable_raw());
      break;
    default:
      pick<std::uint64_t>(blocks, indices, x.raw(), result.mutable_raw());
  }
  if (!result.same_as(y)) convert_format(result, y);
}

template <class T>
void scatter_add(const Blocks& b, const std::vector<std::int64_t>& indices, const T* g, T* gx) {
  const auto count = static_cast<std::int64_t>(indices.size());
  if (b.inner == 1) {
    // A codebook's entry may be read a million times: its sum is kept in double.
    parallel_for(0, b.outer, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, count)),
                 [&](std::int64_t begin, std::int64_t end) {
                   std::vector<double> sums(static_cast<std::size_t>(b.size));
                   for (std::int64_t o = begin; o < end; ++o) {
                     std::fill(sums.begin(), sums.end(), 0.0);
                     for (std::int64_t k = 0; k < count; ++k)
                       sums[static_cast<std::size_t>(indices[static_cast<std::size_t>(k)])] +=
                           static_cast<double>(g[o * count + k]);
                     for (std::int64_t i = 0; i < b.size; ++i)
                       gx[o * b.size + i] = static_cast<T>(sums[static_cast<std::size_t>(i)]);
                   }
                 });
    return;
  }
  // Threads part the columns, so that none meets another's sum.
  const std::int64_t rows = std::max<std::int64_t>(1, b.outer * count);
  parallel_for(0, b.inner, std::max<std::int64_t>(16, 16384 / rows),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t o = 0; o < b.outer; ++o)
                   for (std::int64_t k = 0; k < count; ++k) {
                     const T* from = g + (o * count + k) * b.inner;
                     T* to = gx + (o * b.size + indices[static_cast<std::size_t>(k)]) * b.inner;
                     for (std::int64_t i = begin; i < end; ++i) to[i] += from[i];
                   }
               });
}

void backward_gather(BackwardArgs& args) {
  if (!args.needs(0)) return;
  const Shape& shape = args.input_shape(0);
  const DType dtype = args.input_dtype(0);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::f64, unsupported, "gather",
             "expected f32 or f64 where a gradient is wanted, got {}", dtype);
  const int axis = axis_of(args.call(), shape);
  const std::vector<std::int64_t> indices = read_indices(args.input(1), shape[axis]);
  const MemoryFormat format =
      common_format(args.input_format(0), args.grad_output(0).format(), args.input_shape(1));
  const Tensor g = in_format(args.grad_output(0), format);
  Tensor gx = Tensor::zeros(shape, dtype, format);
  const Blocks blocks(shape, axis, format);
  if (dtype == DType::f32) {
    scatter_add(blocks, indices, g.data<float>(), gx.mutable_data<float>());
  } else {
    scatter_add(blocks, indices, g.data<double>(), gx.mutable_data<double>());
  }
  args.set(0, std::move(gx));
}

/// The indexed axis stays whole; the others go through index by index.
void link_gather(const Call& call, ChannelLinks& links) {
  const Shape& x = links.shape(in(0));
  const int axis = axis_of(call, x);
  const int shift = links.shape(in(1)).rank() - 1;
  for (int a = 0; a < x.rank(); ++a)
    if (a != axis && !x.symbolic(a)) links.tie(in(0), a, out(0), a < axis ? a : a + shift);
}

void emit_gather(const Call& call, OnnxEmitter& emitter) {
  emitter.node("Gather", {emitter.input(0), emitter.input(1)}, {emitter.output(0)})
      .attribute("axis", call.attributes.as<GatherAttributes>().axis);
}

}  // namespace

constinit const OpDef kGather = {
    .name = "gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_gather,
    .forward = forward_gather,
    .backward = backward_gather,
    .saves_inputs = 0b10,
    .defaults = [] { return Attributes::of(GatherAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_gather},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Gather", .opset = 11, .emit = emit_gather},
};

Tensor gather(const Tensor& x, const Tensor& indices, int axis) {
  return apply({&kGather, Attributes::of(GatherAttributes{axis})}, detail::Borrowed(x, indices));
}

}  // namespace pare
