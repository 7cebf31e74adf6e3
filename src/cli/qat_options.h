// What pare finetune trains: a file's graph, with fake-quantization where integers are to come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/qconfig_options.h"
#include "pare/graph/graph.h"
#include "pare/graph/passes.h"
#include "pare/quantize/qat.h"

namespace pare::cli {

struct QATOptions {
  bool qat = false;
  std::string method = "moving-average";
  int weight_bits = 0, activation_bits = 0;  ///< 0: as the config has them
  quantize::FreezeSchedule freeze;
  std::vector<std::string> dynamic_ops;
  QConfigOptions config;
  std::vector<std::string> given;  ///< those on the command line that need --qat
};

/// Option --qat and those that need it.
void add_qat_options(CLI::App* command, QATOptions& options);
/// QATOptions::given of a command line that was read.
std::vector<std::string> given_qat_options(const CLI::App& command);
/// Throws UsageError for options without --qat, and for ranges that would never freeze.
void check_qat_options(const QATOptions& options, std::int64_t epochs);

struct TrainedGraph {
  Graph graph;
  bool converts = false;  ///< whether quantize::convert makes integers of it at the end
  /// Of a model that is quantized already: what stays integers, and why.
  std::optional<std::vector<PassReport::Line>> left = {};
};

/// Every reason once, with the first of the nodes that it holds for and how many more there are.
std::string reasons_of(const std::vector<PassReport::Line>& left);

/// The graph that is trained for the one of a file: float, of integers, or from prepare_qat. Throws
/// UsageError for options that only a float one takes, invalid_state for a graph from prepare, and
/// unsupported, with the reasons, for one without weights that can be trained.
TrainedGraph graph_to_train(Graph graph, const QATOptions& options, const std::string& file);

}  // namespace pare::cli
