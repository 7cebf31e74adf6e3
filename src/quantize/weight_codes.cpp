// The weight of a layer as codes with scales per tensor, channel or group.
#include "quantize/weight_codes.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/ops/line_as_picture.h"
#include "core/packed_codes.h"
#include "core/quantize_math.h"
#include "pare/core/ops.h"
#include "pare/core/ops/observers.h"
#include "quantize/round_codes.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The weights of every scale side by side, filled up with zeros, which no rule minds.
Tensor by_scale(const std::vector<double>& weight, const ScaleLayout& layout) {
  const std::int64_t scales = layout.one ? 1 : layout.rows * layout.per_row;
  std::vector<std::int64_t> sizes(at(layout.per_row), 0);
  for (const std::int64_t k : layout.scale_of) ++sizes[at(k)];
  std::int64_t width = layout.rows * layout.columns;
  if (!layout.one) width = *std::max_element(sizes.begin(), sizes.end());
  Tensor sorted = Tensor::zeros({scales, width});
  float* to = sorted.mutable_data<float>();
  std::vector<std::int64_t> filled(at(scales), 0);
  for (std::int64_t r = 0; r < layout.rows; ++r)
    for (std::int64_t c = 0; c < layout.columns; ++c) {
      const std::int64_t k = layout.one ? 0 : r * layout.per_row + layout.scale_of[at(c)];
      to[k * width + filled[at(k)]++] = static_cast<float>(weight[at(r * layout.columns + c)]);
    }
  return sorted;
}

void scales_of(RowCodes& rows, const Tensor& sorted, const CodeRange& range,
               WeightObserver observer) {
  const Tensors found = observe_weight(sorted, {},
                                       {.qmin = range.qmin,
                                        .qmax = range.qmax,
                                        .axis = 0,
                                        .symmetric = range.qmin < 0,
                                        .least_squares = observer == WeightObserver::mse});
  rows.scales = found[0].to_vector<float>();
  rows.zero_points = found[1].to_vector<std::int32_t>();
}

// (s·q − w) A (s·q − w)ᵀ of one row.
double loss(const std::vector<double>& weight, const RowCodes& rows, const ScaleLayout& layout,
            std::int64_t row, const SquareMatrix& moments) {
  std::vector<double> error(at(layout.columns));
  for (std::int64_t c = 0; c < layout.columns; ++c)
    error[at(c)] = rows.value(layout, row, c) - weight[at(row * layout.columns + c)];
  return quadratic(moments, error.data());
}

}  // namespace

WeightPlace weight_place(const Graph::Node& node) {
  const OpDef* op = node.call.op;
  if (op == &kLinear || op == &kEmbedding || is_picture_convolution(op)) return {1, 0, 1};
  if (op == &kMatmul) return {1, 1, 0};
  if (op == &kGather && node.call.attributes.as<GatherAttributes>().axis == 0) return {0, 0, 1};
  return {};
}

bool is_table(const Graph::Node& node) {
  return node.call.op == &kEmbedding || node.call.op == &kGather;
}

CodeRange code_range(int bits, bool symmetric) {
  const std::int64_t count = std::int64_t{1} << bits;
  const auto smallest = [bits](DType two, DType four, DType eight) {
    return bits == 2 ? two : bits <= 4 ? four : eight;
  };
  if (!symmetric) return {smallest(DType::u2, DType::u4, DType::u8), 0, count - 1};
  // A code more on one side is half a step; of 8 bits it is not worth its special case elsewhere.
  const std::int64_t qmax = count / 2 - 1;
  return {smallest(DType::i2, DType::i4, DType::i8), bits == 8 ? -qmax : -qmax - 1, qmax};
}

