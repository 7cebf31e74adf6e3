// Generator: Philox4x32-10.
#include "pare/core/generator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/check.h"
#include "core/multiversion.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

using Block = std::array<std::uint32_t, 4>;
constexpr std::int64_t kGrain = 1 << 14;
constexpr std::uint32_t kMultiplier0 = 0xD2511F53U, kMultiplier1 = 0xCD9E8D57U;
constexpr std::uint32_t kStep0 = 0x9E3779B9U, kStep1 = 0xBB67AE85U;

Block philox(const Generator::State& s, std::uint64_t block) {
  Block c{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
          static_cast<std::uint32_t>(s.stream), static_cast<std::uint32_t>(s.stream >> 32)};
  std::uint32_t k0 = static_cast<std::uint32_t>(s.seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(s.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0];
    const std::uint64_t p1 = std::uint64_t{kMultiplier1} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += kStep0;
    k1 += kStep1;
  }
  return c;
}

PARE_INLINE float unit(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24F; }

// out[4l + j] = unit(word j of block first + l) for kLanes blocks at once, in vector code.
constexpr std::int64_t kLanes = 32;
PARE_INLINE void unit_blocks_body(const Generator::State& s, std::uint64_t first,
                                  std::int64_t groups, float* out) {
  for (std::int64_t g = 0; g < groups; ++g, first += kLanes, out += 4 * kLanes) {
    std::uint32_t c[4][kLanes];
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const std::uint64_t block = first + static_cast<std::uint64_t>(l);
      c[0][l] = static_cast<std::uint32_t>(block);
      c[1][l] = static_cast<std::uint32_t>(block >> 32);
      c[2][l] = static_cast<std::uint32_t>(s.stream);
      c[3][l] = static_cast<std::uint32_t>(s.stream >> 32);
    }
    std::uint32_t k0 = static_cast<std::uint32_t>(s.seed);
    std::uint32_t k1 = static_cast<std::uint32_t>(s.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      for (std::int64_t l = 0; l < kLanes; ++l) {
        const std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0][l];
        const std::uint64_t p1 = std::uint64_t{kMultiplier1} * c[2][l];
        c[0][l] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1][l] ^ k0;
        c[1][l] = static_cast<std::uint32_t>(p1);
        c[2][l] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3][l] ^ k1;
        c[3][l] = static_cast<std::uint32_t>(p0);
      }
      k0 += kStep0;
      k1 += kStep1;
    }
    for (std::int64_t l = 0; l < kLanes; ++l)
      for (std::int64_t j = 0; j < 4; ++j) out[4 * l + j] = unit(c[j][l]);
  }
}
PARE_MULTIVERSION(void, unit_blocks,
                  (const Generator::State& s, std::uint64_t first, std::int64_t groups, float* out),
                  (s, first, groups, out))

// Calls use(k, word) for words [begin, end) of the draw that starts at s.position.
template <class Use>
void words(const Generator::State& s, std::int64_t begin, std::int64_t end, Use use) {
  Block block{};
  std::uint64_t loaded = ~std::uint64_t{0};
  for (std::int64_t k = begin; k < end; ++k) {
    const std::uint64_t position = s.position + static_cast<std::uint64_t>(k);
    if (position / 4 != loaded) {
      loaded = position / 4;
      block = philox(s, loaded);
    }
    use(k, block[position % 4]);
  }
}

}  // namespace

std::uint32_t Generator::next_u32() {
  const std::uint32_t word = philox(state(), position_ / 4)[position_ % 4];
  ++position_;
  return word;
}

float Generator::uniform() { return unit(next_u32()); }

std::uint64_t Generator::below(std::uint64_t bound) {
  PARE_CHECK(bound > 0, invalid_argument, "generator", "expected a bound above 0, got 0");
  // Rejection keeps the result exactly uniform.
  const std::uint64_t limit = bound * (~std::uint64_t{0} / bound);
  for (;;) {
    const std::uint64_t high = next_u32();
    const std::uint64_t value = high << 32 | next_u32();
    if (value < limit) return value % bound;
  }
}

std::vector<std::int64_t> Generator::permutation(std::int64_t count) {
  PARE_CHECK(count >= 0, invalid_argument, "generator", "expected a count of 0 or more, got {}",
             count);
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  return order;
}

void Generator::fill_uniform(float* out, std::int64_t count) {
  parallel_for(0, count, kGrain, [&](std::int64_t b, std::int64_t e) {
    const auto single = [&](std::int64_t k, std::uint32_t word) { out[k] = unit(word); };
    // Up to a whole block, then many blocks at once, then what is left.
    const std::uint64_t position = position_ + static_cast<std::uint64_t>(b);
    const std::int64_t start = std::min(e, b + static_cast<std::int64_t>((4 - position % 4) % 4));
    words(state(), b, start, single);
    const std::int64_t groups = (e - start) / (4 * kLanes);
    const std::uint64_t first = (position_ + static_cast<std::uint64_t>(start)) / 4;
    if (groups > 0) unit_blocks(state(), first, groups, out + start);
    words(state(), start + groups * 4 * kLanes, e, single);
  });
  position_ += static_cast<std::uint64_t>(count);
}

Tensor Generator::uniform(const Shape& shape, float low, float high) {
  Tensor t = Tensor::empty(shape);
  float* out = t.mutable_data<float>();
  fill_uniform(out, t.elements());
  for (std::int64_t i = 0; i < t.elements(); ++i) out[i] = low + (high - low) * out[i];
  return t;
}

Tensor Generator::normal(const Shape& shape, float mean, float deviation) {
  Tensor t = Tensor::empty(shape);
  float* out = t.mutable_data<float>();
  const std::int64_t count = t.elements();
  const std::int64_t pairs = (count + 1) / 2;
  // Box and Muller: words 2k and 2k+1 give elements 2k and 2k+1.
  parallel_for(0, pairs, kGrain, [&](std::int64_t b, std::int64_t e) {
    std::uint32_t first = 0;
    words(state(), 2 * b, 2 * e, [&](std::int64_t k, std::uint32_t word) {
      if (k % 2 == 0) {
        first = word;
        return;
      }
      // 1 − u lies in (0, 1], so the logarithm is finite.
      const double radius = std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(unit(first))));
      const double angle = 2.0 * std::numbers::pi * static_cast<double>(unit(word));
      out[k - 1] = mean + deviation * static_cast<float>(radius * std::cos(angle));
      if (k < count) out[k] = mean + deviation * static_cast<float>(radius * std::sin(angle));
    });
  });
  position_ += static_cast<std::uint64_t>(2 * pairs);
  return t;
}

Tensor Generator::bernoulli(const Shape& shape, float p) {
  Tensor t = uniform(shape);
  float* out = t.mutable_data<float>();
  for (std::int64_t i = 0; i < t.elements(); ++i) out[i] = out[i] < p ? 1.0F : 0.0F;
  return t;
}

Generator Generator::fork(std::uint64_t stream) const {
  Generator child(seed_);
  // SplitMix64's finalizer mixes the position in the tree of forks.
  std::uint64_t z = stream_ + 0x9E3779B97F4A7C15ULL * (stream + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  child.stream_ = z ^ (z >> 31);
  return child;
}

}  // namespace pare
