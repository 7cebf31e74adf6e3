// Options of `pare quantize` that search which layers stay float or have fewer bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/scores.h"
#include "cli/tensors.h"
#include "pare/graph/graph.h"
#include "pare/quantize/search.h"

namespace pare::cli {

struct MixedPrecisionFlags {
  std::optional<double> metric_drop, sqnr_db;
  std::optional<std::int64_t> weight_bytes;
  std::vector<int> weight_bits{8};
  std::int64_t evaluations = 0;
  double float_macs = 1;
  std::vector<std::string> inputs;
  LabelOptions labels;

  bool on() const { return metric_drop || sqnr_db || weight_bytes; }
};

/// Options --metric-drop, --min-sqnr, --weight-bytes and those that go with them. Gives the names
/// of all.
std::vector<const char*> add_mixed_precision_options(CLI::App* command, MixedPrecisionFlags& flags);

/// Throws UsageError for options that need others.
void check_flags(const MixedPrecisionFlags& flags);

/// Searches, with progress. Throws as the library's search.
quantize::Searched run_search(const Graph& graph, const Inputs& calibration,
                              const quantize::QConfig& config, const MixedPrecisionFlags& flags,
                              std::int64_t batch, const Settings& settings);

Json search_document(const quantize::SearchReport& report);

}  // namespace pare::cli
