// Sizes of axes that must be the same, as far as their names tell.
#pragma once

#include "pare/core/shape.h"

namespace pare {

/// Whether the axes can have one size: equal ones; a symbol and a number; a derived size and
/// another that does not differ from it by a number. What they are shows where the graph runs. Two
/// symbols of inputs are two sizes.
bool can_agree(const Shape& a, int i, const Shape& b, int j);

/// Appends that size: the number, where one of them is a number.
void append_agreed(Shape& shape, const Shape& a, int i, const Shape& b, int j);

}  // namespace pare
