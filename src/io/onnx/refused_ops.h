// Ops of ONNX that are known and not read.
#pragma once

#include "io/onnx/model.h"

namespace pare::onnx {

/// Why a node's op is refused, or null.
const char* reason_to_refuse(const NodeProto& node);

}  // namespace pare::onnx
