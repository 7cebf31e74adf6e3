// From a ModelProto to the bytes of an ONNX file.
#pragma once

#include <string>

#include "io/onnx/model.h"

namespace pare::onnx {

/// The file's bytes. Tensors are written as raw or external data; what is typed must be attributes'
/// tensors made by to_proto.
std::string write_model(const ModelProto& model);

}  // namespace pare::onnx
