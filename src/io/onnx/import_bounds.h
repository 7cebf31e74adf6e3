// Bounds of the numbers in a file, so that arithmetic on them cannot overflow.
#pragma once

#include <fmt/format.h>

#include "io/onnx/node_import.h"

namespace pare::onnx {

/// The value, where it lies between these bounds; refuses others.
inline std::int64_t within(NodeImport& node, std::int64_t value, std::int64_t low,
                           std::int64_t high) {
  if (value < low || value > high)
    node.refuse(fmt::format("expected a number from {} to {}, got {}", low, high, value));
  return value;
}

}  // namespace pare::onnx
