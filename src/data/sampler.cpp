// Samplers, subsets and splits.
#include "pare/data/sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/check.h"

namespace pare::data {
namespace {

std::vector<std::int64_t> ascending(std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// In [0, 1) with 48 random bits, so that small weights are met.
double fine_uniform(Generator& generator) {
  const double high = static_cast<double>(generator.next_u32() >> 8);
  return (high + static_cast<double>(generator.next_u32() >> 8) * 0x1p-24) * 0x1p-24;
}

std::int64_t checked_samples(std::int64_t samples, std::int64_t size, const char* where) {
  PARE_CHECK(samples >= 0, invalid_argument, where, "expected at least 0 samples, got {}", samples);
  return samples == 0 ? size : samples;
}

}  // namespace

std::int64_t RandomSampler::count(std::int64_t size) const {
  constexpr const char* where = "data::RandomSampler";
  const std::int64_t wanted = checked_samples(samples, size, where);
  PARE_CHECK(replacement || wanted <= size, invalid_argument, where,
             "expected at most {} samples without replacement, got {}", size, wanted);
  PARE_CHECK(size > 0 || wanted == 0, invalid_argument, where,
             "expected examples to draw from, got an empty set");
  return wanted;
}

std::vector<std::int64_t> RandomSampler::order(std::int64_t size, Generator& generator) const {
  const auto wanted = static_cast<std::size_t>(count(size));
  if (!replacement) {
    std::vector<std::int64_t> order = generator.permutation(size);
    order.resize(wanted);
    return order;
  }
  std::vector<std::int64_t> order(wanted);
  for (std::int64_t& index : order) {
    index = static_cast<std::int64_t>(generator.below(static_cast<std::uint64_t>(size)));
  }
  return order;
}

std::int64_t WeightedSampler::count(std::int64_t size) const {
  constexpr const char* where = "data::WeightedSampler";
  PARE_CHECK(static_cast<std::int64_t>(weights.size()) == size, invalid_argument, where,
             "expected {} weights, as there are examples, got {}", size, weights.size());
  for (const double weight : weights) {
    PARE_CHECK(std::isfinite(weight) && weight >= 0, invalid_argument, where,
               "expected finite weights of at least 0, got {}", weight);
  }
  const std::int64_t wanted = checked_samples(samples, size, where);
  const std::int64_t possible = size - std::ranges::count(weights, 0.0);
  PARE_CHECK(wanted == 0 || possible > 0, invalid_argument, where,
             "expected a weight above 0, got none");
  PARE_CHECK(replacement || wanted <= possible, invalid_argument, where,
             "expected at most {} samples without replacement, as many as have a weight, got {}",
             possible, wanted);
  return wanted;
}

std::vector<std::int64_t> WeightedSampler::order(std::int64_t size, Generator& generator) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count(size)));
  if (replacement) {
    std::vector<double> sums(weights.size());
    std::partial_sum(weights.begin(), weights.end(), sums.begin());
    for (std::int64_t& index : order) {
      const double at = fine_uniform(generator) * sums.back();
      const auto found = std::ranges::upper_bound(sums, at);
      index = found - sums.begin();
      // Rounding may reach the last sum: the last example that has a weight then.
      while (index == size || weights[static_cast<std::size_t>(index)] == 0) --index;
    }
    return order;
  }
  // The largest of log(u) / weight (Efraimidis and Spirakis, 2006).
  std::vector<std::pair<double, std::int64_t>> keys;
  for (std::int64_t i = 0; i < size; ++i) {
    const double weight = weights[static_cast<std::size_t>(i)];
    const double u = 1 - fine_uniform(generator);
    if (weight > 0) keys.emplace_back(-std::log(u) / weight, i);
  }
  std::ranges::sort(keys);
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = keys[k].second;
  return order;
}

std::int64_t DistributedSampler::count(std::int64_t size) const {
  PARE_CHECK(world > 0 && rank >= 0 && rank < world, invalid_argument, "data::DistributedSampler",
             "expected a rank of 0 … world − 1, got rank {} of {}", rank, world);
  return drop_last ? size / world : (size + world - 1) / world;
}

std::vector<std::int64_t> DistributedSampler::order(std::int64_t size, Generator& generator) const {
  const std::int64_t own = count(size);
  const std::vector<std::int64_t> all = shuffle ? generator.permutation(size) : ascending(size);
  std::vector<std::int64_t> order(static_cast<std::size_t>(own));
  for (std::int64_t k = 0; k < own; ++k) {
    order[static_cast<std::size_t>(k)] = all[static_cast<std::size_t>((k * world + rank) % size)];
  }
  return order;
}

std::int64_t SubsetSampler::count(std::int64_t size) const {
  for (const std::int64_t index : indices) {
    PARE_CHECK(index >= 0 && index < size, out_of_range, "data::SubsetSampler",
               "expected an example of 0 … {}, got {}", size - 1, index);
  }
  return static_cast<std::int64_t>(indices.size());
}

std::vector<std::int64_t> SubsetSampler::order(std::int64_t size, Generator& generator) const {
  const std::int64_t own = count(size);
  if (!shuffle) return indices;
  std::vector<std::int64_t> order = generator.permutation(own);
  for (std::int64_t& index : order) index = indices[static_cast<std::size_t>(index)];
  return order;
}

std::vector<double> balanced_weights(const Tensor& labels) {
  constexpr const char* where = "data::balanced_weights";
  PARE_CHECK(labels.defined() && labels.rank() == 1, shape_mismatch, where,
             "expected labels [N], got {}", labels.defined() ? labels.shape() : Shape());
  PARE_CHECK(labels.dtype() == DType::i64, dtype_mismatch, where, "expected i64 labels, got {}",
             labels.dtype());
  const std::vector<std::int64_t> values = labels.to_vector<std::int64_t>();
  std::map<std::int64_t, double> counts;
  for (const std::int64_t label : values) ++counts[label];
  std::vector<double> weights;
  for (const std::int64_t label : values) weights.push_back(1 / counts[label]);
  return weights;
}

Subset::Subset(std::shared_ptr<const Dataset> dataset, std::vector<std::int64_t> indices)
    : dataset_(std::move(dataset)), indices_(std::move(indices)) {
  PARE_CHECK(dataset_ != nullptr, invalid_argument, "data::Subset",
             "expected a data set, got none");
  for (const std::int64_t index : indices_) {
    PARE_CHECK(index >= 0 && index < dataset_->size(), out_of_range, "data::Subset",
               "expected an example of 0 … {}, got {}", dataset_->size() - 1, index);
  }
}

Example Subset::get(std::int64_t index) const {
  PARE_CHECK(index >= 0 && index < size(), out_of_range, "data::Subset",
             "expected an example of 0 … {}, got {}", size() - 1, index);
  return dataset_->get(indices_[static_cast<std::size_t>(index)]);
}

Split random_split(std::int64_t count, double share, std::uint64_t seed) {
  PARE_CHECK(count >= 0 && share >= 0 && share <= 1, invalid_argument, "data::random_split",
             "expected a count of at least 0 and a share of 0 … 1, got {} and {}", count, share);
  const std::vector<std::int64_t> order = Generator(seed).permutation(count);
  const auto middle =
      order.begin() + static_cast<std::ptrdiff_t>(std::floor(share * static_cast<double>(count)));
  return {{order.begin(), middle}, {middle, order.end()}};
}

}  // namespace pare::data
