// depth_to_space and space_to_depth: blocks of pixels as channels, and back.
#include <cstring>

#include "core/check.h"
#include "core/ops/strided.h"
#include "core/size_expression.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/resample.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

const DepthSpaceAttributes& attributes_of(const Call& call, const Shape& x, DType dtype) {
  const auto& attr = call.attributes.as<DepthSpaceAttributes>();
  const char* where = call.op->name;
  movable_bytes(dtype, where);
  PARE_CHECK(attr.order == "DCR" || attr.order == "CRD", invalid_argument, where,
             "expected order DCR or CRD, got '{}'", attr.order);
  PARE_CHECK(attr.block >= 1 && attr.block < (std::int64_t{1} << 20), invalid_argument, where,
             "expected a block of 1 to 2^20, got {}", attr.block);
  PARE_CHECK(x.rank() == 4, shape_mismatch, where, "expected x [N, C, H, W], got {}", x);
  return attr;
}

void infer_depth_to_space(InferArgs& args) {
  const Shape& x = args.shape(0);
  const std::int64_t block = attributes_of(args.call, x, args.dtype(0)).block;
  PARE_CHECK(!x.symbolic(1) && x[1] % (block * block) == 0, shape_mismatch, "depth_to_space",
             "expected channels in multiples of {}, got x {}", block * block, x);
  Shape y = x;
  y.set(1, x[1] / (block * block));
  for (const int a : {2, 3}) {
    if (block == 1) continue;
    if (x.symbolic(a)) {
      (SizeExpression::of(x, a) * block).set_in(y, a);
      continue;
    }
    std::int64_t size = 0;
    PARE_CHECK(!__builtin_mul_overflow(x[a], block, &size), invalid_argument, "depth_to_space",
               "expected axes below 2^63 elements, got x {} and block {}", x, block);
    y.set(a, size);
  }
  args.output(0, y, args.dtype(0));
}

void infer_space_to_depth(InferArgs& args) {
  const Shape& x = args.shape(0);
  const std::int64_t block = attributes_of(args.call, x, args.dtype(0)).block;
  Shape y = x;
  std::int64_t channels = 0;
  PARE_CHECK(!x.symbolic(1) && !__builtin_mul_overflow(x[1], block * block, &channels),
             invalid_argument, "space_to_depth",
             "expected known channels below 2^63, got x {} and block {}", x, block);
  y.set(1, channels);
  for (const int a : {2, 3}) {
    if (block == 1) continue;
    if (x.symbolic(a)) {
      SizeExpression::of(x, a).divided_down(block).set_in(y, a);
      continue;
    }
    PARE_CHECK(x[a] % block == 0, shape_mismatch, "space_to_depth",
               "expected height and width in multiples of {}, got x {}", block, x);
    y.set(a, x[a] / block);
  }
  args.output(0, y, args.dtype(0));
}

/// Both sides with the axes [N, C, H, row in the block, W, column in the block].
struct Blocks {
  Blocks(const DepthSpaceAttributes& attr, const Tensor& deep_side, const Tensor& wide_side)
      : sizes{wide_side.dim(0), wide_side.dim(1), deep_side.dim(2),
              attr.block,       deep_side.dim(3), attr.block} {
    const Strides d = strides_of(deep_side);
    const Strides w = strides_of(wide_side);
    const std::int64_t channels = wide_side.dim(1);
    const bool first = attr.order == "DCR";
    deep = {d[0], d[1] * (first ? 1 : attr.block * attr.block),
            d[2], d[1] * (first ? attr.block * channels : attr.block),
            d[3], d[1] * (first ? channels : 1)};
    wide = {w[0], w[1], w[2] * attr.block, w[2], w[3] * attr.block, w[3]};
  }
  Shape sizes;
  Strides deep{}, wide{};
};

/// to[w · B + k] = from[w + k · step]: a row of pixels out of B rows of channels.
template <std::int64_t B, class T>
void interleave(const T* from, std::int64_t step, std::int64_t columns, std::int64_t block, T* to) {
  const std::int64_t count = B > 0 ? B : block;
  for (std::int64_t w = 0; w < columns; ++w)
    for (std::int64_t k = 0; k < count; ++k) to[w * count + k] = from[w + k * step];
}

template <class T> void rows_to_space(const Blocks& b, const T* deep, T* wide) {
  const std::int64_t rows = b.sizes.elements(0, 4);
  const std::int64_t columns = b.sizes[4];
  const std::int64_t block = b.sizes[5];
  const std::int64_t grain = 16384 / (columns * block) + 1;
  parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t rest = row;
      const T* from = deep;
      for (std::size_t a = 4; a-- > 0;) {
        const std::int64_t size = b.sizes[static_cast<int>(a)];
        from += rest % size * b.deep[a];
        rest /= size;
      }
      T* to = wide + row * columns * block;
      if (block == 2)
        interleave<2>(from, b.deep[5], columns, block, to);
      else
        interleave<0>(from, b.deep[5], columns, block, to);
    }
  });
}

