// Samples of the observers and of the scales of weights.
#include "core/samples.h"
#include "pare/core/ops/observers.h"

namespace pare::test {

namespace {

void add_weight_samples(Samples& samples, Generator& g, std::int64_t axis) {
  for (const bool symmetric : {true, false})
    for (const bool search : {true, false}) {
      const ObserveWeightAttributes a{.qmin = symmetric ? -7 : -8,
                                      .qmax = 7,
                                      .axis = axis,
                                      .symmetric = symmetric,
                                      .least_squares = search};
      const Call call{&kObserveWeight, Attributes::of(a)};
      const std::string name = "axis " + std::to_string(axis) + (symmetric ? "" : ", affine") +
                               (search ? ", searched" : "");
      const Tensor w = g.normal({4, 3, 2, 5});
      samples.push_back({name, call, {w}});
      samples.push_back({name + ", channels last", call, {w.to(MemoryFormat::channels_last)}});
      samples.push_back({name + ", rank 2", call, {g.normal({6, 7})}});
      samples.push_back({name + ", no rows", call, {g.normal({0, 7})}});
      samples.push_back({name + ", no columns", call, {g.normal({6, 0})}});
    }
  const Call follow{&kObserveWeight,
                    Attributes::of(ObserveWeightAttributes{.axis = axis, .averaging = 0.25})};
  const Shape ranges = axis < 0 ? Shape{2} : Shape{axis == 0 ? 4 : 3, 2};
  samples.push_back({"axis " + std::to_string(axis) + ", followed",
                     follow,
                     {g.normal({4, 3, 2, 5}), Tensor::zeros(ranges)}});
}

}  // namespace

void add_observe_samples(Samples& samples, Generator& g) {
  constexpr MemoryFormat kLast = MemoryFormat::channels_last;
  const Call min_max{&kObserveMinMax, Attributes::of(ObserveAttributes{})};
  const Call average{&kObserveMinMax, Attributes::of(ObserveAttributes{.averaging = 0.01})};
  const Call mean{&kObserveMeanMinMax, Attributes::of(ObserveAttributes{})};
  const Call histogram{&kObserveHistogram, Attributes::of(ObserveAttributes{})};
  // As in fake_quantize's samples: steps too fine for a central difference to see. The range is
  // wide enough that no sample moves it.
  const Call fine{&kObserveFakeQuantize,
                  Attributes::of(ObserveAttributes{.qmin = -4000000, .qmax = 4000000})};
  const auto wide = [] { return Tensor::from({-9, 9}, {2}); };
  for (const Shape& shape :
       {Shape{}, Shape{37}, Shape{4, 9}, Shape{2, 3, 4, 5}, Shape{0, 4}, Shape{2, 3, 0, 5}}) {
    const std::string name = shape.to_string();
    const Tensor x = g.normal(shape);
    samples.push_back({name, min_max, {x, empty_range()}, false, {0}});
    samples.push_back({name + ", average", average, {x, wide()}, false, {0}});
    samples.push_back(
        {name, histogram, {x, Tensor::zeros({64}, DType::i64), empty_range()}, false, {0}});
    samples.push_back({name, mean, {x, empty_range_sums(), empty_range()}, false, {0}});
    samples.push_back({name + ", two sums",
                       mean,
                       {x, empty_range_sums(), empty_range(), empty_range_sums()},
                       false,
                       {0}});
    samples.push_back({name, fine, {x, wide()}, false, {0}});
    samples.push_back({name + ", two ranges", fine, {x, wide(), wide()}, false, {0}});
    if (shape.rank() < 3) continue;
    const Tensor last = x.to(kLast);
    samples.push_back({name + ", channels last", min_max, {last, empty_range()}, false, {0}});
    samples.push_back({name + ", channels last", fine, {last, wide()}, false, {0}});
    samples.push_back(
        {name + ", channels last", mean, {last, empty_range_sums(), empty_range()}, false, {0}});
  }
  for (const std::int64_t axis : {-1, 0, 1}) {
    const Call scale{&kSymmetricScale, Attributes::of(SymmetricScaleAttributes{63, axis})};
    const Tensor w = g.normal({4, 3, 2, 5});
    const std::string name = "axis " + std::to_string(axis);
    samples.push_back({name, scale, {w}});
    samples.push_back({name + ", channels last", scale, {w.to(kLast)}});
    samples.push_back({name + ", rank 2", scale, {g.normal({6, 7})}});
    samples.push_back({name + ", no rows", scale, {g.normal({0, 7})}});
    samples.push_back({name + ", no columns", scale, {g.normal({6, 0})}});
    add_weight_samples(samples, g, axis);
  }
}

}  // namespace pare::test
