// Codes of a weight matrix that change a layer's output least, by the second moments of its input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pare::quantize {

/// Columns × columns, row-major: the moments of what the columns of a weight are multiplied with.
struct SquareMatrix {
  explicit SquareMatrix(std::int64_t n = 0)
      : size(n), data(static_cast<std::size_t>(n) * static_cast<std::size_t>(n), 0) {}
  double* row(std::int64_t i) { return data.data() + i * size; }
  const double* row(std::int64_t i) const { return data.data() + i * size; }
  std::int64_t size;
  std::vector<double> data;
};

/// Rows of codes to be chosen: each minimizes (s·q − t) A (s·q − t)ᵀ on its own.
struct RoundingProblem {
  const SquareMatrix& moments;  ///< A: symmetric, positive definite
  std::int64_t qmax = 127;      ///< codes are qmin … qmax
  bool search_scales = true;    ///< smaller scales may be chosen than those given
  int sweeps = 20;              ///< of the search that improves codes one by one, at most
  std::int64_t qmin = -qmax;
  /// Which of a row's scales each column has, as numbers from 0; empty: a row has one.
  std::vector<std::int64_t> scale_of = {};
  /// As the scales; empty: 0. Codes come back less their zero points.
  std::vector<std::int32_t> zero_points = {};
  std::string where = "round_rows";  ///< in errors: the layer
};

struct RoundedRows {
  std::vector<double> codes;  ///< rows × columns
  std::vector<float> scales;  ///< rows × scales of a row
};

/// Rounds the rows of `targets` [rows × columns]. First column by column, the error of each made up
/// for by those that follow (Frantar et al., "GPTQ", 2023; columns of the largest moments first),
/// then by coordinate descent over all codes, which ends where no single code can be changed for
/// the better. A target that is exactly 0, a pruned weight's, keeps code 0: what it should have
/// made up for is left to those that follow it. Never worse than codes rounded to nearest with the
/// given scales. Throws invalid_argument where A is not positive definite.
RoundedRows round_rows(const RoundingProblem& problem, const std::vector<double>& targets,
                       const std::vector<float>& scales);

/// The targets that make up for an input that differs from the one the weights were made for:
/// w + A⁻¹ D wᵀ, row by row, where D [columns × columns] is the cross moment of the given and the
/// wanted input less the moments of the given one. Weights that are exactly 0 keep 0: the others of
/// their row solve what is left of A and D (by some steps of conjugate gradients). Throws as
/// round_rows, with `where` in the error.
std::vector<double> shifted_targets(const SquareMatrix& moments, const SquareMatrix& difference,
                                    const std::vector<double>& weights,
                                    const std::string& where = "shifted_targets");

/// Signal to noise of two powers, in dB; large and finite without noise.
double decibels(double signal, double noise);

/// (e A eᵀ) of one row of differences.
double quadratic(const SquareMatrix& moments, const double* row);

}  // namespace pare::quantize
