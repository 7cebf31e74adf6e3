// Movement ops: PyTorch's values, memory that is shared, symbols, resizing, bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <numeric>

#include "core/golden_movement.h"
#include "expect_error.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

using test::GoldenCase;
using testing::ElementsAre;

constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

/// 0, 1, 2, … in row-major order.
Tensor counting(const Shape& shape, MemoryFormat format = MemoryFormat::row_major) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0.0F);
  return Tensor::from(values, shape).to(format);
}

Shape with_batch(std::initializer_list<std::int64_t> rest) {
  Shape shape;
  shape.append_symbol("batch");
  for (const std::int64_t size : rest) shape.append(size);
  return shape;
}

Shape inferred(const OpDef& op, Attributes attributes, const Shape& x,
               const std::vector<Shape>& others = {}) {
  std::vector<InferArgs::Input> inputs{{&x, DType::f32, nullptr}};
  for (const Shape& other : others) inputs.push_back({&other, DType::f32, nullptr});
  return infer({&op, std::move(attributes)}, inputs)[0].shape;
}

TEST(Movement, GoldenValues) {
  constexpr DType kTypes[] = {DType::f16, DType::bf16, DType::f64, DType::i64,    DType::i32,
                              DType::i16, DType::i8,   DType::u8,  DType::boolean};
  const auto attributes = [&](const GoldenCase& c, const Tensor& x) -> Attributes {
    const std::vector<std::int64_t> n(c.numbers.begin(), c.numbers.end());
    const OpDef* op = find_op(c.op);
    if (op == &kReshape) return Attributes::of(ReshapeAttributes{n});
    if (op == &kTranspose) return Attributes::of(TransposeAttributes{n});
    if (op == &kConcat) return Attributes::of(ConcatAttributes{n[0]});
    if (op == &kExpand) return Attributes::of(ExpandAttributes{n});
    if (op == &kCast) return Attributes::of(CastAttributes{kTypes[n[0]]});
    if (op == &kSlice) {
      SliceAttributes a;
      for (std::size_t i = 0; i < n.size(); i += 4) {
        a.axes.push_back(n[i]);
        a.starts.push_back(n[i + 1]);
        a.ends.push_back(n[i + 2]);
        a.steps.push_back(n[i + 3]);
      }
      return Attributes::of(a);
    }
    if (op == &kPad) {
      const auto middle = n.begin() + x.rank();
      return Attributes::of(
          PadAttributes{{n.begin(), middle}, {middle, middle + x.rank()}, c.numbers.back()});
    }
    return {};
  };
  // Nothing is computed but the means of global_average_pool.
  for (const GoldenCase& c : test::movement_golden()) {
    const bool exact = find_op(c.op) != &kGlobalAveragePool;
    test::expect_golden({c}, exact ? 0.0F : 4e-6F, [&](const GoldenCase& g, Tensors& inputs) {
      return Call{find_op(g.op), attributes(g, inputs[0])};
    });
  }
}

TEST(Reshape, SharesMemoryWhereTheOrderIsTheSame) {
  const Tensor x = counting({2, 6});
  EXPECT_EQ(reshape(x, {3, 4}).raw(), x.raw());
  const Tensor pooled = counting({2, 6, 1, 1}, MemoryFormat::channels_last);
  EXPECT_EQ(flatten(pooled).raw(), pooled.raw());
  const Tensor picture = counting({2, 3, 2, 2}, MemoryFormat::channels_last);
  EXPECT_NE(flatten(picture).raw(), picture.raw());
  EXPECT_EQ(flatten(picture).to_vector<float>(), counting({2, 12}).to_vector<float>());
}

TEST(Reshape, SymbolsPassThrough) {
  const auto target = [](std::vector<std::int64_t> shape) {
    return Attributes::of(ReshapeAttributes{std::move(shape)});
  };
  const Shape x = with_batch({3, 4, 4});
  EXPECT_EQ(inferred(kReshape, target({0, -1}), x), with_batch({48}));
  EXPECT_EQ(inferred(kReshape, target({-1, 48}), x), with_batch({48}));
  // A merged axis is a product, which a later reshape takes apart again.
  const Shape merged = inferred(kReshape, target({-1, 16}), x);
  EXPECT_EQ(merged.to_string(), "[3*batch, 16]");
  EXPECT_EQ(inferred(kReshape, target({-1, 3, 4, 4}), merged), x);
  // Whether a size suits the batch is seen where the graph runs.
  EXPECT_EQ(inferred(kReshape, target({-1, 7}), x).to_string(), "[48*batch/7, 7]");
  EXPECT_EQ(inferred(kReshape, target({2, 24}), x), (Shape{2, 24}));
}

