// Noise at a net's outputs, against what the float net gives.
#pragma once

#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/batches.h"
#include "pare/quantize/qconfig.h"
#include "pare/runtime/plan.h"

namespace pare::quantize {

/// A copy of the float graph from `prepare`, after it has run on the data.
Graph calibrated(const Graph& graph, const Batches& calibration, const QConfig& config);

class OutputNoise {
 public:
  /// Runs the float net on all data and keeps its outputs. Throws as measured_batch, and
  /// invalid_argument naming `where` and the output where it gives NaN or infinity.
  OutputNoise(const Graph& graph, const Plan& reference, const Batches& data, const char* where);
  /// Signal to noise in dB of the output that suffers most; infinite where all are equal.
  double sqnr_db(const Plan& plan) const;

 private:
  const Batches& data_;
  std::vector<Tensors> wanted_ = {};  // by batch
};

}  // namespace pare::quantize
