// Bias correction without data: biases that make up for the mean error of rounded weights.
#pragma once

#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/channel_statistics.h"

namespace pare::quantize {

struct PARE_API BiasCorrectionReport {
  struct Layer {
    std::string name;
    std::string op;
    bool corrected = false;
    double largest_shift = 0;  ///< of a bias
    std::string note;          ///< why it was not
  };
  std::vector<Layer> layers;  ///< with quantized weights, in the graph's order
};
/// A table, for people.
PARE_API std::string to_string(const BiasCorrectionReport& report);

/// The analytic form of bias correction (Nagel et al., "Data-Free Quantization Through Weight
/// Equalization and Bias Correction", 2019, section 4.2.1): in place, from every bias of a prepared
/// graph Σ (W̃ − W)·E[x] is taken, the mean error that the rounded weights W̃ make. E[x] follows from
/// `statistics` of the layers before: of a normal distribution through ReLU
/// E = mean·Φ(mean/deviation) + deviation·φ(mean/deviation), through relu6 and other bounds the
/// mean of the normal distribution that is clipped there; means, sums and concatenations of such.
/// Padding counts as if it were not there. Where E[x] is not known the layer is left, with the
/// reason: round_weights has the empirical form, which needs data and sees the errors of
/// activations too. For a graph from `prepare`, best before calibration. Throws invalid_state for
/// another, and invalid_argument naming the layer for statistics of another number of channels; the
/// graph is untouched then.
PARE_API BiasCorrectionReport correct_biases(Graph& prepared, const ChannelStatistics& statistics);

}  // namespace pare::quantize
