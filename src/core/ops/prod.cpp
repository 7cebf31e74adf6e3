// prod over any axes: the slope of each element is the product of the others.
#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/reduced.h"
#include "core/reduce.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

std::uint32_t axes_of(const Call& call, int rank) {
  return reduced_axes(call.attributes.as<ReduceAttributes>().axes, rank, "prod");
}

void infer_prod(InferArgs& args) {
  const DType d = args.dtype(0);
  PARE_CHECK(is_floating(d) || d == DType::i32 || d == DType::i64, dtype_mismatch, "prod",
             "expected a floating type, i32 or i64, got {}", d);
  const auto mask = axes_of(args.call, args.shape(0).rank());
  const bool keepdim = args.call.attributes.as<ReduceAttributes>().keepdim;
  args.output(0, reduced_shape(args.shape(0), mask, keepdim), d);
}

void forward_prod(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context) {
  const Tensor& x = inputs[0];
  if (is_half(x.dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto mask = axes_of(call, x.rank());
  reduce(Reduction::product, x, mask, result_strides(outputs[0], x.rank(), mask), outputs[0]);
}

struct IsZero {
  template <class T> PARE_INLINE T operator()(T x) const { return x == T(0) ? T(1) : T(0); }
};
struct OneForZero {
  template <class T> PARE_INLINE T operator()(T x) const { return x == T(0) ? T(1) : x; }
};
struct Times {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a * b; }
};
struct WithoutZeros {
  template <class T> PARE_INLINE T operator()(T share, T zeros) const {
    return zeros == T(0) ? share : T(0);
  }
};
struct WithOneZero {
  template <class T> PARE_INLINE T operator()(T share, T zeros) const {
    return zeros == T(1) ? share : T(0);
  }
};
struct Quotient {
  template <class T> PARE_INLINE T operator()(T x, T share) const {
    return x == T(0) ? T(0) : share / x;
  }
};
struct AtZeros {
  template <class T> PARE_INLINE T operator()(T x, T share) const {
    return x == T(0) ? share : T(0);
  }
};
struct Plus {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a + b; }
};

// With one zero in a product only that element has a slope, with more none has.
void backward_prod(BackwardArgs& args) {
  const DType given = args.input_dtype(0);
  const DType dtype = computed_type(given);
  const Tensor x = in_dtype(args.input(0), dtype);
  const Tensor g = in_dtype(args.grad_output(0), dtype);
  const int rank = x.rank();
  const auto mask = axes_of(args.call(), rank);
  const Strides to = result_strides(g, rank, mask);
  Tensor dx = Tensor::empty(x.shape(), dtype, x.format());
  Tensor scratch = Tensor::empty(x.shape(), dtype, x.format());
  Tensor share = Tensor::empty(g.shape(), dtype, g.format());
  Tensor zeros = Tensor::empty(g.shape(), dtype, g.format());
  Tensor part = Tensor::empty(g.shape(), dtype, g.format());
  const std::array operands{strides_of(dx), strides_of(x), to};
  const LoopNest nest(x.shape(), x.format(), operands);
  visit_float(dtype, "prod", [&](auto type) {
    using T = decltype(type);
    const std::int64_t count = g.elements();
    map_tensor<T>(x, scratch, IsZero{});
    reduce(Reduction::sum, scratch, mask, to, zeros);
    map_tensor<T>(x, scratch, OneForZero{});
    reduce(Reduction::product, scratch, mask, to, share);
    T* s = share.mutable_data<T>();
    T* p = part.mutable_data<T>();
    zip_contiguous(s, g.data<T>(), s, count, Times{});
    zip_contiguous(s, zeros.data<T>(), p, count, WithoutZeros{});
    zip_strided(nest, x.data<T>(), p, dx.mutable_data<T>(), Quotient{});
    zip_contiguous(s, zeros.data<T>(), p, count, WithOneZero{});
    zip_strided(nest, x.data<T>(), p, scratch.mutable_data<T>(), AtZeros{});
    zip_contiguous(dx.data<T>(), scratch.data<T>(), dx.mutable_data<T>(), dx.elements(), Plus{});
  });
  args.set(0, in_dtype(dx, given));
}

constexpr ValueForm kForm{bind_axes<ReduceAttributes>, infer_unknown_axes<ReduceAttributes>,
                          infer_prod, forward_prod, backward_prod};

}  // namespace

constinit const OpDef kProd = {
    .name = "prod",
    .max_inputs = 2,
    .format = FormatRule::keep,
    .infer = infer_values<kForm>,
    .forward = forward_values<kForm>,
    .backward = backward_values<kForm>,
    .saves_inputs = 0b11,
    .defaults = [] { return Attributes::of(ReduceAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule =
                     [](const Call& call, ChannelLinks& links) {
                       link_reduced(links, axes_of(call, links.shape(in(0)).rank()),
                                    call.attributes.as<ReduceAttributes>().keepdim, false);
                     }},
    .onnx = {.op_type = "ReduceProd", .emit = [](const Call& call, OnnxEmitter& e) {
               const auto& a = call.attributes.as<ReduceAttributes>();
               emit_reduced(e, "ReduceProd", 18, e.input(0), e.output(0), a.axes, a.keepdim);
             }}};

Tensor prod(const Tensor& x, const std::vector<std::int64_t>& axes, bool keepdim) {
  return apply({&kProd, Attributes::of(ReduceAttributes{axes_along(x, axes, kProd.name), keepdim})},
               detail::Borrowed(x));
}

}  // namespace pare
