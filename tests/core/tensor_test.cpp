// Tests of Tensor, DType and half-precision conversion.
#include "pare/core/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/sanitizers.h"
#include "expect_error.h"

namespace pare {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Tensor, HoldsValuesInBothFormats) {
  const Tensor x = Tensor::from({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {1, 3, 2, 2});
  const Tensor y = x.to(MemoryFormat::channels_last);
  EXPECT_TRUE(y.channels_last());
  EXPECT_EQ(y.shape(), x.shape());
  EXPECT_EQ(y.data<float>()[1], 4);  // channel 1 of the first pixel
  EXPECT_EQ(y.to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(y.to(MemoryFormat::row_major).to_vector<float>(), x.to_vector<float>());
  EXPECT_TRUE(x.to(MemoryFormat::row_major).same_as(x));
}

TEST(Tensor, IsAlignedAndCountsChanges) {
  Tensor x = Tensor::zeros({3});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.raw()) % 64, 0U);
  const auto before = x.impl()->storage->version.load();
  x.mutable_data<float>()[0] = 1;
  EXPECT_GT(x.impl()->storage->version.load(), before);
}

TEST(Tensor, SharesAndClones) {
  Tensor x = Tensor::from({1, 2}, {2});
  Tensor same = x;
  const Tensor copy = x.clone();
  same.mutable_data<float>()[0] = 9;
  EXPECT_THAT(x.to_vector<float>(), ElementsAre(9, 2));
  EXPECT_THAT(copy.to_vector<float>(), ElementsAre(1, 2));
  x.copy_from(Tensor::from(std::vector<std::int32_t>{5, 6}, {2}));
  EXPECT_THAT(same.to_vector<float>(), ElementsAre(5, 6));
}

TEST(Tensor, WrapsForeignMemory) {
  auto memory = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  const std::weak_ptr<std::vector<float>> watch = memory;
  Tensor x = Tensor::wrap(memory->data(), {3}, DType::f32, memory);
  memory.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_THAT(x.to_vector<float>(), ElementsAre(1, 2, 3));
  x = {};
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] {
                Tensor::from({1, 2, 3}, {2, 2});
              }),
              HasSubstr("expected 4 values for [2, 2], got 3"));
  EXPECT_THAT(error_of([] { (void)Tensor::zeros({2}).data<std::int64_t>(); }),
              HasSubstr("expected i64, got f32 [2]"));
  EXPECT_THAT(error_of([] { (void)Tensor::zeros({2}).item(); }), HasSubstr("expected one element"));
  EXPECT_THAT(error_of([] {
                Tensor::zeros({2, 2}).to(MemoryFormat::channels_last);
              }),
              HasSubstr("expected rank 3 to 5"));
  EXPECT_THAT(error_of([] { Tensor::empty({std::int64_t{1} << 62}); }), HasSubstr("63 bits"));
  EXPECT_THAT(error_of([] { Tensor::zeros({2}).copy_from(Tensor::zeros({3})); }),
              HasSubstr("expected [2], got [3]"));
  EXPECT_THAT(error_of([] { Tensor::zeros({2}).set_grad(Tensor::zeros({3})); }),
              HasSubstr("expected a gradient [2], got [3]"));
}

TEST(Tensor, RefusesToBeUsedWhileUndefined) {
  const Tensor none;
  Tensor some = Tensor::zeros({2});
  EXPECT_ERROR(none.item(), invalid_argument, "item: expected a tensor, got an undefined one");
  EXPECT_ERROR(none.to_vector<float>(), invalid_argument, "to_vector");
  EXPECT_ERROR(none.clone(), invalid_argument, "clone");
  EXPECT_ERROR(none.detach(), invalid_argument, "detach");
  EXPECT_ERROR(none.to(DType::f16), invalid_argument, "to:");
  EXPECT_ERROR(none.to(MemoryFormat::channels_last), invalid_argument, "to:");
  EXPECT_ERROR(some.copy_from(none), invalid_argument, "copy_from");
  EXPECT_ERROR(Tensor().copy_from(some), invalid_argument, "copy_from");
  EXPECT_ERROR(Tensor().fill(1), invalid_argument, "fill");
  EXPECT_ERROR(Tensor().set_grad(some), invalid_argument, "set_grad");
  EXPECT_ERROR(none.grad(), invalid_argument, "grad");
  EXPECT_ERROR(Tensor().zero_grad(), invalid_argument, "zero_grad");
  EXPECT_ERROR(Tensor().set_requires_grad(), invalid_argument, "set_requires_grad");
}

TEST(Tensor, RefusesAGradientOfAnotherType) {
  Tensor x = Tensor::zeros({2});
  EXPECT_ERROR(x.set_grad(Tensor::zeros({2}, DType::u8)), dtype_mismatch, "set_grad", "f32", "u8");
  EXPECT_FALSE(x.grad().defined());
}

TEST(Tensor, MoreMemoryThanThereIsIsAnError) {
#if PARE_SANITIZED
  GTEST_SKIP() << "the sanitizers' own malloc ends the process";
#endif
  EXPECT_ERROR(Tensor::empty({std::int64_t{1} << 56}), out_of_memory, "tensor",
               "288230376151711744 bytes");
}

TEST(Tensor, ConvertsAndPrints) {
  EXPECT_DOUBLE_EQ(Tensor::scalar(3, DType::i64).item(), 3);
  EXPECT_THAT(Tensor::full({2}, 7, DType::u8).to_vector<std::uint8_t>(), ElementsAre(7, 7));
  EXPECT_THAT(Tensor::full({2}, 0.5, DType::f16).to(DType::f32).to_vector<float>(),
              ElementsAre(0.5F, 0.5F));
  EXPECT_EQ(Tensor::from({1, 2.5F}, {2}).to_string(), "f32 [2] {1, 2.5}");
}

TEST(DType, EveryHalfSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const Half h{static_cast<std::uint16_t>(bits)};
    const float f = to_float(h);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(to_float(to_half(f))));
      continue;
    }
    EXPECT_EQ(to_half(f).bits, h.bits);
    const BFloat16 b{static_cast<std::uint16_t>(bits)};
    if (!std::isnan(to_float(b))) {
      EXPECT_EQ(to_bfloat16(to_float(b)).bits, b.bits);
    }
  }
}

TEST(DType, RoundsHalvesToEven) {
  EXPECT_EQ(to_half(1.0F + 0x1p-11F).bits, 0x3c00);      // a tie, down to even
  EXPECT_EQ(to_half(1.0F + 3 * 0x1p-11F).bits, 0x3c02);  // a tie, up to even
  EXPECT_EQ(to_half(65519.9F).bits, 0x7bff);
  EXPECT_EQ(to_half(65520.0F).bits, 0x7c00);
  EXPECT_EQ(to_half(-0x1p-25F).bits, 0x8000);  // a tie with zero
  EXPECT_EQ(to_half(0x1.8p-25F).bits, 0x0001);
  EXPECT_EQ(to_half(0x1p-14F - 0x1p-26F).bits, 0x0400);  // from subnormal up to normal
  EXPECT_EQ(to_bfloat16(1.0F + 0x1p-8F).bits, 0x3f80);
  EXPECT_EQ(to_bfloat16(1.0F + 3 * 0x1p-8F).bits, 0x3f82);
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace pare
