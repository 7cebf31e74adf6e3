// Ops that arrange elements: PyTorch's values, symbols, other dtypes, bad input.
#include "pare/core/ops/arrange.h"

#include <gmock/gmock.h>

#include <numeric>

#include "core/golden_arrange.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

using test::GoldenCase;
using testing::ElementsAre;
using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

/// 0, 1, 2, … in row-major order.
Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0.0F);
  return Tensor::from(values, shape);
}
std::vector<float> values(const Tensor& t) { return t.to(DType::f32).to_vector<float>(); }

Shape with_batch(std::initializer_list<std::int64_t> rest) {
  Shape shape;
  shape.append_symbol("batch");
  for (const std::int64_t size : rest) shape.append(size);
  return shape;
}
Shape inferred(const OpDef& op, Attributes attributes, const Shape& x) {
  const InferArgs::Input inputs[] = {{&x, DType::f32, nullptr}};
  return infer({&op, std::move(attributes)}, inputs)[0].shape;
}

TEST(Arrange, GoldenValues) {
  test::expect_golden(test::arrange_golden(), 4e-6F, [](const GoldenCase& c, Tensors& inputs) {
    const OpDef* op = find_op(c.op);
    const Numbers n(c.numbers.begin(), c.numbers.end());
    if (op == &kTile) return Call{op, Attributes::of(TileAttributes{n})};
    if (op == &kRoll) {
      const auto half = n.begin() + static_cast<std::ptrdiff_t>(n.size() / 2);
      return Call{op, Attributes::of(RollAttributes{{n.begin(), half}, {half, n.end()}})};
    }
    if (op == &kTrilu) return Call{op, Attributes::of(TriluAttributes{n[0] != 0, n[1]})};
    const char* modes[] = {"reflect", "replicate", "circular"};
    const auto middle = n.begin() + 1 + inputs[0].rank();
    return Call{op, Attributes::of(PadBorderAttributes{
                        {n.begin() + 1, middle}, {middle, n.end()}, modes[n[0]]})};
  });
}

TEST(Arrange, PermutesAxes) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(permute(x, {-1, 0, 1}).shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(values(permute(x, {2, 1, 0})), values(transpose(x, {2, 1, 0})));
  EXPECT_EQ(values(swapaxes(x, 0, -1)), values(transpose(x, {2, 1, 0})));
  EXPECT_EQ(values(movedim(x, 0, -1)), values(transpose(x, {1, 2, 0})));
  EXPECT_EQ(values(movedim(x, 2, 0)), values(transpose(x, {2, 0, 1})));
  EXPECT_ERROR(permute(x, {0, 1, 3}), out_of_range, "permute");
  EXPECT_ERROR(permute(x, {0, 1, 1}), invalid_argument, "permutation", "[0, 1, 1]");
  EXPECT_ERROR(swapaxes(x, 0, 3), out_of_range, "swapaxes");
  EXPECT_ERROR(movedim(x, -4, 0), out_of_range, "movedim");
  EXPECT_ERROR(permute(Tensor(), {0}), invalid_argument, "permute: expected a tensor");
}

TEST(Split, GivesPartsThatConcatJoins) {
  const Tensor x = counting({2, 7});
  const Tensors parts = split(x, 3, 1);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[2].shape(), (Shape{2, 1}));
  EXPECT_EQ(values(concat(parts, 1)), values(x));
  const Tensors named = split(x, Numbers{4, 0, 3}, -1);
  ASSERT_EQ(named.size(), 3U);
  EXPECT_EQ(named[1].shape(), (Shape{2, 0}));
  EXPECT_THAT(values(named[2]), ElementsAre(4, 5, 6, 11, 12, 13));
  const Tensors chunks = chunk(x, 4, 1);
  ASSERT_EQ(chunks.size(), 4U);
  EXPECT_EQ(chunks[0].shape(), (Shape{2, 2}));
  EXPECT_EQ(chunks[3].shape(), (Shape{2, 1}));
  EXPECT_EQ(chunk(x, 5, 1).size(), 4U);  // as PyTorch: parts of two
  EXPECT_EQ(chunk(Tensor::zeros({0, 2}), 3).size(), 3U);
  EXPECT_EQ(split(Tensor::zeros({0, 2}), 3).size(), 1U);
  EXPECT_ERROR(split(x, 0, 1), invalid_argument, "split: expected parts of at least 1, got 0");
  EXPECT_ERROR(split(x, Numbers{4, 4}, 1), invalid_argument, "add up to 7", "[4, 4]");
  EXPECT_ERROR(split(x, Numbers{8, -1}, 1), invalid_argument, "add up to 7");
  EXPECT_ERROR(split(x, Numbers{kMost, kMost}, 1), invalid_argument, "add up to 7");
  EXPECT_ERROR(split(x, 2, 2), out_of_range, "split");
  EXPECT_ERROR(chunk(x, 0), invalid_argument, "chunk: expected at least 1 chunk, got 0");
}

