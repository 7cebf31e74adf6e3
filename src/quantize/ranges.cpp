// What an observer's state says: range, scale, zero point.
#include "quantize/ranges.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "core/histogram.h"

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

bool is_observer(const Graph::Node& node) {
  const OpDef* op = node.call.op;
  return op == &kObserveMinMax || op == &kObserveHistogram || op == &kObserveFakeQuantize;
}

bool has_relu(const Graph::Node& node) {
  return node.call.op == &kObserveFakeQuantize && node.call.attributes.as<ObserveAttributes>().relu;
}

std::string activation_name(const Graph& graph, const Graph::Node& node) {
  if (!has_relu(node)) return graph.value(node.inputs[0]).name;
  const std::string& name = node.name;
  return name.ends_with(kObserverSuffix) ? name.substr(0, name.size() - kObserverSuffix.size())
                                         : name;
}

ValueRange least_squares_range(const Tensor& counts, const ValueRange& seen, int levels) {
  const auto* raw = counts.data<std::int64_t>();
  const HistogramGrid grid = histogram_grid(seen, counts.elements());
  const Bins bins{{raw, raw + counts.elements()}, std::ldexp(1.0, grid.exponent)};
  std::vector<double> below(bins.counts.size());
  std::partial_sum(bins.counts.begin(), bins.counts.end(), below.begin());
  const double total = below.back();
  const auto at = [&](std::int64_t i) { return below[static_cast<std::size_t>(i)]; };

  constexpr double kStep = 1e-5;
  double alpha = 0, beta = 1;
  std::int64_t start = 0;
  std::int64_t end = counts.elements() - 1;
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
  const double first = std::ldexp(static_cast<double>(grid.first + start), grid.exponent);
  const double last = std::ldexp(static_cast<double>(grid.first + end + 1), grid.exponent);
  return {std::max(static_cast<float>(first), seen.min),
          std::min(static_cast<float>(last), seen.max)};
}

Observed observed(const Graph& graph, const Graph::Node& node) {
  const auto tensor = [&](std::size_t i) { return graph.value(node.inputs[i]).tensor; };
  const auto& a = node.call.attributes.as<ObserveAttributes>();
  Observed result;
  if (node.call.op == &kObserveHistogram) {
    result.seen = read_range(tensor(2));
    result.chosen = result.seen;
    if (!result.seen.empty())
      result.chosen =
          least_squares_range(tensor(1), result.seen, static_cast<int>(a.qmax - a.qmin + 1));
  } else {
    result.seen = read_range(tensor(1));
    for (std::size_t i = 2; i < node.inputs.size(); ++i) result.seen.join(read_range(tensor(i)));
    result.chosen = result.seen;
  }
  if (!result.seen.empty())
    result.parameters =
        affine_parameters(result.chosen.min, result.chosen.max, a.qmin, a.qmax, a.even_zero_point);
  return result;
}

}  // namespace pare::quantize
