// Samples of the ops that move elements.
#include <limits>

#include "core/samples.h"
#include "pare/core/ops/movement.h"

namespace pare::test {
namespace {

constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

Tensor last(const Tensor& x) { return x.to(MemoryFormat::channels_last); }

}  // namespace

void add_movement_samples(Samples& samples, Generator& generator) {
  const auto add = [&](const char* name, const OpDef& op, auto attributes, Tensors inputs) {
    samples.push_back({name, {&op, Attributes::of(attributes)}, std::move(inputs)});
  };
  const Tensor picture = generator.normal({2, 3, 4, 5});
  const Tensor matrix = generator.normal({3, 5});
  const Tensor pooled = generator.normal({4, 6, 1, 1});

  add("flatten", kReshape, ReshapeAttributes{{0, -1}}, {picture});
  add("flatten, channels-last", kReshape, ReshapeAttributes{{0, -1}}, {last(picture)});
  add("same rank, channels-last", kReshape, ReshapeAttributes{{0, -1, 2, 5}}, {last(picture)});
  add("one pixel, channels-last", kReshape, ReshapeAttributes{{-1, 6}}, {last(pooled)});
  add("split an axis", kReshape, ReshapeAttributes{{3, 5, 1}}, {matrix});

  add("matrix", kTranspose, TransposeAttributes{{1, 0}}, {matrix});
  add("to (N, H, W, C)", kTranspose, TransposeAttributes{{0, 2, 3, 1}}, {picture});
  add("large tiles", kTranspose, TransposeAttributes{{1, 0}}, {generator.normal({37, 50})});
  add("heads", kTranspose, TransposeAttributes{{0, 2, 1, 3}}, {generator.normal({2, 7, 3, 8})});

  add("channels", kConcat, ConcatAttributes{1}, {picture, generator.normal({2, 2, 4, 5})});
  add("channels, both formats", kConcat, ConcatAttributes{1},
      {last(picture), generator.normal({2, 1, 4, 5}), last(generator.normal({2, 4, 4, 5}))});
  add("rows, from the end", kConcat, ConcatAttributes{-2}, {matrix, generator.normal({1, 5})});

  add("option A's stride", kSlice, SliceAttributes{{2, 3}, {0, 0}, {kEnd, kEnd}, {2, 2}},
      {picture});
  add("option A's stride, channels-last", kSlice,
      SliceAttributes{{2, 3}, {0, 0}, {kEnd, kEnd}, {2, 2}}, {last(picture)});
  add("channels", kSlice, SliceAttributes{{1}, {1}, {3}, {1}}, {last(picture)});
  add("backwards", kSlice, SliceAttributes{{-1}, {-1}, {-kEnd}, {-2}}, {matrix});
  add("clamped bounds", kSlice, SliceAttributes{{0, 1}, {-100, 2}, {2, 100}, {1, 1}}, {matrix});

  add("channels", kPad, PadAttributes{{0, 2, 0, 0}, {0, 1, 0, 0}, 0}, {picture});
  add("channels, channels-last", kPad, PadAttributes{{0, 2, 0, 0}, {0, 1, 0, 0}, 0},
      {last(picture)});
  add("border and crop, value", kPad, PadAttributes{{0, 0, 1, -2}, {0, -1, 2, 0}, 1.5}, {picture});
  add("crop only", kPad, PadAttributes{{-1, 0}, {0, -2}, 0}, {matrix});

  add("rows", kExpand, ExpandAttributes{{4, 3, 5}}, {generator.normal({3, 1})});
  add("per channel, channels-last", kExpand, ExpandAttributes{{-1, -1, 3, 2}}, {last(pooled)});

  // No pictures, and pictures of no rows.
  for (const Shape& shape : {Shape{0, 3, 4, 5}, Shape{2, 3, 0, 5}}) {
    for (const bool channels_last : {false, true}) {
      const Tensor x = channels_last ? last(generator.normal(shape)) : generator.normal(shape);
      add("empty, flatten", kReshape, ReshapeAttributes{{0, -1}}, {x});
      add("empty", kTranspose, TransposeAttributes{{0, 2, 3, 1}}, {x});
      add("empty", kConcat, ConcatAttributes{1}, {x, x});
      add("empty", kSlice, SliceAttributes{{1}, {1}, {3}, {1}}, {x});
      add("empty", kPad, PadAttributes{{0, 1, 0, 0}, {0, 0, 1, -1}, 0}, {x});
      add("empty", kExpand, ExpandAttributes{{2, -1, -1, -1, -1}}, {x});
    }
  }
  add("nothing is left", kSlice, SliceAttributes{{1}, {2}, {2}, {1}}, {picture});
  add("rows out of nothing", kPad, PadAttributes{{1, 0}, {0, 0}, 2}, {generator.normal({0, 3})});

  const auto add_gather = [&](const char* name, std::int64_t axis, Tensor x, Tensor indices) {
    samples.push_back({.name = name,
                       .call = {&kGather, Attributes::of(GatherAttributes{axis})},
                       .inputs = {std::move(x), std::move(indices)},
                       .differentiate = {0}});
  };
  add_gather("embedding", 0, matrix,
             Tensor::from(std::vector<std::int64_t>{2, 0, 2, -1, 1, -3}, {2, 3}));
  add_gather("codebook, i32", 0, generator.normal({4}),
             Tensor::from(std::vector<std::int32_t>{3, 0, 1, 1, 0, 0}, {3, 2}));
  add_gather("channels, channels-last", 1, last(picture),
             Tensor::from(std::vector<std::int64_t>{2, 0, 0}, {3}));
  add_gather("no indices", 0, matrix, Tensor::empty({0, 2}, DType::i64));
  add_gather("of nothing", 0, generator.normal({0, 5}), Tensor::empty({0}, DType::i64));
  add_gather("empty rows", 0, generator.normal({3, 0}),
             Tensor::from(std::vector<std::int64_t>{2, 0}, {2}));
  add_gather("scalar index", 1, matrix, Tensor::scalar(4, DType::i64));
}

}  // namespace pare::test
