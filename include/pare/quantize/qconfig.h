// QConfig: the choices of quantization, which hold for a whole graph.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/parallel.h"

namespace pare::quantize {

/// How an activation's range is found from what it was seen to hold.
enum class Observer : std::uint8_t {
  min_max,         ///< smallest and largest value of all batches
  moving_average,  ///< of the first batch, then a moving average (QConfig::averaging)
  histogram,       ///< the part of the range that loses least in the square (PyTorch's search)
};

/// What holds for one kind of op instead.
struct OpOverride {
  std::string op;  ///< "linear"
  bool quantize = true;
  std::optional<Observer> observer = {};         ///< of its output, in prepare
  std::optional<std::int64_t> weight_qmax = {};  ///< codes of weights are −qmax … qmax
};

struct QConfig {
  /// What the integers are made for: an instruction set ("avx2") or "portable". Kept in the graph
  /// as metadata "quantize.isa".
  std::string isa;
  Observer observer = Observer::histogram;  ///< of activations in prepare
  std::int64_t histogram_bins = 2048;
  double averaging = 0.01;  ///< of moving averages, in prepare_qat too
  /// Weights are symmetric per channel, with codes −qmax … qmax of i8.
  std::int64_t weight_qmax = 127;
  std::int64_t depthwise_weight_qmax = 127;
  /// Activations are u8, affine. Even zero points: there all rounding orders agree on ties.
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
};

}  // namespace pare::quantize