ScaleLayout scale_layout(const Graph::Node& node, const WeightPlace& place, const Shape& weight,
                         const WeightOnlyOptions& options) {
  ScaleLayout layout;
  layout.rows = weight[place.channel_axis];
  layout.columns = weight.elements() / std::max<std::int64_t>(layout.rows, 1);
  layout.scale_of.assign(at(layout.columns), 0);
  const std::int64_t inputs = weight[place.input_axis];
  if (options.group_size == 0 || inputs <= options.group_size) {
    layout.one = options.group_size == 0 && options.granularity == Granularity::per_tensor;
    if (layout.one) return layout;
    layout.attributes.axis = place.channel_axis;
    layout.shape = {layout.rows};
    return layout;
  }
  const std::int64_t groups = (inputs + options.group_size - 1) / options.group_size;
  // Taps of a convolution have groups of their own: ONNX's blocks lie along one axis.
  const std::int64_t taps = is_picture_convolution(node.call.op) ? layout.columns / inputs : 1;
  layout.per_row = groups * taps;
  for (std::int64_t c = 0; c < layout.columns; ++c)
    layout.scale_of[at(c)] = c / taps / options.group_size * taps + c % taps;
  layout.attributes = {.axis = place.input_axis, .block = options.group_size};
  layout.shape = weight;
  layout.shape.set(place.input_axis, groups);
  return layout;
}

std::size_t RowCodes::scale_at(const ScaleLayout& layout, std::int64_t row,
                               std::int64_t column) const {
  return layout.one ? 0 : at(row * layout.per_row + layout.scale_of[at(column)]);
}

double RowCodes::value(const ScaleLayout& layout, std::int64_t row, std::int64_t column) const {
  return static_cast<double>(scales[scale_at(layout, row, column)]) *
         codes[at(row * layout.columns + column)];
}

RowCodes nearest_codes(const std::vector<double>& weight, const ScaleLayout& layout,
                       const CodeRange& range, WeightObserver observer) {
  RowCodes rows;
  scales_of(rows, by_scale(weight, layout), range, observer);
  rows.codes.reserve(weight.size());
  for (std::int64_t r = 0; r < layout.rows; ++r)
    for (std::int64_t c = 0; c < layout.columns; ++c) {
      const std::size_t k = rows.scale_at(layout, r, c);
      const auto w = static_cast<float>(weight[at(r * layout.columns + c)]);
      rows.codes.push_back(static_cast<double>(
          centred_code(w, rows.scales[k], static_cast<float>(range.qmin - rows.zero_points[k]),
                       static_cast<float>(range.qmax - rows.zero_points[k]))));
    }
  return rows;
}

RowCodes gptq_codes(const std::vector<double>& weight, const ScaleLayout& layout,
                    const CodeRange& range, const LayerMoments& moments, const RowCodes& nearest,
                    const WeightOnlyOptions& options) {
  // The search begins with the whole range: what it then takes away counts by the moments.
  RowCodes result;
  scales_of(result, by_scale(weight, layout), range, WeightObserver::min_max);
  if (layout.one) result = nearest;
  result.codes = nearest.codes;
  const std::int64_t groups = moments.form().groups, rows = moments.form().rows;
  for (std::int64_t g = 0; g < groups; ++g) {
    SquareMatrix own = moments.group(g).own_with_means();
    double trace = 0;
    for (std::int64_t i = 0; i < own.size; ++i) trace += own.row(i)[i];
    const double damping =
        trace > 0 ? options.damping * trace / static_cast<double>(own.size) : 1.0;
    for (std::int64_t i = 0; i < own.size; ++i) own.row(i)[i] += damping;

    const std::int64_t first = g * rows, end = first + rows;
    const std::int64_t s = layout.per_row, k = layout.columns;
    std::vector<float> scales(at(rows * s), result.scales[0]);
    std::vector<std::int32_t> zeros(scales.size(), result.zero_points[0]);
    if (!layout.one) {
      std::copy_n(result.scales.begin() + first * s, rows * s, scales.begin());
      std::copy_n(result.zero_points.begin() + first * s, rows * s, zeros.begin());
    }
    const RoundedRows rounded =
        round_rows({.moments = own,
                    .qmax = range.qmax,
                    .search_scales = !layout.one && options.weight_observer == WeightObserver::mse,
                    .qmin = range.qmin,
                    .scale_of = layout.scale_of,
                    .zero_points = zeros,
                    .where = moments.layer()},
                   {weight.begin() + first * k, weight.begin() + end * k}, scales);
    std::copy(rounded.codes.begin(), rounded.codes.end(), result.codes.begin() + first * k);
    if (!layout.one)
      std::copy(rounded.scales.begin(), rounded.scales.end(), result.scales.begin() + first * s);
    for (std::int64_t r = first; r < end; ++r) {
      if (loss(weight, result, layout, r, own) <= loss(weight, nearest, layout, r, own)) continue;
      std::copy_n(nearest.codes.begin() + r * k, k, result.codes.begin() + r * k);
      if (layout.one) continue;
      std::copy_n(nearest.scales.begin() + r * s, s, result.scales.begin() + r * s);
      std::copy_n(nearest.zero_points.begin() + r * s, s, result.zero_points.begin() + r * s);
    }
  }
  return result;
}

