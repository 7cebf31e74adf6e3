// pow, and minimum: binary arithmetic whose loops are compiled once per type.
#include <algorithm>
#include <type_traits>

#include "core/elementwise_op.h"
#include "core/row_loops.h"
#include "core/vector_special.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

/// By squaring, wrapping; a negative power of an integer is that of its reciprocal, truncated.
template <class T> T integer_power(T a, T b) {
  if constexpr (std::is_signed_v<T>) {
    if (b < 0) return a == 1 ? T{1} : (a == -1 ? static_cast<T>(b % 2 == 0 ? 1 : -1) : T{0});
  }
  std::uint64_t result = 1;
  auto factor = static_cast<std::uint64_t>(a);
  for (auto n = static_cast<std::uint64_t>(b); n != 0; n >>= 1) {
    if ((n & 1) != 0) result *= factor;
    factor *= factor;
  }
  return static_cast<T>(result);
}

struct Pow {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>)
      return vec::pow(a, b);
    else
      return integer_power(a, b);
  }
};
struct Minimum {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a < b || a != a ? a : b; }
};
/// minimum's share of the gradient for its first operand: all, half of a tie, none.
struct MinimumShare {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return a == b ? T(0.5) : (a > b ? T(0) : T(1));
  }
};
/// Like a product, but a share of nothing stays nothing for an infinite gradient.
struct TakeShare {
  template <class T> PARE_INLINE T operator()(T gradient, T share) const {
    return share == T(0) ? T(0) : gradient * share;
  }
};
/// The slope of a^b along a, and along b; as PyTorch's, the latter is 0 for a = 0, b ≥ 0.
struct PowSlopeOfBase {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return b == T(0) ? T(0) : b * vec::pow(a, b - T(1));
  }
};
struct PowSlopeOfPower {
  template <class T> PARE_INLINE T operator()(T a, T b) const {
    return ((a == T(0)) & (b >= T(0))) ? T(0) : vec::pow(a, b) * vec::log(a);
  }
};
struct TwiceProduct {
  template <class T> PARE_INLINE T operator()(T g, T a) const { return g * (T(2) * a); }
};
struct Multiply {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return a * b; }
};

template <class F>
void forward_binary(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  visit_arithmetic(dtype, call.op->name, [&](auto type) {
    using T = decltype(type);
    if constexpr (std::is_same_v<T, float>)
      zip_rows(inputs[0], inputs[1], outputs[0], fast_row<T, T, F>);
    else
      zip_rows(inputs[0], inputs[1], outputs[0], plain_row<T, T, F>);
  });
}

/// One operand is often one number for all: laid out as a row, lest the compiler make a loop for
/// each of the cases that the number decides.
template <class F> void power_row(const Row& row) {
  constexpr std::int64_t kRow = 256;
  if ((row.step_a != 0) == (row.step_b != 0)) return fast_row<float, float, F>(row);
  float repeated[kRow];
  std::fill_n(repeated, kRow, *static_cast<const float*>(row.step_a == 0 ? row.a : row.b));
  for (std::int64_t i = 0; i < row.count; i += kRow) {
    Row piece = row;
    piece.count = std::min(kRow, row.count - i);
    piece.a = row.step_a == 0 ? repeated : static_cast<const float*>(row.a) + i * row.step_a;
    piece.b = row.step_b == 0 ? repeated : static_cast<const float*>(row.b) + i * row.step_b;
    piece.y = static_cast<float*>(row.y) + i;
    (row.step_a == 0 ? piece.step_a : piece.step_b) = 1;
    fast_row<float, float, F>(piece);
  }
}
template <class F> Tensor power_rows(const Tensor& a, const Tensor& b, const Shape& shape) {
  return combine_rows(a, b, shape, power_row<F>, plain_row<double, double, F>);
}

/// Whether b is the number 2 for all of an f32 tensor: a square is what most powers are.
bool squares(const Tensor& a, const Tensor& b, const Shape& shape) {
  return a.dtype() == DType::f32 && b.elements() == 1 && *b.data<float>() == 2.0F &&
         a.shape() == shape;
}

void forward_pow(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  if (squares(inputs[0], inputs[1], outputs[0].shape()))
    return map_tensor<float>(inputs[0], outputs[0],
                             [](float x) PARE_INLINE_LAMBDA { return x * x; });
  if (inputs[0].dtype() == DType::f32)
    return zip_rows(inputs[0], inputs[1], outputs[0], power_row<Pow>);
  forward_binary<Pow>(call, inputs, outputs, context);
}

void backward_minimum(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  const Tensor inputs[2] = {widened(args.input(0)), widened(args.input(1))};
  for (int i = 0; i < 2; ++i) {
    if (!args.needs(i)) continue;
    const Tensor share = combine_rows<MinimumShare>(inputs[i], inputs[1 - i], g.shape());
    give_summed(args, i, combine_rows<TakeShare>(g, share, g.shape()));
  }
}

void backward_pow(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  const Tensor a = widened(args.input(0));
  const Tensor b = widened(args.input(1));
  for (int i = 0; i < 2; ++i) {
    if (!args.needs(i)) continue;
    if (i == 0 && squares(a, b, g.shape())) {
      give_summed(args, 0, combine_rows<TwiceProduct>(g, a, g.shape()));
      continue;
    }
    const Tensor slope = i == 0 ? power_rows<PowSlopeOfBase>(a, b, g.shape())
                                : power_rows<PowSlopeOfPower>(a, b, g.shape());
    give_summed(args, i, combine_rows<Multiply>(g, slope, g.shape()));
  }
}

constexpr OpDef binary(const char* name, ForwardFunction run, BackwardFunction gradient,
                       const char* onnx_name) {
  return {.name = name,
          .min_inputs = 2,
          .max_inputs = 2,
          .format = FormatRule::keep,
          .infer = infer_binary,
          .forward = run,
          .backward = gradient,
          .saves_inputs = 3,
          .channels = {.kind = ChannelFact::Kind::elementwise},
          .onnx = {.op_type = onnx_name}};
}

}  // namespace

constinit const OpDef kMinimum =
    binary("minimum", forward_binary<Minimum>, backward_minimum, "Min");
constinit const OpDef kPow = binary("pow", forward_pow, backward_pow, "Pow");

Tensor minimum(const Tensor& a, const Tensor& b) {
  return apply({&kMinimum, {}}, detail::Borrowed(a, b));
}
Tensor pow(const Tensor& a, const Tensor& b) { return apply({&kPow, {}}, detail::Borrowed(a, b)); }
Tensor pow(const Tensor& a, double b) { return pow(a, number_like(a, b, "pow")); }

}  // namespace pare
