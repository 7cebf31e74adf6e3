// Lists of whole numbers as ONNX's nodes take them: initializers.
#pragma once

#include <string>
#include <vector>

#include "pare/core/op.h"

namespace pare {

/// The name of an i64 initializer [n].
inline std::string onnx_integers(OnnxEmitter& emitter, const std::vector<std::int64_t>& values) {
  return emitter.constant(Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())}));
}

}  // namespace pare
