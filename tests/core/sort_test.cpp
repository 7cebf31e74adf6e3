// sort, argsort, topk and unique against PyTorch; stability and bad input.
#include <gmock/gmock.h>

#include <algorithm>

#include "core/golden_sort.h"
#include "pare/core/generator.h"
#include "pare/core/ops/sort.h"

namespace pare::test {
namespace {

using ::testing::HasSubstr;
using Integers = std::vector<std::int64_t>;

TEST(Sort, GoldenValues) {
  for (const GoldenCase& c : sort_golden()) {
    for (const bool last : {false, true}) {
      Tensor x = c.inputs[0].tensor();
      if (last && x.rank() >= 3) x = x.to(MemoryFormat::channels_last).clone();
      const std::string what = std::string(c.op) + " " + x.shape().to_string();
      if (!c.gradients.empty()) x.set_requires_grad();
      const auto number = [&](std::size_t i) { return static_cast<std::int64_t>(c.numbers[i]); };
      const bool top = what.starts_with("topk");
      const Sorted found = top ? topk(x, {number(0), number(1), number(2) != 0})
                               : sort(x, {number(0), number(1) != 0});
      const bool indices = std::string(c.op).ends_with("indices");
      expect_close(indices ? found.indices : found.values, c.output, 0, what);
      if (c.gradients.empty()) continue;
      found.values.backward(c.given.tensor());
      expect_close(x.grad(), c.gradients[0], 0, what + ", the gradient");
    }
  }
}

TEST(Sort, IsStableBothWays) {
  const Tensor x = Tensor::from(Integers{2, -1, 2, 5, -1, 2}, {6});
  EXPECT_EQ(argsort(x).to_vector<std::int64_t>(), (Integers{1, 4, 0, 2, 5, 3}));
  EXPECT_EQ(argsort(x, {.descending = true}).to_vector<std::int64_t>(),
            (Integers{3, 0, 2, 5, 1, 4}));
  EXPECT_EQ(topk(x, {.k = 3}).indices.to_vector<std::int64_t>(), (Integers{3, 0, 2}));
  EXPECT_EQ(topk(x, {.k = 3, .largest = false}).values.to_vector<std::int64_t>(),
            (Integers{-1, -1, 2}));
}

TEST(Sort, OfManyIsInOrder) {
  Generator g(3);
  const Tensor x = g.normal({70'001});
  std::vector<float> expected = x.to_vector<float>();
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(sort(x).values.to_vector<float>(), expected);
}

TEST(Sort, UniqueValues) {
  const Unique u = unique(Tensor::from({3, 1, -0.0F, 3, 0, 3}, {2, 3}));
  EXPECT_EQ(u.values.to_vector<float>(), (std::vector<float>{0, 1, 3}));
  EXPECT_EQ(u.inverse.to_vector<std::int64_t>(), (Integers{2, 1, 0, 2, 0, 2}));
  EXPECT_EQ(u.inverse.shape(), (Shape{2, 3}));
  EXPECT_EQ(u.counts.to_vector<std::int64_t>(), (Integers{2, 1, 3}));
  EXPECT_EQ(unique(Tensor::from({NAN, NAN, 1}, {3})).counts.to_vector<std::int64_t>(),
            (Integers{1, 1, 1}));
  EXPECT_EQ(unique(Tensor::zeros({0, 3})).values.shape(), (Shape{0}));
  const Unique none = unique(Tensor::zeros({3, 0, 2}));
  EXPECT_EQ(none.values.shape(), (Shape{0}));
  EXPECT_EQ(none.inverse.shape(), (Shape{3, 0, 2}));
  EXPECT_EQ(unique(Tensor::ones({4}, DType::bf16)).values.dtype(), DType::bf16);
}

TEST(Sort, BadInput) {
  ErrorCode code{};
  const Tensor x = Tensor::zeros({2, 3});
  EXPECT_THAT(error_of([&] { sort(x, {.axis = 2}); }, &code), HasSubstr("sort"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { topk(x, {.k = 4}); }, &code),
              HasSubstr("topk: expected k from 0 to the length of axis 1 of [2, 3], got 4"));
  EXPECT_EQ(code, ErrorCode::out_of_range);
  EXPECT_THAT(error_of([&] { topk(x, {.k = -1}); }), HasSubstr("got -1"));
  EXPECT_THAT(error_of([&] { sort(Tensor::zeros({2}, DType::boolean)); }, &code),
              HasSubstr("sort: expected a number type, got bool"));
  EXPECT_EQ(code, ErrorCode::dtype_mismatch);
  EXPECT_THAT(error_of([] { unique(Tensor()); }), HasSubstr("unique: expected a tensor"));
}

}  // namespace
}  // namespace pare::test
