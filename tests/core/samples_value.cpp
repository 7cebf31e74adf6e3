// Samples of ops between tensors and shapes, and of ops whose attributes are inputs.
#include "core/samples.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

Tensor integers(const std::vector<std::int64_t>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}
Tensor last(const Tensor& x) { return x.to(MemoryFormat::channels_last); }
Tensor bools(const std::vector<float>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())}).to(DType::boolean);
}

}  // namespace

void add_value_samples(Samples& samples, Generator& generator) {
  const auto add = [&](const char* name, const OpDef& op, Tensors inputs) {
    samples.push_back({name, {&op, op.defaults ? op.defaults() : Attributes{}}, std::move(inputs)});
    samples.back().differentiate = {0};
  };
  const auto with = [&](const char* name, const OpDef& op, auto attributes, Tensors inputs) {
    add(name, op, std::move(inputs));
    samples.back().call.attributes = Attributes::of(attributes);
  };
  const Tensor picture = generator.normal({2, 3, 4, 5});
  const Tensor matrix = generator.normal({3, 5});

  with("a part", kShape, ShapeAttributes{1, -1}, {picture});
  add("a scalar", kShape, {Tensor::scalar(2)});
  add("channels-last", kShape, {last(picture)});
  add("codes", kSize, {Tensor::full({3, 2}, 7, DType::i8)});
  add("two axes", kSqueeze, {generator.normal({2, 1, 3, 1}), integers({-1, 1})});
  add("channels-last", kSqueeze, {last(generator.normal({2, 1, 3, 1})), integers({1})});
  add("two axes", kUnsqueeze, {matrix, integers({-1, 0})});
  add("empty", kUnsqueeze, {generator.normal({0, 2}), integers({1})});
  add("matrix", kNonZero, {Tensor::from({0, 1, 0, -2, 0, 3}, {2, 3})});
  add("bool", kNonZero, {bools({1, 0, 0, 1})});
  add("halves", kNonZero, {Tensor::from({0, 1, -0.0F}, {3}).to(DType::f16)});
  add("a scalar", kNonZero, {Tensor::scalar(3)});
  add("none", kNonZero, {Tensor::zeros({2, 2})});
  with("rows", kCompress, CompressAttributes{0, false}, {matrix, bools({1, 0, 1})});
  with("columns, short condition", kCompress, CompressAttributes{-1, false},
       {matrix, bools({0, 1, 1})});
  add("flat", kCompress, {matrix, bools({0, 1, 0, 0, 1, 1, 1})});
  add("nothing", kCompress, {matrix, bools({0, 0})});

  add("shape", kReshape, {picture, integers({0, -1})});
  add("shape, channels-last", kReshape, {last(picture), integers({0, -1, 2, 5})});
  add("shape of 32 bits", kReshape, {matrix, integers({5, 3}).to(DType::i32)});
  add("shape", kExpand, {generator.normal({3, 1}), integers({2, 1, 4})});
  add("lower rank", kExpand, {generator.normal({2, 3, 1}), integers({3, 1})});
  add("channels-last", kExpand, {last(generator.normal({2, 3, 1, 1})), integers({1, 1, 2, 2})});
  add("bounds", kSlice,
      {picture, integers({1, 0}), integers({9, 4}), integers({2, -1}), integers({1, 2})});
  add("bounds without axes", kSlice, {matrix, integers({1}), integers({3})});
  add("backwards", kSlice, {matrix, integers({-1}), integers({-9}), Tensor(), integers({-1})});
  add("bounds, channels-last", kSlice,
      {last(picture), integers({1}), integers({3}), integers({1})});
  add("amounts", kPad, {matrix, integers({1, 0, 0, 2})});
  add("amounts of axes, value", kPad,
      {picture, integers({1, 2, 0, -1}), integers({2, -1}), Tensor::scalar(1.5)});
  with("value", kPad, PadAttributes{{0, 1}, {0, 0}, 0},
       {matrix, Tensor(), Tensor(), Tensor::scalar(-2)});
  add("amounts", kPadBorder, {picture, integers({2, 1}), integers({-1})});
  add("amounts, channels-last", kPadBorder, {last(picture), integers({0, 0, 1, 1, 0, 0, 1, 2})});
  add("repeats", kTile, {matrix, integers({2, 3})});
  add("sizes", kResize, {picture, integers({2, 3, 8, 5})});
  with("sizes of axes", kResize, ResizeAttributes{.mode = "linear", .axes = {3, 2}},
       {picture, integers({7, 8})});
  with("one scale", kResize, ResizeAttributes{.axes = {2, 3}, .policy = "not_larger"},
       {picture, integers({7, 8})});
  with("one scale, sizes known", kResize,
       ResizeAttributes{.sizes = {7, 8}, .axes = {2, 3}, .policy = "not_smaller"}, {picture});
  add("k", kTopk, {generator.normal({3, 6}), integers({2})});
  with("depth and values", kOneHot, OneHotAttributes{},
       {integers({1, -2, 3}), integers({4}), Tensor::from({-1, 2}, {2})});
  samples.back().differentiate.clear();
  add("depth", kOneHot, {integers({1, -2, 3}), integers({4})});
  samples.back().differentiate.clear();
  add("diagonal", kTrilu, {picture, integers({-1})});
  add("axis", kCumsum, {matrix, integers({0})});
  add("axis", kCumprod, {matrix, integers({-2})});
  for (const OpDef* op : {&kSum, &kMean, &kMax, &kMin, &kProd, &kNorm, &kLogSumExp}) {
    add("axes", *op, {picture, integers({1, -1})});
    add("no axes", *op, {matrix, integers({})});
  }
}

}  // namespace pare::test