void to_space(const DepthSpaceAttributes& attr, const Tensor& deep, Tensor& wide) {
  if (wide.elements() == 0) return;
  const std::size_t bytes = movable_bytes(deep.dtype(), "depth_to_space");
  const Blocks b(attr, deep, wide);
  const bool row_major = !deep.channels_last() && !wide.channels_last();
  if (row_major && bytes == 4)
    return rows_to_space(b, static_cast<const std::uint32_t*>(deep.raw()),
                         static_cast<std::uint32_t*>(wide.mutable_raw()));
  copy_strided(b.sizes, bytes, {wide.mutable_raw(), b.wide}, {deep.raw(), b.deep});
}

void to_depth(const DepthSpaceAttributes& attr, const Tensor& wide, Tensor& deep) {
  if (wide.elements() == 0) return;
  const Blocks b(attr, deep, wide);
  copy_strided(b.sizes, movable_bytes(wide.dtype(), "space_to_depth"), {deep.mutable_raw(), b.deep},
               {wide.raw(), b.wide});
}

void forward_depth_to_space(const Call& call, std::span<const Tensor> inputs,
                            std::span<Tensor> outputs, const Context&) {
  to_space(call.attributes.as<DepthSpaceAttributes>(), inputs[0], outputs[0]);
}
void forward_space_to_depth(const Call& call, std::span<const Tensor> inputs,
                            std::span<Tensor> outputs, const Context&) {
  to_depth(call.attributes.as<DepthSpaceAttributes>(), inputs[0], outputs[0]);
}

void backward_depth_to_space(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  Tensor gx = Tensor::empty(args.input_shape(0), g.dtype(), g.format());
  to_depth(args.call().attributes.as<DepthSpaceAttributes>(), g, gx);
  args.set(0, std::move(gx));
}
void backward_space_to_depth(BackwardArgs& args) {
  const Tensor& g = args.grad_output(0);
  Tensor gx = Tensor::empty(args.input_shape(0), g.dtype(), g.format());
  to_space(args.call().attributes.as<DepthSpaceAttributes>(), g, gx);
  args.set(0, std::move(gx));
}

/// Channel c of the wide side goes with all those of the deep side that are its blocks.
void link_blocks(const Call& call, ChannelLinks& links, Operand deep, Operand wide) {
  const auto& attr = call.attributes.as<DepthSpaceAttributes>();
  const std::int64_t channels = links.shape(wide)[1];
  const std::int64_t places = attr.block * attr.block;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t k = 0; k < places; ++k)
      links.tie_at(deep, 1, attr.order == "DCR" ? k * channels + c : c * places + k, wide, 1, c);
}
void link_depth_to_space(const Call& call, ChannelLinks& links) {
  link_blocks(call, links, in(0), out(0));
}
void link_space_to_depth(const Call& call, ChannelLinks& links) {
  link_blocks(call, links, out(0), in(0));
}

void emit_depth_to_space(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<DepthSpaceAttributes>();
  emitter.node("DepthToSpace", {emitter.input(0)}, {emitter.output(0)})
      .attribute("blocksize", attr.block)
      .attribute("mode", attr.order.c_str());
}

/// ONNX knows the order DCR only: for the other one channels are gathered behind it.
void emit_space_to_depth(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<DepthSpaceAttributes>();
  const bool reordered = attr.order == "CRD";
  const std::string deep = reordered ? emitter.temporary() : emitter.output(0);
  emitter.node("SpaceToDepth", {emitter.input(0)}, {deep}).attribute("blocksize", attr.block);
  if (!reordered) return;
  const std::int64_t channels = emitter.input_shape(0)[1];
  const std::int64_t places = attr.block * attr.block;
  std::vector<std::int64_t> order;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t k = 0; k < places; ++k) order.push_back(k * channels + c);
  const std::string indices = emitter.constant(Tensor::from(order, {channels * places}));
  emitter.node("Gather", {deep, indices}, {emitter.output(0)}).attribute("axis", std::int64_t{1});
}

}  // namespace

constinit const OpDef kDepthToSpace = {
    .name = "depth_to_space",
    .format = FormatRule::keep,
    .infer = infer_depth_to_space,
    .forward = forward_depth_to_space,
    .backward = backward_depth_to_space,
    .defaults = [] { return Attributes::of(DepthSpaceAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_depth_to_space},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "DepthToSpace", .opset = 11, .emit = emit_depth_to_space},
};
constinit const OpDef kSpaceToDepth = {
    .name = "space_to_depth",
    .format = FormatRule::keep,
    .infer = infer_space_to_depth,
    .forward = forward_space_to_depth,
    .backward = backward_space_to_depth,
    .defaults = [] { return Attributes::of(DepthSpaceAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_space_to_depth},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "SpaceToDepth", .opset = 1, .emit = emit_space_to_depth},
};

Tensor depth_to_space(const Tensor& x, const DepthSpaceAttributes& attributes) {
  return apply({&kDepthToSpace, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor space_to_depth(const Tensor& x, const DepthSpaceAttributes& attributes) {
  return apply({&kSpaceToDepth, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor pixel_shuffle(const Tensor& x, std::int64_t factor) {
  return depth_to_space(x, {.block = factor, .order = "CRD"});
}
Tensor pixel_unshuffle(const Tensor& x, std::int64_t factor) {
  return space_to_depth(x, {.block = factor, .order = "CRD"});
}

}  // namespace pare
