// First values of weights; the formulas are those of torch.nn.init.
#include "pare/nn/init.h"

#include <cmath>

#include "core/check.h"

namespace pare::nn::init {
namespace {

Tensor uniform_within(const Shape& shape, Generator& generator, double bound) {
  return uniform(shape, generator, {.low = -bound, .high = bound});
}

double kaiming_deviation(const Shape& shape, const KaimingOptions& options) {
  const Fans f = fans(shape);
  const double fan = options.fan == Fan::in ? f.in : f.out;
  return gain(options.nonlinearity, options.a) / std::sqrt(fan);
}

}  // namespace

Fans fans(const Shape& shape) {
  PARE_CHECK(shape.rank() >= 2, shape_mismatch, "init::fans",
             "expected a weight of rank 2 or more, got shape {}", shape);
  const double inner = static_cast<double>(shape.elements(2, shape.rank()));
  return {static_cast<double>(shape[1]) * inner, static_cast<double>(shape[0]) * inner};
}

double gain(Nonlinearity nonlinearity, double negative_slope) {
  switch (nonlinearity) {
    case Nonlinearity::linear:
    case Nonlinearity::sigmoid:
      return 1;
    case Nonlinearity::tanh:
      return 5.0 / 3.0;
    case Nonlinearity::relu:
      return std::sqrt(2.0);
    case Nonlinearity::selu:
      return 0.75;
    case Nonlinearity::leaky_relu:
      break;
  }
  return std::sqrt(2.0 / (1.0 + negative_slope * negative_slope));
}

Tensor kaiming_uniform(const Shape& shape, Generator& generator, const KaimingOptions& options) {
  return uniform_within(shape, generator, std::sqrt(3.0) * kaiming_deviation(shape, options));
}

Tensor kaiming_normal(const Shape& shape, Generator& generator, const KaimingOptions& options) {
  return normal(shape, generator, {.deviation = kaiming_deviation(shape, options)});
}

Tensor xavier_uniform(const Shape& shape, Generator& generator, double gain) {
  const Fans f = fans(shape);
  return uniform_within(shape, generator, gain * std::sqrt(6.0 / (f.in + f.out)));
}

Tensor xavier_normal(const Shape& shape, Generator& generator, double gain) {
  const Fans f = fans(shape);
  return normal(shape, generator, {.deviation = gain * std::sqrt(2.0 / (f.in + f.out))});
}

Tensor uniform(const Shape& shape, Generator& generator, const Range& range) {
  return generator.uniform(shape, static_cast<float>(range.low), static_cast<float>(range.high));
}

Tensor normal(const Shape& shape, Generator& generator, const Gaussian& gaussian) {
  return generator.normal(shape, static_cast<float>(gaussian.mean),
                          static_cast<float>(gaussian.deviation));
}

Tensor constant(const Shape& shape, double value) { return Tensor::full(shape, value); }
Tensor zeros(const Shape& shape) { return Tensor::zeros(shape); }
Tensor ones(const Shape& shape) { return Tensor::ones(shape); }

Tensor bias(const Shape& shape, const Shape& weight, Generator& generator) {
  return uniform_within(shape, generator, 1.0 / std::sqrt(fans(weight).in));
}

}  // namespace pare::nn::init
