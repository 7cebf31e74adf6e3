// What each layer of a net computes in, as a search changes it: bits of weights, or float.
#include "quantize/mixed_layers.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/check.h"

namespace pare::quantize {
namespace {

std::int64_t qmax_of(int bits) { return (std::int64_t{1} << (bits - 1)) - 1; }

}  // namespace

int MixedLayers::bits(std::size_t layer) const {
  const std::size_t level = all[layer].level;
  return level == float_level() ? 0 : options_.weight_bits[level];
}

std::int64_t MixedLayers::bytes() const {
  std::map<int, std::pair<std::int64_t, int>> stored;  // elements and bits
  for (std::size_t l = 0; l < all.size(); ++l) {
    if (all[l].weight < 0) continue;
    auto& [weights, most] = stored[all[l].weight];
    weights = all[l].weights;
    most = std::max(most, bits(l) == 0 ? 32 : bits(l));
  }
  std::int64_t sum = 0;
  for (const auto& [weight, entry] : stored) sum += (entry.first * entry.second + 7) / 8;
  return sum;
}

double MixedLayers::float_macs() const {
  double sum = 0, left = 0;
  for (const MixedLayer& layer : all) {
    sum += static_cast<double>(layer.macs);
    if (layer.level == float_level()) left += static_cast<double>(layer.macs);
  }
  return sum > 0 ? left / sum : 0;
}

QConfig MixedLayers::config() const {
  QConfig config = options_.config;
  for (std::size_t l = 0; l < all.size(); ++l) {
    if (bits(l) == 0)
      config.exclude.push_back(all[l].name);
    else if (bits(l) < 8 && all[l].weight >= 0)
      config.overrides.push_back({.name = all[l].name, .weight_qmax = qmax_of(bits(l))});
  }
  return config;
}

QConfig MixedLayers::config_of_level(std::size_t level) const {
  QConfig config = options_.config;
  if (const int bits = options_.weight_bits[level]; bits < 8)
    config.overrides.push_back({.name = "*", .weight_qmax = qmax_of(bits)});
  return config;
}

double MixedLayers::gain(std::size_t layer, std::size_t level) const {
  const std::vector<double>& noise = all[layer].noise;
  return std::max(0.0, noise[level] - noise[level + 1]);
}

bool MixedLayers::has_room() const {
  const bool any = std::any_of(all.begin(), all.end(),
                               [&](const MixedLayer& l) { return l.level < float_level(); });
  const SearchBudget& budget = options_.budget;
  return any && float_macs() <= budget.float_macs &&
         (!budget.weight_bytes || bytes() <= *budget.weight_bytes);
}

// Of those below level `top` whose gain is more than `least`.
int MixedLayers::next_raise(std::size_t top, double least) {
  int best = -1;
  for (std::size_t l = 0; l < all.size(); ++l) {
    if (all[l].level >= top) continue;
    const double taken = gain(l, all[l].level);
    if (taken <= least) continue;
    ++all[l].level;
    if (has_room()) {
      best = static_cast<int>(l);
      least = taken;
    }
    --all[l].level;
  }
  return best;
}

int MixedLayers::next_raise() const {
  MixedLayers tried = *this;
  return tried.next_raise(options_.allow_float ? float_level() : float_level() - 1, -1);
}

// Most bits for all, then fewer where that makes least noise for a byte, then more again where
// there is room for it.
void MixedLayers::fit_bytes() {
  if (!options_.budget.weight_bytes) return;
  const std::int64_t budget = *options_.budget.weight_bytes;
  PARE_CHECK(bytes() <= budget, invalid_argument, "search",
             "expected a budget of at least {} bytes, what all layers take in {} bits, got {}",
             bytes(), options_.weight_bits[0], budget);
  for (MixedLayer& layer : all) layer.level = layer.weight < 0 ? 0 : float_level() - 1;
  while (bytes() > budget) {
    std::size_t best = all.size();
    double lowest = std::numeric_limits<double>::infinity();
    for (std::size_t l = 0; l < all.size(); ++l) {
      if (all[l].level == 0 || all[l].weights == 0) continue;
      const double cost = gain(l) / static_cast<double>(all[l].weights);
      if (cost < lowest) {
        best = l;
        lowest = cost;
      }
    }
    PARE_ASSERT(best < all.size());
    --all[best].level;
  }
  for (int l = next_raise(float_level() - 1, 0); l >= 0; l = next_raise(float_level() - 1, 0))
    ++all[static_cast<std::size_t>(l)].level;
  for (MixedLayer& layer : all) layer.first = layer.level;
}

}  // namespace pare::quantize
