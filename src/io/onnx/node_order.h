// The order in which the nodes of an ONNX graph can be read.
#pragma once

#include <string>
#include <vector>

#include "io/onnx/model.h"

namespace pare::onnx {

/// "'conv1' (Conv)", or "node 3 (Conv)" where it has no name.
std::string label_of(const NodeProto& node, std::size_t index);

/// Indices of the nodes, producers before readers (what branches read included), otherwise as they
/// stand. Throws corrupt_data, beginning with `place`, for a cycle and for a value that two nodes
/// give.
std::vector<std::size_t> node_order(const std::vector<NodeProto>& nodes, const std::string& place);

}  // namespace pare::onnx
