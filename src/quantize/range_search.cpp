// How a range is chosen from a histogram.
#include "quantize/range_search.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>
#include <vector>

#include "core/check.h"
#include "core/histogram.h"

namespace pare::quantize {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The histogram on a grid that has 0 as an edge: bin i holds [(i − zero) · width, … + width).
struct BinsAroundZero {
  explicit BinsAroundZero(const Histogram& seen) : width(seen.width), counts(seen.counts.size()) {
    const ValueRange wide{std::min(seen.min, 0.0F), std::max(seen.max, 0.0F)};
    HistogramGrid grid{std::ilogb(seen.width), seen.first};
    const int exponent = grid.exponent;
    if (wide.min != seen.min || wide.max != seen.max) {
      grid = histogram_grid(wide, static_cast<std::int64_t>(counts.size()));
      width = std::ldexp(1.0, grid.exponent);
    }
    zero = -grid.first;
    for (std::size_t i = 0; i < counts.size(); ++i)
      if (seen.counts[i] != 0) {
        const std::int64_t bin = seen.first + static_cast<std::int64_t>(i);
        counts[at((bin >> std::min(grid.exponent - exponent, 62)) - grid.first)] +=
            static_cast<double>(seen.counts[i]);
      }
    below_zero = -static_cast<std::int64_t>(std::floor(static_cast<double>(wide.min) / width));
    above_zero = static_cast<std::int64_t>(std::floor(static_cast<double>(wide.max) / width)) + 1;
    total = std::accumulate(counts.begin(), counts.end(), 0.0);
  }
  // Zeros, which a ReLU makes many of, have a code of their own: no range loses them.
  void count_zeros_as_neighbours() {
    const std::size_t at_zero = at(zero);
    if (at_zero + 1 >= counts.size() || counts[at_zero] <= counts[at_zero + 1]) return;
    total += counts[at_zero + 1] - counts[at_zero];
    counts[at_zero] = counts[at_zero + 1];
  }
  double edge(std::int64_t i) const { return static_cast<double>(i - zero) * width; }

  double width;
  std::int64_t zero = 0;
  std::vector<double> counts;
  std::int64_t below_zero = 0, above_zero = 0;  // bins in use on either side
  double total = 0;
};

ChosenRange within(double low, double high, const Histogram& seen) {
  return {std::clamp(static_cast<float>(low), seen.min, seen.max),
          std::clamp(static_cast<float>(high), seen.min, seen.max)};
}

// Where, on an axis whose bins of width 1 hold `counts`, `dropped` of them lie before.
template <class Counts> double position_after(std::int64_t bins, double dropped, Counts&& counts) {
  double before = 0;
  for (std::int64_t i = 0; i < bins; ++i) {
    const double here = counts(i);
    if (here > 0 && before + here > dropped)
      return static_cast<double>(i) + (dropped - before) / here;
    before += here;
  }
  return static_cast<double>(bins);
}

double times_log(double x) { return x > 0 ? x * std::log(x) : 0; }

// Sums over the bins before each, so that a candidate costs as much as it has codes.
class Divergence {
 public:
  explicit Divergence(const BinsAroundZero& bins)
      : bins_(bins),
        counts_(bins.counts.size() + 1, 0),
        filled_(bins.counts.size() + 1, 0),
        logs_(bins.counts.size() + 1, 0) {
    for (std::size_t i = 0; i < bins.counts.size(); ++i) {
      counts_[i + 1] = counts_[i] + bins.counts[i];
      filled_[i + 1] = filled_[i] + (bins.counts[i] > 0 ? 1 : 0);
      logs_[i + 1] = logs_[i] + times_log(bins.counts[i]);
    }
  }

  // KL(P‖Q) of the bins [start, end), which may reach beyond the histogram, in `levels` parts.
  double operator()(std::int64_t start, std::int64_t end, std::int64_t levels) const {
    const double first = count(start), last = count(end - 1);
    const double under = sum(counts_, start), over = bins_.total - sum(counts_, end);
    double p_log_p = sum(logs_, end) - sum(logs_, start);
    p_log_p += times_log(first + under) - times_log(first);
    p_log_p += times_log(last + over) - times_log(last);
    double cross = 0, q_total = 0;
    std::int64_t from = start, to = start;
    for (std::int64_t g = 0; g < levels; ++g, from = to) {
      to = start + (g + 1) * (end - start) / levels;
      const double inside = sum(counts_, to) - sum(counts_, from);
      double filled = sum(filled_, to) - sum(filled_, from);
      double mass = inside;
      if (g == 0) {
        mass += under;
        filled += first == 0 && under > 0 ? 1 : 0;
      }
      if (g == levels - 1) {
        mass += over;
        filled += last == 0 && over > 0 ? 1 : 0;
      }
      if (mass == 0) continue;
      // What holds only outliers is not told apart from nothing: as if a little were there.
      constexpr double kLittle = 1e-4;
      const double q = inside > 0 ? inside / filled : kLittle;
      q_total += q * filled;
      cross += mass * std::log(q);
    }
    return (p_log_p - cross) / bins_.total - std::log(bins_.total) + std::log(q_total);
  }

