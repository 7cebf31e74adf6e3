// Activations against PyTorch, double precision and bad input.
#include <gmock/gmock.h>

#include "core/golden_activation.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;

Attributes attributes_of(const OpDef* op, const std::vector<double>& n) {
  if (op == &kLeakyRelu) return Attributes::of(LeakyReluAttributes{n[0]});
  if (op == &kElu || op == &kCelu) return Attributes::of(EluAttributes{n[0]});
  if (op == &kHardtanh) return Attributes::of(HardtanhAttributes{n[0], n[1]});
  if (op == &kSoftplus) return Attributes::of(SoftplusAttributes{n[0], n[1]});
  if (op == &kGelu) return Attributes::of(GeluAttributes{n[0] == 0 ? "none" : "tanh"});
  return {};
}

TEST(Activation, GoldenValues) {
  std::vector<GoldenCase> cases = activation_golden();
  std::erase_if(cases, [](const GoldenCase& c) {
    return !find_op(c.op) || std::string(c.op) == kPrelu.name;
  });
  // PyTorch's gelu loses up to 4e-7 in the lower tail, where it adds erf to 1.
  expect_golden(cases, 5e-6F, [](const GoldenCase& c, Tensors&) {
    const OpDef* op = find_op(c.op);
    return Call{op, attributes_of(op, c.numbers)};
  });
}

TEST(Activation, PreluAndGluAreAsPyTorchs) {
  int seen = 0;
  for (const GoldenCase& c : activation_golden()) {
    const bool is_glu = std::string(c.op) == "glu";
    if (!is_glu && std::string(c.op) != "prelu") continue;
    ++seen;
    Tensors inputs;
    for (const GoldenTensor& t : c.inputs) inputs.push_back(t.tensor().set_requires_grad());
    const Tensor y =
        is_glu ? glu(inputs[0], static_cast<int>(c.numbers[0])) : prelu(inputs[0], inputs[1]);
    expect_close(y, c.output, 2e-6F, c.op);
    y.backward(c.given.tensor());
    for (std::size_t i = 0; i < inputs.size(); ++i)
      expect_close(inputs[i].grad(), c.gradients[i], 2e-6F, c.op);
  }
  EXPECT_EQ(seen, 7);
}

/// Far from 0, where the parts of a formula overflow or vanish.
TEST(Activation, TailsStayFinite) {
  Tensor x = Tensor::from({-1000.0F, -95.0F, -30.0F, 30.0F, 95.0F, 1000.0F}, {6});
  const auto values = [](const Tensor& t) { return t.to_vector<float>(); };
  using F = std::vector<float>;
  EXPECT_EQ(values(log_sigmoid(x))[0], -1000.0F);
  EXPECT_NEAR(values(log_sigmoid(x))[3], -std::exp(-30.0), 1e-19);
  EXPECT_NEAR(values(softplus(x))[2], std::exp(-30.0), 1e-19);
  EXPECT_EQ(values(softplus(x, {.beta = 1, .threshold = 1e9}))[3], 30.0F);
  EXPECT_EQ(values(mish(x))[5], 1000.0F);
  EXPECT_EQ(values(mish(x))[0], 0.0F);
  EXPECT_EQ(values(gelu(x))[5], 1000.0F);
  EXPECT_EQ(values(silu(x))[5], 1000.0F);
  EXPECT_EQ(values(elu(x)), (F{-1, -1, -1, 30, 95, 1000}));
  x.set_requires_grad();
  for (const auto& run : {silu, mish, log_sigmoid, selu, softsign}) {
    x.zero_grad();
    run(x).backward(Tensor::ones({6}));
    for (const float g : x.grad().to_vector<float>()) EXPECT_TRUE(std::isfinite(g));
  }
}

TEST(Activation, GeluKeepsItsDigitsInTheLowerTail) {
  const Tensor x = Tensor::from({-0.5F, -1.3F, -1.32F, -2.0F, -4.0F, -6.0F, -8.0F}, {7});
  const auto y = gelu(x).to_vector<float>();
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto v = static_cast<double>(x.data<float>()[i]);
    const double exact = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
    EXPECT_NEAR(y[i], exact, 3e-6 * std::abs(exact)) << v;
  }
}

TEST(Activation, SmallNegativesKeepTheirDigits) {
  const Tensor x = Tensor::from({-1e-6F, -1e-4F, -0.3F, -0.4F, -5.0F}, {5});
  const auto y = elu(x).to_vector<float>();
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double exact = std::expm1(static_cast<double>(x.data<float>()[i]));
    EXPECT_NEAR(y[i], exact, 4 * 0x1p-24 * std::abs(exact)) << i;
  }
}

TEST(Activation, BadInput) {
  ErrorCode code{};
  const Tensor x = Tensor::zeros({2, 3, 4}), i = Tensor::zeros({2}, DType::i32);
  EXPECT_THAT(error_of([&] { leaky_relu(i); }, &code),
              HasSubstr("leaky_relu: expected a floating type, got i32"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([&] { celu(x, 0); }, &code), HasSubstr("celu: expected an alpha"));
  EXPECT_EQ(code, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([&] { hardtanh(x, 2, 1); }), HasSubstr("hardtanh: expected min"));
  EXPECT_THAT(error_of([&] { softplus(x, {.beta = 0}); }), HasSubstr("softplus: expected a beta"));
  EXPECT_THAT(error_of([&] { gelu(x, "erf"); }),
              HasSubstr("gelu: expected the approximation none or tanh, got erf"));
  EXPECT_THAT(error_of([&] { prelu(i, i); }), HasSubstr("prelu: expected a floating type"));
  EXPECT_THAT(error_of([&] {
                prelu(x, Tensor::zeros({3, 1}));
              }),
              HasSubstr("prelu: expected a weight of rank 1, got [3, 1]"));
  EXPECT_THAT(error_of([&] { prelu(x, Tensor::zeros({4})); }, &code),
              HasSubstr("prelu: expected shapes that broadcast"));
  EXPECT_EQ(code, ErrorCode::shape_mismatch);
  const Call call{&kPrelu, {}};
  EXPECT_THAT(error_of([&] {
                apply(call, detail::Borrowed(Tensor::zeros({4}), Tensor::zeros({2, 4})));
              }),
              HasSubstr("prelu: expected a slope that broadcasts to [4], got [2, 4]"));
  EXPECT_THAT(error_of([&] { glu(x, 1); }), HasSubstr("glu: expected an axis of even length"));
  EXPECT_THAT(error_of([&] { glu(x, 3); }), HasSubstr("glu: expected an axis of a tensor of rank"));
}

}  // namespace
}  // namespace pare::test
