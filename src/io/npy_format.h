// The .npy format over bytes from anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "pare/core/tensor.h"

namespace pare::io {

/// What a .npy file begins with.
inline constexpr std::string_view kNpyMark = "\x93NUMPY";

/// Where an array's bytes come from.
struct NpySource {
  std::string name;        ///< for errors
  std::uint64_t size = 0;  ///< bytes in all; nothing is allocated beyond them
  std::function<void(void* out, std::uint64_t bytes)> read;
};

Tensor read_npy(const NpySource& source);
/// The bytes before the elements of a version 1 file. Throws unsupported for types NumPy has not.
std::string npy_header(const Tensor& tensor, const std::string& name);

}  // namespace pare::io
