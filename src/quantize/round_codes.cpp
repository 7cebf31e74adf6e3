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

Eigen::LLT<Matrix> factorized(const Matrix& a, const std::string& where) {
  Eigen::LLT<Matrix> llt(a);
  PARE_CHECK(llt.info() == Eigen::Success && a.allFinite(), invalid_argument, where,
             "expected finite, positive definite moments of {} columns, got others, which a larger "
             "damping may mend",
             a.rows());
  return llt;
}

// X of the least X A Xᵀ / 2 − X Bᵀ, row by row, with X = 0 where `free` [rows × columns] is 0 and
// not 1: conjugate gradients from 0, of which every step lowers it.
Matrix restricted_solution(const ConstMap& a, const Matrix& b, const Matrix& free) {
  constexpr int kSteps = 40;
  constexpr double kEnough = 1e-12;  // of the squared residual
  const auto dots = [](const Matrix& left, const Matrix& right) -> Eigen::ArrayXd {
    return left.cwiseProduct(right).rowwise().sum().array();
  };
  // Rows that are done, and empty ones, stand still.
  const auto ratio = [](const Eigen::ArrayXd& above,
                        const Eigen::ArrayXd& below) -> Eigen::ArrayXd {
    return (below > 0).select(above / below, 0.0);
  };
  const Eigen::RowVectorXd weigh = a.diagonal().cwiseInverse().transpose();
  Matrix x = Matrix::Zero(b.rows(), b.cols());
  Matrix residual = b.cwiseProduct(free);
  Matrix scaled = residual * weigh.asDiagonal();
  Matrix direction = scaled;
  Eigen::ArrayXd size = dots(residual, scaled);
  const Eigen::ArrayXd enough = kEnough * size;
  for (int step = 0; step < kSteps && (size > enough).any(); ++step) {
    const Matrix product = (direction * a).cwiseProduct(free);
    const Eigen::ArrayXd length =
        (size > enough).select(ratio(size, dots(direction, product)), 0.0);
    x += length.matrix().asDiagonal() * direction;
    residual -= length.matrix().asDiagonal() * product;
    scaled = residual * weigh.asDiagonal();
    const Eigen::ArrayXd now = dots(residual, scaled);
    direction = scaled + ratio(now, size).matrix().asDiagonal() * direction;
    size = now;
  }
  return x;
}

