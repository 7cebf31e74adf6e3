// scatter_elements and scatter_nd: a tensor with elements or blocks written at indices.
#include <algorithm>
#include <cstring>
#include <limits>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/indexed.h"
#include "core/ops/scatter.h"
#include "core/ops/strided.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/indexing.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

int elements_axis(const Call& call, const Shape& x) {
  return normalize_axis(call.attributes.as<ScatterElementsAttributes>().axis, x.rank(),
                        "scatter_elements");
}
Places elements_places(const Call& call, const Shape& x, const Tensor& indices) {
  return element_places(x, indices, elements_axis(call, x), "scatter_elements");
}
Places nd_places(const Call&, const Shape& x, const Tensor& indices) {
  return block_places(x, indices, 0, "scatter_nd");
}
const std::string& elements_reduction(const Call& call) {
  return call.attributes.as<ScatterElementsAttributes>().reduction;
}
const std::string& nd_reduction(const Call& call) {
  return call.attributes.as<ScatterNdAttributes>().reduction;
}

/// What both have in common: the dtypes and the reduction.
void check_scattered(const InferArgs& args, const std::string& reduction) {
  const char* where = args.call.op->name;
  movable_bytes(args.dtype(0), where);
  check_indices(args.dtype(1), where);
  PARE_CHECK(args.dtype(2) == args.dtype(0), dtype_mismatch, where,
             "expected updates of x's dtype {}, got {}", args.dtype(0), args.dtype(2));
  PARE_CHECK(
      reduction_of(reduction, where) == ScatterReduction::none || args.dtype(0) != DType::boolean,
      dtype_mismatch, where, "expected numbers where updates are reduced, got {}", args.dtype(0));
}

void infer_scatter_elements(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& indices = args.shape(1);
  const Shape& updates = args.shape(2);
  const int axis = elements_axis(args.call, x);
  check_scattered(args, elements_reduction(args.call));
  bool fits = indices.rank() == x.rank();
  for (int a = 0; fits && a < x.rank(); ++a)
    fits = a == axis || indices.same_axis(a, x, a) ||
           (!indices.symbolic(a) && !x.symbolic(a) && indices[a] <= x[a]);
  PARE_CHECK(fits, shape_mismatch, "scatter_elements",
             "expected indices no longer than x {} but for axis {}, got {}", x, axis, indices);
  PARE_CHECK(updates == indices, shape_mismatch, "scatter_elements",
             "expected updates of the indices' shape {}, got {}", indices, updates);
  args.output(0, x, args.dtype(0));
}

void infer_scatter_nd(InferArgs& args) {
  const Shape& x = args.shape(0);
  const Shape& indices = args.shape(1);
  check_scattered(args, nd_reduction(args.call));
  const int last = indices.rank() - 1;
  PARE_CHECK(last >= 0 && !indices.symbolic(last) && indices[last] <= x.rank(), shape_mismatch,
             "scatter_nd", "expected indices whose last axis is at most {} for x {}, got {}",
             x.rank(), x, indices);
  Shape blocks;
  bool fits = last + x.rank() - indices[last] <= Shape::kMaxRank;
  for (int a = 0; fits && a < last; ++a) blocks.append(indices, a);
  for (int a = static_cast<int>(indices[last]); fits && a < x.rank(); ++a) blocks.append(x, a);
  PARE_CHECK(fits && args.shape(2) == blocks, shape_mismatch, "scatter_nd",
             "expected updates {} for x {} and indices {}, got {}", blocks, x, indices,
             args.shape(2));
  args.output(0, x, args.dtype(0));
}

/// x in y, then write(updates, reduction) into it; reduced halves in f32.
template <class Write>
void scatter_into(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context, const std::string& name, const Write& write) {
  Tensor& y = outputs[0];
  const ScatterReduction reduction = reduction_of(name, call.op->name);
  if (reduction != ScatterReduction::none && is_half(y.dtype()))
    return forward_through_float(call, inputs, outputs, context);
  const Tensor x = in_format(inputs[0], MemoryFormat::row_major);
  if (y.bytes() > 0) std::memcpy(y.mutable_raw(), x.raw(), y.bytes());
  write(in_format(inputs[2], MemoryFormat::row_major), reduction);
}

