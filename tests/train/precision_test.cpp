// Training in bf16: refused where the CPU has none, and in its arithmetic about as good as in f32.
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/nn/conv.h"
#include "pare/nn/linear.h"
#include "pare/nn/normalization.h"
#include "pare/optim/sgd.h"
#include "pare/train/fit.h"

namespace pare::train {
namespace {

struct Net : nn::Module {
  nn::Conv2d conv{{.in = 1, .out = 6, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d bn{{.features = 6}};
  nn::Linear fc{{.in = 6 * 36, .out = 3}};
  void members(nn::Members& m) override { m("conv", conv)("bn", bn)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    return fc(reshape(relu(bn(conv(x))).to(MemoryFormat::row_major), {-1, 6 * 36}));
  }
};

// Which quarter of the picture is brightest.
data::TensorDataset pictures(std::int64_t count) {
  Generator generator(9);
  Tensor x = generator.normal({count, 1, 6, 6});
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    labels.push_back(i % 3);
    for (std::int64_t k = 0; k < 12; ++k)
      x.mutable_data<float>()[36 * i + 12 * (i % 3) + k] += 0.7F;
  }
  return data::TensorDataset(x, Tensor::from(labels, {count}));
}

History trained(Precision precision) {
  context().threads = 1;
  Net net;
  Generator generator(1);
  nn::initialize(net, generator);
  data::Loader train(pictures(240), {.batch_size = 24, .shuffle = true});
  optim::SGD sgd(net.parameters(), {.lr = 0.02, .momentum = 0.9});
  ContextScope scope;
  scope->precision = precision;
  const History history = fit(net, train, {.epochs = 4, .optimizer = &sgd});
  for (const auto& named : net.state()) EXPECT_EQ(named.tensor.dtype(), DType::f32);
  return history;
}

TEST(FitInBf16, LearnsAsInF32) {
  const double f32 = trained(Precision::f32).epochs.back().train.loss;
  const double bf16 = trained(Precision::bf16).epochs.back().train.loss;
  EXPECT_LT(f32, 0.35);
  EXPECT_NE(f32, bf16);
  EXPECT_NEAR(bf16, f32, 0.02);
}

TEST(FitInBf16, IsRefusedWhereTheCpuHasNone) {
  Net net;
  Generator generator(1);
  nn::initialize(net, generator);
  data::Loader train(pictures(24), {.batch_size = 24});
  if (has_bf16()) {
    EXPECT_TRUE(
        std::isfinite(fit(net, train, {.precision = Precision::bf16}).epochs[0].train.loss));
    return;
  }
  test::expect_error(ErrorCode::unsupported,
                     {"train::fit", "AVX512_BF16 or AMX_BF16", to_string(isa_cap())},
                     [&] { fit(net, train, {.precision = Precision::bf16}); });
  EXPECT_EQ(context().precision, Precision::f32);
}

}  // namespace
}  // namespace pare::train
