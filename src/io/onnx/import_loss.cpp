// Import of losses: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
#include <limits>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

struct Rows {
  int scores = -1;  ///< [N, C]
  int labels = -1;  ///< i64 [N]
  std::vector<int> inputs(NodeImport& node) const {
    std::vector<int> all{scores, labels};
    if (node.has(2)) all.push_back(cast(node, node.value(2), dtype_of(node, scores)));
    return all;
  }
};

/// Scores [N, C, …] and labels [N, …] with the pixels as samples.
Rows rows_of(NodeImport& node) {
  Rows rows{as_float(node, node.value(0)), cast(node, node.value(1), DType::i64)};
  const Shape shape = shape_of(node, rows.scores);
  if (shape.rank() < 2) node.refuse(fmt::format("scores [N, C, …] are expected, got {}", shape));
  if (shape.rank() == 2) return rows;
  std::vector<std::int64_t> channels_behind{0};
  for (int a = 2; a < shape.rank(); ++a) channels_behind.push_back(a);
  channels_behind.push_back(1);
  const Shape labels = shape_of(node, rows.labels);
  Shape matrix;
  append_product(node, matrix, labels, 0, labels.rank());
  Shape flat = matrix;
  matrix.append(shape, 1);
  rows.scores = reshape(node, transpose(node, rows.scores, channels_behind), matrix);
  rows.labels = reshape(node, rows.labels, flat);
  return rows;
}

std::string reduction_of(NodeImport& node) {
  const std::string reduction = node.string("reduction", "mean");
  if (reduction != "none" && reduction != "mean" && reduction != "sum")
    node.refuse(fmt::format("the reduction '{}' is unknown", reduction));
  return reduction;
}

/// Where nothing is ignored: a label that none is.
std::int64_t ignored(NodeImport& node) {
  return node.integer("ignore_index", std::numeric_limits<std::int64_t>::min());
}

/// One value per sample has the labels' shape again.
void give_loss(NodeImport& node, int loss, const std::string& reduction) {
  const Shape labels = node.shape(1);
  const int y = reduction == "none" ? reshape(node, loss, labels) : loss;
  node.output(0, cast(node, y, node.dtype(0)));
}

void import_nll(NodeImport& node) {
  const std::string reduction = reduction_of(node);
  const NllAttributes attributes{ignored(node), reduction};
  const int loss = call(node, kNll, attributes, rows_of(node).inputs(node));
  give_loss(node, loss, reduction);
}

void import_softmax_cross_entropy(NodeImport& node) {
  const std::string reduction = reduction_of(node);
  CrossEntropyAttributes attributes;
  attributes.ignore_index = ignored(node);
  attributes.reduction = reduction;
  const int loss = call(node, kCrossEntropy, attributes, rows_of(node).inputs(node));
  give_loss(node, loss, reduction);
  if (node.outputs() > 1)
    node.output(1, call(node, kLogSoftmax, SoftmaxAttributes{1}, {node.value(0)}));
}

constexpr OpImport kImports[] = {
    {"NegativeLogLikelihoodLoss", "", import_nll},
    {"SoftmaxCrossEntropyLoss", "", import_softmax_cross_entropy},
};

}  // namespace

constinit const std::span<const OpImport> kLossImports = kImports;

}  // namespace pare::onnx