// How the codes of some columns of a row stand for numbers: less their zero point, low … high.
struct Steps {
  float scale;
  double low, high;
  double nearest(double target) const {
    return std::clamp(std::nearbyint(target / static_cast<double>(scale)), low, high);
  }
  double value(double code) const { return static_cast<double>(scale) * code; }
};
using RowSteps = std::vector<Steps>;

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
    if (!problem.scale_of.empty())
      row_scales_ = *std::max_element(problem.scale_of.begin(), problem.scale_of.end()) + 1;
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::int64_t i, std::int64_t k) { return a_.row(i)[i] > a_.row(k)[k]; });
    Matrix ordered(a_.size, a_.size);
    for (std::int64_t i = 0; i < a_.size; ++i)
      for (std::int64_t k = 0; k < a_.size; ++k)
        ordered(i, k) = a_.row(order_[at(i)])[order_[at(k)]];
    // A⁻¹ = Uᵀ U with U upper triangular: the rows of U say how an error spreads.
    const Matrix inverse =
        factorized(ordered, problem.where).solve(Matrix::Identity(a_.size, a_.size));
    Eigen::Map<Matrix>(upper_.data.data(), a_.size, a_.size) =
        factorized(inverse, problem.where).matrixU();
  }

  // How many scales a row has.
  std::int64_t row_scales() const { return row_scales_; }

  // The best codes found for one row; its scales may be made smaller.
  double round(const double* target, RowSteps& steps, double* codes) const {
    const RowSteps given = steps;
    double least = improve(target, steps, codes, false);
    std::vector<double> other(at(a_.size));
    const auto attempt = [&](const RowSteps& tried) {
      const double loss = improve(target, tried, other.data(), true);
      if (loss >= least) return;
      least = loss;
      steps = tried;
      std::copy(other.begin(), other.end(), codes);
    };
    attempt(given);
    if (problem_.search_scales)
      for (const RowSteps& tried : candidates(target, given)) attempt(tried);
    return least;
  }

 private:
  std::size_t scale_of(std::int64_t column) const {
    return problem_.scale_of.empty() ? 0 : at(problem_.scale_of[at(column)]);
  }

  // Scales whose nearest codes lose least where columns count by what is left of their moments once
  // those that follow have made up for them: the best of every scale, then the second best, ….
  std::vector<RowSteps> candidates(const double* target, const RowSteps& given) const {
    constexpr std::size_t kSteps = 40, kTried = 3;
    std::vector<std::vector<std::pair<double, float>>> found(given.size());
    for (std::size_t step = 1; step < kSteps; ++step) {
      RowSteps tried = given;
      std::vector<double> loss(given.size(), 0);
      for (Steps& s : tried)
        s.scale *= 1.0F - 0.6F * static_cast<float>(step) / static_cast<float>(kSteps);
      for (std::int64_t i = 0; i < a_.size; ++i) {
        const double t = target[order_[at(i)]];
        const std::size_t k = scale_of(order_[at(i)]);
        const double e = (t - tried[k].value(tried[k].nearest(t))) / upper_.row(i)[i];
        loss[k] += e * e;
      }
      for (std::size_t k = 0; k < given.size(); ++k) found[k].emplace_back(loss[k], tried[k].scale);
    }
    for (auto& scales : found) std::sort(scales.begin(), scales.end());
    std::vector<RowSteps> candidates(kTried, given);
    for (std::size_t i = 0; i < kTried; ++i)
      for (std::size_t k = 0; k < given.size(); ++k) candidates[i][k].scale = found[k][i].second;
    return candidates;
  }

  // Codes from nearest or from column to column, then improved one by one; their loss.
  double improve(const double* target, const RowSteps& steps, double* codes,
                 bool compensate) const {
    if (compensate)
      round_in_order(target, steps, codes);
    else
      for (std::int64_t i = 0; i < a_.size; ++i) codes[i] = steps[scale_of(i)].nearest(target[i]);
    return descend(target, steps, codes);
  }

  void round_in_order(const double* target, const RowSteps& steps, double* codes) const {
    std::vector<double> rest(at(a_.size));
    for (std::int64_t i = 0; i < a_.size; ++i) rest[at(i)] = target[order_[at(i)]];
    for (std::int64_t i = 0; i < a_.size; ++i) {
      const Steps& s = steps[scale_of(order_[at(i)])];
      const double code = target[order_[at(i)]] == 0 ? 0 : s.nearest(rest[at(i)]);
      codes[order_[at(i)]] = code;
      const double* u = upper_.row(i);
      const double error = (rest[at(i)] - s.value(code)) / u[i];
      for (std::int64_t k = i + 1; k < a_.size; ++k) rest[at(k)] -= error * u[k];
    }
  }

  double descend(const double* target, const RowSteps& steps, double* codes) const {
    const std::int64_t n = a_.size;
    std::vector<double> error(at(n)), gradient(at(n));
    for (std::int64_t i = 0; i < n; ++i)
      error[at(i)] = steps[scale_of(i)].value(codes[i]) - target[i];
    for (std::int64_t i = 0; i < n; ++i) gradient[at(i)] = dot(a_.row(i), error.data(), n);
    for (int sweep = 0; sweep < problem_.sweeps; ++sweep) {
      bool changed = false;
      for (const std::int64_t i : order_) {
        if (target[i] == 0) continue;
        const double* row = a_.row(i);
        const Steps& s = steps[scale_of(i)];
        // Half a step and a little: a change that gains nothing but rounding would go on for ever.
        const double wish = -gradient[at(i)] / s.value(row[i]);
        if (std::fabs(wish) <= 0.5 + 1e-9) continue;
        const double code = std::clamp(std::nearbyint(codes[i] + wish), s.low, s.high);
        const double step = s.value(code - codes[i]);
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
  std::int64_t row_scales_ = 1;
  SquareMatrix upper_;
};

}  // namespace

double decibels(double signal, double noise) {
  constexpr double kTiny = 1e-30;
  return 10 * std::log10(std::max(signal, kTiny) / std::max(noise, kTiny));
}

double quadratic(const SquareMatrix& moments, const double* row) {
  double sum = 0;
  for (std::int64_t i = 0; i < moments.size; ++i)
    sum += row[i] * dot(moments.row(i), row, moments.size);
  return sum;
}

std::vector<double> shifted_targets(const SquareMatrix& moments, const SquareMatrix& difference,
                                    const std::vector<double>& weights, const std::string& where) {
  const std::int64_t n = moments.size;
  const auto rows = static_cast<std::int64_t>(weights.size()) / n;
  const ConstMap a(moments.data.data(), n, n);
  const ConstMap w(weights.data(), rows, n);
  const Matrix right = ConstMap(difference.data.data(), n, n) * w.transpose();
  const Matrix shift = factorized(a, where).solve(right);
  std::vector<double> targets(weights.size());
  Eigen::Map<Matrix> result(targets.data(), rows, n);
  result = w + shift.transpose();

  std::vector<std::int64_t> pruned;
  for (std::int64_t r = 0; r < rows; ++r)
    if ((w.row(r).array() == 0).any()) pruned.push_back(r);
  // So many rows at once that A is read for all of them; the same ones whatever the threads.
  constexpr std::int64_t kRows = 16;
  const auto count = static_cast<std::int64_t>(pruned.size());
  parallel_for(0, (count + kRows - 1) / kRows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      const std::vector<std::int64_t> some(pruned.begin() + c * kRows,
                                           pruned.begin() + std::min(count, (c + 1) * kRows));
      const Matrix given = w(some, Eigen::all);
      const Matrix free = (given.array() != 0).cast<double>();
      result(some, Eigen::all) =
          given + restricted_solution(a, right(Eigen::all, some).transpose(), free);
    }
  });
  return targets;
}

RoundedRows round_rows(const RoundingProblem& problem, const std::vector<double>& targets,
                       const std::vector<float>& scales) {
  const std::int64_t n = problem.moments.size;
  const Rounder rounder(problem);
  const std::int64_t of_row = rounder.row_scales();
  RoundedRows result{std::vector<double>(targets.size()), scales};
  const auto row = [&](std::int64_t r) {
    RowSteps steps;
    for (std::int64_t k = r * of_row; k < (r + 1) * of_row; ++k) {
      const std::int64_t zero = problem.zero_points.empty() ? 0 : problem.zero_points[at(k)];
      steps.push_back({scales[at(k)], static_cast<double>(problem.qmin - zero),
                       static_cast<double>(problem.qmax - zero)});
    }
    rounder.round(targets.data() + r * n, steps, result.codes.data() + r * n);
    for (std::int64_t k = 0; k < of_row; ++k)
      result.scales[at(r * of_row + k)] = steps[at(k)].scale;
  };
  parallel_for(0, static_cast<std::int64_t>(scales.size()) / of_row, 1,
               [&](std::int64_t b, std::int64_t e) {
                 for (std::int64_t r = b; r < e; ++r) row(r);
               });
  return result;
}

}  // namespace pare::quantize
