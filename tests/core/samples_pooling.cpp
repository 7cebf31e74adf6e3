// Samples of pooling.
#include "core/samples.h"
#include "pare/core/ops/pooling.h"

namespace pare::test {
namespace {

/// Pictures whose elements all differ by more than a central difference moves them.
Tensor distinct(Generator& generator, const Shape& shape) {
  const std::vector<std::int64_t> order = generator.permutation(shape.elements());
  std::vector<float> values(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    values[i] = 0.1F * static_cast<float>(order[i]) - 4.0F;
  return Tensor::from(values, shape);
}

}  // namespace

void add_pooling_samples(Samples& samples, Generator& generator) {
  for (const bool last : {false, true}) {
    const auto add = [&](const char* name, const OpDef& op, const Pool2dAttributes& attributes,
                         const Shape& shape) {
      Tensor x = distinct(generator, shape);
      if (last) x = x.to(MemoryFormat::channels_last);
      samples.push_back({name, {&op, Attributes::of(attributes)}, {x}});
    };
    for (const OpDef* op : {&kMaxPool2d, &kAveragePool2d}) {
      add("2 by 2", *op, {}, {2, 3, 4, 6});
      add("2 by 2, odd size", *op, {}, {2, 2, 5, 7});
      add("overlapping, padded", *op, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}},
          {2, 3, 6, 5});
      add("stride 1, uneven padding", *op,
          {.kernel = {3, 2}, .stride = {1, 1}, .padding = {1, 0, 0, 1}}, {1, 2, 4, 4});
      add("gaps", *op, {.kernel = {2, 1}, .stride = {3, 2}}, {1, 2, 6, 5});
      add("many channels", *op, {}, {1, 70, 2, 2});
      add("no pictures", *op, {}, {0, 3, 4, 6});
      add("no channels", *op, {}, {2, 0, 4, 6});
    }
    add("padding not counted", kAveragePool2d,
        {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .count_include_pad = false},
        {2, 3, 6, 5});
    Tensor x = generator.normal({3, 5, 4, 4});
    if (last) x = x.to(MemoryFormat::channels_last);
    samples.push_back({"pictures", {&kGlobalAveragePool, {}}, {x}});
    for (const Shape& shape : {Shape{0, 5, 4, 4}, Shape{3, 0, 4, 4}}) {
      Tensor none = generator.normal(shape);
      if (last) none = none.to(MemoryFormat::channels_last);
      samples.push_back({"empty", {&kGlobalAveragePool, {}}, {none}});
    }
  }
  samples.push_back({"one spatial axis", {&kGlobalAveragePool, {}}, {generator.normal({2, 3, 7})}});
}

}  // namespace pare::test
