// First values of weights, as functions from a shape to a tensor.
#pragma once

#include "pare/core/generator.h"
#include "pare/core/shape.h"
#include "pare/core/tensor.h"

namespace pare::nn::init {

/// Which sum of squares the deviation keeps constant: that of the outputs or of the gradients.
enum class Fan { in, out };
enum class Nonlinearity { linear, sigmoid, tanh, relu, leaky_relu, selu };

/// Inputs and outputs of one unit: axis 1 and axis 0 of the shape, times the sizes of the other
/// axes. Throws shape_mismatch for a rank below 2.
struct Fans {
  double in;
  double out;
};
PARE_API Fans fans(const Shape& shape);

/// PyTorch's calculate_gain; `negative_slope` is leaky_relu's.
PARE_API double gain(Nonlinearity nonlinearity, double negative_slope = 0.01);

struct KaimingOptions {
  double a = 0;  ///< negative slope of the leaky_relu that follows
  Fan fan = Fan::in;
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;
};

/// In ±gain·√(3 / fan). He et al., "Delving deep into rectifiers", 2015. Throws shape_mismatch.
PARE_API Tensor kaiming_uniform(const Shape& shape, Generator& generator,
                                const KaimingOptions& options = {});
/// With deviation gain / √fan. Throws shape_mismatch.
PARE_API Tensor kaiming_normal(const Shape& shape, Generator& generator,
                               const KaimingOptions& options = {});
/// In ±gain·√(6 / (in + out)). Glorot and Bengio, "Understanding the difficulty of training deep
/// feedforward neural networks", 2010. Throws shape_mismatch.
PARE_API Tensor xavier_uniform(const Shape& shape, Generator& generator, double gain = 1);
/// With deviation gain·√(2 / (in + out)). Throws shape_mismatch.
PARE_API Tensor xavier_normal(const Shape& shape, Generator& generator, double gain = 1);

struct Range {
  double low = 0;
  double high = 1;
};
struct Gaussian {
  double mean = 0;
  double deviation = 1;
};
PARE_API Tensor uniform(const Shape& shape, Generator& generator, const Range& range = {});
PARE_API Tensor normal(const Shape& shape, Generator& generator, const Gaussian& gaussian = {});
PARE_API Tensor constant(const Shape& shape, double value);
PARE_API Tensor zeros(const Shape& shape);
PARE_API Tensor ones(const Shape& shape);

struct Truncation {
  double mean = 0;
  double deviation = 1;  ///< before the ends are cut off
  double low = -2;       ///< bounds of the values themselves
  double high = 2;
};
/// A normal distribution of which nothing lies outside the bounds. Throws invalid_argument for
/// bounds without anything between them and a deviation that is not above 0.
PARE_API Tensor trunc_normal(const Shape& shape, Generator& generator,
                             const Truncation& truncation = {});

/// Orthonormal rows, or columns where the matrix [axis 0, all other axes] is higher than wide,
/// times gain. Saxe et al., "Exact solutions to the nonlinear dynamics of learning", 2014. Throws
/// shape_mismatch for a rank below 2.
PARE_API Tensor orthogonal(const Shape& shape, Generator& generator, double gain = 1);

struct Sparsity {
  double share = 0.5;  ///< of each column that is 0, rounded up to whole elements
  double deviation = 0.01;
};
/// Normal, with zeros in every column. Martens, "Deep learning via Hessian-free optimization",
/// 2010. Throws shape_mismatch for another rank than 2, invalid_argument for a share outside [0,
/// 1].
PARE_API Tensor sparse(const Shape& shape, Generator& generator, const Sparsity& sparsity = {});

/// Ones on the diagonal. Throws shape_mismatch for another rank than 2.
PARE_API Tensor eye(const Shape& shape);
/// A convolution's weight that passes its input on, channel by channel, in each group. Throws
/// shape_mismatch for a rank outside 3 to 5, invalid_argument where the groups do not divide axis
/// 0.
PARE_API Tensor dirac(const Shape& shape, std::int64_t groups = 1);

/// What PyTorch's linear and convolution layers start their bias with: uniform in ±1/√fan_in of
/// their weight.
PARE_API Tensor bias(const Shape& shape, const Shape& weight, Generator& generator);

}  // namespace pare::nn::init
