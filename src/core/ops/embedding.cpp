// embedding: rows of a table picked by indices, with PyTorch's padding row.
#include "core/ops/embedding.h"

#include <algorithm>
#include <array>

#include "core/dtype_switch.h"
#include "core/ops/layout.h"
#include "pare/core/ops/embedding.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

const EmbeddingAttributes& attributes_of(const Call& call) {
  return call.attributes.as<EmbeddingAttributes>();
}

void infer_embedding(InferArgs& args) {
  const Shape& indices = args.shape(0);
  const Shape& weight = args.shape(1);
  check_table(args, attributes_of(args.call).padding_idx);
  PARE_CHECK(is_floating(args.dtype(1)), dtype_mismatch, "embedding",
             "expected a weight of a floating type, got {}", args.dtype(1));
  PARE_CHECK(indices.rank() < Shape::kMaxRank, unsupported, "embedding",
             "expected indices of at most {} axes, got {}", Shape::kMaxRank - 1, indices);
  Shape y;
  for (int a = 0; a < indices.rank(); ++a) y.append(indices, a);
  y.append(weight, 1);
  args.output(0, y, args.dtype(1));
}

void forward_embedding(const Call&, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       const Context& context) {
  read_rows("embedding", inputs[0], inputs[1].dim(0));
  const std::array<Tensor, 2> operands{inputs[1], inputs[0]};
  kGather.forward({&kGather, Attributes::of(GatherAttributes{.axis = 0})}, operands, outputs,
                  context);
}

void backward_embedding(BackwardArgs& args) {
  if (!args.needs(1)) return;
  const EmbeddingAttributes& a = attributes_of(args.call());
  const Shape& shape = args.input_shape(1);
  const DType dtype = args.input_dtype(1);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::f64, unsupported, "embedding",
             "expected f32 or f64 where a gradient is wanted, got {}", dtype);
  const std::vector<std::int64_t> rows = read_rows("embedding", args.input(0), shape[0]);
  const std::vector<double> shares =
      row_shares(rows, shape[0], a.padding_idx, a.scale_grad_by_freq);
  const Tensor g = in_format(args.grad_output(0), MemoryFormat::row_major);
  Tensor dw = Tensor::zeros(shape, dtype);
  visit_float(dtype, "embedding", [&](auto type) {
    using T = decltype(type);
    const std::int64_t width = shape[1];
    const T* from = g.data<T>();
    add_to_rows<T>(rows, width, dw.mutable_data<T>(), [&](std::size_t k) {
      return RowTerm<T>{from + static_cast<std::int64_t>(k) * width, static_cast<T>(shares[k])};
    });
  });
  args.set(1, std::move(dw));
}

/// The rows of the table stay whole; its columns are the features of the result.
void link_embedding(const Call&, ChannelLinks& links) {
  links.tie(in(1), 1, out(0), links.shape(in(0)).rank());
}

}  // namespace

std::vector<std::int64_t> read_rows(const char* where, const Tensor& indices, std::int64_t rows) {
  const Tensor ordered = in_format(indices, MemoryFormat::row_major);
  std::vector<std::int64_t> out(static_cast<std::size_t>(ordered.elements()));
  if (ordered.dtype() == DType::i64)
    std::copy_n(ordered.data<std::int64_t>(), out.size(), out.begin());
  else
    std::copy_n(ordered.data<std::int32_t>(), out.size(), out.begin());
  for (const std::int64_t row : out)
    PARE_CHECK(row >= 0 && row < rows, out_of_range, where, "expected indices from 0 to {}, got {}",
               rows - 1, row);
  return out;
}

std::vector<double> row_shares(const std::vector<std::int64_t>& rows, std::int64_t count,
                               std::int64_t padding, bool by_frequency) {
  std::vector<double> shares(rows.size(), 1.0);
  std::vector<std::int64_t> uses(by_frequency ? static_cast<std::size_t>(count) : 0);
  if (by_frequency)
    for (const std::int64_t row : rows) ++uses[static_cast<std::size_t>(row)];
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (by_frequency)
      shares[k] = 1.0 / static_cast<double>(uses[static_cast<std::size_t>(rows[k])]);
    if (rows[k] == padding) shares[k] = 0;
  }
  return shares;
}

void check_table(const InferArgs& args, std::int64_t padding) {
  const char* where = args.call.op->name;
  PARE_CHECK(args.dtype(0) == DType::i64 || args.dtype(0) == DType::i32, dtype_mismatch, where,
             "expected i64 or i32 indices, got {}", args.dtype(0));
  const Shape& weight = args.shape(1);
  PARE_CHECK(weight.rank() == 2, shape_mismatch, where, "expected a weight [V, E], got {}", weight);
  PARE_CHECK(padding >= -1 && padding < weight[0], out_of_range, where,
             "expected padding_idx from 0 to {} or -1 for none, got {}", weight[0] - 1, padding);
}

constinit const OpDef kEmbedding = {
    .name = "embedding",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_embedding,
    .forward = forward_embedding,
    .backward = backward_embedding,
    .saves_inputs = 0b01,
    .defaults = [] { return Attributes::of(EmbeddingAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_embedding},
    // Rows of a table that is no activation: it stays float.
    .quantization = {.weight_input = 1, .weight_axis = 1},
    .onnx = {.op_type = "Gather", .opset = 11, .emit = [](const Call&, OnnxEmitter& e) {
               e.node("Gather", {e.input(1), e.input(0)}, {e.output(0)})
                   .attribute("axis", std::int64_t{0});
             }}};

Tensor embedding(const Tensor& indices, const Tensor& weight,
                 const EmbeddingAttributes& attributes) {
  return apply({&kEmbedding, Attributes::of(attributes)}, detail::Borrowed(indices, weight));
}

}  // namespace pare
