// com.microsoft's MatMulNBits: which products of a graph have its form, and their tensors in it.
#include "io/onnx/matmul_nbits.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/packed_codes.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"

namespace pare::onnx {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Rows of numbers of a few bits, each in whole bytes.
Tensor packed_rows(const std::vector<std::int32_t>& values, std::int64_t rows, std::int64_t bits) {
  const std::int64_t columns = static_cast<std::int64_t>(values.size()) / rows;
  const std::int64_t in_a_byte = 8 / bits, bytes = (columns + in_a_byte - 1) / in_a_byte;
  std::vector<std::uint8_t> packed(at(rows * bytes), 0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const auto code = static_cast<unsigned>(values[at(r * columns + c)]);
      std::uint8_t& byte = packed[at(r * bytes + c / in_a_byte)];
      byte = static_cast<std::uint8_t>(byte | code << static_cast<unsigned>(c % in_a_byte * bits));
    }
  return Tensor::from(packed, {rows, bytes});
}

/// The block size that says the same; 0 where none does.
std::int64_t block_of(const DequantizeWeightAttributes& a, const Tensor& scale, int input_axis,
                      std::int64_t inputs) {
  const auto fits = [](std::int64_t b) {
    return b >= 16 && b <= 256 && std::has_single_bit(static_cast<std::uint64_t>(b));
  };
  const std::int64_t axis = a.axis + (a.axis < 0 ? 2 : 0);
  if (a.block > 0) return axis == input_axis && fits(a.block) ? a.block : 0;
  if (scale.elements() > 1 && axis == input_axis) return 0;
  // One scale for all inputs is repeated.
  const auto whole = std::bit_ceil(static_cast<std::uint64_t>(inputs));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(whole), 16, 256);
}

}  // namespace

std::optional<MatMulNBits> as_matmul_nbits(const Graph& graph, int n) {
  const Graph::Node& product = graph.node(n);
  const OpDef* op = product.call.op;
  if (op != &kLinear && op != &kMatmul) return std::nullopt;
  MatMulNBits m;
  m.x = product.inputs[0];
  if (product.inputs.size() > 2) m.bias = product.inputs[2];
  bool transposed = op == &kMatmul;
  const Graph::Value* weight = &graph.value(product.inputs[1]);
  if (weight->producer < 0 || weight->shape.rank() != 2 || weight->shape.symbolic() ||
      graph.value(m.x).shape.rank() < 2 || graph.value(m.x).dtype != DType::f32)
    return std::nullopt;
  const Graph::Node* made = &graph.node(weight->producer);
  if (made->call.op == &kTranspose) {
    m.readers.push_back(weight->producer);
    weight = &graph.value(made->inputs[0]);
    transposed = !transposed;
    if (weight->producer < 0 || made->call.attributes.as<TransposeAttributes>().permutation[0] != 1)
      return std::nullopt;
    made = &graph.node(weight->producer);
  }
  if (made->call.op != &kDequantizeWeight) return std::nullopt;
  for (const int v : made->inputs)
    if (v >= 0 && !graph.value(v).is_leaf()) return std::nullopt;
  m.readers.push_back(weight->producer);
  const Tensor& codes = graph.value(made->inputs[0]).tensor;
  const Tensor& scale = graph.value(made->inputs[1]).tensor;
  const bool has_zeros = made->inputs.size() > 2 && made->inputs[2] >= 0;
  const auto& attributes = made->call.attributes.as<DequantizeWeightAttributes>();
  m.bits = traits(codes.dtype()).bits;
  m.inputs = codes.dim(transposed ? 0 : 1);
  m.outputs = codes.dim(transposed ? 1 : 0);
  m.block = block_of(attributes, scale, transposed ? 0 : 1, m.inputs);
  if (m.block == 0 || codes.elements() == 0) return std::nullopt;

  const std::int64_t count = std::int64_t{1} << m.bits, blocks = (m.inputs + m.block - 1) / m.block;
  const auto half = static_cast<std::int32_t>(count / 2);
  const std::int32_t offset = traits(codes.dtype()).is_signed ? half : 0;
  const std::vector<std::int32_t> plain = code_values(codes);
  std::vector<std::int32_t> zeros;
  if (has_zeros) zeros = code_values(graph.value(made->inputs[2]).tensor);
  const float* scales = scale.data<float>();
  std::vector<std::int32_t> shifted(at(m.outputs * blocks * m.block), 0), zero;
  std::vector<float> by_block;
  for (std::int64_t o = 0; o < m.outputs; ++o) {
    for (std::int64_t k = 0; k < m.inputs; ++k)
      shifted[at(o * blocks * m.block + k)] =
          plain[at(transposed ? k * m.outputs + o : o * m.inputs + k)] + offset;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t s = attributes.block > 0 ? transposed ? b * m.outputs + o : o * blocks + b
                             : scale.elements() == 1 ? 0
                                                     : o;
      by_block.push_back(scales[s]);
      zero.push_back((has_zeros ? zeros[at(s)] : 0) + offset);
      if (zero.back() < 0 || zero.back() >= count) return std::nullopt;
    }
  }
  m.codes =
      reshape(packed_rows(shifted, m.outputs, m.bits), {m.outputs, blocks, m.block * m.bits / 8});
  m.scales = Tensor::from(by_block, {m.outputs, blocks});
  if (std::ranges::any_of(zero, [&](std::int32_t z) { return z != half; }))
    m.zero_points = packed_rows(zero, m.outputs, m.bits);
  return m;
}

NBitsProducts::NBitsProducts(const Graph& graph, bool wanted) {
  const auto count = static_cast<int>(graph.nodes().size());
  for (int n = 0; wanted && n < count; ++n)
    if (auto product = as_matmul_nbits(graph, n)) products.emplace(n, std::move(*product));
  for (const auto& [n, product] : products)
    for (const int reader : product.readers) needless.insert(reader);
  // What others read is not needless after all, from the last back.
  for (int n = count - 1; n >= 0; --n) {
    if (!needless.contains(n)) continue;
    const int value = graph.node(n).outputs[0];
    bool read = graph.is_output(value);
    for (const int reader : graph.readers(value))
      read = read || (!products.contains(reader) && !needless.contains(reader));
    if (read) needless.erase(n);
  }
}

}  // namespace pare::onnx
