// Import of elementwise ops: arithmetic, functions, comparisons, logic, bits, choice.
#include <array>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "pare/core/ops/trigonometry.h"

namespace pare::onnx {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <const OpDef& Op> void import_unary(NodeImport& node) {
  node.output(0, call(node, Op, {node.value(0)}));
}

/// The second operand as it broadcasts: before opset 7 an attribute says from which axis on.
int second_operand(NodeImport& node) {
  const int b = node.value(1);
  if (node.opset() >= 7) return b;
  node.ignore("consumed_inputs");
  const bool broadcast = node.integer("broadcast", 0) != 0;
  if (!node.has("axis") || !broadcast) return b;
  const int rank = node.shape(0).rank();
  const int axis = axis_of(node, node.integer("axis", -1), rank);
  const Shape shape = shape_of(node, b);
  std::vector<int> trailing;
  for (int a = shape.rank(); a < rank - axis; ++a) trailing.push_back(a);
  return unsqueeze(node, b, trailing);
}

template <const OpDef& Op> void import_binary(NodeImport& node) {
  node.output(0, call(node, Op, {node.value(0), second_operand(node)}));
}

/// min, max, sum and mean of any number of operands.
template <const OpDef& Op> int fold_operands(NodeImport& node) {
  int result = node.value(0);
  for (int i = 1; i < node.inputs(); ++i) result = call(node, Op, {result, node.value(i)});
  return result;
}
template <const OpDef& Op> void import_variadic(NodeImport& node) {
  node.ignore("consumed_inputs");
  node.output(0, fold_operands<Op>(node));
}
void import_mean(NodeImport& node) {
  node.ignore("consumed_inputs");
  const int sum = fold_operands<kAdd>(node);
  node.output(
      0, node.inputs() == 1 ? sum : call(node, kDiv, {sum, number_like(node, node.inputs(), sum)}));
}

void import_identity(NodeImport& node) { node.output(0, node.value(0)); }

/// The result has the type of the base; the power may have another.
void import_pow(NodeImport& node) {
  const int base = node.value(0);
  const int power = second_operand(node);
  const DType type = dtype_of(node, base);
  const DType other = dtype_of(node, power);
  if (type == other || is_floating(type)) {
    node.output(0, call(node, kPow, {base, cast(node, power, type)}));
  } else if (is_floating(other)) {
    const int y = call(node, kPow, {cast(node, base, DType::f64), cast(node, power, DType::f64)});
    node.output(0, cast(node, y, type));
  } else {
    const int y = call(node, kPow, {cast(node, base, DType::i64), cast(node, power, DType::i64)});
    node.output(0, cast(node, y, type));
  }
}

void import_mod(NodeImport& node) {
  const bool fmod = node.integer("fmod", 0) != 0;
  if (!fmod && is_floating(node.dtype(0)))
    node.refuse("fmod = 0 is not defined for floating types");
  node.output(0, call(node, kMod, ModAttributes{fmod}, {node.value(0), node.value(1)}));
}

void import_neg(NodeImport& node) {
  node.ignore("consumed_inputs");
  import_unary<kNeg>(node);
}

/// NaN alone is not itself.
void import_is_nan(NodeImport& node) {
  const int x = node.value(0);
  node.output(0, call(node, kNotEqual, {x, x}));
}

void import_is_inf(NodeImport& node) {
  const bool negative = node.integer("detect_negative", 1) != 0;
  const bool positive = node.integer("detect_positive", 1) != 0;
  const int x = node.value(0);
  if (!positive && !negative) node.refuse("neither infinity is asked for");
  const int magnitude = positive && negative ? call(node, kAbs, {x}) : x;
  node.output(
      0, call(node, kEqual, {magnitude, number_like(node, positive ? kInfinity : -kInfinity, x)}));
}

/// By powers of two; what is shifted out altogether is 0.
void import_bit_shift(NodeImport& node) {
  const std::string direction = node.string("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    node.refuse(fmt::format("direction '{}' is none", direction));
  const int x = node.value(0);
  const DType dtype = dtype_of(node, x);
  if (traits(dtype).is_signed || is_floating(dtype))
    node.refuse(fmt::format("expected an unsigned type, got {}", dtype));
  const int by = node.value(1);
  const double last = traits(dtype).bits - 1;
  const int inside = call(node, kMinimum, {by, number(node, last, dtype)});
  const int power = call(node, kPow, {number(node, 2, dtype), inside});
  const int shifted = call(node, direction == "LEFT" ? kMul : kDiv, {x, power});
  const int fits = call(node, kLessEqual, {by, number(node, last, dtype)});
  node.output(0, call(node, kWhere, {fits, shifted, number(node, 0, dtype)}));
}

/// The bounds as attributes where they are known and in order, else as maximum and minimum: ONNX
/// gives the upper one where they cross.
void import_clip(NodeImport& node) {
  const int x = node.value(0);
  const DType dtype = dtype_of(node, x);
  double low = -kInfinity;
  double high = kInfinity;
  bool known = true;
  if (node.opset() < 11) {
    node.ignore("consumed_inputs");
    low = node.real("min", -kInfinity);
    high = node.real("max", kInfinity);
  } else {
    // 64-bit bounds do not fit doubles.
    known = (!node.has(1) || node.constant(1)) && (!node.has(2) || node.constant(2)) &&
            (dtype != DType::i64 || (!node.has(1) && !node.has(2)));
    const auto bound = [&](int i, double fallback) {
      if (!known || !node.has(i)) return fallback;
      const std::vector<double> values = node.reals(i);
      if (values.size() != 1) node.refuse("a bound of one element is expected");
      return values[0];
    };
    low = bound(1, low);
    high = bound(2, high);
  }
  // The largest finite numbers stand for no bound.
  if (is_floating(dtype) && low <= traits(dtype).lowest) low = -kInfinity;
  if (is_floating(dtype) && high >= traits(dtype).highest) high = kInfinity;
  if (known && low <= high) {
    const bool floating = is_floating(dtype);
    if (low == -kInfinity && high == kInfinity)
      node.output(0, x);
    else if (floating && low == 0 && high == kInfinity)
      node.output(0, call(node, kRelu, {x}));
    else if (floating && low == 0 && high == 6)
      node.output(0, call(node, kRelu6, {x}));
    else
      node.output(0, call(node, kClamp, ClampAttributes{low, high}, {x}));
    return;
  }
  int y = x;
  if (known) {
    y = call(node, kMaximum, {y, number(node, low, dtype)});
    y = call(node, kMinimum, {y, number(node, high, dtype)});
  } else {
    if (node.has(1)) y = call(node, kMaximum, {y, node.value(1)});
    if (node.has(2)) y = call(node, kMinimum, {y, node.value(2)});
  }
  node.output(0, y);
}

void import_cast(NodeImport& node) {
  node.ignore("saturate");  // of the 8-bit floats alone
  std::int64_t to = 0;
  if (node.opset() < 6) {
    const std::string name = node.string("to", "");
    static constexpr std::array kNames{"",      "FLOAT", "UINT8",  "INT8", "UINT16",  "INT16",
                                       "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE"};
    for (std::size_t i = 0; i < kNames.size(); ++i)
      if (name == kNames[i]) to = static_cast<std::int64_t>(i);
  } else {
    to = node.integer("to", 0);
  }
  node.output(0, cast(node, node.value(0), dtype_of_element(node, to)));
}

void import_cast_like(NodeImport& node) {
  node.ignore("saturate");
  node.output(0, cast(node, node.value(0), node.dtype(1)));
}

void import_where(NodeImport& node) {
  node.output(0, call(node, kWhere, {node.value(0), node.value(1), node.value(2)}));
}

constexpr OpImport kImports[] = {
    {"Abs", "", import_unary<kAbs>},
    {"Acos", "", import_unary<kAcos>},
    {"Acosh", "", import_unary<kAcosh>},
    {"Add", "", import_binary<kAdd>},
    {"And", "", import_binary<kLogicalAnd>},
    {"Asin", "", import_unary<kAsin>},
    {"Asinh", "", import_unary<kAsinh>},
    {"Atan", "", import_unary<kAtan>},
    {"Atanh", "", import_unary<kAtanh>},
    {"BitShift", "", import_bit_shift},
    {"BitwiseAnd", "", import_binary<kBitwiseAnd>},
    {"BitwiseNot", "", import_unary<kBitwiseNot>},
    {"BitwiseOr", "", import_binary<kBitwiseOr>},
    {"BitwiseXor", "", import_binary<kBitwiseXor>},
    {"Cast", "", import_cast},
    {"CastLike", "", import_cast_like},
    {"Ceil", "", import_unary<kCeil>},
    {"Clip", "", import_clip},
    {"Cos", "", import_unary<kCos>},
    {"Cosh", "", import_unary<kCosh>},
    {"Div", "", import_binary<kDiv>},
    {"Equal", "", import_binary<kEqual>},
    {"Erf", "", import_unary<kErf>},
    {"Exp", "", import_unary<kExp>},
    {"Floor", "", import_unary<kFloor>},
    {"Greater", "", import_binary<kGreater>},
    {"GreaterOrEqual", "", import_binary<kGreaterEqual>},
    {"Identity", "", import_identity},
    {"IsInf", "", import_is_inf},
    {"IsNaN", "", import_is_nan},
    {"Less", "", import_binary<kLess>},
    {"LessOrEqual", "", import_binary<kLessEqual>},
    {"Log", "", import_unary<kLog>},
    {"Max", "", import_variadic<kMaximum>},
    {"Mean", "", import_mean},
    {"Min", "", import_variadic<kMinimum>},
    {"Mod", "", import_mod},
    {"Mul", "", import_binary<kMul>},
    {"Neg", "", import_neg},
    {"Not", "", import_unary<kLogicalNot>},
    {"Or", "", import_binary<kLogicalOr>},
    {"Pow", "", import_pow},
    {"Reciprocal", "", import_unary<kReciprocal>},
    {"Round", "", import_unary<kRound>},
    {"Sign", "", import_unary<kSign>},
    {"Sin", "", import_unary<kSin>},
    {"Sinh", "", import_unary<kSinh>},
    {"Sqrt", "", import_unary<kSqrt>},
    {"Sub", "", import_binary<kSub>},
    {"Sum", "", import_variadic<kAdd>},
    {"Tan", "", import_unary<kTan>},
    {"Where", "", import_where},
    {"Xor", "", import_binary<kLogicalXor>},
};

}  // namespace

constinit const std::span<const OpImport> kElementwiseImports = kImports;

}  // namespace pare::onnx
