// Scores of a classifier: labels of samples, and what its outputs make of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/tensors.h"
#include "pare/graph/graph.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace pare::cli {

struct LabelOptions {
  std::string labels, output;
  std::int64_t offset = 0;
};

/// Options --labels, --label-offset and --output-name.
CLI::Option* add_label_options(CLI::App* command, LabelOptions& options);

/// The labels of a file, their offset added, for so many samples. Throws dtype_mismatch and
/// shape_mismatch, and invalid_argument for labels of no class where `classes` says how many there
/// are (−100, which losses pass over, apart).
Tensor load_labels(const LabelOptions& options, std::int64_t samples,
                   std::optional<std::int64_t> classes = {});
/// The number of the output that the options name. Throws UsageError.
std::size_t output_number(const Graph& graph, const std::string& name);
/// Whether an output is probabilities already: the model ends in a softmax.
bool gives_probabilities(const Graph& graph, int value);

/// Sums over what was added.
struct Score {
  std::int64_t top1 = 0, top5 = 0, count = 0;
  double loss = 0;
  /// Of a sum, per label; NaN without any.
  double share(double sum) const;
};

/// The labels of samples, for a graph's logits.
class Labels {
 public:
  /// Throws UsageError for an output that the graph does not have, dtype_mismatch and
  /// shape_mismatch for labels that are none or of another number of samples.
  Labels(const Graph& graph, const LabelOptions& options, std::int64_t samples);
  /// Adds a batch's outputs. Throws shape_mismatch, naming the samples, where they do not fit.
  void add(Score& score, const Inputs& inputs, std::int64_t batch, const Tensors& outputs) const;

 private:
  std::string path_;
  std::size_t output_;
  bool probabilities_;
  Tensor labels_;
};

}  // namespace pare::cli
