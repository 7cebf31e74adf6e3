// Masks against torch.nn.utils.prune.
#include "pare/prune/masks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "expect_error.h"
#include "pare/core/ops.h"
#include "prune/golden_masks.h"

namespace pare::prune {
namespace {

using test::error_of;
using ::testing::HasSubstr;
namespace golden = test::golden;

struct Conv : nn::Module {
  nn::Parameter weight{Shape{6, 4, 3, 3}};
  Conv() { weight.set(Tensor::from(golden::kConvWeight, {6, 4, 3, 3})); }
  void members(nn::Members& m) override { m("weight", weight); }
  std::vector<float> mask() {
    for (const auto& b : state())
      if (b.name == "weight_mask") return b.tensor.to_vector<float>();
    return {};
  }
};

struct Dense : nn::Module {
  nn::Parameter weight{Shape{7, 10}};
  Dense() { weight.set(Tensor::from(golden::kLinearWeight, {7, 10})); }
  void members(nn::Members& m) override { m("weight", weight); }
};

TEST(Masks, AreTorchsUnstructured) {
  Conv m;
  l1_unstructured(m, "weight", 0.3);
  EXPECT_EQ(m.mask(), golden::kL1Fraction);
  l1_unstructured(m, "weight", 0.5);
  EXPECT_EQ(m.mask(), golden::kL1Twice);
  Conv counted;
  l1_unstructured(counted, "weight", 37);
  EXPECT_EQ(counted.mask(), golden::kL1Count);
  Conv scored;
  l1_unstructured(scored, "weight", 0.25, Tensor::from(golden::kScores, {6, 4, 3, 3}));
  EXPECT_EQ(scored.mask(), golden::kL1Scores);
}

TEST(Masks, AreTorchsStructured) {
  Conv a;
  ln_structured(a, "weight", 0.5, {.n = 2, .dim = 0});
  EXPECT_EQ(a.mask(), golden::kL2Dim0);
  Conv b;
  ln_structured(b, "weight", 1, {.n = 1, .dim = 1});
  EXPECT_EQ(b.mask(), golden::kL1Dim1);
  Conv c;
  ln_structured(c, "weight", 0.34, {.n = std::numeric_limits<double>::infinity(), .dim = -1});
  EXPECT_EQ(c.mask(), golden::kLinfLast);
  Conv d;
  ln_structured(d, "weight", 2, {.n = 2, .dim = 0});
  ln_structured(d, "weight", 0.5, {.n = 2, .dim = 0});
  EXPECT_EQ(d.mask(), golden::kStructuredTwice);
  Conv e;
  ln_structured(e, "weight", 2, {.n = 2, .dim = 0});
  l1_unstructured(e, "weight", 0.5);
  EXPECT_EQ(e.mask(), golden::kStructuredThenL1);
}

TEST(Masks, AreTorchsGlobal) {
  Conv conv;
  Dense dense;
  const std::vector<Target> targets{{&conv, "weight"}, {&dense, "weight"}};
  const auto mask = [](nn::Module& m) { return m.named_buffers().at(0).tensor.to_vector<float>(); };
  global_unstructured(targets, UnstructuredMethod::l1, 0.4);
  EXPECT_EQ(mask(conv), golden::kGlobalConv);
  EXPECT_EQ(mask(dense), golden::kGlobalLinear);
  global_unstructured(targets, UnstructuredMethod::l1, 0.25);
  EXPECT_EQ(mask(conv), golden::kGlobalConvTwice);
  EXPECT_EQ(mask(dense), golden::kGlobalLinearTwice);
}

TEST(Masks, CustomOnesComposeAndStopGradients) {
  Conv m;
  const Tensor orig = m.parameters().at(0);
  l1_unstructured(m, "weight", 0.3);
  custom_from_mask(m, "weight", Tensor::from(golden::kCustom, {6, 4, 3, 3}));
  EXPECT_EQ(m.mask(), golden::kL1ThenCustom);
  // The optimizer's handle is the same leaf, now called weight_orig.
  ASSERT_EQ(m.named_parameters().size(), 1U);
  EXPECT_EQ(m.named_parameters()[0].name, "weight_orig");
  EXPECT_TRUE(m.named_parameters()[0].tensor.same_as(orig));

  const Tensor y = conv2d(Tensor::from(golden::kInput, {2, 4, 5, 5}), m.weight);
  sum(y * y).backward();
  const auto gradient = orig.grad().to_vector<float>();
  const auto mask = m.mask();
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (mask[i] == 0) {
      ASSERT_EQ(gradient[i], 0) << i;
    }
  for (std::size_t i = 0; i < mask.size(); ++i)
    ASSERT_NEAR(gradient[i], golden::kGradient[i], 1e-3F * 60) << i;
}

TEST(Masks, RandomOnesHaveTheRightSizeAndSeed) {
  const auto masks = [](std::uint64_t seed) {
    Generator g(seed);
    Conv m;
    random_unstructured(m, "weight", 0.3, g);
    EXPECT_NEAR(sparsity(m, "weight"), 0.3, 0.5 / 216);
    Conv s;
    random_structured(s, "weight", 2, g, {.dim = 0});
    EXPECT_DOUBLE_EQ(sparsity(s, "weight"), 2.0 / 6.0);
    auto both = m.mask();
    const auto second = s.mask();
    both.insert(both.end(), second.begin(), second.end());
    return both;
  };
  EXPECT_EQ(masks(1), masks(1));
  EXPECT_NE(masks(1), masks(2));
}

TEST(Masks, CustomOnesMultiply) {
  Conv m;
  std::vector<float> half(216, 0.5F);
  half[3] = 0;
  const Tensor given = Tensor::from(half, {6, 4, 3, 3});
  custom_from_mask(m, "weight", given);
  EXPECT_EQ(m.mask(), half);
  custom_from_mask(m, "weight", given);
  EXPECT_EQ(m.mask()[0], 0.25F);
  EXPECT_EQ(m.mask()[3], 0);
}

TEST(Masks, NormsOfAnyOrderNeitherVanishNorOverflow) {
  // Slices of norms 1e-6, 2e-6, …: their tenth powers are below what a float holds.
  for (const float unit : {1e-6F, 1e-30F, 1e30F}) {
    Dense m;
    std::vector<float> values(70, 0.0F);
    // Slice 6 is the smallest, slice 0 the largest.
    for (std::size_t r = 0; r < 7; ++r) values[r * 10] = unit * static_cast<float>(7 - r);
    m.weight.set(Tensor::from(values, {7, 10}));
    ln_structured(m, "weight", 3, {.n = 10, .dim = 0});
    const auto mask = m.named_buffers().at(0).tensor.to_vector<float>();
    for (std::size_t r = 0; r < 7; ++r) EXPECT_EQ(mask[r * 10], r < 4 ? 1 : 0) << unit << ", " << r;
  }
}

TEST(Masks, MinusInfinityRanksByTheSmallestEntry) {
  Dense m;
  std::vector<float> values(70, 5.0F);
  for (std::size_t r = 0; r < 7; ++r) values[r * 10 + 4] = r == 2 ? -0.5F : 1.0F;
  m.weight.set(Tensor::from(values, {7, 10}));
  ln_structured(m, "weight", 1, {.n = -std::numeric_limits<double>::infinity(), .dim = 0});
  const auto mask = m.named_buffers().at(0).tensor.to_vector<float>();
  for (std::size_t r = 0; r < 7; ++r) EXPECT_EQ(mask[r * 10], r == 2 ? 0 : 1) << r;
  for (const double n : {0.0, -2.0, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THAT(error_of([&] { ln_structured(m, "weight", 1, {.n = n}); }),
                HasSubstr("order above 0, infinity or -infinity"));
}

TEST(Masks, RefuseToRankNan) {
  Conv m;
  auto values = golden::kConvWeight;
  values[7] = std::numeric_limits<float>::quiet_NaN();
  m.weight.set(Tensor::from(values, {6, 4, 3, 3}));
  Dense dense;
  const auto expect = [&](auto call) {
    EXPECT_THAT(error_of(call), HasSubstr("scores of \"weight\" that can be ranked, got NaN"));
    EXPECT_FALSE(is_pruned(m));
    EXPECT_FALSE(is_pruned(dense));
  };
  expect([&] { l1_unstructured(m, "weight", 0.3); });
  expect([&] { ln_structured(m, "weight", 1, {.n = 2, .dim = 0}); });
  expect([&] {
    ln_structured(m, "weight", 1, {.n = std::numeric_limits<double>::infinity(), .dim = 0});
  });
  expect([&] {
    global_unstructured({{&dense, "weight"}, {&m, "weight"}}, UnstructuredMethod::l1, 0.1);
  });
}

// A parameter whose fake-quantized value is computed, behind which no mask can go.
struct Quantized : nn::Module {
  nn::Parameter weight{Shape{2}};
  Quantized() {
    weight.set(Tensor::from({1, 2}, {2}));
    Expression& e = weight.expression();
    e.append({&kNeg, {}});
    const int scale = e.add_leaf({"_scale", Tensor::ones({1}), false});
    e.append({&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{})}, {scale});
  }
  void members(nn::Members& m) override { m("weight", weight); }
};

TEST(Masks, GlobalOnesAreAllOrNothing) {
  Conv conv;
  Quantized quantized;
  EXPECT_THAT(error_of([&] {
                global_unstructured({{&conv, "weight"}, {&quantized, "weight"}},
                                    UnstructuredMethod::l1, 0.5);
              }),
              HasSubstr("mask it first"));
  EXPECT_FALSE(is_pruned(conv));
  EXPECT_EQ(quantized.weight.expression().leaves.size(), 2U);
  EXPECT_THAT(error_of([&] { l1_unstructured(quantized, "weight", 1); }),
              HasSubstr("mask it first"));
  EXPECT_EQ(quantized.weight.expression().leaves.size(), 2U);
  EXPECT_EQ(quantized.weight.expression().leaves[0].suffix, "");
  EXPECT_THAT(
      error_of([&] {
        global_unstructured({{&conv, "weight"}, {&conv, "weight"}}, UnstructuredMethod::l1, 0.5);
      }),
      HasSubstr("every parameter once, got \"weight\" twice"));
  EXPECT_FALSE(is_pruned(conv));
}

TEST(Masks, GlobalOnesTakeImportanceScores) {
  Conv conv;
  Dense dense;
  // The dense weights are all more important than any of the convolution's.
  global_unstructured({{&conv, "weight", Tensor::full({6, 4, 3, 3}, 0.1)},
                       {&dense, "weight", Tensor::full({7, 10}, -3)}},
                      UnstructuredMethod::l1, 200);
  EXPECT_DOUBLE_EQ(sparsity(conv, "weight"), 200.0 / 216);
  EXPECT_EQ(sparsity(dense, "weight"), 0);
}

TEST(Masks, RemoveFoldsInPlace) {
  Conv m;
  const Tensor orig = m.parameters().at(0);
  EXPECT_FALSE(is_pruned(m));
  l1_unstructured(m, "weight", 0.3);
  EXPECT_TRUE(is_pruned(m));
  const auto value = m.weight.value().to_vector<float>();
  remove(m, "weight");
  EXPECT_FALSE(is_pruned(m));
  EXPECT_EQ(m.weight.value().to_vector<float>(), value);
  EXPECT_TRUE(m.parameters().at(0).same_as(orig));
  EXPECT_EQ(m.named_parameters().at(0).name, "weight");
  EXPECT_THAT(error_of([&] { remove(m, "weight"); }), HasSubstr("without a mask"));
  identity(m, "weight");
  EXPECT_TRUE(is_pruned(m));
  EXPECT_NEAR(sparsity(m, "weight"), 65.0 / 216, 1e-9);
}

TEST(Masks, RefuseWhatTheyCannotDo) {
  Conv m;
  EXPECT_THAT(error_of([&] { l1_unstructured(m, "wieght", 0.3); }),
              HasSubstr("expected a parameter of the module (weight), got \"wieght\""));
  EXPECT_THAT(error_of([&] { l1_unstructured(m, "weight", 1.5); }), HasSubstr("[0, 1], got 1.5"));
  EXPECT_THAT(error_of([&] { l1_unstructured(m, "weight", 217); }), HasSubstr("at most 216"));
  EXPECT_THAT(error_of([&] { ln_structured(m, "weight", 1, {.dim = 4}); }),
              HasSubstr("expected an axis in [-4, 4), got 4"));
  EXPECT_THAT(error_of([&] {
                custom_from_mask(m, "weight", Tensor::ones({6, 4}));
              }),
              HasSubstr("expected a mask [6, 4, 3, 3], got [6, 4]"));
  EXPECT_THAT(error_of([&] { custom_from_mask(m, "weight", {}); }),
              HasSubstr("expected a mask [6, 4, 3, 3], got an undefined tensor"));
  EXPECT_THAT(error_of([&] { l1_unstructured(m, "weight", 0.1, Tensor::ones({2})); }),
              HasSubstr("importance scores [6, 4, 3, 3], got [2]"));
  EXPECT_THAT(error_of([&] { global_unstructured({}, UnstructuredMethod::l1, 0.1); }),
              HasSubstr("got none"));
  EXPECT_THAT(error_of([&] { remove(m, "weight"); }), HasSubstr("remove: expected a pruned"));
  EXPECT_FALSE(is_pruned(m));
}

}  // namespace
}  // namespace pare::prune
