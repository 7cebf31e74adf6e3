// PyTorch's search for the range of least square loss.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "quantize/range_search.h"

namespace pare::quantize {
namespace {

struct Bins {
  std::vector<double> counts;
  double width;
};

// ∫ x² over [begin, end), a value's square distance from the centre that it is rounded to.
double square_loss(double begin, double end) {
  return (end * end * end - begin * begin * begin) / 3;
}

// The loss of quantizing all bins to `levels` steps that cover the bins [start, end].
double loss(const Bins& bins, std::int64_t start, std::int64_t end, int levels) {
  const double step = bins.width * static_cast<double>(end - start + 1) / levels;
  const auto step_of = [&](double x) {
    return std::clamp(std::floor(x / step), 0.0, static_cast<double>(levels - 1));
  };
  double sum = 0;
  for (std::size_t i = 0; i < bins.counts.size(); ++i) {
    if (bins.counts[i] == 0) continue;
    const double begin = static_cast<double>(static_cast<std::int64_t>(i) - start) * bins.width;
    const double finish = begin + bins.width;
    const double first = step_of(begin);
    const double last = step_of(finish);
    const double part = square_loss(begin - (first + 0.5) * step, step / 2) +
                        (last - first - 1) * square_loss(-step / 2, step / 2) +
                        square_loss(-step / 2, finish - (last + 0.5) * step);
    sum += bins.counts[i] / bins.width * part;
  }
  return sum;
}

}  // namespace

ChosenRange least_squares_range(const Histogram& seen, int levels) {
  const Bins bins{{seen.counts.begin(), seen.counts.end()}, seen.width};
  std::vector<double> below(bins.counts.size());
  std::partial_sum(bins.counts.begin(), bins.counts.end(), below.begin());
  const double total = below.back();
  const auto at = [&](std::int64_t i) { return below[static_cast<std::size_t>(i)]; };

  constexpr double kStep = 1e-5;
  double alpha = 0, beta = 1;
  std::int64_t start = 0;
  auto end = static_cast<std::int64_t>(bins.counts.size()) - 1;
  double least = std::numeric_limits<double>::infinity();
  while (alpha < beta) {
    std::int64_t left = start;
    std::int64_t right = end;
    while (left < end && at(left) < (alpha + kStep) * total) ++left;
    while (right > start && at(right) > (beta - kStep) * total) --right;
    std::int64_t next_start = start;
    std::int64_t next_end = end;
    if (left - start > end - right) {
      next_start = left;
      alpha += kStep;
    } else {
      next_end = right;
      beta -= kStep;
    }
    if (next_start == start && next_end == end) continue;
    const double now = loss(bins, next_start, next_end, levels);
    if (now > least) break;
    least = now;
    start = next_start;
    end = next_end;
  }
  const double first = static_cast<double>(seen.first + start) * seen.width;
  const double last = static_cast<double>(seen.first + end + 1) * seen.width;
  return {std::max(static_cast<float>(first), seen.min),
          std::min(static_cast<float>(last), seen.max)};
}

}  // namespace pare::quantize
