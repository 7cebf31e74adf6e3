// Observers: how the range of an activation is found from what it was seen to hold.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pare/core/ops/observers.h"
#include "pare/graph/graph.h"

namespace pare::quantize {

/// A way to choose a range from what was seen: derive from it for one of your own, give it to
/// QConfig::observer, and to convert.
class PARE_API RangeSearch {
 public:
  virtual ~RangeSearch();
  /// Kept in the prepared graph, and in its file: a word that is none of pare's.
  virtual std::string name() const = 0;
  /// The values that shall be told apart; those outside are clipped. Must be finite, min ≤ max.
  virtual ChosenRange choose(const Histogram& seen, const Codes& codes) const = 0;
};
using RangeSearches = std::vector<std::shared_ptr<const RangeSearch>>;

/// The share of the values, in percent, that is not clipped: half of the rest is at each end.
struct Percentile {
  double percentile = 99.99;
};
/// A scale and zero point that are known; sigmoid's and softmax's in u8 unless said otherwise.
struct FixedQParams {
  double scale = 1.0 / 256;
  std::int32_t zero_point = 0;
};

/// What an activation's range follows from: a kind (`Observer::entropy`), a kind with numbers
/// (`Percentile{.percentile = 99.9}`), or a search of your own (`std::make_shared<Mine>()`, derived
/// from RangeSearch). histogram, percentile, entropy, mse and your own choose from the same counts:
/// O(bins) memory, the same ranges for the same values in any order and batches, to the bit.
class PARE_API Observer {
 public:
  enum Kind : std::uint8_t {
    min_max,         ///< smallest and largest value of all batches
    moving_average,  ///< of the first batch, then a moving average (QConfig::averaging)
    histogram,       ///< the part that loses least in the square (PyTorch's search)
    percentile,      ///< without the outermost values
    entropy,         ///< the part whose distribution loses least information (TensorRT)
    mse,             ///< the part that loses least in the square by its own codes, on a grid
    mean_min_max,    ///< the mean of the samples' smallest and largest values (NNCF)
    fixed,           ///< a known scale and zero point
    none,            ///< stays float (PyTorch's Placeholder and Noop)
    custom,          ///< a search of the user's
  };
  Observer(Kind kind = histogram);  // NOLINT(google-explicit-constructor)
  Observer(const Percentile& options);
  Observer(const FixedQParams& options);
  template <std::derived_from<RangeSearch> Search>
  Observer(std::shared_ptr<Search> search)  // NOLINT(google-explicit-constructor)
      : kind_(custom), search_(std::move(search)) {}

  operator Kind() const { return kind_; }  // NOLINT(google-explicit-constructor)
  double share() const { return percentile_.percentile; }
  const FixedQParams& fixed_parameters() const { return fixed_; }
  const std::shared_ptr<const RangeSearch>& search() const { return search_; }
  /// "percentile 99.99"; of your own search its name.
  std::string to_string() const;

 private:
  Kind kind_;
  Percentile percentile_ = {};
  FixedQParams fixed_ = {};
  std::shared_ptr<const RangeSearch> search_ = {};
};

/// Adds to the observers of `prepared`, in place, what those of `other` have seen: both copies of
/// one prepared graph, calibrated on different data (elsewhere, or by other threads). The state is
/// that of one graph that saw all of it, to the bit. Throws invalid_argument where the graphs do
/// not have the same observers, unsupported for moving averages, which depend on the order;
/// `prepared` is unchanged then.
PARE_API void merge_observers(Graph& prepared, const Graph& other);

/// How the scale of a weight follows from its values.
enum class WeightObserver : std::uint8_t {
  min_max,         ///< largest magnitude, or smallest and largest value
  moving_average,  ///< the same, followed in training with QConfig::averaging
  mse,             ///< of 80 parts of that range the one that loses least in the square
};
enum class Granularity : std::uint8_t {
  per_tensor,
  per_channel,  ///< one scale for each output channel
  per_group,    ///< one for each group of neighbours along the input axis; in QConfig
};

}  // namespace pare::quantize
