// The header of a safetensors file: reading it strictly, writing it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pare/io/safetensors.h"

namespace pare::io {

/// One tensor of a file: where its bytes lie behind the header.
struct TensorEntry {
  std::string name;
  DType dtype;
  Shape shape;
  std::uint64_t begin, end;
};
struct Header {
  std::vector<TensorEntry> entries;  ///< by their bytes
  Metadata metadata;
};

/// Checks the header's text against the `data_bytes` that follow it. Throws corrupt_data or
/// unsupported naming `path` and the tensor.
Header parse_header(const std::string& path, std::string_view text, std::uint64_t data_bytes);

/// The header's text, padded to a multiple of eight bytes. Throws invalid_argument naming `path`.
std::string print_header(const std::string& path, std::span<const TensorEntry> entries,
                         const Metadata& metadata);

/// What a name in an error looks like.
std::string tensor_place(const std::string& path, std::string_view name);

}  // namespace pare::io
