// Ops between tensors and shapes, and ops whose attributes are inputs: values, inferred shapes,
// errors.
#include <gmock/gmock.h>

#include "core/golden_value.h"
#include "core/ops/value_inputs.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

using test::GoldenCase;
using testing::ElementsAre;

Tensor integers(const std::vector<std::int64_t>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}

Attributes attributes_of(const OpDef* op, const std::vector<double>& n) {
  const auto whole = [&](std::size_t i) { return static_cast<std::int64_t>(n[i]); };
  if (op == &kPadBorder)
    return Attributes::of(PadBorderAttributes{.mode = whole(0) == 0 ? "reflect" : "replicate"});
  if (op == &kResize) {
    ResizeAttributes a{.mode = whole(0) == 0 ? "nearest" : "linear"};
    if (whole(1) == 1) a.axes = {3, 2};
    if (whole(1) == 2) a.axes = {2, 3};
    a.policy = whole(2) == 0 ? "stretch" : whole(2) == 1 ? "not_larger" : "not_smaller";
    return Attributes::of(a);
  }
  if (op == &kTrilu) return Attributes::of(TriluAttributes{.upper = n[0] != 0});
  if (op == &kSum || op == &kMean) return Attributes::of(ReduceAttributes{{}, n[0] != 0});
  if (op == &kNorm) return Attributes::of(NormAttributes{{}, 2, n[0] != 0});
  if (op == &kShape) return Attributes::of(ShapeAttributes{whole(0), whole(1)});
  if (op == &kCompress) return Attributes::of(CompressAttributes{whole(0), n[1] != 0});
  return op->defaults ? op->defaults() : Attributes{};
}

/// The inputs in the order and dtypes of pare's records; the file has ONNX's, all as floats.
Tensors arranged(const OpDef* op, const Tensors& given) {
  Tensors in;
  for (const Tensor& t : given) in.push_back(t.shape() == Shape{0, 0} ? Tensor() : t);
  const auto whole = [&](std::size_t i) {
    if (i < in.size() && in[i].defined()) in[i] = in[i].to(DType::i64);
  };
  if (op == &kPad || op == &kPadBorder) {
    in.resize(4);
    in = {in[0], in[1], in[3], in[2]};
    whole(1);
    whole(2);
    if (op == &kPadBorder) in.resize(3);
    return in;
  }
  if (op == &kResize) {
    in.resize(4);
    in = {in[0], in[3], in[2]};
    whole(1);
    return in;
  }
  if (op == &kCompress) {
    in[1] = in[1].to(DType::boolean);
    return in;
  }
  if (op == &kOneHot) {
    whole(0);
    whole(1);
    return in;
  }
  for (std::size_t i = 1; i < in.size(); ++i) whole(i);
  return in;
}

TEST(Value, GoldenValues) {
  for (const GoldenCase& c : test::value_golden()) {
    const OpDef* op = find_op(c.op);
    ASSERT_NE(op, nullptr) << c.op;
    Tensors given;
    for (const test::GoldenTensor& t : c.inputs) given.push_back(t.tensor());
    const Tensor y = pare::apply({op, attributes_of(op, c.numbers)}, arranged(op, given));
    test::expect_close(y, c.output, 4e-6F, c.op);
  }
}

struct Given {
  Shape shape;
  DType dtype = DType::i64;
  std::vector<std::string> sizes = {};  ///< where any are known
};

std::string inferred(const Call& call, const std::vector<Given>& inputs) {
  std::vector<InferArgs::Input> known;
  for (const Given& g : inputs)
    known.push_back({&g.shape, g.dtype, nullptr, g.sizes.empty() ? nullptr : &g.sizes});
  return infer(call, known)[0].shape.to_string();
}

Shape named(const std::vector<std::string>& axes) {
  Shape shape;
  for (const std::string& axis : axes) {
    if (axis.find_first_not_of("0123456789") == std::string::npos)
      shape.append(std::stoll(axis));
    else
      shape.append_symbol(axis);
  }
  return shape;
}

