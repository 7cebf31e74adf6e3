// Transforms that change a whole picture, before it is cut, mirrored and converted into its batch.
#pragma once

#include <cstdint>

#include "pare/core/generator.h"
#include "pare/core/tensor.h"
#include "pare/data/transform.h"

namespace pare::data {

/// Throws invalid_argument for numbers that make no sense.
void check(const Transform& transform);
/// Whether the transform is a choice of rows and columns alone, which `draw` makes.
bool is_move(const Transform& transform);
/// The input transformed, drawing from `generator`; null: windows from the middle, and nothing that
/// is left to chance. Not for a Normalize.
Tensor augment(const Transform& transform, const Tensor& input, Generator* generator);

}  // namespace pare::data
