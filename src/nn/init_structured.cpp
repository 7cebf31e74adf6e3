// First values of weights that are more than a draw for each: truncated, orthogonal, sparse, exact.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/check.h"
#include "pare/nn/init.h"

namespace pare::nn::init {
namespace {

// The x of which the normal distribution's function is p, for p inside (0, 1): a rational first
// guess (Winitzki's, of erf), then Newton's steps.
double normal_quantile(double p) {
  const double y = 2 * p - 1;
  const double log = std::log1p(-y * y);
  const double a = 0.147;
  const double half = 2 / (std::numbers::pi * a) + log / 2;
  double x = std::copysign(std::sqrt(std::sqrt(half * half - log / a) - half), y);
  for (int i = 0; i < 3; ++i)
    x -= (std::erf(x) - y) / (2 / std::sqrt(std::numbers::pi) * std::exp(-x * x));
  return std::numbers::sqrt2 * x;
}

double normal_share(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

void check_rank(const char* where, const Shape& shape, int low, int high) {
  PARE_CHECK(shape.rank() >= low && shape.rank() <= high, shape_mismatch, where,
             "expected a weight of rank {}, got shape {}",
             low == high ? std::to_string(low) : fmt::format("{} to {}", low, high), shape);
}

}  // namespace

Tensor trunc_normal(const Shape& shape, Generator& generator, const Truncation& t) {
  PARE_CHECK(t.low < t.high && t.deviation > 0, invalid_argument, "init::trunc_normal",
             "expected low below high and a deviation above 0, got {}, {} and {}", t.low, t.high,
             t.deviation);
  const double from = normal_share((t.low - t.mean) / t.deviation);
  const double to = normal_share((t.high - t.mean) / t.deviation);
  PARE_CHECK(to > from, invalid_argument, "init::trunc_normal",
             "expected bounds within reach of the mean {}, got {} and {}", t.mean, t.low, t.high);
  Tensor result = generator.uniform(shape);
  float* const x = result.mutable_data<float>();
  for (std::int64_t i = 0; i < result.elements(); ++i) {
    // From the middle of each of the generator's 2^24 steps, so that no end is reached.
    const double p = from + (to - from) * (static_cast<double>(x[i]) + 0x1p-25);
    x[i] = static_cast<float>(std::clamp(
        t.mean + t.deviation * normal_quantile(std::clamp(p, 1e-15, 1 - 1e-15)), t.low, t.high));
  }
  return result;
}

Tensor orthogonal(const Shape& shape, Generator& generator, double gain) {
  check_rank("init::orthogonal", shape, 2, Shape::kMaxRank);
  const std::int64_t rows = shape[0];
  const std::int64_t columns = shape.elements(1, shape.rank());
  const std::int64_t count = std::min(rows, columns);  // of vectors
  const std::int64_t length = std::max(rows, columns);
  std::vector<double> vectors(static_cast<std::size_t>(count * length));
  const Tensor draw = generator.normal({count, length});
  std::copy_n(draw.data<float>(), count * length, vectors.begin());
  const auto dot = [&](const double* a, const double* b) {
    double sum = 0;
    for (std::int64_t k = 0; k < length; ++k) sum += a[k] * b[k];
    return sum;
  };
  // Gram and Schmidt's, twice for each vector, which leaves rounding alone ("twice is enough",
  // Giraud et al., 2005).
  for (std::int64_t i = 0; i < count; ++i) {
    double* const v = vectors.data() + i * length;
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t j = 0; j < i; ++j) {
        const double* const other = vectors.data() + j * length;
        const double along = dot(v, other);
        for (std::int64_t k = 0; k < length; ++k) v[k] -= along * other[k];
      }
    const double norm = std::sqrt(dot(v, v));
    for (std::int64_t k = 0; k < length; ++k) v[k] /= norm;
  }
  Tensor result = Tensor::empty(shape);
  float* const out = result.mutable_data<float>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t at = rows <= columns ? r * length + c : c * length + r;
      out[r * columns + c] = static_cast<float>(gain * vectors[static_cast<std::size_t>(at)]);
    }
  return result;
}

Tensor sparse(const Shape& shape, Generator& generator, const Sparsity& sparsity) {
  check_rank("init::sparse", shape, 2, 2);
  PARE_CHECK(sparsity.share >= 0 && sparsity.share <= 1, invalid_argument, "init::sparse",
             "expected a share from 0 to 1, got {}", sparsity.share);
  Tensor result = normal(shape, generator, {.deviation = sparsity.deviation});
  float* const out = result.mutable_data<float>();
  const auto zeros =
      static_cast<std::size_t>(std::ceil(sparsity.share * static_cast<double>(shape[0])));
  for (std::int64_t c = 0; c < shape[1]; ++c) {
    const std::vector<std::int64_t> rows = generator.permutation(shape[0]);
    for (std::size_t k = 0; k < zeros; ++k) out[rows[k] * shape[1] + c] = 0;
  }
  return result;
}

Tensor eye(const Shape& shape) {
  check_rank("init::eye", shape, 2, 2);
  Tensor result = Tensor::zeros(shape);
  float* const out = result.mutable_data<float>();
  for (std::int64_t i = 0; i < std::min(shape[0], shape[1]); ++i) out[i * shape[1] + i] = 1;
  return result;
}

Tensor dirac(const Shape& shape, std::int64_t groups) {
  check_rank("init::dirac", shape, 3, 5);
  PARE_CHECK(groups >= 1 && shape[0] % groups == 0, invalid_argument, "init::dirac",
             "expected groups that divide the {} output channels, got {}", shape[0], groups);
  Tensor result = Tensor::zeros(shape);
  float* const out = result.mutable_data<float>();
  const std::int64_t outputs = shape[0] / groups;
  const std::int64_t kernel = shape.elements(2, shape.rank());
  // The middle of every spatial axis.
  std::int64_t middle = 0;
  for (int axis = 2; axis < shape.rank(); ++axis) middle = middle * shape[axis] + shape[axis] / 2;
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t d = 0; d < std::min(outputs, shape[1]); ++d)
      out[((g * outputs + d) * shape[1] + d) * kernel + middle] = 1;
  return result;
}

}  // namespace pare::nn::init
