// Recurrent layers with dynamic_quantize, run on the codes of their weights.
#include "graph/recurrent_call.h"

#include <map>

#include "core/byte_product.h"
#include "core/check.h"
#include "core/ops/recurrent.h"
#include "graph/coded_matrix.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

class MatrixCodes final : public RecurrentCodes {
 public:
  void add(const WeightBlock& block, const CodedMatrix& matrix) {
    const auto begin = matrix.scales.begin() + block.first;
    ByteProduct product(slice(matrix.codes, 0, block.first, block.first + block.count),
                        std::vector<float>(begin, begin + block.count));
    Tensor constants =
        Tensor::empty({static_cast<std::int64_t>(product.constant_bytes())}, DType::u8);
    product.fill(reinterpret_cast<std::byte*>(constants.mutable_data<std::uint8_t>()));
    blocks_.push_back({block, std::move(product), std::move(constants)});
  }

  void multiply(const WeightBlock& block, std::int64_t rows, const float* a, float* c,
                std::int64_t c_stride) const override {
    for (const Block& known : blocks_) {
      if (!(known.block == block)) continue;
      std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * known.product.inner()));
      std::vector<RowCode> row_codes(static_cast<std::size_t>(rows));
      quantize_rows(a, rows, known.product.inner(), codes.data(), row_codes.data());
      known.product.run(reinterpret_cast<const std::byte*>(known.constants.data<std::uint8_t>()),
                        rows, codes.data(), row_codes.data(), c, c_stride);
      return;
    }
    PARE_ASSERT(false);
  }

 private:
  struct Block {
    WeightBlock block;
    ByteProduct product;
    Tensor constants;
  };
  std::vector<Block> blocks_;
};

}  // namespace

Tensors run_recurrent_codes(const Graph& graph, const Graph::Node& node, const Tensors& arguments) {
  if (!quantizes_dynamically(node.call)) return {};
  std::vector<const Shape*> shapes;
  std::vector<InferArgs::Input> known;
  for (const Tensor& t : arguments) {
    shapes.push_back(t.defined() ? &t.shape() : nullptr);
    known.push_back({shapes.back(), t.defined() ? t.dtype() : DType::f32, nullptr});
  }
  const std::vector<InferArgs::Output> specs = infer(node.call, known);
  MatrixCodes codes;
  std::map<int, CodedMatrix> matrices;  // by input
  for (const WeightBlock& block : recurrent_blocks(node.call, shapes)) {
    auto found = matrices.find(block.input);
    if (found == matrices.end()) {
      std::string reason;
      auto matrix = coded_matrix(graph, node.inputs[static_cast<std::size_t>(block.input)], reason);
      if (!matrix || matrix->codes.elements() == 0 ||
          matrix->codes.dim(1) > ByteProduct::kMostInner)
        return {};
      found = matrices.emplace(block.input, std::move(*matrix)).first;
    }
    codes.add(block, found->second);
  }
  Tensors outputs;
  for (const InferArgs::Output& spec : specs) {
    const bool seen = static_cast<int>(outputs.size()) < node.call.op->visible_outputs;
    outputs.push_back(seen ? Tensor::empty(spec.shape, spec.dtype) : Tensor());
  }
  RecurrentEngine engine = kPlainEngine;
  engine.codes = &codes;
  recurrent_forward(engine, node.call, arguments, outputs);
  outputs.resize(static_cast<std::size_t>(node.call.op->visible_outputs));
  return outputs;
}

}  // namespace pare
