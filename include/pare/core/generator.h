// The only source of random numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/shape.h"
#include "pare/core/tensor.h"

namespace pare {

/// Counter-based (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
/// 2011): element k of a draw depends on the seed, the position and k alone, never on the thread
/// count.
class PARE_API Generator {
 public:
  explicit Generator(std::uint64_t seed = 0) : seed_(seed) {}

  std::uint32_t next_u32();
  /// In [0, 1) with 24 random bits.
  float uniform();
  /// Uniform in [0, bound). bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// A random order of 0 … count−1.
  std::vector<std::int64_t> permutation(std::int64_t count);
  /// f32 tensors.
  Tensor uniform(const Shape& shape, float low = 0, float high = 1);
  Tensor normal(const Shape& shape, float mean = 0, float deviation = 1);
  /// 1 with probability p, else 0.
  Tensor bernoulli(const Shape& shape, float p);
  /// Fills memory with uniform values in [0, 1).
  void fill_uniform(float* out, std::int64_t count);

  /// A generator whose draws are independent of this one's (for a worker or a sample).
  Generator fork(std::uint64_t stream) const;

  struct State {
    std::uint64_t seed, stream, position;
    bool operator==(const State&) const = default;
  };
  State state() const { return {seed_, stream_, position_}; }
  void set_state(const State& s) { seed_ = s.seed, stream_ = s.stream, position_ = s.position; }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_ = 0;
  std::uint64_t position_ = 0;  // in 32-bit words
};

}  // namespace pare
