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

template <std::size_t N> struct Ops {
  const OpDef* max;
  const OpDef* average;
};

/// Poolings over N axes of about five pixels, in one format.
template <std::size_t N>
void add_poolings(Samples& samples, Generator& generator, const Ops<N>& ops, bool last) {
  const auto add_of = [&](Generator& values, const char* name, const OpDef* op,
                          const PoolAttributes<N>& attributes, std::int64_t batch,
                          std::int64_t size) {
    Shape shape{batch, 3};
    for (std::size_t i = 0; i < N; ++i) shape.append(size + static_cast<std::int64_t>(i));
    Tensor x = distinct(values, shape);
    if (last) x = x.to(MemoryFormat::channels_last);
    samples.push_back({name, {op, Attributes::of(attributes)}, {x}});
  };
  const auto add = [&](const char* name, const OpDef* op, const PoolAttributes<N>& attributes,
                       std::int64_t batch,
                       std::int64_t size) { add_of(generator, name, op, attributes, batch, size); };
  PoolAttributes<N> padded{.kernel = detail::filled<N>(3)};
  padded.padding = detail::filled<2 * N>(1);
  PoolAttributes<N> ceiling = padded;
  ceiling.kernel = detail::filled<N>(2);
  ceiling.stride = detail::filled<N>(3);
  ceiling.ceil_mode = true;
  for (const OpDef* op : {ops.max, ops.average}) {
    add("pairs", op, {}, 2, 4);
    add("padded", op, padded, 2, 4);
    add("ceil mode", op, ceiling, 1, 4);
    add("no pictures", op, {}, 0, 4);
  }
  PoolAttributes<N> wide = padded;
  wide.kernel = detail::filled<N>(9);
  wide.stride = detail::filled<N>(9);
  wide.ceil_mode = true;
  Generator own(5);
  for (const OpDef* op : {ops.max, ops.average})
    add_of(own, "ceil mode, one window larger than the picture", op, wide, 1, 4);
  PoolAttributes<N> dilated = padded;
  dilated.stride = detail::filled<N>(1);
  dilated.dilation = detail::filled<N>(2);
  add("dilation", ops.max, dilated, 1, 5);
  PoolAttributes<N> inside = ceiling;
  inside.count_include_pad = false;
  add("ceil mode, padding not counted", ops.average, inside, 1, 4);
  PoolAttributes<N> divided = ceiling;
  divided.divisor_override = 5;
  add("divisor", ops.average, divided, 1, 4);
}

void add_adaptive(Samples& samples, Generator& generator, bool last) {
  struct Case {
    const char* name;
    Shape shape;
    std::vector<std::int64_t> output;
  };
  const std::vector<Case> cases{
      {"line, uneven", {2, 3, 7}, {3}},       {"more than there is", {1, 2, 3}, {5}},
      {"uneven", {2, 3, 5, 7}, {3, 4}},       {"one axis kept", {1, 3, 5, 4}, {-1, 3}},
      {"even", {1, 3, 4, 6}, {2, 3}},         {"to one", {2, 3, 4, 5}, {1, 1}},
      {"volume", {1, 2, 3, 5, 4}, {2, 3, 3}}, {"no pictures", {0, 2, 5, 5}, {2, 3}}};
  for (const OpDef* op : {&kAdaptiveAveragePool, &kAdaptiveMaxPool})
    for (const Case& c : cases) {
      Tensor x = distinct(generator, c.shape);
      if (last) x = x.to(MemoryFormat::channels_last);
      samples.push_back({c.name, {op, Attributes::of(AdaptivePoolAttributes{c.output})}, {x}});
    }
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
    add_poolings<1>(samples, generator, {&kMaxPool1d, &kAveragePool1d}, last);
    add_poolings<2>(samples, generator, {&kMaxPool2d, &kAveragePool2d}, last);
    add_poolings<3>(samples, generator, {&kMaxPool3d, &kAveragePool3d}, last);
    add_adaptive(samples, generator, last);
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
