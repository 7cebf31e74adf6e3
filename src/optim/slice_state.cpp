// Cuts what an optimizer remembers of a parameter as the parameter was cut.
#include "optim/slice_state.h"

#include "core/check.h"
#include "pare/core/ops/movement.h"

namespace pare::optim {

Shape shape_after(const Shape& shape, const Kept& kept) {
  Shape result = shape;
  for (std::size_t axis = 0; axis < kept.size(); ++axis) {
    if (!kept[axis]) continue;
    const int a = static_cast<int>(axis);
    PARE_CHECK(a < shape.rank(), out_of_range, "optimizer.rebuild",
               "expected kept indices for {} axes at most, got some for axis {}", shape.rank(), a);
    for (const std::int64_t index : *kept[axis])
      PARE_CHECK(index >= 0 && index < shape[a], out_of_range, "optimizer.rebuild",
                 "expected kept indices from 0 to {} on axis {}, got {}", shape[a] - 1, a, index);
    result.set(a, static_cast<std::int64_t>(kept[axis]->size()));
  }
  return result;
}

Tensor slice_state(const Tensor& state, const Kept& kept) {
  const NoGrad scope;
  Tensor result = state;
  for (std::size_t axis = 0; axis < kept.size(); ++axis) {
    if (!kept[axis]) continue;
    const auto count = static_cast<std::int64_t>(kept[axis]->size());
    result = gather(result, Tensor::from(*kept[axis], {count}), static_cast<int>(axis));
  }
  return result.same_as(state) ? state.clone() : result;
}

}  // namespace pare::optim
