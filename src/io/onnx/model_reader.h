// From the bytes of an ONNX file to a ModelProto.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "io/onnx/model.h"

namespace pare::onnx {

/// The messages of `bytes`, whose tensors stay views of them; `memory` keeps them alive. What is
/// allocated is a multiple of the bytes. Throws corrupt_data, naming `file` and the place, for
/// everything that is not as protobuf and onnx.proto say: truncated, of wrong wire types, negative
/// sizes, graphs nested more than 32 deep, nodes without an op.
ModelProto read_model(const std::string& file, std::span<const std::byte> bytes,
                      std::shared_ptr<const void> memory);

/// The same of a file, which is read as a whole. Throws io_error too.
ModelProto read_model_file(const std::string& path);

}  // namespace pare::onnx