TEST(Stack, MakesANewAxis) {
  const Tensor a = counting({2, 2});
  const Tensor b = counting({2, 2}) + 10.0;
  EXPECT_THAT(values(stack({a, b})), ElementsAre(0, 1, 2, 3, 10, 11, 12, 13));
  EXPECT_THAT(values(stack({a, b}, -1)), ElementsAre(0, 10, 1, 11, 2, 12, 3, 13));
  EXPECT_EQ(stack({a, b}, 1).shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(stack({Tensor::scalar(1), Tensor::scalar(2)}).shape(), (Shape{2}));
  EXPECT_ERROR(stack({}), invalid_argument, "stack: expected at least one tensor");
  EXPECT_ERROR(stack({a, counting({4})}), shape_mismatch, "stack", "[2, 2]", "[4]");
  EXPECT_ERROR(stack({a, b}, 3), out_of_range, "unsqueeze");
}

TEST(Squeeze, TakesAxesOfOneElement) {
  const Tensor x = counting({1, 3, 1, 2});
  EXPECT_EQ(squeeze(x).shape(), (Shape{3, 2}));
  EXPECT_EQ(squeeze(x, -2).shape(), (Shape{1, 3, 2}));
  EXPECT_EQ(squeeze(x, 1).shape(), x.shape());
  EXPECT_EQ(squeeze(counting({1, 1})).shape(), (Shape{}));
  EXPECT_EQ(unsqueeze(counting({3, 2}), 0).shape(), (Shape{1, 3, 2}));
  EXPECT_EQ(unsqueeze(counting({3, 2}), -1).shape(), (Shape{3, 2, 1}));
  EXPECT_EQ(unsqueeze(Tensor::scalar(1), 0).shape(), (Shape{1}));
  EXPECT_EQ(unsqueeze(counting({0, 3}), 0).shape(), (Shape{1, 0, 3}));
  EXPECT_EQ(unsqueeze(counting({3, 0}), 1).shape(), (Shape{3, 1, 0}));
  EXPECT_EQ(squeeze(counting({1, 0, 3})).shape(), (Shape{0, 3}));
  EXPECT_EQ(unsqueeze(x, 1).raw(), x.raw());
  EXPECT_ERROR(squeeze(x, 4), out_of_range, "squeeze");
  // A scalar is taken for one axis.
  EXPECT_EQ(squeeze(Tensor::scalar(1), -1).shape(), (Shape{}));
  EXPECT_ERROR(squeeze(Tensor::scalar(1), 1), out_of_range, "squeeze");
  EXPECT_ERROR(unsqueeze(x, 5), out_of_range, "unsqueeze");
  for (const int axis : {0, 1, 2, 3}) {
    Shape shape{0, 5, 0};
    Numbers sizes = shape.to_vector();
    sizes.insert(sizes.begin() + axis, 1);
    const Tensor y = unsqueeze(Tensor::zeros(shape), axis);
    EXPECT_EQ(y.shape(), Shape(std::span<const std::int64_t>(sizes)));
    EXPECT_EQ(squeeze(y, axis).shape(), shape);
    sizes[static_cast<std::size_t>(axis)] = 2;
    EXPECT_EQ(stack({Tensor::zeros(shape), Tensor::zeros(shape)}, axis).shape(),
              Shape(std::span<const std::int64_t>(sizes)));
  }
  EXPECT_EQ(unsqueeze(Tensor::zeros({0, 0, 3}, DType::i64), 0).shape(), (Shape{1, 0, 0, 3}));
  EXPECT_EQ(squeeze(Tensor::zeros({1, 0, 1, 0})).shape(), (Shape{0, 0}));
  Tensor leaf = Tensor::zeros({0, 5, 0}).set_requires_grad();
  sum(unsqueeze(leaf, 0)).backward();
  EXPECT_EQ(leaf.grad().shape(), leaf.shape());
}

TEST(Flatten, KeepsAxesWithoutElements) {
  EXPECT_EQ(flatten(counting({2, 3, 4, 0}), 0, 1).shape(), (Shape{6, 4, 0}));
  EXPECT_EQ(flatten(counting({2, 3, 0, 4}), 0, 1).shape(), (Shape{6, 0, 4}));
  EXPECT_EQ(flatten(counting({2, 0, 3, 4}), 1, 2).shape(), (Shape{2, 0, 4}));
  EXPECT_EQ(flatten(counting({0, 2, 3, 0}), 1, 2).shape(), (Shape{0, 6, 0}));
  EXPECT_EQ(flatten(Tensor::scalar(1), 0).shape(), (Shape{1}));
  EXPECT_EQ(flatten(counting({2, 3, 0, 0}), 0, 1).shape(), (Shape{6, 0, 0}));
  EXPECT_EQ(flatten(counting({2, 3, 0, 5, 0}), 1, 2).shape(), (Shape{2, 0, 5, 0}));
}

TEST(Unflatten, UndoesFlatten) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(values(unflatten(flatten(x, 0, 1), 0, {2, -1})), values(x));
  EXPECT_EQ(unflatten(counting({2, 12, 2}), 1, {3, 4}).shape(), (Shape{2, 3, 4, 2}));
  EXPECT_EQ(unflatten(counting({0, 12}), -1, {-1, 4}).shape(), (Shape{0, 3, 4}));
  EXPECT_EQ(unflatten(counting({12, 0, 0}), 0, {-1, 4}).shape(), (Shape{3, 4, 0, 0}));
  EXPECT_EQ(unflatten(counting({2, 0, 3}), 1, {4, -1}).shape(), (Shape{2, 4, 0, 3}));
  EXPECT_ERROR(unflatten(x, 2, {3, 2}), shape_mismatch, "unflatten", "product is 4", "[3, 2]");
  EXPECT_ERROR(unflatten(x, 2, {-1, -1}), shape_mismatch, "unflatten");
  EXPECT_ERROR(unflatten(x, 2, {-1, 3}), shape_mismatch, "unflatten");
  EXPECT_ERROR(unflatten(x, 2, {0, -1}), shape_mismatch, "unflatten");
  EXPECT_ERROR(unflatten(x, 2, {}), shape_mismatch, "unflatten");
  EXPECT_ERROR(unflatten(x, 2, {kMost, kMost}), shape_mismatch, "unflatten");
  EXPECT_ERROR(unflatten(x, 3, {2}), out_of_range, "unflatten");
}

