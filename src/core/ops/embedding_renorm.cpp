// embedding_renorm: rows of a table scaled down to a largest norm, in place.
#include <algorithm>
#include <cmath>

#include "core/dtype_switch.h"
#include "core/ops/embedding.h"
#include "pare/core/context.h"
#include "pare/core/ops/embedding.h"

namespace pare {
namespace {

double norm_of(const std::vector<double>& row, double p) {
  double sum = 0;
  if (std::isinf(p)) {
    for (const double v : row) sum = std::max(sum, std::abs(v));
    return sum;
  }
  if (p == 2) {
    for (const double v : row) sum += v * v;
    return std::sqrt(sum);
  }
  for (const double v : row) sum += std::pow(std::abs(v), p);
  return std::pow(sum, 1 / p);
}

}  // namespace

void embedding_renorm(Tensor& weight, const Tensor& indices,
                      const EmbeddingRenormOptions& options) {
  constexpr const char* kPlace = "embedding_renorm";
  PARE_CHECK(weight.defined() && weight.rank() == 2, shape_mismatch, kPlace,
             "expected a weight [V, E], got {}",
             weight.defined() ? weight.shape().to_string() : "an undefined tensor");
  PARE_CHECK(weight.dtype() == DType::f32 || weight.dtype() == DType::f64, dtype_mismatch, kPlace,
             "expected a weight of f32 or f64, got {}", weight.dtype());
  PARE_CHECK(weight.is_leaf(), invalid_argument, kPlace,
             "expected a weight that is no result of other ops, got one of shape {}",
             weight.shape());
  PARE_CHECK(indices.defined(), invalid_argument, kPlace,
             "expected indices, got an undefined tensor");
  PARE_CHECK(indices.dtype() == DType::i64 || indices.dtype() == DType::i32, dtype_mismatch, kPlace,
             "expected i64 or i32 indices, got {}", indices.dtype());
  PARE_CHECK(options.max_norm >= 0, invalid_argument, kPlace,
             "expected a max_norm of at least 0, got {}", options.max_norm);
  PARE_CHECK(options.norm_type > 0, invalid_argument, kPlace,
             "expected a norm_type above 0, got {}", options.norm_type);
  std::vector<std::int64_t> rows = read_rows(kPlace, indices, weight.dim(0));
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  const NoGrad off;
  const std::int64_t width = weight.dim(1);
  visit_float(weight.dtype(), kPlace, [&](auto type) {
    using T = decltype(type);
    // Nothing is written where nothing changes, so that a saved weight stays valid.
    T* to = nullptr;
    std::vector<double> values(static_cast<std::size_t>(width));
    for (const std::int64_t r : rows) {
      const T* from = weight.data<T>() + r * width;
      std::copy_n(from, width, values.begin());
      const double norm = norm_of(values, options.norm_type);
      if (!(norm > options.max_norm)) continue;
      if (!to) to = weight.mutable_data<T>();
      // PyTorch's guard.
      const auto factor = static_cast<T>(options.max_norm / (norm + 1e-7));
      for (std::int64_t c = 0; c < width; ++c) to[r * width + c] *= factor;
    }
  });
}

}  // namespace pare
