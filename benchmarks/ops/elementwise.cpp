// Cases of arithmetic, mathematical functions, comparisons and logic.
#include <cmath>

#include "ops/cases.h"

namespace pare::bench {
namespace {

template <class F, class D>
void unary(Cases& cases, const OpDef& op, const char* kind, F f, D derivative) {
  cases.push_back({op.name,
                   {&op, op.defaults ? op.defaults() : Attributes{}},
                   {{kind, kMatrix}},
                   each(f),
                   [derivative](const Tensors& in, Tensor& out) {
                     const float* g = in[0].data<float>();
                     const float* x = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = g[i] * derivative(x[i]);
                   }});
}

// `derivative`: of the first input.
template <class F, class D>
void binary(Cases& cases, const OpDef& op, const char* second, F f, D derivative) {
  cases.push_back({op.name,
                   {&op, op.defaults ? op.defaults() : Attributes{}},
                   {{"positive", kMatrix}, {second, kMatrix}},
                   pairs(f),
                   [derivative](const Tensors& in, Tensor& out) {
                     const float* g = in[0].data<float>();
                     const float* a = in[1].data<float>();
                     const float* b = in[2].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = g[i] * derivative(a[i], b[i]);
                   }});
}

template <class F> void compare(Cases& cases, const OpDef& op, F f) {
  cases.push_back(
      {op.name, {&op, {}}, {{"normal", kMatrix}, {"normal", kMatrix}}, pairs<bool>(f), {}, {}});
}
template <class F> void logical(Cases& cases, const OpDef& op, F f) {
  cases.push_back(
      {op.name, {&op, {}}, {{"bool", kMatrix}, {"bool", kMatrix}}, pairs<bool, bool>(f), {}, {}});
}
template <class F> void bitwise(Cases& cases, const OpDef& op, F f) {
  cases.push_back({op.name,
                   {&op, {}},
                   {{"int", kMatrix}, {"int", kMatrix}},
                   pairs<std::int32_t, std::int32_t>(f),
                   {},
                   {}});
}

float zero(float) { return 0; }

}  // namespace

void add_elementwise_cases(Cases& cases) {
  const auto one = [](float, float) { return 1.0F; };
  binary(
      cases, kAdd, "normal", [](float a, float b) { return a + b; }, one);
  binary(
      cases, kSub, "normal", [](float a, float b) { return a - b; }, one);
  binary(
      cases, kMul, "normal", [](float a, float b) { return a * b; },
      [](float, float b) { return b; });
  binary(
      cases, kDiv, "positive", [](float a, float b) { return a / b; },
      [](float, float b) { return 1 / b; });
  binary(
      cases, kMaximum, "normal", [](float a, float b) { return a < b ? b : a; },
      [](float a, float b) { return a < b ? 0.0F : 1.0F; });
  binary(
      cases, kMinimum, "normal", [](float a, float b) { return b < a ? b : a; },
      [](float a, float b) { return b < a ? 0.0F : 1.0F; });
  binary(
      cases, kPow, "normal", [](float a, float b) { return std::pow(a, b); },
      [](float a, float b) { return b * std::pow(a, b - 1); });
  binary(
      cases, kMod, "positive",
      [](float a, float b) {
        const float r = std::fmod(a, b);
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;
      },
      one);
  cases.push_back({"fmod",
                   {&kMod, Attributes::of(ModAttributes{.fmod = true})},
                   {{"normal", kMatrix}, {"positive", kMatrix}},
                   pairs([](float a, float b) { return std::fmod(a, b); })});
  cases.push_back({"pow, a square",
                   {&kPow, {}},
                   {{"normal", kMatrix}, {"const:2"}},
                   each([](float a) { return a * a; }),
                   {},
                   {0}});
  cases.push_back({"pow, a number",
                   {&kPow, {}},
                   {{"positive", kMatrix}, {"const:2.5"}},
                   each([](float a) { return std::pow(a, 2.5F); }),
                   {},
                   {0}});
  cases.push_back({"add, a row",
                   {&kAdd, {}},
                   {{"normal", kMatrix}, {"normal", {512}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* a = in[0].data<float>();
                     const float* b = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = a[i] + b[i % 512];
                   }});
  cases.push_back({"mul, channels",
                   {&kMul, {}},
                   {{"normal", kImages}, {"normal", {8, 32, 1, 1}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* a = in[0].data<float>();
                     const float* b = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = a[i] * b[i / 1024];
                   }});

  unary(
      cases, kNeg, "normal", [](float x) { return -x; }, [](float) { return -1.0F; });
  unary(
      cases, kExp, "normal", [](float x) { return std::exp(x); },
      [](float x) { return std::exp(x); });
  unary(
      cases, kLog, "positive", [](float x) { return std::log(x); }, [](float x) { return 1 / x; });
  unary(
      cases, kSqrt, "positive", [](float x) { return std::sqrt(x); },
      [](float x) { return 0.5F / std::sqrt(x); });
  unary(
      cases, kAbs, "normal", [](float x) { return std::fabs(x); },
      [](float x) { return x > 0 ? 1.0F : -1.0F; });
  unary(
      cases, kSign, "normal",
      [](float x) { return static_cast<float>(x > 0) - static_cast<float>(x < 0); }, zero);
  unary(
      cases, kSquare, "normal", [](float x) { return x * x; }, [](float x) { return 2 * x; });
  unary(
      cases, kReciprocal, "positive", [](float x) { return 1 / x; },
      [](float x) { return -1 / (x * x); });
  unary(
      cases, kRsqrt, "positive", [](float x) { return 1 / std::sqrt(x); },
      [](float x) { return -0.5F / (x * std::sqrt(x)); });
  unary(
      cases, kSin, "normal", [](float x) { return std::sin(x); },
      [](float x) { return std::cos(x); });
  unary(
      cases, kCos, "normal", [](float x) { return std::cos(x); },
      [](float x) { return -std::sin(x); });
  unary(
      cases, kTan, "uniform", [](float x) { return std::tan(x); },
      [](float x) { return 1 + std::tan(x) * std::tan(x); });
  unary(
      cases, kErf, "normal", [](float x) { return std::erf(x); },
      [](float x) { return 1.12837917F * std::exp(-x * x); });
  unary(
      cases, kFloor, "normal", [](float x) { return std::floor(x); }, zero);
  unary(
      cases, kCeil, "normal", [](float x) { return std::ceil(x); }, zero);
  unary(
      cases, kRound, "normal", [](float x) { return std::nearbyint(x); }, zero);
  cases.push_back({"clamp",
                   {&kClamp, Attributes::of(ClampAttributes{.min = -1, .max = 1})},
                   {{"normal", kMatrix}},
                   each([](float x) { return x < -1  ? -1.0F
                                             : x > 1 ? 1.0F
                                                     : x; })});

  compare(cases, kEqual, [](float a, float b) { return a == b; });
  compare(cases, kNotEqual, [](float a, float b) { return a != b; });
  compare(cases, kLess, [](float a, float b) { return a < b; });
  compare(cases, kLessEqual, [](float a, float b) { return a <= b; });
  compare(cases, kGreater, [](float a, float b) { return a > b; });
  compare(cases, kGreaterEqual, [](float a, float b) { return a >= b; });
  logical(cases, kLogicalAnd, [](bool a, bool b) { return a && b; });
  logical(cases, kLogicalOr, [](bool a, bool b) { return a || b; });
  logical(cases, kLogicalXor, [](bool a, bool b) { return a != b; });
  bitwise(cases, kBitwiseAnd, [](std::int32_t a, std::int32_t b) { return a & b; });
  bitwise(cases, kBitwiseOr, [](std::int32_t a, std::int32_t b) { return a | b; });
  bitwise(cases, kBitwiseXor, [](std::int32_t a, std::int32_t b) { return a ^ b; });
  cases.push_back({"logical_not",
                   {&kLogicalNot, {}},
                   {{"bool", kMatrix}},
                   each<bool, bool>([](bool x) { return !x; }),
                   {},
                   {}});
  cases.push_back({"bitwise_not",
                   {&kBitwiseNot, {}},
                   {{"int", kMatrix}},
                   each<std::int32_t, std::int32_t>([](std::int32_t x) { return ~x; }),
                   {},
                   {}});
  cases.push_back({"where",
                   {&kWhere, {}},
                   {{"bool", kMatrix}, {"normal", kMatrix}, {"normal", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     const bool* c = in[0].data<bool>();
                     const float* a = in[1].data<float>();
                     const float* b = in[2].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0, n = out.elements(); i < n; ++i)
                       y[i] = c[i] ? a[i] : b[i];
                   }});
  cases.push_back({"cast",
                   {&kCast, Attributes::of(CastAttributes{.to = DType::f64})},
                   {{"normal", kMatrix}},
                   each<double>([](float x) { return static_cast<double>(x); })});
  cases.push_back({"cast to integers",
                   {&kCast, Attributes::of(CastAttributes{.to = DType::i32})},
                   {{"normal", kMatrix}},
                   each<std::int32_t>([](float x) { return static_cast<std::int32_t>(x); }),
                   {},
                   {}});
  cases.push_back(
      {"detach", {&kDetach, {}}, {{"normal", kMatrix}}, each([](float x) { return x; }), {}, {}});
  cases.push_back({"to_format",
                   {&kToFormat, Attributes::of(ToFormatAttributes{.channels_last = true})},
                   {{"normal", kImages}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t n = 0; n < 8; ++n)
                       for (std::int64_t c = 0; c < 32; ++c)
                         for (std::int64_t p = 0; p < 1024; ++p)
                           y[(n * 1024 + p) * 32 + c] = x[(n * 32 + c) * 1024 + p];
                   }});
}

}  // namespace pare::bench