 private:
  double count(std::int64_t i) const {
    return i < 0 || i >= static_cast<std::int64_t>(bins_.counts.size()) ? 0 : bins_.counts[at(i)];
  }
  static double sum(const std::vector<double>& before, std::int64_t i) {
    return before[at(std::clamp<std::int64_t>(i, 0, static_cast<std::int64_t>(before.size()) - 1))];
  }
  const BinsAroundZero& bins_;
  std::vector<double> counts_, filled_, logs_;
};

// ∫ (v − code(v))² dv up to u, in units of the scale; codes less the zero point are low … high.
double error_up_to(double u, double low, double high) {
  // Rounds half to even without a call: codes are far below 2^51.
  constexpr double kShift = 0x1.8p52;
  const double code = (std::clamp(u, low, high) + kShift) - kShift;
  const double rest = u - code;
  return (code - low) / 12 + rest * rest * rest / 3;
}

double quantization_loss(const BinsAroundZero& bins, const ChosenRange& range, const Codes& codes) {
  const ScaleAndZeroPoint p = affine_parameters(range.min, range.max, codes);
  const double scale = static_cast<double>(p.scale);
  const auto low = static_cast<double>(codes.qmin - p.zero_point);
  const auto high = static_cast<double>(codes.qmax - p.zero_point);
  const std::int64_t first = bins.zero - bins.below_zero, end = bins.zero + bins.above_zero;
  double before = error_up_to(bins.edge(first) / scale, low, high);
  double sum = 0;
  for (std::int64_t i = first; i < end; ++i) {
    const double now = error_up_to(bins.edge(i + 1) / scale, low, high);
    sum += bins.counts[at(i)] * (now - before);
    before = now;
  }
  return sum * scale * scale * scale / bins.width;
}

}  // namespace

bool is_built_in_search(const std::string& name) {
  return name == kLeastSquares || name == kPercentile || name == kEntropy || name == kMse;
}

Histogram histogram_of(const Tensor& counts, const ValueRange& seen) {
  const HistogramGrid grid = histogram_grid(seen, counts.elements());
  return {.width = std::ldexp(1.0, grid.exponent),
          .first = grid.first,
          .counts = {counts.data<std::int64_t>(), at(counts.elements())},
          .min = seen.min,
          .max = seen.max};
}

ChosenRange percentile_range(const Histogram& seen, double percentile, bool symmetric) {
  if (seen.min == seen.max) return {seen.min, seen.max};
  const BinsAroundZero bins(seen);
  const auto n = static_cast<std::int64_t>(bins.counts.size());
  const auto count = [&](std::int64_t i) { return i < 0 || i >= n ? 0 : bins.counts[at(i)]; };
  // Whole values, whatever the rounding of the share.
  constexpr double kRounding = 1e-6;
  const auto outside = [&](double ends) {
    return std::floor(bins.total * (100 - percentile) / (100 * ends) + kRounding);
  };
  if (symmetric) {
    const std::int64_t most = std::max(bins.below_zero, bins.above_zero);
    const double cut = position_after(most, outside(1), [&](std::int64_t i) {
      const std::int64_t k = most - 1 - i;
      return count(bins.zero + k) + count(bins.zero - 1 - k);
    });
    const double largest = (static_cast<double>(most) - cut) * bins.width;
    return within(-largest, largest, seen);
  }
  const double left = position_after(n, outside(2), count);
  const double right =
      position_after(n, outside(2), [&](std::int64_t i) { return count(n - 1 - i); });
  const auto zero = static_cast<double>(bins.zero);
  return within((left - zero) * bins.width, (static_cast<double>(n) - right - zero) * bins.width,
                seen);
}

