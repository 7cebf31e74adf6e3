// Sensitivity: what quantizing each layer alone costs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/passes.h"
#include "pare/quantize/batches.h"
#include "pare/quantize/qconfig.h"
#include "pare/runtime/plan.h"

namespace pare::quantize {

struct SensitivityOptions {
  QConfig config = QConfig::x86();
  /// What the outputs are compared on; without, the calibration data.
  std::optional<Batches> data = {};
  /// How good a net is, of which more is better (the share of right classes on labelled data, …).
  std::function<double(const Plan& plan)> metric = {};
  RangeSearches searches = {};  ///< of your own that `config` names
  /// Before every layer; false stops: the layers that are left are not in the report.
  std::function<bool(const LayerProgress& progress)> progress = {};
};

struct PARE_API SensitivityReport {
  struct Layer {
    std::string name;
    std::string op;
    /// Signal to quantization noise of the graph's outputs in dB, against the float graph: that of
    /// the output that suffers most; infinite where they are equal.
    double sqnr_db = 0;
    std::optional<double> metric = {};
  };
  /// The worst first: by the metric where there is one, then by SQNR.
  std::vector<Layer> layers;
  std::vector<PassReport::Line> left;       ///< layers that stay float, and why
  double all_sqnr_db = 0;                   ///< with everything quantized
  std::optional<double> float_metric = {};  ///< of the float graph
  std::optional<double> all_metric = {};
};
/// A table, for people.
PARE_API std::string to_string(const SensitivityReport& report);

/// Quantizes each layer of a float graph alone, its weight and what it reads, while all others stay
/// float, and measures the outputs. Ranges come from one calibration, as `prepare` with
/// `options.config` places the observers. The layer computes on fake-quantized numbers: what its
/// integers stand for (docs/numerics.md), a bias apart, which keeps its float. Throws as prepare
/// and as running the graph on data; invalid_argument without data, and for data, float outputs
/// or metrics that are not finite; invalid_state where the calibration data left a range unseen.
PARE_API SensitivityReport sensitivity(const Graph& graph, const Batches& calibration,
                                       const SensitivityOptions& options = {});

}  // namespace pare::quantize
