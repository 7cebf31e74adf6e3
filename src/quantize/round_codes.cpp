// Codes of a weight matrix that change a layer's output least, by the second moments of its input.
#include "quantize/round_codes.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"

#include "pare/core/parallel.h"

namespace pare::quantize {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

Eigen::LLT<Matrix> factorized(const Matrix& a) {
  Eigen::LLT<Matrix> llt(a);
  PARE_CHECK(llt.info() == Eigen::Success && a.allFinite(), invalid_argument, "round_rows",
             "expected finite, positive definite moments of {} columns, got others", a.rows());
  return llt;
}

double nearest(double target, float scale, std::int64_t qmax) {
  const auto limit = static_cast<double>(qmax);
  return std::clamp(std::nearbyint(target / static_cast<double>(scale)), -limit, limit);
}

double dot(const double* a, const double* b, std::int64_t n) {
  double sum[4] = {0, 0, 0, 0};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; ++k) sum[k] += a[i + k] * b[i + k];
  for (; i < n; ++i) sum[0] += a[i] * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// What the search works on: the columns in the order of their moments, largest first.
class Rounder {
 public:
  Rounder(const RoundingProblem& problem)
      : a_(problem.moments), problem_(problem), order_(at(a_.size)), upper_(a_.size) {
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::int64_t i, std::int64_t k) { return a_.row(i)[i] > a_.row(k)[k]; });
    Matrix ordered(a_.size, a_.size);
    for (std::int64_t i = 0; i < a_.size; ++i)
      for (std::int64_t k = 0; k < a_.size; ++k)
        ordered(i, k) = a_.row(order_[at(i)])[order_[at(k)]];
    // A⁻¹ = Uᵀ U with U upper triangular: the rows of U say how an error spreads.
    const Matrix inverse = factorized(ordered).solve(Matrix::Identity(a_.size, a_.size));
    Eigen::Map<Matrix>(upper_.data.data(), a_.size, a_.size) = factorized(inverse).matrixU();
  }

  // The best codes found for one row; `scale` may be made smaller.
  double round(const double* target, float& scale, double* codes) const {
    const float given = scale;
    double least = improve(target, scale, codes, false);
    std::vector<double> other(at(a_.size));
    const auto attempt = [&](float s) {
      const double loss = improve(target, s, other.data(), true);
      if (loss >= least) return;
      least = loss;
      scale = s;
      std::copy(other.begin(), other.end(), codes);
    };
    attempt(given);
    if (problem_.search_scales)
      for (const float s : candidates(target, given)) attempt(s);
    return least;
  }

 private:
  // Scales whose nearest codes lose least where columns count by what is left of their moments once
  // those that follow have made up for them.
  std::vector<float> candidates(const double* target, float given) const {
    constexpr int kSteps = 40, kTried = 3;
    std::vector<std::pair<double, float>> found;
    for (int step = 1; step < kSteps; ++step) {
      const float scale = given * (1.0F - 0.6F * static_cast<float>(step) / kSteps);
      double loss = 0;
      for (std::int64_t i = 0; i < a_.size; ++i) {
        const double t = target[order_[at(i)]];
        const double e =
            (t - static_cast<double>(scale) * nearest(t, scale, problem_.qmax)) / upper_.row(i)[i];
        loss += e * e;
      }
      found.emplace_back(loss, scale);
    }
    std::sort(found.begin(), found.end());
    std::vector<float> scales;
    for (int i = 0; i < kTried; ++i) scales.push_back(found[at(i)].second);
    return scales;
  }

  // Codes from nearest or from column to column, then improved one by one; their loss.
  double improve(const double* target, float scale, double* codes, bool compensate) const {
    if (compensate)
      round_in_order(target, scale, codes);
    else
      for (std::int64_t i = 0; i < a_.size; ++i)
        codes[i] = nearest(target[i], scale, problem_.qmax);
    return descend(target, scale, codes);
  }

  void round_in_order(const double* target, float scale, double* codes) const {
    std::vector<double> rest(at(a_.size));
    for (std::int64_t i = 0; i < a_.size; ++i) rest[at(i)] = target[order_[at(i)]];
    for (std::int64_t i = 0; i < a_.size; ++i) {
      const double code = nearest(rest[at(i)], scale, problem_.qmax);
      codes[order_[at(i)]] = code;
      const double* u = upper_.row(i);
      const double error = (rest[at(i)] - static_cast<double>(scale) * code) / u[i];
      for (std::int64_t k = i + 1; k < a_.size; ++k) rest[at(k)] -= error * u[k];
    }
  }

  double descend(const double* target, float scale, double* codes) const {
    const std::int64_t n = a_.size;
    const auto s = static_cast<double>(scale);
    const auto limit = static_cast<double>(problem_.qmax);
    std::vector<double> error(at(n)), gradient(at(n));
    for (std::int64_t i = 0; i < n; ++i) error[at(i)] = s * codes[i] - target[i];
    for (std::int64_t i = 0; i < n; ++i) gradient[at(i)] = dot(a_.row(i), error.data(), n);
    for (int sweep = 0; sweep < problem_.sweeps; ++sweep) {
      bool changed = false;
      for (const std::int64_t i : order_) {
        const double* row = a_.row(i);
        // Half a step and a little: a change that gains nothing but rounding would go on for ever.
        const double wish = -gradient[at(i)] / (s * row[i]);
        if (std::fabs(wish) <= 0.5 + 1e-9) continue;
        const double code = std::clamp(std::nearbyint(codes[i] + wish), -limit, limit);
        const double step = s * (code - codes[i]);
        if (step == 0) continue;
        changed = true;
        codes[i] = code;
        error[at(i)] += step;
        for (std::int64_t k = 0; k < n; ++k) gradient[at(k)] += step * row[k];
      }
      if (!changed) break;
    }
    return quadratic(a_, error.data());
  }

  const SquareMatrix& a_;
  const RoundingProblem& problem_;
  std::vector<std::int64_t> order_;
  SquareMatrix upper_;
};

}  // namespace

double quadratic(const SquareMatrix& moments, const double* row) {
  double sum = 0;
  for (std::int64_t i = 0; i < moments.size; ++i)
    sum += row[i] * dot(moments.row(i), row, moments.size);
  return sum;
}

std::vector<double> shifted_targets(const SquareMatrix& moments, const SquareMatrix& difference,
                                    const std::vector<double>& weights) {
  const std::int64_t n = moments.size;
  const auto rows = static_cast<std::int64_t>(weights.size()) / n;
  const ConstMap w(weights.data(), rows, n);
  const Matrix right = ConstMap(difference.data.data(), n, n) * w.transpose();
  const Matrix shift = factorized(ConstMap(moments.data.data(), n, n)).solve(right);
  std::vector<double> targets(weights.size());
  Eigen::Map<Matrix>(targets.data(), rows, n) = w + shift.transpose();
  return targets;
}

RoundedRows round_rows(const RoundingProblem& problem, const std::vector<double>& targets,
                       const std::vector<float>& scales) {
  const std::int64_t n = problem.moments.size;
  const Rounder rounder(problem);
  RoundedRows result{std::vector<double>(targets.size()), scales};
  parallel_for(0, static_cast<std::int64_t>(scales.size()), 1, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t r = b; r < e; ++r)
      rounder.round(targets.data() + r * n, result.scales[at(r)], result.codes.data() + r * n);
  });
  return result;
}

}  // namespace pare::quantize
