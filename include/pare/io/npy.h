// NumPy's files: .npy, one array, and .npz, several by name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/nn/module.h"

namespace pare::io {

using nn::NamedTensor;

struct NpyOptions {
  /// Largest array that is made of compressed data (.npz); plain files bear their sizes out.
  std::int64_t max_bytes = std::int64_t{1} << 32;
};

/// The array of a .npy file of version 1, 2 or 3, row-major: C or Fortran order, either byte order,
/// of the types bool, i8, u8, i16, u16, i32, i64, f16, f32 and f64. Throws io_error where the file
/// cannot be read, corrupt_data, naming the file and what was expected, where it is not as the
/// format says (numpy.lib.format), unsupported for other element types and too many axes.
PARE_API Tensor load_npy(const std::string& path);
/// Writes a .npy file of version 1 in C order, whole or not at all. Throws io_error, and
/// unsupported for element types that NumPy has not (bf16, i4, u4).
PARE_API void save_npy(const std::string& path, const Tensor& tensor);

/// The arrays of a .npz file as numpy.savez and numpy.savez_compressed write it, in its order and
/// without the ending ".npy". Throws as load_npy, naming the array too.
PARE_API std::vector<NamedTensor> load_npz(const std::string& path, const NpyOptions& options = {});
/// Writes a .npz file as numpy.savez does, not compressed, whole or not at all. Throws io_error,
/// invalid_argument for a name given twice or an empty one, unsupported as save_npy and for more
/// than 4 GiB.
PARE_API void save_npz(const std::string& path, std::span<const NamedTensor> tensors);

}  // namespace pare::io
