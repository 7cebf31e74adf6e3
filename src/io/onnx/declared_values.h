// What a file declares of its graph's inputs and outputs.
#pragma once

#include <string>
#include <vector>

#include "io/onnx/model.h"
#include "pare/core/error.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

/// Why an input cannot be read; empty: it can.
std::string why_no_input(const ValueInfo& input);

/// The shape of an input that can, with symbols of its own for axes of which the file says nothing;
/// `all`: inputs of the graph. Throws corrupt_data naming `place` for sizes that memory cannot
/// hold.
Shape shape_of_input(const ValueInfo& input, const std::vector<ValueInfo>& all,
                     const std::string& place);

/// What an output was declared to be and is not.
struct Contradiction {
  ErrorCode code;
  std::string reason;
};
std::vector<Contradiction> contradictions(const ValueInfo& declared, const Graph::Value& value);

}  // namespace pare::onnx
