// gather_elements and gather_nd: elements and blocks of a tensor at indices of several axes.
#include <algorithm>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/indexed.h"
#include "core/ops/strided.h"
#include "pare/core/ops/indexing.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

int elements_axis(const Call& call, const Shape& x) {
  return normalize_axis(call.attributes.as<GatherElementsAttributes>().axis, x.rank(),
                        "gather_elements");
}

Places nd_places(const Call& call, const Shape& x, const Tensor& indices) {
  return block_places(x, indices,
                      static_cast<int>(call.attributes.as<GatherNdAttributes>().batch_axes),
                      "gather_nd");
}

void infer_gather_elements(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& indices = args.shape(1);
  const int axis = elements_axis(args.call, x);
  movable_bytes(args.dtype(0), "gather_elements");
  check_indices(args.dtype(1), "gather_elements");
  bool fits = indices.rank() == x.rank();
  for (int a = 0; fits && a < x.rank(); ++a)
    fits = a == axis || indices.symbolic(a) || x.symbolic(a) || indices[a] <= x[a];
  PARE_CHECK(fits, shape_mismatch, "gather_elements",
             "expected indices no longer than x {} but for axis {}, got {}", x, axis, indices);
  args.output(0, indices, args.dtype(0));
}

void infer_gather_nd(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& indices = args.shape(1);
  const std::int64_t batch = args.call.attributes.as<GatherNdAttributes>().batch_axes;
  movable_bytes(args.dtype(0), "gather_nd");
  check_indices(args.dtype(1), "gather_nd");
  PARE_CHECK(indices.rank() >= 1 && batch >= 0 && batch < indices.rank() && batch <= x.rank(),
             invalid_argument, "gather_nd",
             "expected fewer batch axes than indices {} have and no more than x {} has, got {}",
             indices, x, batch);
  const int last = indices.rank() - 1;
  const bool known = !indices.symbolic(last);
  PARE_CHECK(known && indices[last] <= x.rank() - batch, shape_mismatch, "gather_nd",
             "expected indices whose last axis is at most {} for x {}, got {}", x.rank() - batch, x,
             indices);
  Shape y;
  for (int a = 0; a < last; ++a) {
    PARE_CHECK(a >= batch || indices.same_axis(a, x, a), shape_mismatch, "gather_nd",
               "expected the {} batch axes of x {} and indices to be the same, got {}", batch, x,
               indices);
    y.append(indices, a);
  }
  const int first_rest = static_cast<int>(batch + indices[last]);
  PARE_CHECK(last + x.rank() - first_rest <= Shape::kMaxRank, unsupported, "gather_nd",
             "expected a result of at most {} axes, got x {} and indices {}", Shape::kMaxRank, x,
             indices);
  for (int a = first_rest; a < x.rank(); ++a) y.append(x, a);
  args.output(0, y, args.dtype(0));
}

template <class T>
void read_elements(const ElementPlaces& places, const void* source, void* target) {
  const T* x = static_cast<const T*>(source);
  T* y = static_cast<T*>(target);
  const std::int64_t grain = kElementGrain / std::max<std::int64_t>(1, places.columns()) + 1;
  parallel_for(0, places.rows(), grain, [&](std::int64_t begin, std::int64_t end) {
    places.each(begin, end, [&](std::int64_t first, std::int64_t count, const std::int64_t* at) {
      T* to = y + first;
      for (std::int64_t j = 0; j < count; ++j) to[j] = x[at[j]];
    });
  });
}

void forward_gather_elements(const Call& call, std::span<const Tensor> inputs,
                             std::span<Tensor> outputs, const Context&) {
  const Tensor& x = inputs[0];
  Tensor& y = outputs[0];
  if (y.elements() == 0) return;
  const ElementPlaces places(x.shape(), inputs[1], elements_axis(call, x.shape()),
                             "gather_elements");
  switch (movable_bytes(x.dtype(), "gather_elements")) {
    case 1:
      return read_elements<std::uint8_t>(places, x.raw(), y.mutable_raw());
    case 2:
      return read_elements<std::uint16_t>(places, x.raw(), y.mutable_raw());
    case 4:
      return read_elements<std::uint32_t>(places, x.raw(), y.mutable_raw());
    default:
      return read_elements<std::uint64_t>(places, x.raw(), y.mutable_raw());
  }
}

void forward_gather_nd(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context&) {
  read_places(nd_places(call, inputs[0].shape(), inputs[1]), inputs[0], outputs[0]);
}

