// Expressions of parameters as JSON text, for a checkpoint's metadata.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pare/core/expression.h"

namespace pare::io {

/// By the parameter's dotted name.
using Expressions = std::map<std::string, Expression>;

/// Suffixes of the leaves, and the steps with their attributes; not the leaves' values.
std::string print_expressions(const Expressions& expressions);

/// The expressions that `text` holds, their leaves without values. Throws corrupt_data or
/// unsupported (an op that this version does not have), beginning with `where`.
Expressions parse_expressions(const std::string& where, const std::string& text);

}  // namespace pare::io
