// CodeMatrix: a matrix kept as codes of 8, 4 or 2 bits, or as f16 or bf16, that floats multiply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/tensor.h"

namespace pare {

struct CodeMatrixSpec {
  Tensor weight;  ///< [out, in], or [in, out] where `transposed`: codes, or f16, or bf16
  bool transposed = false;
  Tensor scale, zero_point;  ///< of codes, as dequantize_weight takes them
  DequantizeWeightAttributes attributes;
  Tensor bias;            ///< f32 [out] or undefined
  bool residual = false;  ///< the destination holds what is added to the result, then clipped
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

/// y [rows, out] = x [rows, in] · weightᵀ. For few rows the codes are unpacked in registers, so
/// that memory moves packed ones only; for many a block of them at a time becomes floats, which all
/// rows read. Codes stay integers (q − z) until a group is summed, then times its scale: the result
/// is that of the dequantized weight up to the rounding of sums. Made for max_threads() threads.
class CodeMatrix {
 public:
  /// Null where scales run along another axis than dequantize_weight's of a layer: blocks of
  /// outputs, or a scale for each input; and for zero points that are no codes.
  static std::unique_ptr<CodeMatrix> make(const CodeMatrixSpec& spec);

  /// "codes 4 bits" or "weights bf16".
  const char* name() const;
  std::size_t constant_bytes() const { return bias_at_ + static_cast<std::size_t>(bias_bytes_); }
  std::size_t scratch_bytes(std::int64_t rows) const;
  /// Writes constant_bytes at a 64-byte aligned address and drops the spec's tensors.
  void fill(std::byte* constants);
  /// Weight, scale (i = 1) and zero point (2) again as the spec had them, out of what fill wrote.
  Tensor given(const std::byte* constants, int i) const;
  std::int64_t outputs() const { return out_; }
  std::int64_t inputs() const { return in_; }
  /// The weights [in] of one output, as dequantize_weight has them.
  void row(const std::byte* constants, std::int64_t output, float* to) const;
  /// In max_threads() threads; rows are dense.
  void run(const std::byte* constants, std::int64_t rows, const float* x, float* y,
           std::byte* scratch) const;

 private:
  CodeMatrix() = default;
  std::int64_t panels() const { return (out_ + kLanes - 1) / kLanes; }
  std::size_t code_place(std::int64_t row, std::int64_t column, unsigned& shift) const;
  void write_scales(std::byte* constants) const;

  static constexpr std::int64_t kLanes = 16;  // outputs of a panel
  CodeMatrixSpec spec_;                       // without tensors once filled
  Shape shape_, scale_shape_;
  DType dtype_ = DType::i8, zero_dtype_ = DType::i8;
  std::int64_t out_ = 0, in_ = 0;
  std::int64_t group_ = 0, groups_ = 0;  // inputs that share a scale; none of f16 and bf16
  int bits_ = 8;
  bool has_zeros_ = false;                   // a zero point for each scale; else all are zero_
  float zero_ = 0;                           // as an unsigned code
  std::int64_t words_ = 0;                   // of 32 bits for each lane of a panel
  std::size_t panel_ = 0;                    // bytes: scales, zero points, words
  std::size_t zeros_at_ = 0, words_at_ = 0;  // in a panel
  std::size_t bias_at_ = 0;
  std::int64_t bias_bytes_ = 0;
  bool one_scale_ = false;  // for the whole matrix
};

}  // namespace pare