/// Gives x the gradient that add(gradient of the result, that of x) sums up; halves in f32.
template <class Add> void give_added(BackwardArgs& args, const Add& add) {
  if (!args.needs(0)) return;
  const DType own = args.input_dtype(0);
  const DType dtype = is_half(own) ? DType::f32 : own;
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), MemoryFormat::row_major);
  Tensor gx = Tensor::zeros(args.input_shape(0), dtype);
  if (g.elements() > 0) add(g, gx);
  args.set(0, in_dtype(gx, own));
}

void backward_gather_elements(BackwardArgs& args) {
  give_added(args, [&](const Tensor& g, Tensor& gx) {
    const Shape& x = args.input_shape(0);
    const ElementPlaces places(x, args.input(1), elements_axis(args.call(), x), "gather_elements");
    visit_float(g.dtype(), "gather_elements", [&](auto type) {
      using T = decltype(type);
      const T* from = g.data<T>();
      T* to = gx.mutable_data<T>();
      places.each(0, places.rows(),
                  [&](std::int64_t first, std::int64_t count, const std::int64_t* at) {
                    for (std::int64_t j = 0; j < count; ++j) to[at[j]] += from[first + j];
                  });
    });
  });
}

void backward_gather_nd(BackwardArgs& args) {
  give_added(args, [&](const Tensor& g, Tensor& gx) {
    add_places(nd_places(args.call(), args.input_shape(0), args.input(1)), g, gx);
  });
}

/// Axes that the indices run along with x.
void link_gather_elements(const Call& call, ChannelLinks& links) {
  const Shape& x = links.shape(in(0));
  const Shape& y = links.shape(out(0));
  const int axis = elements_axis(call, x);
  for (int a = 0; a < x.rank(); ++a) {
    if (a == axis || x.symbolic(a) || !x.same_axis(a, y, a)) continue;
    links.tie(in(0), a, out(0), a);
    links.tie(in(1), a, out(0), a);
  }
}

/// The axes of x behind those that indices name.
void link_gather_nd(const Call& call, ChannelLinks& links) {
  const Shape& x = links.shape(in(0));
  const Shape& y = links.shape(out(0));
  const Shape& indices = links.shape(in(1));
  const std::int64_t batch = call.attributes.as<GatherNdAttributes>().batch_axes;
  const int first_rest = static_cast<int>(batch + indices[indices.rank() - 1]);
  for (int a = first_rest; a < x.rank(); ++a)
    if (!x.symbolic(a)) links.tie(in(0), a, out(0), a + y.rank() - x.rank());
}

void emit_gather_elements(const Call& call, OnnxEmitter& emitter) {
  emitter.node("GatherElements", {emitter.input(0), emitter.input(1)}, {emitter.output(0)})
      .attribute("axis", call.attributes.as<GatherElementsAttributes>().axis);
}

/// ONNX wants i64 here.
void emit_gather_nd(const Call& call, OnnxEmitter& emitter) {
  std::string indices = emitter.input(1);
  if (emitter.input_dtype(1) != DType::i64) {
    const std::string wide = emitter.temporary();
    emitter.node("Cast", {indices}, {wide}).attribute("to", std::int64_t{traits(DType::i64).onnx});
    indices = wide;
  }
  emitter.node("GatherND", {emitter.input(0), indices}, {emitter.output(0)})
      .attribute("batch_dims", call.attributes.as<GatherNdAttributes>().batch_axes);
}

}  // namespace

constinit const OpDef kGatherElements = {
    .name = "gather_elements",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_gather_elements,
    .forward = forward_gather_elements,
    .backward = backward_gather_elements,
    .saves_inputs = 0b10,
    .defaults = [] { return Attributes::of(GatherElementsAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_gather_elements},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "GatherElements", .opset = 11, .emit = emit_gather_elements},
};
constinit const OpDef kGatherNd = {
    .name = "gather_nd",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_gather_nd,
    .forward = forward_gather_nd,
    .backward = backward_gather_nd,
    .saves_inputs = 0b10,
    .defaults = [] { return Attributes::of(GatherNdAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_gather_nd},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "GatherND", .opset = 12, .emit = emit_gather_nd},
};

Tensor gather_elements(const Tensor& x, const Tensor& indices, int axis) {
  return apply({&kGatherElements, Attributes::of(GatherElementsAttributes{axis})},
               detail::Borrowed(x, indices));
}

Tensor gather_nd(const Tensor& x, const Tensor& indices, int batch_axes) {
  return apply({&kGatherNd, Attributes::of(GatherNdAttributes{batch_axes})},
               detail::Borrowed(x, indices));
}

Tensor index_select(const Tensor& x, const Tensor& indices, int axis) {
  PARE_CHECK(indices.defined() && indices.rank() == 1, shape_mismatch, "index_select",
             "expected indices [K], got {}",
             indices.defined() ? indices.shape().to_string() : "an undefined tensor");
  return gather(x, indices, axis);
}

}  // namespace pare
