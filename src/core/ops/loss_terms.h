// What the losses share: their reductions, and loops over terms and slopes of single elements.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/softmax_rows.h"

namespace pare {

enum class LossReduction : std::uint8_t { none, mean, sum, batchmean };

/// Throws invalid_argument for another word; batchmean is kl_div's alone.
LossReduction loss_reduction(const std::string& word, const char* where);

/// Throws dtype_mismatch unless the input is of a floating type.
void check_floating(const InferArgs& args, int input);

/// Two inputs of one shape and floating type; states the output.
void infer_pair(InferArgs& args, LossReduction reduction);

/// An optional factor of each term: of the first input's type, broadcast to its shape.
void check_weight(const InferArgs& args, int input, const char* what);

/// What the sum of the terms is divided by.
double loss_divisor(LossReduction reduction, const Shape& shape);

/// The sum of term(i) over [0, count), accumulated in double over fixed pieces.
template <class T, class Term> double sum_of_terms(std::int64_t count, Term term) {
  constexpr std::int64_t kPiece = 1024;
  const std::int64_t pieces = (count + kPiece - 1) / kPiece;
  std::vector<double> partial(static_cast<std::size_t>(pieces));
  double* sums = partial.data();
  parallel_for(0, pieces, kElementGrain / kPiece, [&](std::int64_t begin, std::int64_t end) {
    multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
      T values[kPiece];
      for (std::int64_t p = begin; p < end; ++p) {
        const std::int64_t first = p * kPiece;
        const std::int64_t n = std::min(kPiece, count - first);
        for (std::int64_t i = 0; i < n; ++i) values[i] = term(first + i);
        sums[p] = rows::total(values, n);
      }
    });
  });
  double sum = 0;
  for (const double s : partial) sum += s;
  return sum;
}

/// y[i] = f(i)
template <class T, class F> void fill_each(T* y, std::int64_t count, F f) {
  parallel_for(0, count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
      T* __restrict to = y;
      for (std::int64_t i = begin; i < end; ++i) to[i] = f(i);
    });
  });
}

/// The loss of the terms of a shape into `out`, whose elements are in the order of the terms.
template <class T, class Term>
void give_loss(LossReduction reduction, const Shape& shape, Tensor& out, Term term) {
  T* y = out.mutable_data<T>();
  if (reduction == LossReduction::none) return fill_each(y, shape.elements(), term);
  *y = static_cast<T>(sum_of_terms<T>(shape.elements(), term) / loss_divisor(reduction, shape));
}

/// The gradient slope(i) of every term, times that of the loss, into `dx` (of the terms' order).
template <class T, class Slope>
void give_gradient(LossReduction reduction, const Tensor& gradient, Tensor& dx, Slope slope) {
  T* y = dx.mutable_data<T>();
  if (reduction == LossReduction::none) {
    const Tensor each = in_format(in_dtype(gradient, dx.dtype()), dx.format());
    const T* g = each.data<T>();
    fill_each(y, dx.elements(), [=](std::int64_t i) PARE_INLINE_LAMBDA { return slope(i) * g[i]; });
    return;
  }
  const auto factor = static_cast<T>(gradient.item() / loss_divisor(reduction, dx.shape()));
  fill_each(y, dx.elements(), [=](std::int64_t i) PARE_INLINE_LAMBDA { return slope(i) * factor; });
}

/// log(1 + x) with the digits that 1 + x loses.
PARE_INLINE float logarithm_of_one_plus(float x) {
  const float u = 1.0F + x;
  const float y = vec::log(u) + (x - (u - 1.0F)) / u;
  return u == 0.0F ? -std::numeric_limits<float>::infinity() : y;
}
inline double logarithm_of_one_plus(double x) { return std::log1p(x); }

}  // namespace pare
