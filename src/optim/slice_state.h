// Cuts what an optimizer remembers of a parameter as the parameter was cut.
#pragma once

#include "pare/core/replacement.h"

namespace pare::optim {

using Kept = std::vector<std::optional<std::vector<std::int64_t>>>;

/// The shape that is left. Throws out_of_range for an index that is not one of its axis.
Shape shape_after(const Shape& shape, const Kept& kept);
/// The elements that are left, row-major.
Tensor slice_state(const Tensor& state, const Kept& kept);

}  // namespace pare::optim
