// Products of numbers and named symbols, for axes that a reshape merges.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/shape.h"

namespace pare {

/// number · symbol · symbol …; the symbol of a merged axis is written "16*batch".
struct Monomial {
  std::int64_t number = 1;
  std::vector<std::string> symbols;  // ascending

  /// Both throw invalid_argument where the number does not fit 63 bits.
  void multiply(std::int64_t factor);
  void multiply(const Shape& shape, int axis);
  /// False, and unchanged, where it does not divide.
  bool divide(const Monomial& by);
  std::string to_string() const;
  /// Appends it to a shape, as a number or a symbol.
  void append_to(Shape& shape) const;
};

/// The product of all axes.
Monomial product_of(const Shape& shape);

}  // namespace pare
