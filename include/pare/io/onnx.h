// ONNX files: a graph read from one, a graph written to one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "pare/core/export.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

/// Reads a file of opset 6 to 25. Initializers of floating type become parameters (those of rank 0,
/// which exporters write for numbers, stay constants), the others constants; symbols, names of
/// values and nodes and the metadata stay. Axes that the file says nothing about get symbols of
/// their own. Quantized operators become quantize_linear / dequantize_linear around float ones.
/// External data is read from the file's own folder only. Throws io_error or corrupt_data naming
/// the file and the place, and unsupported with all refused nodes of the file, each with its
/// reason.
PARE_API Graph load(const std::filesystem::path& path);
/// The same from memory; a file with external data is refused.
PARE_API Graph parse(std::span<const std::byte> bytes);

struct SaveOptions {
  int opset = 0;  ///< 13 to 25 (21 and 25 pack weights of 4 and 2 bits); 0: the lowest possible
  /// linear and matmul whose weights are codes (dequantize_weight) as com.microsoft's MatMulNBits,
  /// which ONNX Runtime runs on the codes: 2, 4 and 8 bits, in blocks of 16 to 256 that are powers
  /// of two or with one scale for each output. Others, and embeddings, stay DequantizeLinear.
  bool matmul_nbits = false;
  /// Initializers go into <file>.data beside it where they are more than this in all.
  std::int64_t external_above = std::int64_t{1} << 30;
};

/// Writes to a temporary name and renames. Throws unsupported with all nodes that have no form in
/// ONNX or in that opset, and io_error.
PARE_API void save(const Graph& graph, const std::filesystem::path& path,
                   const SaveOptions& options = {});

}  // namespace pare::onnx
