// com.microsoft's MatMulNBits: which products of a graph have its form, and their tensors in it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "pare/core/tensor.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

/// x [..., K] times a weight [N, K] of unsigned codes in blocks along K.
struct MatMulNBits {
  std::int64_t bits = 4, block = 32, inputs = 0, outputs = 0;
  int x = -1, bias = -1;     ///< values of the graph
  std::vector<int> readers;  ///< nodes between the codes and the product: what it makes needless
  Tensor codes;              ///< u8 [N, blocks, block · bits / 8]
  Tensor scales;             ///< f32 [N, blocks]
  Tensor zero_points;        ///< u8 [N, bytes of blocks], undefined where all are half the range
};

/// A linear or matmul node as that op; none where its weight is not dequantize_weight's of constant
/// codes, or lies in blocks that the op does not take: no power of two from 16 to 256 along K.
std::optional<MatMulNBits> as_matmul_nbits(const Graph& graph, int node);

/// The nodes of a graph that are written as MatMulNBits, and those that are then not written.
struct NBitsProducts {
  std::map<int, MatMulNBits> products;
  std::set<int> needless;

  /// None where they are not wanted.
  NBitsProducts(const Graph& graph, bool wanted);
};

}  // namespace pare::onnx
