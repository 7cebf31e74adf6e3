// Samplers: which examples an epoch consists of, and in what order.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/generator.h"
#include "pare/data/dataset.h"

namespace pare::data {

/// All examples, or `samples` of them, in a random order (PyTorch's RandomSampler).
struct PARE_API RandomSampler {
  std::int64_t samples = 0;  ///< 0: as many as the data set has
  bool replacement = false;  ///< every draw is of all examples

  std::int64_t count(std::int64_t size) const;
  std::vector<std::int64_t> order(std::int64_t size, Generator& generator) const;
};

/// Draws example i with a probability of weights[i] over their sum (PyTorch's
/// WeightedRandomSampler); without replacement each is drawn once at most, and weight 0 never.
struct PARE_API WeightedSampler {
  std::vector<double> weights;
  std::int64_t samples = 0;  ///< 0: as many as the data set has
  bool replacement = true;

  std::int64_t count(std::int64_t size) const;
  std::vector<std::int64_t> order(std::int64_t size, Generator& generator) const;
};

/// Every world-th example of one order that all ranks agree on, which the loader's seed and epoch
/// determine; filled up with its first examples, or cut, so that all ranks get as many (PyTorch's
/// DistributedSampler).
struct PARE_API DistributedSampler {
  std::int64_t rank = 0, world = 1;
  bool shuffle = true;
  bool drop_last = false;  ///< cut, instead of filled up

  std::int64_t count(std::int64_t size) const;
  std::vector<std::int64_t> order(std::int64_t size, Generator& generator) const;
};

/// The examples of these numbers, in a random order (PyTorch's SubsetRandomSampler).
struct PARE_API SubsetSampler {
  std::vector<std::int64_t> indices;
  bool shuffle = true;

  std::int64_t count(std::int64_t size) const;
  std::vector<std::int64_t> order(std::int64_t size, Generator& generator) const;
};

/// Holds one of these or one of the user's own, with the same two functions, of which `order` gives
/// `count` numbers of 0 … size − 1.
class Sampler {
 public:
  Sampler() = default;
  template <class S>
  requires(!std::same_as<std::remove_cvref_t<S>, Sampler> && requires(const S& s, Generator& g) {
    { s.count(std::int64_t{}) } -> std::convertible_to<std::int64_t>;
    { s.order(std::int64_t{}, g) } -> std::convertible_to<std::vector<std::int64_t>>;
  }) Sampler(S s) {  // NOLINT(google-explicit-constructor): {.sampler = RandomSampler{…}}
    const auto shared = std::make_shared<const S>(std::move(s));
    count_ = [shared](std::int64_t size) { return shared->count(size); };
    order_ = [shared](std::int64_t size, Generator& generator) {
      return shared->order(size, generator);
    };
  }

  explicit operator bool() const { return static_cast<bool>(order_); }
  std::int64_t count(std::int64_t size) const { return count_(size); }
  std::vector<std::int64_t> order(std::int64_t size, Generator& generator) const {
    return order_(size, generator);
  }

 private:
  std::function<std::int64_t(std::int64_t)> count_;
  std::function<std::vector<std::int64_t>(std::int64_t, Generator&)> order_;
};

/// Weights for WeightedSampler under which every class of i64 labels [N] is drawn as often. Throws
/// dtype_mismatch and shape_mismatch.
PARE_API std::vector<double> balanced_weights(const Tensor& labels);

/// Some examples of a data set, as a data set.
class PARE_API Subset : public Dataset {
 public:
  /// Throws invalid_argument without a data set, out_of_range for an index that it has not.
  Subset(std::shared_ptr<const Dataset> dataset, std::vector<std::int64_t> indices);
  template <class T>
  requires std::derived_from<std::remove_cvref_t<T>, Dataset> Subset(
      T&& dataset, std::vector<std::int64_t> indices)
      : Subset(std::make_shared<const std::remove_cvref_t<T>>(std::forward<T>(dataset)),
               std::move(indices)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  Example get(std::int64_t index) const override;

 private:
  std::shared_ptr<const Dataset> dataset_;
  std::vector<std::int64_t> indices_;
};

/// The numbers 0 … count − 1 in two random parts, of which the first has `share` of them, rounded
/// down: what to train on and what to hold out. Throws invalid_argument unless 0 <= share <= 1.
struct Split {
  std::vector<std::int64_t> first, second;
};
PARE_API Split random_split(std::int64_t count, double share, std::uint64_t seed = 0);

}  // namespace pare::data