ChosenRange entropy_range(const Histogram& seen, const Codes& codes) {
  ChosenRange best{seen.min, seen.max};
  if (seen.min == seen.max) return best;
  BinsAroundZero bins(seen);
  bins.count_zeros_as_neighbours();
  const Divergence divergence(bins);
  const std::int64_t levels = codes.qmax - codes.qmin + 1;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t k = 1; k <= std::max(bins.below_zero, bins.above_zero); ++k) {
    const std::int64_t below = codes.symmetric ? k : std::min(k, bins.below_zero);
    const std::int64_t above = codes.symmetric ? k : std::min(k, bins.above_zero);
    if (below + above < levels) continue;
    const double now = divergence(bins.zero - below, bins.zero + above, levels);
    if (now >= least) continue;
    least = now;
    const double limit = static_cast<double>(k) * bins.width;
    best = within(-limit, limit, seen);
  }
  return best;
}

ChosenRange mse_range(const Histogram& seen, const Codes& codes) {
  const ChosenRange all{seen.min, seen.max};
  if (seen.min == seen.max) return all;
  const BinsAroundZero bins(seen);
  constexpr int kSteps = 100;
  const auto cut = [](float end, int steps) {
    return end * (1 - static_cast<float>(steps) / kSteps);
  };
  int left = 0, right = 0;
  double least = quantization_loss(bins, all, codes);
  const auto try_cut = [&](int l, int r) {
    const double now = quantization_loss(
        bins, {std::min(cut(seen.min, l), 0.0F), std::max(cut(seen.max, r), 0.0F)}, codes);
    if (now >= least) return false;
    least = now;
    left = l;
    right = r;
    return true;
  };
  for (int k = 1; k < kSteps; ++k) try_cut(k, k);
  bool moved = !codes.symmetric && seen.min < 0 && seen.max > 0;
  while (moved) {
    moved = false;
    for (int k = 0; k < kSteps; ++k) moved = try_cut(k, right) || moved;
    for (int k = 0; k < kSteps; ++k) moved = try_cut(left, k) || moved;
  }
  return within(seen.min < 0 ? cut(seen.min, left) : seen.min,
                seen.max > 0 ? cut(seen.max, right) : seen.max, seen);
}

std::string RangeRule::to_string() const {
  std::string text = search;
  if (search == kPercentile) text += fmt::format(" {}", share);
  return symmetric ? text + " symmetric" : text;
}

RangeRule RangeRule::parse(const std::string& text) {
  std::istringstream words(text);
  RangeRule rule;
  std::string word;
  bool good = static_cast<bool>(words >> rule.search);
  while (words >> word) {
    if (word == "symmetric") {
      rule.symmetric = true;
      continue;
    }
    const char* end = word.data() + word.size();
    good = good && std::from_chars(word.data(), end, rule.share).ptr == end;
  }
  good = good && (rule.search != kPercentile || (rule.share > 0 && rule.share <= 100));
  PARE_CHECK(good, corrupt_data, "observer", "expected how a range is chosen, got '{}'", text);
  return rule;
}

ChosenRange chosen_range(const Histogram& seen, const RangeRule& rule, const Codes& codes,
                         const RangeSearches& searches) {
  if (rule.search == kLeastSquares)
    return least_squares_range(seen, static_cast<int>(codes.qmax - codes.qmin + 1));
  if (rule.search == kPercentile) return percentile_range(seen, rule.share, codes.symmetric);
  if (rule.search == kEntropy) return entropy_range(seen, codes);
  if (rule.search == kMse) return mse_range(seen, codes);
  const auto meant = [&](const auto& search) { return search && search->name() == rule.search; };
  const auto own = std::ranges::find_if(searches, meant);
  PARE_CHECK(own != searches.end(), invalid_argument, "observer",
             "expected the range search '{}' that the graph was prepared with among those given to "
             "convert, got none of that name",
             rule.search);
  PARE_CHECK(std::all_of(own, searches.end(),
                         [&](const auto& other) { return !meant(other) || other == *own; }),
             invalid_argument, "observer",
             "expected range searches with names of their own, got two named '{}'", rule.search);
  const ChosenRange range = (*own)->choose(seen, codes);
  PARE_CHECK(std::isfinite(range.min) && std::isfinite(range.max) && range.min <= range.max,
             invalid_argument, rule.search, "expected to choose a finite range, got {} … {}",
             range.min, range.max);
  return range;
}

}  // namespace pare::quantize
