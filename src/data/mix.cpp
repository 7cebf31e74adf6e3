// MixUp and CutMix.
#include "pare/data/mix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>

#include "core/check.h"
#include "data/mix.h"
#include "data/rows.h"

namespace pare::data {
namespace {

constexpr const char* kPlace = "data::mix";

// In (0, 1).
double open_uniform(Generator& generator) {
  return static_cast<double>(generator.uniform()) + 0x1p-25;
}

// The logarithm of a draw of Gamma(alpha) (Marsaglia and Tsang, "A simple method for generating
// gamma variables", 2000), which does not vanish for the small alphas of mixup.
double log_gamma_draw(double alpha, Generator& generator) {
  const double d = alpha + 1 - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double u1 = open_uniform(generator), u2 = open_uniform(generator);
    const double x = std::sqrt(-2 * std::log(u1)) * std::cos(2 * std::numbers::pi * u2);
    const double v = std::pow(1 + c * x, 3);
    const double u = open_uniform(generator);
    if (v <= 0 || std::log(u) >= 0.5 * x * x + d - d * v + d * std::log(v)) continue;
    // Gamma(alpha) = Gamma(alpha + 1) · U^(1/alpha).
    return std::log(d * v) + std::log(open_uniform(generator)) / alpha;
  }
}

double beta_draw(double alpha, Generator& generator) {
  const double a = log_gamma_draw(alpha, generator), b = log_gamma_draw(alpha, generator);
  return 1 / (1 + std::exp(b - a));
}

// Row n of the result takes its other part of this row.
std::int64_t partner(std::int64_t n, std::int64_t count) { return n == 0 ? count - 1 : n - 1; }

Tensor mixed_labels(const Tensor& y, std::int64_t classes, double lambda) {
  const std::int64_t count = y.dim(0);
  const auto* const label = y.data<std::int64_t>();
  for (std::int64_t n = 0; n < count; ++n) {
    PARE_CHECK(label[n] >= 0 && label[n] < classes, out_of_range, kPlace,
               "expected labels of 0 … {}, got {}", classes - 1, label[n]);
  }
  Tensor out = Tensor::zeros({count, classes});
  float* row = out.mutable_data<float>();
  for (std::int64_t n = 0; n < count; ++n, row += classes) {
    row[label[n]] += static_cast<float>(lambda);
    row[label[partner(n, count)]] += static_cast<float>(1 - lambda);
  }
  return out;
}

Tensor blended(const Tensor& x, double lambda) {
  Tensor out = Tensor::empty(x.shape(), DType::f32, x.format());
  const std::int64_t count = x.dim(0);
  const std::int64_t stride = count == 0 ? 0 : x.elements() / count;
  const auto own = static_cast<float>(lambda), other = static_cast<float>(1 - lambda);
  const float* const from = x.data<float>();
  float* to = out.mutable_data<float>();
  for (std::int64_t n = 0; n < count; ++n, to += stride) {
    const float* const a = from + n * stride;
    const float* const b = from + partner(n, count) * stride;
    for (std::int64_t i = 0; i < stride; ++i) to[i] = own * a[i] + other * b[i];
  }
  return out;
}

// The share of the picture that is left as it was comes back in `lambda`.
Tensor pasted(const Tensor& x, double& lambda, Generator& generator) {
  const std::int64_t count = x.dim(0), channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const double half = 0.5 * std::sqrt(1 - lambda);
  const auto side = [&](std::int64_t size) {
    const auto middle =
        static_cast<std::int64_t>(generator.below(static_cast<std::uint64_t>(size)));
    const auto reach = static_cast<std::int64_t>(half * static_cast<double>(size));
    return std::pair{std::max<std::int64_t>(middle - reach, 0), std::min(middle + reach, size)};
  };
  const auto [left, right] = side(width);
  const auto [top, bottom] = side(height);
  lambda = 1 - static_cast<double>((right - left) * (bottom - top)) /
                   static_cast<double>(height * width);
  Tensor out = x.clone();
  const bool last = x.channels_last();
  const std::int64_t planes = last ? 1 : channels, pixel = last ? channels : 1;
  const std::int64_t stride = channels * height * width;
  const float* const from = x.data<float>();
  float* const to = out.mutable_data<float>();
  const auto bytes = static_cast<std::size_t>((right - left) * pixel) * sizeof(float);
  for (std::int64_t n = 0; n < count && bytes > 0; ++n) {
    for (std::int64_t c = 0; c < planes; ++c) {
      for (std::int64_t y = top; y < bottom; ++y) {
        const std::int64_t at = ((c * height + y) * width + left) * pixel;
        std::memcpy(to + n * stride + at, from + partner(n, count) * stride + at, bytes);
      }
    }
  }
  return out;
}

}  // namespace

void check(const Mix& how) {
  const auto check = [](const char* where, std::int64_t classes, double alpha) {
    PARE_CHECK(classes > 0, invalid_argument, where, "expected the number of classes, got {}",
               classes);
    PARE_CHECK(std::isfinite(alpha) && alpha > 0, invalid_argument, where,
               "expected a finite alpha above 0, got {}", alpha);
  };
  if (const auto* up = std::get_if<MixUp>(&how)) check("data::MixUp", up->classes, up->alpha);
  if (const auto* cut = std::get_if<CutMix>(&how)) check("data::CutMix", cut->classes, cut->alpha);
}

Batch mix(const Batch& batch, const Mix& how, Generator& generator) {
  check(how);
  const auto* const cut = std::get_if<CutMix>(&how);
  const bool picture = batch.x.defined() && batch.x.rank() == 4;
  PARE_CHECK(batch.x.defined() && batch.x.rank() > 0 && batch.x.elements() > 0 && (!cut || picture),
             shape_mismatch, kPlace, "expected a batch {}, got {}",
             cut ? "of pictures [N, C, H, W]" : "[N, …]", describe(batch.x));
  PARE_CHECK(batch.x.dtype() == DType::f32, dtype_mismatch, kPlace, "expected f32 inputs, got {}",
             batch.x.dtype());
  PARE_CHECK(batch.y.defined() && batch.y.rank() == 1 && batch.y.dim(0) == batch.x.dim(0),
             shape_mismatch, kPlace, "expected labels [{}], got {}", batch.x.dim(0),
             describe(batch.y));
  PARE_CHECK(batch.y.dtype() == DType::i64, dtype_mismatch, kPlace, "expected i64 labels, got {}",
             batch.y.dtype());
  const std::int64_t classes = cut ? cut->classes : std::get<MixUp>(how).classes;
  double lambda = beta_draw(cut ? cut->alpha : std::get<MixUp>(how).alpha, generator);
  Batch out = batch;
  out.x = cut ? pasted(batch.x, lambda, generator) : blended(batch.x, lambda);
  out.y = mixed_labels(batch.y, classes, lambda);
  return out;
}

}  // namespace pare::data
