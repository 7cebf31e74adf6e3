// safetensors files: tensors by name, with a few words of metadata.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/nn/module.h"

namespace pare::io {

using nn::NamedTensor;
using Metadata = std::map<std::string, std::string>;

/// What a safetensors file holds.
struct TensorFile {
  std::vector<NamedTensor> tensors;  ///< in the order of their bytes; row-major
  Metadata metadata;

  /// Null if there is none of that name.
  PARE_API const Tensor* find(std::string_view name) const;
};

/// Writes the tensors (f32, f16, bf16, f64, i64, i32, i16, u16, i8, u8 or bool; channels-last ones
/// are written row-major). The file appears whole or not at all: on any failure an older one of
/// that name stays as it was. Throws io_error; invalid_argument for a name given twice; unsupported
/// for another element type. Format: https://github.com/huggingface/safetensors.
PARE_API void save_tensors(const std::string& path, std::span<const NamedTensor> tensors,
                           const Metadata& metadata = {});

/// Reads a file. Nothing is allocated that the file's size does not bear out. Throws io_error;
/// corrupt_data, naming file and tensor, for anything that is not as the format says; unsupported
/// for element types that pare does not have and for PyTorch's own .pth files.
PARE_API TensorFile load_tensors(const std::string& path);

}  // namespace pare::io
