// Gather and scatter of elements and blocks, one-hot: PyTorch's and ONNX Runtime's values, bad
// input.
#include "pare/core/ops/indexing.h"

#include <gmock/gmock.h>

#include "core/golden_indexing.h"
#include "core/golden_scatter.h"
#include "pare/core/ops/elementwise.h"

namespace pare {
namespace {

using test::GoldenCase;
using testing::ElementsAre;
using Numbers = std::vector<std::int64_t>;

constexpr const char* kReductions[] = {"none", "add", "mul", "max", "min"};

Tensor indices(const Numbers& values, const Shape& shape) { return Tensor::from(values, shape); }
std::vector<float> values(const Tensor& t) { return t.to(DType::f32).to_vector<float>(); }

TEST(Indexing, GoldenValues) {
  test::expect_golden(test::indexing_golden(), 1e-6F, [](const GoldenCase& c, Tensors& inputs) {
    const OpDef* op = find_op(c.op);
    const Numbers n(c.numbers.begin(), c.numbers.end());
    Tensor& places = inputs[op == &kOneHot ? 0 : 1];
    places = cast(places, DType::i64);
    if (op == &kGatherElements) return Call{op, Attributes::of(GatherElementsAttributes{n[0]})};
    if (op == &kGatherNd) return Call{op, Attributes::of(GatherNdAttributes{n[0]})};
    if (op == &kScatterNd) return Call{op, Attributes::of(ScatterNdAttributes{kReductions[n[0]]})};
    if (op == &kScatterElements)
      return Call{op, Attributes::of(ScatterElementsAttributes{n[0], kReductions[n[1]]})};
    return Call{op, Attributes::of(OneHotAttributes{n[0], n[1], c.numbers[2], c.numbers[3]})};
  });
}

TEST(Scatter, GoldenValues) {
  test::expect_golden_of(test::scatter_golden(), 2e-6F, [](const GoldenCase& c, Tensors& inputs) {
    const char* reductions[] = {"sum", "prod", "mean", "amax", "amin"};
    ScatterOptions options{.axis = static_cast<int>(c.numbers[0])};
    const Tensor places = cast(inputs[2], DType::i64);
    if (std::string(c.op) == "scatter") return scatter(inputs[0], places, inputs[1], options);
    if (std::string(c.op) == "scatter_add")
      return scatter_add(inputs[0], places, inputs[1], options);
    options.reduction = reductions[static_cast<std::size_t>(c.numbers[1])];
    options.include_self = c.numbers[2] != 0;
    return scatter_reduce(inputs[0], places, inputs[1], options);
  });
}

TEST(Scatter, OfSeveralTheLastStaysAndTakesTheGradient) {
  Tensor x = Tensor::from({1, 2, 3}, {3}).set_requires_grad();
  Tensor source = Tensor::from({4, 5, 6, 7}, {4}).set_requires_grad();
  const Tensor y = scatter(x, indices({1, 1, 0, 1}, {4}), source);
  EXPECT_THAT(values(y), ElementsAre(6, 7, 3));
  y.backward(Tensor::from({10, 20, 30}, {3}));
  EXPECT_THAT(values(x.grad()), ElementsAre(0, 0, 30));
  EXPECT_THAT(values(source.grad()), ElementsAre(0, 0, 10, 20));
}

TEST(Scatter, TakesTheFirstOfALongerSource) {
  const Tensor x = Tensor::zeros({2, 2});
  const Tensor source = Tensor::from({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_THAT(values(scatter(x, indices({1, 0}, {1, 2}), source)), ElementsAre(0, 2, 1, 0));
}

TEST(Scatter, OtherDtypes) {
  const Tensor bytes = Tensor::from(std::vector<std::uint8_t>{250, 1}, {2});
  const Tensor more = Tensor::from(std::vector<std::uint8_t>{10, 7}, {2});
  const Tensor places = indices({0, 1}, {2});
  EXPECT_THAT(values(scatter_add(bytes, places, more)), ElementsAre(4, 8));  // wraps
  EXPECT_THAT(values(scatter_reduce(bytes, places, more, {.reduction = "amin"})),
              ElementsAre(10, 1));
  const Numbers kept{std::numeric_limits<std::int64_t>::min(), 5};
  const Tensor wide = Tensor::from(kept, {2});
  EXPECT_EQ(scatter_reduce(wide, indices({1}, {1}), indices({7}, {1}),
                           {.reduction = "amax", .include_self = false})
                .to_vector<std::int64_t>(),
            (Numbers{kept[0], 7}));
  const Tensor half = Tensor::from({1.5F, 2}, {2}).to(DType::f16);
  EXPECT_THAT(values(scatter_add(half, places, half)), ElementsAre(3, 4));
  const Tensor truth = Tensor::zeros({2}, DType::boolean);
  EXPECT_THAT(values(scatter(truth, places, Tensor::ones({2}, DType::boolean))), ElementsAre(1, 1));
  EXPECT_ERROR(scatter_add(truth, places, truth), dtype_mismatch, "scatter_elements", "bool");
  EXPECT_ERROR(scatter_reduce(bytes, places, more, {.reduction = "mean"}), dtype_mismatch, "mean");
}

TEST(Scatter, NanIsTheExtreme) {
  const Tensor x = Tensor::from({1, NAN, 3}, {3});
  const Tensor y = scatter_reduce(x, indices({0, 1, 2}, {3}), Tensor::from({NAN, 1, 4}, {3}),
                                  {.reduction = "amax"});
  const std::vector<float> v = values(y);
  EXPECT_TRUE(std::isnan(v[0]));
  EXPECT_TRUE(std::isnan(v[1]));
  EXPECT_EQ(v[2], 4);
}

TEST(Indexing, GradientsOfOtherDtypes) {
  for (const DType dtype : {DType::f64, DType::f16, DType::bf16}) {
    Tensor x = Tensor::from({1, 2, 3}, {3}).to(dtype).set_requires_grad();
    Tensor u = Tensor::from({2, 4, 0.5F}, {3}).to(dtype).set_requires_grad();
    const Tensor places = indices({0, 2, 0}, {3});
    const Tensor g = Tensor::from({1, 2, 4}, {3}).to(dtype);
    gather_elements(x, places).backward(g);
    EXPECT_THAT(values(x.grad()), ElementsAre(5, 0, 2)) << traits(dtype).name;
    x.zero_grad();
    gather_nd(x, indices({2, 2, 1}, {3, 1})).backward(g);
    EXPECT_THAT(values(x.grad()), ElementsAre(0, 4, 3)) << traits(dtype).name;
    x.zero_grad();
    scatter_reduce(x, places, u, {.reduction = "prod"}).backward(g);
    EXPECT_THAT(values(x.grad()), ElementsAre(1, 2, 16)) << traits(dtype).name;
    EXPECT_THAT(values(u.grad()), ElementsAre(0.5, 12, 2)) << traits(dtype).name;
    EXPECT_EQ(u.grad().dtype(), dtype);
    x.zero_grad();
    u.zero_grad();
    scatter_reduce(x, places, u, {.reduction = "amax"}).backward(g);
    EXPECT_THAT(values(x.grad()), ElementsAre(0, 2, 0)) << traits(dtype).name;
    EXPECT_THAT(values(u.grad()), ElementsAre(1, 4, 0)) << traits(dtype).name;
  }
}

TEST(GatherElements, BadInput) {
  const Tensor x = Tensor::zeros({3, 5});
  EXPECT_ERROR(gather_elements(x, indices({3}, {1, 1})), out_of_range,
               "gather_elements: expected indices from -3 to 2, got 3");
  EXPECT_ERROR(gather_elements(x, indices({-6}, {1, 1}), 1), out_of_range, "-5 to 4, got -6");
  for (const int axis : {0, 1})
    for (const std::int64_t far :
         {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()})
      EXPECT_ERROR(gather_elements(x, indices({2, far}, {1, 2}), axis), out_of_range,
                   std::to_string(far));
  EXPECT_ERROR(gather_elements(x, indices({0}, {1})), shape_mismatch, "[3, 5]", "[1]");
  EXPECT_ERROR(gather_elements(x, indices(Numbers(6), {1, 6})), shape_mismatch, "[1, 6]");
  EXPECT_ERROR(gather_elements(x, x), dtype_mismatch, "expected i64 or i32 indices, got f32");
  EXPECT_ERROR(gather_elements(x, indices({0}, {1, 1}), 2), out_of_range, "gather_elements");
  EXPECT_ERROR(gather_elements(Tensor::scalar(1), indices({0}, {})), out_of_range,
               "gather_elements");
}

TEST(GatherNd, BadInput) {
  const Tensor x = Tensor::zeros({3, 5});
  EXPECT_ERROR(gather_nd(x, indices({0, 5}, {1, 2})), out_of_range,
               "gather_nd: expected indices from -5 to 4, got 5");
  EXPECT_ERROR(gather_nd(x, indices({0, 0, 0}, {1, 3})), shape_mismatch, "at most 2", "[1, 3]");
  EXPECT_ERROR(gather_nd(x, indices({0}, {1, 1}), 1), shape_mismatch, "batch axes", "[1, 1]");
  EXPECT_ERROR(gather_nd(x, indices({0}, {1}), 1), invalid_argument, "fewer batch axes");
  EXPECT_ERROR(gather_nd(x, indices({0}, {1}), -1), invalid_argument, "got -1");
  EXPECT_ERROR(gather_nd(x, indices({0}, {}), 0), invalid_argument, "gather_nd");
  EXPECT_ERROR(gather_nd(x, Tensor::zeros({1, 1})), dtype_mismatch, "gather_nd");
}

TEST(Scatter, BadInput) {
  const Tensor x = Tensor::zeros({3, 5});
  const Tensor places = indices({0, 1}, {1, 2});
  EXPECT_ERROR(scatter(x, indices({0, 3}, {1, 2}), Tensor::zeros({1, 2})), out_of_range,
               "scatter_elements: expected indices from -3 to 2, got 3");
  EXPECT_ERROR(scatter(x, places, Tensor::zeros({1, 1})), shape_mismatch,
               "scatter: expected a source no shorter than indices [1, 2], got [1, 1]");
  EXPECT_ERROR(scatter(x, indices(Numbers(6), {1, 6}), Tensor::zeros({1, 6})), shape_mismatch,
               "no longer than x [3, 5]");
  EXPECT_ERROR(scatter(x, places, Tensor::zeros({1, 2}, DType::f64)), dtype_mismatch,
               "updates of x's dtype f32, got f64");
  EXPECT_ERROR(scatter(x, Tensor::zeros({1, 2}), Tensor::zeros({1, 2})), dtype_mismatch, "indices");
  EXPECT_ERROR(scatter(x, places, Tensor()), invalid_argument, "scatter", "undefined");
  EXPECT_ERROR(scatter_reduce(x, places, Tensor::zeros({1, 2}), {.reduction = "median"}),
               invalid_argument, "scatter_reduce", "'median'");
  EXPECT_ERROR(scatter_nd(x, indices({0}, {1, 1}), Tensor::zeros({1, 4})), shape_mismatch,
               "scatter_nd: expected updates [1, 5]", "[1, 4]");
  EXPECT_ERROR(scatter_nd(x, indices({7}, {1, 1}), Tensor::zeros({1, 5})), out_of_range, "got 7");
  EXPECT_ERROR(scatter_nd(x, indices({0}, {1, 1}), Tensor::zeros({1, 5}), {"mean"}),
               invalid_argument, "scatter_nd", "'mean'");
  EXPECT_ERROR(scatter_nd(x, indices({0, 0, 0}, {1, 3}), Tensor::zeros({1})), shape_mismatch,
               "at most 2");
}

TEST(OneHot, BadInput) {
  const Tensor labels = indices({0, 3}, {2});
  EXPECT_EQ(one_hot(labels, 4).dtype(), DType::i64);
  EXPECT_ERROR(one_hot(labels, 3), out_of_range, "one_hot: expected indices from -3 to 2, got 3");
  EXPECT_ERROR(one_hot(labels, 0), invalid_argument, "at least 1 class, got 0");
  EXPECT_ERROR(one_hot(Tensor::zeros({2}), 3), dtype_mismatch, "one_hot");
  EXPECT_ERROR(one_hot(labels, {.depth = 4, .axis = 2}), out_of_range, "one_hot");
  EXPECT_ERROR(one_hot(labels, {.depth = 4, .dtype = DType::u4}), unsupported, "packed u4");
}

TEST(IndexSelect, TakesAVectorOfIndices) {
  const Tensor x = Tensor::from({1, 2, 3, 4}, {2, 2});
  EXPECT_THAT(values(index_select(x, indices({1, 1, 0}, {3}), 1)), ElementsAre(2, 2, 1, 4, 4, 3));
  EXPECT_ERROR(index_select(x, indices({0}, {1, 1})), shape_mismatch, "index_select", "[1, 1]");
}

}  // namespace
}  // namespace pare
