// From the messages of an ONNX file to its tensors and the types of its values.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "io/onnx/model.h"
#include "io/onnx/wire.h"

namespace pare::onnx {

/// Numbers the repeated parts of a message for errors.
inline std::int64_t ordinal(std::size_t size) { return static_cast<std::int64_t>(size); }

/// A StringStringEntryProto.
std::pair<std::string, std::string> read_pair(WireMessage message);
TensorProto read_tensor(WireMessage message);
/// A ValueInfoProto.
ValueInfo read_value(WireMessage message);

}  // namespace pare::onnx
