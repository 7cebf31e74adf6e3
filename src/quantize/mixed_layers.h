// What each layer of a net computes in, as a search changes it: bits of weights, or float.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/quantize/qconfig.h"
#include "pare/quantize/search.h"

namespace pare::quantize {

struct MixedLayer {
  std::string name;
  int weight = -1;  ///< the graph's value; −1: a product of two activations
  std::int64_t weights = 0;
  std::int64_t macs = 0;
  /// By level, float's (0) last: noise power at the outputs as part of the signal's, with this
  /// layer alone quantized.
  std::vector<double> noise;
  std::size_t level = 0;  ///< of the bits that there are; behind the last: float
  std::size_t first = 0;  ///< the level before anything was raised
};

class MixedLayers {
 public:
  /// `options` must outlive this.
  explicit MixedLayers(const SearchOptions& options) : options_(options) {}

  std::vector<MixedLayer> all = {};

  int bits(std::size_t layer) const;  ///< 0: float
  std::int64_t bytes() const;         ///< a weight that several layers read counts once
  double float_macs() const;
  /// `options.config` with what differs from it.
  QConfig config() const;
  /// All weights in so many bits.
  QConfig config_of_level(std::size_t level) const;

  /// Levels to begin with. Throws invalid_argument for a budget of bytes that cannot be held.
  void fit_bytes();
  /// The layer whose next level takes most noise away and has room in the budget, the first of
  /// equal ones; −1: none.
  int next_raise() const;
  /// The noise that a layer's step up to its level took away.
  double gain(std::size_t layer) const { return gain(layer, all[layer].level - 1); }

 private:
  std::size_t float_level() const { return options_.weight_bits.size(); }
  double gain(std::size_t layer, std::size_t level) const;
  bool has_room() const;
  int next_raise(std::size_t top, double least);

  const SearchOptions& options_;
};

}  // namespace pare::quantize
