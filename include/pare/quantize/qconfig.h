// QConfig: the choices of quantization, for a whole graph, for kinds of ops and for single nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/core/dtype.h"
#include "pare/core/export.h"
#include "pare/core/parallel.h"
#include "pare/quantize/observer.h"

namespace pare::quantize {

/// What holds for some nodes instead: those of an op, those whose name matches, or those of both.
/// Where several state the same setting the last one counts.
struct OpOverride {
  std::string op = {};  ///< "linear"; empty: any
  /// Of a node or, for observer and activation_bits, of an input of the graph (and its parts, where
  /// slices take it apart, as far as they state none); * and ? match as in a shell. "layer1.*";
  /// empty: any.
  std::string name = {};
  std::optional<bool> quantize = {};
  std::optional<Observer> observer = {};    ///< of its output, in prepare
  std::optional<int> activation_bits = {};  ///< of its output
  std::optional<std::int64_t> weight_qmax = {};
  std::optional<WeightObserver> weight_observer = {};
  std::optional<Granularity> weight_granularity = {};
  std::optional<std::int64_t> weight_group_size = {};
  std::optional<bool> symmetric_weights = {};
};

struct QConfig {
  /// What the integers are made for: an instruction set ("avx2"), "portable" or a word of your own.
  /// Must not be empty; the presets set it. Kept in the graph as metadata "quantize.isa".
  std::string isa;
  /// Of activations in prepare. In prepare_qat ranges are moving averages but for fixed ones.
  Observer observer = Observer::histogram;
  std::int64_t histogram_bins = 2048;
  double averaging = 0.01;  ///< of moving averages, in prepare_qat too
  /// Weights have codes −qmax … qmax of i8: 127 for 8 bits, 63 for 7, 7 for 4, 1 for 2.
  std::int64_t weight_qmax = 127;
  std::int64_t depthwise_weight_qmax = 127;
  /// Codes −qmax − 1 … qmax, as PyTorch has them: −128 … 127.
  bool full_weight_range = false;
  WeightObserver weight_observer = WeightObserver::min_max;
  /// No kernel multiplies weights by group as integers: such layers (linear, matmul, conv1d,
  /// conv2d) keep codes of 8, 4 or 2 bits in the file and compute in float, and the report says so.
  Granularity weight_granularity = Granularity::per_channel;
  /// Weights of an output channel (and of a tap of a convolution) that share a scale where that is
  /// per_group: neighbours along the input axis. The last group may be shorter, and layers with no
  /// more inputs than a group have a scale per channel.
  std::int64_t weight_group_size = 32;
  /// Else weights have zero points. No kernel multiplies those as integers: such layers keep
  /// integers in the file and compute in float, and the report says so.
  bool symmetric_weights = true;
  /// Activations are u8 or i8, of 2 to 8 bits: 0 … 2^b − 1 or −2^(b−1) … 2^(b−1) − 1. 7 is
  /// PyTorch's reduce_range.
  DType activation_dtype = DType::u8;
  int activation_bits = 8;
  /// One range on both sides of 0, and the zero point in the middle of the codes.
  bool symmetric_activations = false;
  /// Even zero points of activations: there all rounding orders agree on ties.
  bool even_zero_points = true;
  /// A residual is added to a layer's sum before the result is rounded, not after.
  bool fuse_residual = true;
  /// Also what only float ops or nobody reads is quantized, as PyTorch does it.
  bool quantize_outputs = false;
  /// Nodes that stay float, by name; * and ? match as in a shell.
  std::vector<std::string> exclude = {};
  std::vector<OpOverride> overrides = {};

  /// For an instruction set, by default the best of this CPU: weights of 8 bits where the products
  /// of the int8 instructions cannot saturate (VNNI, depthwise), of 7 bits (±63) elsewhere.
  PARE_API static QConfig x86(Isa isa = isa_cap());
  /// Weights of 7 bits everywhere: the same integers on every CPU.
  PARE_API static QConfig portable();
  /// PyTorch's default for "fbgemm": activations u8 of 7 bits (reduce_range), HistogramObserver;
  /// weights −128 … 127 per channel; its zero points, what only float ops read quantized too, and
  /// residuals added after rounding. Differences: docs/numerics.md.
  PARE_API static QConfig fbgemm();
  /// "qnnpack": activations u8 of 8 bits, weights per tensor; else as fbgemm.
  PARE_API static QConfig qnnpack();
  /// "onednn": activations u8 of 8 bits; else as fbgemm, with residuals added before rounding.
  PARE_API static QConfig onednn();
};

}  // namespace pare::quantize
