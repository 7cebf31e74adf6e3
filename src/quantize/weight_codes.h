// The weight of a layer as codes with scales per tensor, channel or group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pare/core/ops/dequantize_weight.h"
#include "pare/core/tensor.h"
#include "pare/graph/graph.h"
#include "pare/quantize/weight_only.h"
#include "quantize/layer_moments.h"

namespace pare::quantize {

/// What can be quantized: an input of a node, seen as rows (one for each output channel, or each
/// entry of a table) of columns.
struct WeightPlace {
  int input = -1;  ///< of the node; −1: its op is not quantized
  int channel_axis = 0;
  int input_axis = 1;  ///< along which groups lie
};
/// Of linear, matmul, conv1d, conv2d, embedding, gather along axis 0.
WeightPlace weight_place(const Graph::Node& node);

/// Whether its entries are looked up, not multiplied with.
bool is_table(const Graph::Node& node);

/// The integers that bits and symmetry ask for.
struct CodeRange {
  DType dtype = DType::i4;
  std::int64_t qmin = -8, qmax = 7;
};
CodeRange code_range(int bits, bool symmetric);

/// Where the scales of a weight are.
struct ScaleLayout {
  std::int64_t rows = 0, columns = 0;
  bool one = false;                    ///< for all rows
  std::int64_t per_row = 1;            ///< scales of a row
  std::vector<std::int64_t> scale_of;  ///< of each column, 0 … per_row − 1
  DequantizeWeightAttributes attributes;
  Shape shape;  ///< of the scale
};
ScaleLayout scale_layout(const Graph::Node& node, const WeightPlace& place, const Shape& weight,
                         const WeightOnlyOptions& options);

/// Scales and zero points by rows (one pair in all where the layout says so), and codes less their
/// zero points [rows · columns].
struct RowCodes {
  std::vector<float> scales;
  std::vector<std::int32_t> zero_points;
  std::vector<double> codes = {};
  /// What the code of an element stands for.
  double value(const ScaleLayout& layout, std::int64_t row, std::int64_t column) const;
  std::size_t scale_at(const ScaleLayout& layout, std::int64_t row, std::int64_t column) const;
};

/// Nearest codes. Throws invalid_argument for NaN or infinity.
RowCodes nearest_codes(const std::vector<double>& weight, const ScaleLayout& layout,
                       const CodeRange& range, WeightObserver observer);
/// By GPTQ, a row at a time never worse than `nearest` by the moments with the damping.
RowCodes gptq_codes(const std::vector<double>& weight, const ScaleLayout& layout,
                    const CodeRange& range, const LayerMoments& moments, const RowCodes& nearest,
                    const WeightOnlyOptions& options);

/// Of a weight [rows · columns] with those codes, in dB.
double weight_sqnr(const std::vector<double>& weight, const ScaleLayout& layout,
                   const RowCodes& codes);

/// Codes, scales and zero points (undefined where all are 0) as dequantize_weight takes them.
struct StoredWeight {
  Tensor codes, scale, zero_point;
  std::size_t bytes() const;
};
StoredWeight stored(const Graph::Node& node, const Shape& weight, const RowCodes& rows,
                    const ScaleLayout& layout, const CodeRange& range);
/// Adds its tensors as constants and the call that reads them, all named after `value`. Gives the
/// value that takes its place.
int add_stored(Graph& graph, int value, const StoredWeight& weight, Call dequantize);

}  // namespace pare::quantize
