// Matrices that are dequantized constants, also where their elements were moved behind that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"

namespace pare {

/// scale · code, zero points 0.
struct CodedMatrix {
  Tensor codes;               ///< i8 [rows, columns]
  std::vector<float> scales;  ///< one for each row
  int leaf = -1;              ///< the value of the codes where they are as the graph has them
  int reader = -1;            ///< the node that dequantizes it
};

/// What value `value`, a matrix, is: dequantize_linear of constants in i8 with zero points 0, moved
/// about (gathered, transposed, joined: as files have a layer's gates and directions) so that a row
/// has one scale. None, with the reason, where it is no such.
std::optional<CodedMatrix> coded_matrix(const Graph& graph, int value, std::string& reason);

}  // namespace pare