void forward_scatter_elements(const Call& call, std::span<const Tensor> inputs,
                              std::span<Tensor> outputs, const Context& context) {
  const Shape& x = inputs[0].shape();
  scatter_into(call, inputs, outputs, context, elements_reduction(call),
               [&](const Tensor& updates, ScatterReduction reduction) {
                 if (updates.elements() == 0) return;
                 const ElementPlaces places(x, inputs[1], elements_axis(call, x), call.op->name);
                 write_elements(places, updates, outputs[0], reduction);
               });
}

void forward_scatter_nd(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context& context) {
  scatter_into(call, inputs, outputs, context, nd_reduction(call),
               [&](const Tensor& updates, ScatterReduction reduction) {
                 write_places(nd_places(call, inputs[0].shape(), inputs[1]), updates, outputs[0],
                              reduction);
               });
}

using PlacesOf = Places (*)(const Call&, const Shape&, const Tensor&);
using ReductionOf = const std::string& (*)(const Call&);

template <PlacesOf kPlaces, ReductionOf kReduction> void backward_scattered(BackwardArgs& args) {
  const Places places = kPlaces(args.call(), args.input_shape(0), args.input(1));
  const ScatterReduction reduction = reduction_of(kReduction(args.call()), args.call().op->name);
  backward_places(args, places, reduction);
}

void link_scatter_elements(const Call& call, ChannelLinks& links) {
  const Shape& x = links.shape(in(0));
  const Shape& indices = links.shape(in(1));
  const int axis = elements_axis(call, x);
  for (int a = 0; a < x.rank(); ++a) {
    if (a == axis || x.symbolic(a) || !x.same_axis(a, indices, a)) continue;
    for (const int i : {0, 1, 2}) links.tie(in(i), a, out(0), a);
  }
}

void link_scatter_nd(const Call&, ChannelLinks& links) {
  const Shape& x = links.shape(in(0));
  const Shape& indices = links.shape(in(1));
  const Shape& updates = links.shape(in(2));
  for (int a = static_cast<int>(indices[indices.rank() - 1]); a < x.rank(); ++a) {
    if (x.symbolic(a)) continue;
    links.tie(in(0), a, out(0), a);
    links.tie(in(2), a + updates.rank() - x.rank(), out(0), a);
  }
}

/// Says how values meet: nothing where each replaces another, since opset 16 the sum and the
/// product, since 18 the extremes.
void give_reduction(OnnxEmitter& emitter, OnnxEmitter::Node& node, const std::string& reduction) {
  if (reduction == "none") return;
  const int since = reduction == "add" || reduction == "mul" ? 16 : 18;
  PARE_CHECK(emitter.opset() >= since, unsupported, "scatter",
             "expected opset {} or later for '{}', got {}", since, reduction, emitter.opset());
  node.attribute("reduction", reduction.c_str());
}

void emit_scatter_elements(const Call& call, OnnxEmitter& emitter) {
  auto& node =
      emitter.node("ScatterElements", {emitter.input(0), emitter.input(1), emitter.input(2)},
                   {emitter.output(0)});
  node.attribute("axis", call.attributes.as<ScatterElementsAttributes>().axis);
  give_reduction(emitter, node, elements_reduction(call));
}

/// ONNX wants i64 here.
void emit_scatter_nd(const Call& call, OnnxEmitter& emitter) {
  std::string indices = emitter.input(1);
  if (emitter.input_dtype(1) != DType::i64) {
    const std::string wide = emitter.temporary();
    emitter.node("Cast", {indices}, {wide}).attribute("to", std::int64_t{traits(DType::i64).onnx});
    indices = wide;
  }
  give_reduction(
      emitter,
      emitter.node("ScatterND", {emitter.input(0), indices, emitter.input(2)}, {emitter.output(0)}),
      nd_reduction(call));
}

/// The first elements of `source`, as many as there are indices.
Tensor fitting(const Tensor& source, const Tensor& indices, const char* where) {
  PARE_CHECK(source.defined() && indices.defined(), invalid_argument, where,
             "expected indices and a source, got an undefined tensor");
  if (source.shape() == indices.shape()) return source;
  bool fits = source.rank() == indices.rank();
  SliceAttributes part;
  for (int a = 0; fits && a < source.rank(); ++a) {
    fits = indices.dim(a) <= source.dim(a);
    if (indices.dim(a) == source.dim(a)) continue;
    part.axes.push_back(a);
    part.starts.push_back(0);
    part.ends.push_back(indices.dim(a));
    part.steps.push_back(1);
  }
  PARE_CHECK(fits, shape_mismatch, where, "expected a source no shorter than indices {}, got {}",
             indices.shape(), source.shape());
  return slice(source, part);
}

