// Samples of the observers and of symmetric_scale.
#include "core/samples.h"
#include "pare/core/ops/observe.h"

namespace pare::test {

void add_observe_samples(Samples& samples, Generator& g) {
  constexpr MemoryFormat kLast = MemoryFormat::channels_last;
  const Call min_max{&kObserveMinMax, Attributes::of(ObserveAttributes{})};
  const Call average{&kObserveMinMax, Attributes::of(ObserveAttributes{.averaging = 0.01})};
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
    samples.push_back({name, fine, {x, wide()}, false, {0}});
    samples.push_back({name + ", two ranges", fine, {x, wide(), wide()}, false, {0}});
    if (shape.rank() < 3) continue;
    const Tensor last = x.to(kLast);
    samples.push_back({name + ", channels last", min_max, {last, empty_range()}, false, {0}});
    samples.push_back({name + ", channels last", fine, {last, wide()}, false, {0}});
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
  }
}

}  // namespace pare::test