TEST(Reshape, RefusesWhatDoesNotFit) {
  const Tensor x = counting({2, 6});
  EXPECT_ERROR(reshape(x, {5, -1}), shape_mismatch, "reshape: expected a shape of 12 elements",
               "[5, -1]", "[2, 6]");
  EXPECT_ERROR(reshape(x, {3, 3}), shape_mismatch, "reshape", "[3, 3]");
  EXPECT_ERROR(reshape(x, {-1, -1}), invalid_argument, "reshape: expected at most one -1");
  EXPECT_ERROR(reshape(x, {12, 1, 0}), shape_mismatch, "reshape: expected an axis 2 to copy");
  EXPECT_ERROR(reshape(x, {-2, 6}), invalid_argument, "reshape");
  EXPECT_ERROR(flatten(x, 2), out_of_range, "flatten");
}

TEST(Transpose, PermutesInAnyDType) {
  const Tensor x = Tensor::from(std::vector<std::int8_t>{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_THAT(transpose(x, {1, 0}).to_vector<std::int8_t>(), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_ERROR(transpose(x, {0, 0}), invalid_argument, "transpose: expected a permutation",
               "[0, 0]");
  EXPECT_ERROR(transpose(x, {0}), invalid_argument, "transpose");
  EXPECT_ERROR(transpose(Tensor::zeros({2, 2}, DType::i4), {1, 0}), unsupported, "transpose",
               "packed i4");
}

TEST(Concat, JoinsBothFormats) {
  const Tensor a = counting({1, 2, 2, 2}, MemoryFormat::channels_last);
  const Tensor b = counting({1, 1, 2, 2});
  const Tensor y = concat({a, b}, 1);
  EXPECT_TRUE(y.channels_last());
  EXPECT_THAT(y.to_vector<float>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));
  EXPECT_ERROR(concat({a, counting({1, 1, 2, 3})}, 1), shape_mismatch, "concat",
               "equal but for axis 1", "input 1");
  EXPECT_ERROR(concat({a, b}, 4), out_of_range, "concat");
  EXPECT_ERROR(concat({b, b.to(DType::f64)}, 1), dtype_mismatch, "concat", "f64");
  EXPECT_EQ(
      inferred(kConcat, Attributes::of(ConcatAttributes{1}), with_batch({2}), {with_batch({3})}),
      with_batch({5}));
}

TEST(Slice, HasNumPysMeaning) {
  const Tensor x = counting({6});
  EXPECT_THAT(slice(x, 0, 1, 5, 2).to_vector<float>(), ElementsAre(1, 3));
  EXPECT_THAT(slice(x, 0, -2, kEnd).to_vector<float>(), ElementsAre(4, 5));
  EXPECT_THAT(slice(x, 0, kEnd, -kEnd - 1, -2).to_vector<float>(), ElementsAre(5, 3, 1));
  EXPECT_THAT(slice(x, 0, 4, 1, -1).to_vector<float>(), ElementsAre(4, 3, 2));
  EXPECT_EQ(slice(x, 0, 4, 2).shape(), (Shape{0}));
  EXPECT_THAT(slice(x, 0, 2, kEnd, kEnd).to_vector<float>(), ElementsAre(2));
  EXPECT_ERROR(slice(x, 0, 0, 3, 0), invalid_argument, "slice: expected a step other than 0");
  EXPECT_ERROR(slice(x, 1, 0, 3), out_of_range, "slice");
  EXPECT_ERROR(slice(x, SliceAttributes{{0, 0}, {0, 0}, {1, 1}, {1, 1}}), invalid_argument,
               "slice: expected each axis once");
  const auto bounds = Attributes::of(SliceAttributes{{1}, {0}, {2}, {1}});
  EXPECT_EQ(inferred(kSlice, bounds, with_batch({3})), with_batch({2}));
  const auto rows = [](std::int64_t start, std::int64_t end, std::int64_t step) {
    const auto attributes = Attributes::of(SliceAttributes{{0}, {start}, {end}, {step}});
    return inferred(kSlice, attributes, with_batch({3})).symbol(0);
  };
  EXPECT_EQ(rows(0, 2, 1), "min(2,batch)");
  EXPECT_EQ(rows(1, kEnd, 1), "batch-1");
  EXPECT_EQ(rows(0, -1, 1), "batch-1");
  EXPECT_EQ(rows(0, kEnd, 2), "(batch+1)/2");
  EXPECT_EQ(rows(-1, -kEnd, -1), "batch");
}

TEST(Pad, PadsAndCrops) {
  const Tensor x = counting({2, 2});
  EXPECT_THAT(pad(x, {1, 0}, {0, -1}, 9).to_vector<float>(), ElementsAre(9, 0, 2));
  EXPECT_ERROR(pad(x, {0, -3}, {0, 0}), shape_mismatch, "pad: expected at most 2", "axis 1");
  EXPECT_ERROR(pad(x, {0}, {0}), invalid_argument, "pad: expected 2 numbers");
  const auto border = Attributes::of(PadAttributes{{0, 1}, {0, 1}, 0});
  EXPECT_EQ(inferred(kPad, border, with_batch({3})), with_batch({5}));
}

TEST(Pad, RefusesSizesBeyondSixtyThreeBits) {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  const Tensor x = counting({3});
  EXPECT_ERROR(pad(x, {kEnd}, {kEnd}), invalid_argument, "pad", "2^63");
  EXPECT_ERROR(pad(x, {kEnd}, {0}), invalid_argument, "pad", "2^63");
  EXPECT_ERROR(pad(x, {kLeast}, {kLeast}), shape_mismatch, "pad", "at most 3");
  EXPECT_ERROR(pad(x, {kEnd}, {kLeast}), shape_mismatch, "pad", "at most 3");
  EXPECT_ERROR(pad(x, {-2}, {-2}), shape_mismatch, "pad", "at most 3");
  EXPECT_ERROR(pad(x, {std::int64_t{1} << 59}, {0}), invalid_argument, "63 bits");
}

TEST(Expand, RefusesSizesBeyondSixtyThreeBits) {
  EXPECT_ERROR(expand(Tensor::zeros({1}), {std::int64_t{1} << 59}), invalid_argument, "63 bits");
}

TEST(Concat, RefusesAnInputThatIsLeftOut) {
  const Tensor inputs[] = {counting({2}), Tensor()};
  const Call call{&kConcat, Attributes::of(ConcatAttributes{0})};
  EXPECT_ERROR(pare::apply(call, inputs), invalid_argument, "concat", "input 1");
  const Shape shape{2};
  const InferArgs::Input known[] = {{&shape, DType::f32, nullptr}, {nullptr, DType::f32, nullptr}};
  EXPECT_ERROR(infer(call, known), invalid_argument, "concat", "input 1");
}

TEST(Axes, BeyondThirtyTwoBitsAreOutOfRange) {
  constexpr std::int64_t kFar = std::int64_t{1} << 32;
  const Tensor x = counting({2, 3});
  const Tensor scale = Tensor::ones({2});
  EXPECT_ERROR(sum(x, {kFar}), out_of_range, "sum", "4294967296");
  EXPECT_ERROR(slice(x, SliceAttributes{{kFar}, {0}, {1}, {1}}), out_of_range, "slice");
  const auto call = [&](const OpDef& op, auto attributes, Tensors inputs) {
    return pare::apply({&op, Attributes::of(attributes)}, inputs);
  };
  EXPECT_ERROR(call(kSoftmax, SoftmaxAttributes{kFar}, {x}), out_of_range, "softmax");
  EXPECT_ERROR(call(kArgmax, AxisAttributes{kFar}, {x}), out_of_range, "argmax");
  EXPECT_ERROR(call(kConcat, ConcatAttributes{kFar}, {x, x}), out_of_range, "concat");
  EXPECT_ERROR(
      call(kGather, GatherAttributes{kFar}, {x, Tensor::from(std::vector<std::int64_t>{0}, {1})}),
      out_of_range, "gather");
  FakeQuantizeAttributes quantization;
  quantization.axis = kFar;
  EXPECT_ERROR(call(kFakeQuantize, quantization, {x, scale}), out_of_range, "fake_quantize");
}

TEST(Reshape, OfAnEmptyBatchKeepsItsOtherAxes) {
  EXPECT_EQ(flatten(counting({0, 3, 2})).shape(), (Shape{0, 6}));
  EXPECT_EQ(reshape(counting({0, 3, 2}), {0, 2, -1}).shape(), (Shape{0, 2, 3}));
  EXPECT_EQ(reshape(counting({0, 6}), {-1, 2, 3}).shape(), (Shape{0, 2, 3}));
  EXPECT_EQ(reshape(counting({0, 3}), {0, 5}).shape(), (Shape{0, 5}));
  EXPECT_EQ(flatten(counting({2, 0, 2})).shape(), (Shape{2, 0}));
  EXPECT_EQ(flatten(counting({2, 3, 0}), 0, 1).shape(), (Shape{6, 0}));
}

TEST(Reshape, RefusesProductsBeyondSixtyThreeBits) {
  constexpr std::int64_t kLarge = std::int64_t{1} << 32;
  // Their product wraps around to 0.
  EXPECT_ERROR(reshape(counting({0}), {kLarge, kLarge}), invalid_argument, "2^63");
  EXPECT_ERROR(reshape(counting({4}), {kLarge, kLarge, 4}), invalid_argument, "2^63");
}

TEST(Expand, Repeats) {
  const Tensor x = counting({2, 1});
  EXPECT_THAT(expand(x, {2, 2, 2}).to_vector<float>(), ElementsAre(0, 0, 1, 1, 0, 0, 1, 1));
  EXPECT_EQ(inferred(kExpand, Attributes::of(ExpandAttributes{{-1, 4}}), with_batch({1})),
            with_batch({4}));
  EXPECT_ERROR(expand(x, {3, 1}), shape_mismatch, "expand", "[2, 1]", "[3, 1]");
  EXPECT_ERROR(expand(x, {2}), shape_mismatch, "expand");
}

TEST(Gather, NamesTheIndexThatIsOutOfRange) {
  const Tensor x = counting({4, 2});
  const auto indices = [](std::vector<std::int64_t> values) {
    return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
  };
  EXPECT_THAT(gather(x, indices({-1, 0})).to_vector<float>(), ElementsAre(6, 7, 0, 1));
  EXPECT_ERROR(gather(x, indices({1, 4})), out_of_range,
               "gather: expected indices from -4 to 3, got 4");
  EXPECT_ERROR(gather(x, indices({-5})), out_of_range, "got -5");
  EXPECT_ERROR(gather(x, x), dtype_mismatch, "gather: expected i64 or i32 indices, got f32");
  EXPECT_ERROR(gather(x, indices({0}), 2), out_of_range, "gather");
}

/// What a removal keeps, said by hand.
class Kept final : public ChannelResize {
 public:
  Kept(Shape x, Shape y) : x_(std::move(x)), y_(std::move(y)) {}
  Kept& keep(Operand operand, int axis, std::vector<std::int64_t> indices) {
    kept_[{operand.is_output, axis}] = std::move(indices);
    return *this;
  }
  const Shape& shape(Operand operand) const override { return operand.is_output ? y_ : x_; }
  const std::vector<std::int64_t>* kept(Operand operand, int axis) const override {
    const auto found = kept_.find({operand.is_output, axis});
    return found == kept_.end() ? nullptr : &found->second;
  }

 private:
  Shape x_, y_;
  std::map<std::pair<bool, int>, std::vector<std::int64_t>> kept_;
};

TEST(Resize, Slice) {
  Call call{&kSlice, Attributes::of(SliceAttributes{{1}, {1}, {7}, {2}})};  // takes 1, 3, 5
  EXPECT_TRUE(kSlice.channels.resize(
      call, Kept({2, 8}, {2, 3}).keep(in(0), 1, {0, 3, 4, 5}).keep(out(0), 1, {1, 2})));
  EXPECT_EQ(slice(counting({1, 4}), call.attributes.as<SliceAttributes>()).to_vector<float>(),
            (std::vector<float>{1, 3}));
  Call backwards{&kSlice, Attributes::of(SliceAttributes{{0}, {-1}, {-100}, {-1}})};
  EXPECT_TRUE(kSlice.channels.resize(
      backwards, Kept({4}, {4}).keep(in(0), 0, {0, 2, 3}).keep(out(0), 0, {0, 1, 3})));
  EXPECT_EQ(slice(counting({3}), backwards.attributes.as<SliceAttributes>()).to_vector<float>(),
            (std::vector<float>{2, 1, 0}));
  Call irregular{&kSlice, Attributes::of(SliceAttributes{{0}, {0}, {6}, {1}})};
  EXPECT_FALSE(kSlice.channels.resize(
      irregular, Kept({8}, {6}).keep(in(0), 0, {0, 1, 2, 3, 7}).keep(out(0), 0, {0, 1, 3})));
}

TEST(Resize, Pad) {
  Call call{&kPad, Attributes::of(PadAttributes{{0, 2}, {0, 1}, 0})};
  EXPECT_TRUE(kPad.channels.resize(
      call, Kept({2, 4}, {2, 7}).keep(in(0), 1, {0, 2}).keep(out(0), 1, {1, 2, 4, 6})));
  EXPECT_EQ(call.attributes.as<PadAttributes>().before, (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(call.attributes.as<PadAttributes>().after, (std::vector<std::int64_t>{0, 1}));
  EXPECT_FALSE(kPad.channels.resize(
      call, Kept({2, 2}, {2, 4}).keep(in(0), 1, {0}).keep(out(0), 1, {0, 1, 2, 3})));
}

TEST(Resize, Reshape) {
  Call call{&kReshape, Attributes::of(ReshapeAttributes{{0, 12}})};
  EXPECT_TRUE(kReshape.channels.resize(
      call,
      Kept({2, 3, 4}, {2, 12}).keep(in(0), 1, {0, 2}).keep(out(0), 1, {0, 1, 2, 3, 8, 9, 10, 11})));
  EXPECT_EQ(call.attributes.as<ReshapeAttributes>().shape, (std::vector<std::int64_t>{0, 8}));
}

}  // namespace
}  // namespace pare