TEST(Value, ShapesOfUnknownValuesAreSymbols) {
  const Given x{{2, 3, 4}, DType::f32};
  const auto plain = [](const OpDef& op) {
    return Call{&op, op.defaults ? op.defaults() : Attributes{}};
  };
  EXPECT_EQ(inferred(plain(kReshape), {x, {{2}}}), "[?:0, ?:1]");
  EXPECT_EQ(inferred(plain(kReshape), {x, {{2}, DType::i64, {"6", ""}}}), "[6, 4]");
  EXPECT_EQ(inferred(plain(kExpand), {x, {{4}}}), "[?:0, 2, 3, 4]");
  EXPECT_EQ(inferred(plain(kSlice), {x, {{1}}, {{1}}}), "[?:0, 3, 4]");
  EXPECT_EQ(inferred(plain(kSlice), {x, {{1}}, {{1}}, {{1}}}), "[?:0, ?:1, ?:2]");
  EXPECT_EQ(inferred(plain(kPad), {x, {{6}}}), "[?:0, ?:1, ?:2]");
  EXPECT_EQ(inferred(plain(kPad), {x, {{6}, DType::i64, {"0", "1", "", "0", "2", ""}}}),
            "[2, 6, ?:2]");
  EXPECT_EQ(inferred(plain(kTile), {x, {{3}, DType::i64, {"n", "1", "2"}}}), "[2*n, 3, 8]");
  EXPECT_EQ(inferred(plain(kResize), {x, {{3}, DType::i64, {"2", "3", "2*w"}}}), "[2, 3, 2*w]");
  EXPECT_EQ(inferred(plain(kTopk), {x, {{1}}}), "[2, 3, ?:2]");
  EXPECT_EQ(inferred(plain(kOneHot), {{{5}}, {{1}}, {{2}, DType::f32}}), "[5, ?:1]");
  EXPECT_EQ(inferred(plain(kTrilu), {x, {{}}}), "[2, 3, 4]");
  EXPECT_EQ(inferred(plain(kCumsum), {x, {{}}}), "[2, 3, 4]");
  EXPECT_EQ(inferred(plain(kSum), {x, {{1}}}), "[?:0, ?:1]");
  EXPECT_EQ(inferred({&kSum, Attributes::of(ReduceAttributes{{}, true})}, {x, {{0}}}), "[1, 1, 1]");
  EXPECT_EQ(inferred(plain(kNonZero), {x}), "[3, ?:1]");
  EXPECT_EQ(inferred(plain(kCompress), {x, {{4}, DType::boolean}}), "[?:0]");
  EXPECT_EQ(inferred(plain(kSqueeze), {x, {{1}}}), "[?:0, ?:1]");
  EXPECT_EQ(inferred(plain(kUnsqueeze), {x, {{1}, DType::i64, {"1"}}}), "[2, 1, 3, 4]");
  EXPECT_EQ(inferred({&kRange, {}}, {{{}}, {{}}, {{}}}), "[?:0]");
  EXPECT_EQ(
      inferred({&kRange, {}},
               {{{}, DType::i64, {"0"}}, {{}, DType::i64, {"length"}}, {{}, DType::i64, {"2"}}}),
      "[(length+1)/2]");
}

TEST(Value, KnownSymbolsGoThrough) {
  const Given x{named({"batch", "length", "64"}), DType::f32};
  const Call reshape{&kReshape, kReshape.defaults()};
  EXPECT_EQ(inferred(reshape, {x, {{4}, DType::i64, {"batch", "length", "4", "16"}}}),
            "[batch, length, 4, 16]");
  EXPECT_EQ(inferred(reshape, {x, {{2}, DType::i64, {"-1", "64"}}}), "[batch*length, 64]");
  EXPECT_EQ(inferred(reshape, {x, {{3}, DType::i64, {"0", "", "32"}}}), "[batch, 2*length, 32]");
  const Call slice{&kSlice, kSlice.defaults()};
  const Given whole{{1024, 8}, DType::f32};
  EXPECT_EQ(inferred(slice, {whole, {{1}, DType::i64, {"0"}}, {{1}, DType::i64, {"length"}}}),
            "[length, 8]");
  EXPECT_EQ(
      inferred(slice, {whole, {{1}, DType::i64, {"past"}}, {{1}, DType::i64, {"past+length"}}}),
      "[length, 8]");
  const Call expand{&kExpand, kExpand.defaults()};
  EXPECT_EQ(
      inferred(expand, {{{1, 1, 8}, DType::f32}, {{3}, DType::i64, {"batch", "length", "1"}}}),
      "[batch, length, 8]");
}