double weight_sqnr(const std::vector<double>& weight, const ScaleLayout& layout,
                   const RowCodes& codes) {
  double signal = 0, noise = 0;
  for (std::int64_t r = 0; r < layout.rows; ++r)
    for (std::int64_t c = 0; c < layout.columns; ++c) {
      const double w = weight[at(r * layout.columns + c)];
      const double error = codes.value(layout, r, c) - w;
      signal += w * w;
      noise += error * error;
    }
  return decibels(signal, noise);
}

std::size_t StoredWeight::bytes() const {
  return codes.bytes() + scale.bytes() + (zero_point.defined() ? zero_point.bytes() : 0);
}

StoredWeight stored(const Graph::Node& node, const Shape& weight, const RowCodes& rows,
                    const ScaleLayout& layout, const CodeRange& range) {
  const bool columns_first = node.call.op == &kMatmul;
  const auto place = [&](std::int64_t row, std::int64_t column, std::int64_t columns) {
    return at(columns_first ? column * layout.rows + row : row * columns + column);
  };
  std::vector<std::int32_t> codes(rows.codes.size());
  for (std::int64_t r = 0; r < layout.rows; ++r)
    for (std::int64_t c = 0; c < layout.columns; ++c)
      codes[place(r, c, layout.columns)] =
          static_cast<std::int32_t>(rows.codes[at(r * layout.columns + c)]) +
          rows.zero_points[rows.scale_at(layout, r, c)];
  std::vector<float> scales = rows.scales;
  std::vector<std::int32_t> zeros = rows.zero_points;
  for (std::int64_t r = 0; !layout.one && r < layout.rows; ++r)
    for (std::int64_t k = 0; k < layout.per_row; ++k) {
      scales[place(r, k, layout.per_row)] = rows.scales[at(r * layout.per_row + k)];
      zeros[place(r, k, layout.per_row)] = rows.zero_points[at(r * layout.per_row + k)];
    }
  StoredWeight result{codes_of(codes, weight, range.dtype), Tensor::from(scales, layout.shape), {}};
  if (range.qmin >= 0) result.zero_point = codes_of(zeros, layout.shape, range.dtype);
  return result;
}

int add_stored(Graph& graph, int value, const StoredWeight& weight, Call dequantize) {
  const std::string name = graph.value(value).name;
  const auto constant = [&](const char* suffix, const Tensor& tensor) {
    return graph.add_leaf(Graph::Kind::constant, name + suffix, tensor);
  };
  std::vector<int> inputs{constant("_quantized", weight.codes), constant("_scale", weight.scale)};
  if (weight.zero_point.defined()) inputs.push_back(constant("_zero_point", weight.zero_point));
  const int node = graph.add_node(name + "_dequantize", std::move(dequantize), std::move(inputs));
  return graph.node(node).outputs[0];
}

}  // namespace pare::quantize
