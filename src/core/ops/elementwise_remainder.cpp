// mod: the remainder of a division, with the sign of the dividend (fmod) or of the divisor.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/elementwise_op.h"
#include "core/row_loops.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

inline float fmod_of(float a, float b) { return std::fmod(a, b); }
inline double fmod_of(double a, double b) { return std::fmod(a, b); }

/// Whether quick_rest may not know the rest: a quotient near 2^29 or more, or no number.
PARE_INLINE bool beyond(float a, float b) {
  const float q = a / b;
  return !((q < 5e8F) & (q > -5e8F) & (__builtin_fabsf(b) <= 3.4028235e38F));
}
/// C's fmod, or the rest of the divisor's sign. A quotient below 2^29 times the divisor is exact in
/// double; the quotient may have been rounded up to the next integer, which the rest's sign tells.
template <bool fmod> PARE_INLINE float quick_rest(float a, float b) {
  const auto x = static_cast<double>(a);
  const auto y = static_cast<double>(b);
  const double size = __builtin_fabs(y);
  double rest = x - static_cast<double>(static_cast<std::int32_t>(x / y)) * y;
  rest = ((rest < 0.0) & (x > 0.0)) ? rest + size : rest;
  rest = ((rest > 0.0) & (x < 0.0)) ? rest - size : rest;
  const auto truncated = __builtin_copysignf(static_cast<float>(rest), a);
  if constexpr (fmod) return truncated;
  const bool moves = ((truncated < 0.0F) & (b > 0.0F)) | ((truncated > 0.0F) & (b < 0.0F));
  return moves ? truncated + b : truncated;
}

struct Fmod {
  template <class T> T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return fmod_of(a, b);
    } else {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;  // the quotient of the lowest number overflows
      }
      return static_cast<T>(a % b);
    }
  }
};
struct Remainder {
  template <class T> T operator()(T a, T b) const {
    const T rest = Fmod{}(a, b);
    if constexpr (std::is_unsigned_v<T>) return rest;
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  }
};
PARE_INLINE bool any_beyond_body(const Row& row) {
  const float* a = static_cast<const float*>(row.a);
  const float* b = static_cast<const float*>(row.b);
  const std::int64_t step_a = row.step_a, step_b = row.step_b, count = row.count;
  std::int32_t slow = 0;
  if (step_a == 1 && step_b == 1) {
    for (std::int64_t i = 0; i < count; ++i) slow |= beyond(a[i], b[i]);
  } else {
    for (std::int64_t i = 0; i < count; ++i) slow |= beyond(a[i * step_a], b[i * step_b]);
  }
  return slow != 0;
}
PARE_MULTIVERSION(bool, any_beyond, (const Row& row), (row))

/// The loop over f32, in pieces that the cache holds: one by one where any quotient is beyond.
template <bool fmod> void float_row(const Row& row) {
  constexpr std::int64_t kPiece = 2048;
  for (std::int64_t i = 0; i < row.count; i += kPiece) {
    const Row piece = {static_cast<const float*>(row.a) + i * row.step_a,
                       static_cast<const float*>(row.b) + i * row.step_b,
                       static_cast<float*>(row.y) + i,
                       row.step_a,
                       row.step_b,
                       std::min(kPiece, row.count - i)};
    if (any_beyond(piece)) {
      plain_row<float, float, std::conditional_t<fmod, Fmod, Remainder>>(piece);
      continue;
    }
    multiversion([=]() PARE_INLINE_LAMBDA {
      row_body<float, float, float>(
          piece, [](float p, float q) PARE_INLINE_LAMBDA { return quick_rest<fmod>(p, q); });
    });
  }
}

// Minus the slope along the divisor: how often it was taken.
struct TruncatedQuotient {
  template <class T> T operator()(T a, T b) const { return std::trunc(a / b); }
};
struct FlooredQuotient {
  template <class T> T operator()(T a, T b) const { return std::floor(a / b); }
};
struct MultiplyNegative {
  template <class T> PARE_INLINE T operator()(T a, T b) const { return -a * b; }
};

void forward_mod(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  const DType dtype = inputs[0].dtype();
  if (is_half(dtype)) return forward_through_float(call, inputs, outputs, context);
  const bool fmod = call.attributes.as<ModAttributes>().fmod;
  visit_arithmetic(dtype, "mod", [&](auto type) {
    using T = decltype(type);
    if constexpr (std::is_same_v<T, float>)
      zip_rows(inputs[0], inputs[1], outputs[0], fmod ? float_row<true> : float_row<false>);
    else
      zip_rows(inputs[0], inputs[1], outputs[0],
               fmod ? plain_row<T, T, Fmod> : plain_row<T, T, Remainder>);
  });
}

template <class Quotient> Tensor quotient(const Tensor& a, const Tensor& b, const Shape& shape) {
  return combine_rows(a, b, shape, plain_row<float, float, Quotient>,
                      plain_row<double, double, Quotient>);
}

void backward_mod(BackwardArgs& args) {
  const Tensor g = widened(args.grad_output(0));
  if (args.needs(0)) give_summed(args, 0, g);
  if (!args.needs(1)) return;
  const Tensor a = widened(args.input(0));
  const Tensor b = widened(args.input(1));
  const bool fmod = args.call().attributes.as<ModAttributes>().fmod;
  const Tensor taken = fmod ? quotient<TruncatedQuotient>(a, b, g.shape())
                            : quotient<FlooredQuotient>(a, b, g.shape());
  give_summed(args, 1, combine_rows<MultiplyNegative>(g, taken, g.shape()));
}

/// ONNX has the divisor's sign for integers only.
void emit_mod(const Call& call, OnnxEmitter& e) {
  const bool floating = is_floating(e.input_dtype(0));
  const bool fmod = call.attributes.as<ModAttributes>().fmod;
  if (fmod || !floating) {
    e.node("Mod", {e.input(0), e.input(1)}, {e.output(0)}).attribute("fmod", std::int64_t{fmod});
    return;
  }
  const std::string zero = e.constant(Tensor::scalar(0, e.input_dtype(0)));
  const std::string rest = e.temporary(), sign = e.temporary(), wanted = e.temporary();
  const std::string product = e.temporary(), differs = e.temporary(), moved = e.temporary();
  e.node("Mod", {e.input(0), e.input(1)}, {rest}).attribute("fmod", std::int64_t{1});
  e.node("Sign", {rest}, {sign});
  e.node("Sign", {e.input(1)}, {wanted});
  e.node("Mul", {sign, wanted}, {product});
  e.node("Less", {product, zero}, {differs});
  e.node("Add", {rest, e.input(1)}, {moved});
  e.node("Where", {differs, moved, rest}, {e.output(0)});
}

Tensor mod(const Tensor& a, const Tensor& b, bool fmod) {
  return apply({&kMod, Attributes::of(ModAttributes{fmod})}, detail::Borrowed(a, b));
}

}  // namespace

constinit const OpDef kMod = {.name = "mod",
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .format = FormatRule::keep,
                              .infer = infer_binary,
                              .forward = forward_mod,
                              .backward = backward_mod,
                              .saves_inputs = 3,
                              .defaults = [] { return Attributes::of(ModAttributes{}); },
                              .channels = {.kind = ChannelFact::Kind::elementwise},
                              .onnx = {.op_type = "Mod", .emit = emit_mod}};

Tensor fmod(const Tensor& a, const Tensor& b) { return mod(a, b, true); }
Tensor remainder(const Tensor& a, const Tensor& b) { return mod(a, b, false); }

}  // namespace pare