TEST(Tile, RepeatsAxesThatAreMissing) {
  const Tensor x = counting({2});
  EXPECT_EQ(tile(x, {2, 2}).shape(), (Shape{2, 4}));
  EXPECT_EQ(tile(counting({2, 3}), {2}).shape(), (Shape{2, 6}));
  EXPECT_THAT(values(repeat(x, {2, 1})), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(values(repeat_interleave(x, 3, 0)), ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(values(repeat_interleave(counting({2, 2}), 2, -1)),
              ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_EQ(inferred(kTile, Attributes::of(TileAttributes{{1, 3}}), with_batch({2})),
            with_batch({6}));
  EXPECT_EQ(repeat(counting({0, 5, 0}), {2, 3, 4, 5}).shape(), (Shape{2, 0, 20, 0}));
  EXPECT_EQ(tile(counting({0, 0}), {2, 3, 4}).shape(), (Shape{2, 0, 0}));
  EXPECT_EQ(repeat_interleave(counting({0, 5, 0}), 3, 1).shape(), (Shape{0, 15, 0}));
  EXPECT_EQ(repeat_interleave(counting({0, 5, 0}), 3, 0).shape(), (Shape{0, 5, 0}));
  EXPECT_ERROR(repeat(counting({2, 3}), {2}), invalid_argument, "repeat: expected at least 2");
  EXPECT_ERROR(tile(x, {-1}), invalid_argument, "tile: expected repeats of 0 or more", "[-1]");
  EXPECT_ERROR(tile(x, {kMost}), invalid_argument, "tile", "2^63");
  EXPECT_ERROR(tile(x, {std::int64_t{1} << 59}), invalid_argument, "63 bits");
  EXPECT_EQ(repeat_interleave(counting({3, 2}), 0, 0).shape(), (Shape{0, 2}));
  EXPECT_EQ(repeat_interleave(counting({3, 0}), 2, 0).shape(), (Shape{6, 0}));
  EXPECT_ERROR(repeat_interleave(x, -1, 0), invalid_argument, "repeat_interleave", "got -1");
  EXPECT_EQ(inferred(kTile, Attributes::of(TileAttributes{{2, 3}}), with_batch({2})).to_string(),
            "[2*batch, 6]");
  EXPECT_ERROR(inferred(kTile, Attributes::of(TileAttributes{{2}}), Shape{2, 2}), invalid_argument,
               "tile: expected 2 repeats");
  EXPECT_ERROR(tile(Tensor::zeros({2}, DType::i4), {2}), unsupported, "tile", "packed i4");
}

TEST(Flip, TurnsAxesAround) {
  const Tensor x = counting({2, 3});
  EXPECT_THAT(values(flip(x, {1})), ElementsAre(2, 1, 0, 5, 4, 3));
  EXPECT_THAT(values(flip(x, {0, -1})), ElementsAre(5, 4, 3, 2, 1, 0));
  EXPECT_EQ(values(flip(x, {})), values(x));
  const Tensor row = counting({1000});
  EXPECT_EQ(values(flip(flip(row, {0}), {0})), values(row));
  EXPECT_EQ(values(flip(row, {0}))[999], 0);
  EXPECT_ERROR(flip(x, {2}), out_of_range, "flip");
  EXPECT_ERROR(flip(x, {1, -1}), invalid_argument, "expected each axis once");
}

TEST(Roll, RefusesWhatIsNoShift) {
  const Tensor x = counting({4});
  EXPECT_THAT(values(roll(x, {kMost}, {0})), ElementsAre(1, 2, 3, 0));  // 2^63 − 1 is 3 more
  EXPECT_THAT(values(roll(x, {std::numeric_limits<std::int64_t>::min()}, {0})),
              ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(inferred(kRoll, Attributes::of(RollAttributes{{1}, {1}}), with_batch({3})),
            with_batch({3}));
  EXPECT_ERROR(roll(x, {1, 2}, {0}), invalid_argument, "roll: expected one shift for each axis");
  EXPECT_ERROR(roll(x, {1}, {1}), out_of_range, "roll");
  EXPECT_ERROR(inferred(kRoll, Attributes::of(RollAttributes{{1}, {0}}), with_batch({3})),
               unsupported, "roll", "batch");
}

TEST(Trilu, NeedsMatrices) {
  EXPECT_THAT(values(tril(counting({2, 2}) + 1.0)), ElementsAre(1, 0, 3, 4));
  EXPECT_THAT(values(triu(counting({2, 2}) + 1.0, std::numeric_limits<std::int64_t>::min())),
              ElementsAre(1, 2, 3, 4));
  const Tensor truth = tril(Tensor::full({2, 2}, 1, DType::boolean));
  EXPECT_THAT(values(truth), ElementsAre(1, 0, 1, 1));
  EXPECT_ERROR(tril(counting({3})), shape_mismatch, "trilu: expected x of at least 2 axes", "[3]");
}

TEST(PadBorder, RefusesBordersThatTheAxisCannotFill) {
  const Tensor x = counting({2, 3});
  const auto border = [&](Numbers before, Numbers after, const char* mode) {
    return pad(x, {std::move(before), std::move(after), mode});
  };
  EXPECT_THAT(values(border({0, 2}, {0, 0}, "reflect")), ElementsAre(2, 1, 0, 1, 2, 5, 4, 3, 4, 5));
  EXPECT_ERROR(border({0, 3}, {0, 0}, "reflect"), invalid_argument, "pad", "at most 2 in mode",
               "axis 1");
  EXPECT_ERROR(border({0, 0}, {0, 4}, "circular"), invalid_argument, "at most 3");
  EXPECT_ERROR(border({0, -1}, {0, 0}, "replicate"), invalid_argument, "0 or more", "-1");
  EXPECT_ERROR(border({0, 0}, {0, kMost}, "replicate"), invalid_argument, "pad");
  EXPECT_ERROR(border({0, 0}, {0, std::int64_t{1} << 31}, "replicate"), unsupported, "2^31");
  EXPECT_ERROR(border({0}, {0, 0}, "reflect"), invalid_argument, "pad: expected 2 numbers");
  EXPECT_ERROR(border({0, 0}, {0, 1}, "symmetric"), invalid_argument, "'symmetric'");
  EXPECT_ERROR(pad(Tensor::zeros({0}), {{1}, {0}, "replicate"}), invalid_argument, "at most 0");
  EXPECT_ERROR(pad(Tensor::zeros({0}), {{1}, {0}, "reflect"}), invalid_argument, "at most 0");
  const auto rows = Attributes::of(PadBorderAttributes{{0, 1}, {0, 1}, "reflect"});
  EXPECT_EQ(inferred(kPadBorder, rows, with_batch({3})), with_batch({5}));
  const auto batch = Attributes::of(PadBorderAttributes{{1, 0}, {0, 0}, "reflect"});
  EXPECT_EQ(inferred(kPadBorder, batch, with_batch({3})).to_string(), "[batch+1, 3]");
}

TEST(Arange, FractionsOfWholeNumbersCountAsPyTorchs) {
  const auto numbers = [](const ArangeOptions& options) { return values(arange(options)); };
  EXPECT_THAT(numbers({.end = 10, .step = 2.5}), ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(numbers({.end = 5.5}), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(numbers({.end = 1, .step = 0.1}), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(numbers({.start = 0.5, .end = 3, .dtype = DType::i32}), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers({.start = -0.5, .end = 3.2}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(numbers({.start = 10, .end = 0, .step = -2.5, .dtype = DType::i16}),
              ElementsAre(10, 8, 6, 4));
  EXPECT_EQ(arange({.start = 3, .end = 0.5}).shape(), (Shape{0}));
  EXPECT_EQ(arange({.end = 32768, .step = 2, .dtype = DType::i16}).dim(0), 16384);
}

TEST(Range, CountsAsOnnx) {
  EXPECT_THAT(arange(4).to_vector<std::int64_t>(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(arange(0).shape(), (Shape{0}));
  EXPECT_THAT(values(arange({.start = 1, .end = 0, .step = -0.25, .dtype = DType::f32})),
              ElementsAre(1, 0.75, 0.5, 0.25));
  EXPECT_EQ(arange({.end = 1, .step = 0.1, .dtype = DType::f64}).dim(0), 10);
  const auto whole = [](std::int64_t v) { return Tensor::from(Numbers{v}, {}); };
  EXPECT_THAT(range(whole(kMost - 3), whole(kMost), whole(2)).to_vector<std::int64_t>(),
              ElementsAre(kMost - 3, kMost - 1));
  EXPECT_ERROR(arange({.end = 3, .step = 0}), invalid_argument, "arange: expected a step other");
  EXPECT_ERROR(arange({.end = 3, .dtype = DType::u8}), dtype_mismatch, "arange: expected f32",
               "u8");
  for (const DType dtype : {DType::f32, DType::i64}) {
    EXPECT_ERROR(arange({.end = NAN, .dtype = dtype}), invalid_argument, "arange: ", "0 to nan by");
    EXPECT_ERROR(arange({.end = 3, .step = INFINITY, .dtype = dtype}), invalid_argument,
                 "arange: ", "by inf");
  }
  EXPECT_ERROR(arange({.end = 1e30}), invalid_argument, "arange: expected numbers that fit i64");
  EXPECT_ERROR(arange({.end = 40000, .dtype = DType::i16}), invalid_argument, "fit i16");
  EXPECT_ERROR(range(whole(0), whole(1), whole(0)), invalid_argument, "range: expected a step");
  EXPECT_ERROR(range(whole(0), whole(kMost), whole(1)), invalid_argument, "63 bits");
  EXPECT_ERROR(range(whole(0), Tensor::scalar(3), whole(1)), dtype_mismatch, "one dtype");
  EXPECT_ERROR(range(whole(0), Tensor::from(Numbers{1, 2}, {2}), whole(1)), shape_mismatch,
               "one element");
  const Shape scalar;
  const InferArgs::Input unknown[] = {{&scalar, DType::i64, nullptr},
                                      {&scalar, DType::i64, nullptr},
                                      {&scalar, DType::i64, nullptr}};
  EXPECT_TRUE(infer({&kRange, {}}, unknown)[0].shape.symbolic());
}

}  // namespace
}  // namespace pare
