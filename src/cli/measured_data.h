// What commands measure nets on: samples, and labels for top-1.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "cli/scores.h"
#include "cli/tensors.h"
#include "pare/quantize/batches.h"
#include "pare/runtime/plan.h"

namespace pare::cli {

/// Batches that end with the process on Ctrl-C; `inputs` must outlive them.
quantize::Batches batches_of(const Inputs& inputs);
/// That are counted, too, as they are taken; `progress` must outlive them.
quantize::Batches batches_of(const Inputs& inputs, Progress& progress);

/// Samples of `paths` and their labels, of which either may be none. Throws as Inputs and Labels,
/// and UsageError for labels of nothing.
class MeasuredData {
 public:
  MeasuredData(const Graph& graph, const std::vector<std::string>& paths,
               const LabelOptions& labels, std::int64_t batch);

  /// Without samples none. This must outlive it.
  std::optional<quantize::Batches> batches() const;
  /// Top-1; without labels empty. This must outlive it.
  std::function<double(const Plan& plan)> metric() const;

 private:
  std::optional<Inputs> inputs_;
  std::optional<Labels> labels_;
};

}  // namespace pare::cli
