// Sizes of axes that must be the same, as far as their names tell.
#include "core/size_agreement.h"

#include "core/size_expression.h"

namespace pare {
namespace {

/// A size that inference made, of others or of a node's name ("Reshape?0").
bool is_derived(const std::string& symbol) {
  return symbol.find_first_of("+-*/(?") != std::string::npos;
}

}  // namespace

bool can_agree(const Shape& a, int i, const Shape& b, int j) {
  if (a.same_axis(i, b, j)) return true;
  if (!a.symbolic(i) && !b.symbolic(j)) return false;
  if (a.symbolic(i) != b.symbolic(j)) return true;
  if (!is_derived(a.symbol(i)) && !is_derived(b.symbol(j))) return false;
  const SizeExpression difference = SizeExpression::of(a, i) - SizeExpression::of(b, j);
  return !difference.is_number() || difference.constant() == 0;
}

void append_agreed(Shape& shape, const Shape& a, int i, const Shape& b, int j) {
  if (a.symbolic(i))
    shape.append(b, j);
  else
    shape.append(a, i);
}

}  // namespace pare
