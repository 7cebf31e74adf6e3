// A checksum of all that a safetensors file says.
#pragma once

#include <cstdint>
#include <span>

#include "pare/io/safetensors.h"

namespace pare::io {

/// CRC-32 of the metadata and, in the order of their names, of the tensors: name, dtype, shape and
/// elements in row-major order.
std::uint32_t checksum(std::span<const NamedTensor> tensors, const Metadata& metadata);

}  // namespace pare::io
