// Products of inputs that are quantized as they come, on export: MatMulInteger and what scales it.
#include "io/onnx/export_dynamic.h"

#include <vector>

#include "core/check.h"
#include "graph/integer_call.h"
#include "pare/core/ops.h"

namespace pare::onnx {
namespace {

// Inputs: codes, scale and zero point of x, the matrix [in, out] in codes, its scale, its sums over
// `in` as i32 [out], a bias or none.
enum Input : int { kCodes, kScale, kZeroPoint, kMatrix, kMatrixScale, kSums, kBias };

void infer_product(InferArgs& args) {
  Shape y = args.shape(kCodes);
  y.set(y.rank() - 1, args.shape(kMatrix)[1]);
  args.output(0, y, DType::f32);
}

void emit_product(const Call& /*call*/, OnnxEmitter& e) {
  const auto made = [&](const char* op, std::vector<std::string> inputs) {
    std::string result = e.temporary();
    e.node(op, std::move(inputs), {result});
    return result;
  };
  const auto cast = [&](const std::string& value, DType to) {
    std::string result = e.temporary();
    e.node("Cast", {value}, {result}).attribute("to", std::int64_t{traits(to).onnx});
    return result;
  };
  std::string sums;
  if (e.input_shape(kScale).rank() == 0) {
    sums = made("MatMulInteger", {e.input(kCodes), e.input(kMatrix), e.input(kZeroPoint)});
  } else {
    const std::string zero = cast(e.input(kZeroPoint), DType::i32);
    sums = made("Sub", {made("MatMulInteger", {e.input(kCodes), e.input(kMatrix)}),
                        made("Mul", {zero, e.input(kSums)})});
  }
  const std::string units = made("Mul", {e.input(kScale), e.input(kMatrixScale)});
  const std::string real = cast(sums, DType::f32);
  if (!e.has_input(kBias)) {
    e.node("Mul", {real, units}, {e.output(0)});
    return;
  }
  e.node("Add", {made("Mul", {real, units}), e.input(kBias)}, {e.output(0)});
}

constinit const OpDef kIntegerProduct = {
    .name = "integer_product",
    .min_inputs = 6,
    .max_inputs = 7,
    .infer = infer_product,
    .onnx = {.op_type = "MatMulInteger", .emit = emit_product}};

Tensor turned(const Tensor& matrix) {
  Tensor result = Tensor::empty({matrix.dim(1), matrix.dim(0)}, DType::i8);
  const auto* from = matrix.data<std::int8_t>();
  auto* to = result.mutable_data<std::int8_t>();
  for (std::int64_t n = 0; n < matrix.dim(0); ++n)
    for (std::int64_t k = 0; k < matrix.dim(1); ++k) to[k * matrix.dim(0) + n] = *from++;
  return result;
}

Tensor sums_of(const Tensor& matrix) {
  std::vector<std::int32_t> sums(static_cast<std::size_t>(matrix.dim(1)));
  const auto* w = matrix.data<std::int8_t>();
  for (std::int64_t k = 0; k < matrix.dim(0); ++k)
    for (std::int32_t& sum : sums) sum += *w++;
  return Tensor::from(sums, {matrix.dim(1)});
}

}  // namespace

Graph with_integer_products(Graph graph) {
  const auto nodes = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < nodes; ++n) {
    const auto integer = integer_call(graph, n);
    if (!integer || integer->x.dynamic < 0) continue;
    const std::string name = graph.node(n).name;
    const int codes = integer->weight.codes;
    const Tensor given = graph.value(codes).tensor;
    const bool turn = integer->kind == QuantizedGroup::Kind::linear;
    const Tensor matrix = turn ? turned(given) : given;
    std::vector<int> inputs{integer->x.codes, integer->x.scale, integer->x.zero_point, codes,
                            integer->weight.scale};
    if (turn)
      inputs[kMatrix] =
          graph.add_leaf(Graph::Kind::constant, graph.value(codes).name + "_transposed", matrix);
    inputs.push_back(
        graph.add_leaf(Graph::Kind::constant, graph.value(codes).name + "_sums", sums_of(matrix)));
    if (integer->bias.value >= 0) inputs.push_back(integer->bias.value);
    Graph::Node& node = graph.edit_node(n);
    node.call = {&kIntegerProduct, {}};
    node.inputs = std::move(inputs);
  }
  graph.compact();
  return graph;
}

}  // namespace pare::onnx