TEST(Value, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({2, 3});
  const auto call = [&](const OpDef& op, Tensors inputs) {
    return pare::apply({&op, op.defaults ? op.defaults() : Attributes{}}, inputs);
  };
  EXPECT_ERROR(call(kReshape, {x, Tensor::from({6}, {1})}), dtype_mismatch,
               "reshape: expected a shape of i64 or i32, got f32");
  EXPECT_ERROR(call(kReshape, {x, Tensor::zeros({1, 1}, DType::i64)}), shape_mismatch,
               "reshape: expected a shape of at most one axis, got [1, 1]");
  EXPECT_ERROR(call(kReshape, {x, integers({4})}), shape_mismatch, "of 6 elements, got [4]");
  EXPECT_ERROR(call(kExpand, {x, integers({2, 2})}), shape_mismatch,
               "expand: expected a shape that broadcasts with [2, 3], got a size of 2 at axis 1");
  EXPECT_ERROR(call(kSlice, {x, integers({0})}), invalid_argument,
               "slice: expected starts and ends, got one without the other");
  EXPECT_ERROR(call(kSlice, {x, integers({0}), integers({1, 2})}), invalid_argument,
               "slice: expected one start, end and step");
  EXPECT_ERROR(call(kPad, {x, integers({1, 2})}), invalid_argument,
               "pad: expected amounts before and after for 2 axes, got 2");
  EXPECT_ERROR(call(kPad, {x, integers({1, 1, 1, 1}), integers({1, -1})}), invalid_argument,
               "pad: expected each axis once, got -1 twice");
  EXPECT_ERROR(call(kPad, {x, integers({1, 1, 1, 1}), Tensor(), Tensor::zeros({2})}),
               shape_mismatch, "pad: expected a value of one element, got [2]");
  EXPECT_ERROR(call(kPadBorder, {x, Tensor(), integers({0})}), invalid_argument,
               "numbers before and after");
  EXPECT_ERROR(call(kResize, {x, Tensor(), integers({1, 1})}), dtype_mismatch,
               "resize: expected scales of a floating type, got i64");
  EXPECT_ERROR(call(kTopk, {x, integers({1, 1})}), shape_mismatch,
               "topk: expected k of one element, got 2");
  EXPECT_ERROR(call(kOneHot, {integers({1}), integers({3}), Tensor::zeros({3})}), shape_mismatch,
               "one_hot: expected two values, off and on, got [3]");
  EXPECT_ERROR(call(kSum, {x, integers({0, 0})}), invalid_argument, "every axis once");
  EXPECT_ERROR(squeeze(x, integers({0})), shape_mismatch,
               "squeeze: expected a size of 1 at axis 0, got x [2, 3]");
  EXPECT_ERROR(squeeze(x, integers({0, 0, 1})), shape_mismatch, "squeeze: expected at most 2 axes");
  EXPECT_ERROR(unsqueeze(x, integers({0, 0})), invalid_argument, "unsqueeze: expected each axis");
  EXPECT_ERROR(unsqueeze(x, integers({5})), out_of_range, "unsqueeze");
  EXPECT_ERROR(nonzero(Tensor::zeros({2}, DType::i4)), dtype_mismatch, "nonzero");
  EXPECT_ERROR(compress(x, Tensor::zeros({2})), dtype_mismatch,
               "compress: expected a condition of bool, got f32");
  EXPECT_ERROR(compress(x, Tensor::zeros({2, 1}, DType::boolean)), shape_mismatch,
               "compress: expected a condition of one axis");
  EXPECT_ERROR(compress(x, Tensor::zeros({3}, DType::boolean), {0, false}), shape_mismatch,
               "compress: expected a condition of at most 2 elements, got [3]");
  const Shape unknown = named({"n"});
  const InferArgs::Input inputs[] = {{&x.shape(), DType::f32, nullptr},
                                     {&unknown, DType::i64, nullptr}};
  EXPECT_ERROR(infer({&kReshape, kReshape.defaults()}, inputs), unsupported,
               "reshape: expected a shape whose number of elements is known in advance, got [n]");
}

TEST(Value, SizesAndPlaces) {
  const Tensor x = Tensor::zeros({2, 3, 4});
  EXPECT_THAT(shape_of(x).to_vector<std::int64_t>(), ElementsAre(2, 3, 4));
  EXPECT_THAT(shape_of(x, {2, 1}).to_vector<std::int64_t>(), ElementsAre());
  EXPECT_EQ(size_of(x).item(), 24);
  EXPECT_EQ(nonzero(Tensor::scalar(0)).shape(), (Shape{1, 0}));
  EXPECT_EQ(squeeze(Tensor::zeros({1, 2}), integers({0})).shape(), (Shape{2}));
}

}  // namespace
}  // namespace pare
