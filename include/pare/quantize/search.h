// Mixed precision: which layers stay float, and which have more or fewer bits, so that a target
// holds.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/passes.h"
#include "pare/quantize/batches.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/qconfig.h"
#include "pare/runtime/plan.h"

namespace pare::quantize {

struct SearchBudget {
  /// Nets that are calibrated, converted and measured, besides those of `sensitivity`; 0: as many
  /// as it takes.
  std::int64_t evaluations = 0;
  /// Of the weights of the layers that are searched, in the bits they get (4 bytes where a layer
  /// stays float), biases and scales not counted: two codes of 4 bits count a byte, as ONNX
  /// files of opset 21 have them; other files give each its own.
  std::optional<std::int64_t> weight_bytes = {};
  /// Share of these layers' multiply-accumulates that may stay float.
  double float_macs = 1;
};

struct SearchProgress {
  enum class Stage : std::uint8_t { sensitivity, raise, give_back };
  Stage stage = Stage::sensitivity;
  std::string layer = {};        ///< the one that is next
  std::int64_t evaluations = 0;  ///< so far
  /// In the stage: layers so far, and how many there may be at most.
  std::int64_t done = 0;
  std::int64_t layers = 0;
  double sqnr_db = 0;  ///< of the net as it is
  std::optional<double> metric = {};
};

struct SearchOptions {
  /// What all layers have in common. Layers that it leaves float are not searched.
  QConfig config = QConfig::x86();
  /// Bits of weights that a layer may have, ascending. 8 are `config`'s own codes, fewer are
  /// −(2^(b−1) − 1) … 2^(b−1) − 1.
  std::vector<int> weight_bits = {8};
  bool allow_float = true;  ///< layers may stay float
  /// What nets are measured on; without, the calibration data.
  std::optional<Batches> data = {};
  /// How good a net is, of which more is better (the share of right classes on labelled data, …).
  std::function<double(const Plan& plan)> metric = {};
  /// The target: at most so much below the float graph's metric …
  std::optional<double> metric_drop = {};
  /// … and at least so many dB of signal to quantization noise, of the output that suffers most.
  std::optional<double> sqnr_db = {};
  SearchBudget budget = {};
  RangeSearches searches = {};  ///< of your own that `config` names
  /// Before every net that is measured; false stops: the best net so far is the result.
  std::function<bool(const SearchProgress& progress)> progress = {};
};

struct PARE_API SearchReport {
  struct Layer {
    std::string name;
    std::string op;
    int weight_bits = 0;       ///< what it got; 0: it stays float
    std::int64_t weights = 0;  ///< 0 for a product of two activations
    std::int64_t macs = 0;     ///< of one sample
    double alone_sqnr_db = 0;  ///< of the outputs with this layer alone quantized, in fewest bits
    std::optional<double> sqnr_db = {};  ///< of the net after the layer got its last change
    std::optional<double> metric = {};
  };
  /// A net that was measured.
  struct Step {
    std::string layer;    ///< whose bits changed; empty: the first net
    int weight_bits = 0;  ///< what it has in it; 0: float
    bool kept = true;
    double sqnr_db = 0;
    std::optional<double> metric = {};
  };
  std::vector<Layer> layers;  ///< the worst first, by alone_sqnr_db
  std::vector<Step> steps;
  std::vector<PassReport::Line> left;  ///< layers that are not searched, and why
  bool reached = false;                ///< the target holds
  bool stopped = false;                ///< by `progress`, or the budget of evaluations is spent
  std::int64_t evaluations = 0;
  double sqnr_db = 0;  ///< of the result
  std::optional<double> metric = {};
  std::optional<double> float_metric = {};
  std::int64_t weight_bytes = 0;  ///< as SearchBudget counts them
  double float_macs = 0;
};
/// Two tables, for people.
PARE_API std::string to_string(const SearchReport& report);

struct Searched {
  Converted converted;
  QConfig config;  ///< the one given, with what was found in its overrides and exclude
  SearchReport report;
};

/// Chooses for every layer of a float graph what it computes in, so that the converted net holds
/// the target. All layers begin with the fewest of `weight_bits`; with a budget of weight_bytes
/// with the most, of which those layers give up some that then make the least noise for a byte, by
/// `sensitivity`, until the weights fit. Then, while the target does not hold, the layer whose
/// next step (more bits, or float) takes most noise away gets it, where the budget has room. When
/// it holds, steps are given back one by one, those of least effect first, where it still holds
/// without. Each net is calibrated, converted, compiled and measured as it will run. The same data
/// gives the same result. Throws as prepare, convert and sensitivity; invalid_argument for options
/// out of range, without a target or budget of bytes, for a metric_drop without a metric, for a
/// metric that is not finite, and for a budget of bytes that all layers in fewest bits exceed.
PARE_API Searched search(const Graph& graph, const Batches& calibration,
                         const SearchOptions& options);

}  // namespace pare::quantize