Tensor scattered(const Tensor& x, const Tensor& indices, const Tensor& source,
                 ScatterElementsAttributes attributes) {
  return apply({&kScatterElements, Attributes::of(std::move(attributes))},
               detail::Borrowed(x, indices, source));
}

/// What changes nothing in a reduction.
double neutral(const std::string& reduction, DType dtype) {
  const bool floating = is_floating(dtype);
  const double infinity = std::numeric_limits<double>::infinity();
  if (reduction == "mul") return 1;
  if (reduction == "max") return floating ? -infinity : traits(dtype).lowest;
  if (reduction == "min") return floating ? infinity : traits(dtype).highest;
  return 0;
}

}  // namespace

constinit const OpDef kScatterElements = {
    .name = "scatter_elements",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_scatter_elements,
    .forward = forward_scatter_elements,
    .backward = backward_scattered<elements_places, elements_reduction>,
    .saves_inputs = 0b111,
    .defaults = [] { return Attributes::of(ScatterElementsAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_scatter_elements},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "ScatterElements", .opset = 11, .emit = emit_scatter_elements},
};
constinit const OpDef kScatterNd = {
    .name = "scatter_nd",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_scatter_nd,
    .forward = forward_scatter_nd,
    .backward = backward_scattered<nd_places, nd_reduction>,
    .saves_inputs = 0b111,
    .defaults = [] { return Attributes::of(ScatterNdAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_scatter_nd},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "ScatterND", .opset = 11, .emit = emit_scatter_nd},
};

Tensor scatter(const Tensor& x, const Tensor& indices, const Tensor& source,
               const ScatterOptions& options) {
  return scattered(x, indices, fitting(source, indices, "scatter"), {options.axis, "none"});
}

Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& source,
                   const ScatterOptions& options) {
  return scattered(x, indices, fitting(source, indices, "scatter_add"), {options.axis, "add"});
}

Tensor scatter_reduce(const Tensor& x, const Tensor& indices, const Tensor& source,
                      const ScatterOptions& options) {
  PARE_CHECK(x.defined(), invalid_argument, "scatter_reduce",
             "expected a tensor, got an undefined one");
  std::string reduction;
  const bool mean = options.reduction == "mean";
  if (options.reduction == "sum" || mean) reduction = "add";
  if (options.reduction == "prod") reduction = "mul";
  if (options.reduction == "amax") reduction = "max";
  if (options.reduction == "amin") reduction = "min";
  PARE_CHECK(!reduction.empty(), invalid_argument, "scatter_reduce",
             "expected sum, prod, mean, amax or amin, got '{}'", options.reduction);
  PARE_CHECK(!mean || is_floating(x.dtype()), dtype_mismatch, "scatter_reduce",
             "expected a floating type for mean, got {}", x.dtype());
  const Tensor updates = fitting(source, indices, "scatter_reduce");
  const auto filled = [&](double value) { return Tensor::full(indices.shape(), value, x.dtype()); };
  Tensor start = x;
  if (!options.include_self)
    start = scattered(x, indices, filled(neutral(reduction, x.dtype())), {options.axis, "none"});
  const Tensor reduced = scattered(start, indices, updates, {options.axis, reduction});
  if (!mean) return reduced;
  // How many were summed at each place; 1 where nothing was written.
  Tensor count = Tensor::ones(x.shape(), x.dtype());
  if (!options.include_self) count = scattered(count, indices, filled(0), {options.axis, "none"});
  count = scattered(count, indices, filled(1), {options.axis, "add"});
  return reduced / count;
}

Tensor scatter_nd(const Tensor& x, const Tensor& indices, const Tensor& updates,
                  const ScatterNdAttributes& attributes) {
  return apply({&kScatterNd, Attributes::of(attributes)}, detail::Borrowed(x, indices, updates));
}

}  // namespace pare
