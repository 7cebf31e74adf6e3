// search: layers get more bits, or stay float, until the target holds; then what is not needed is
// given back.
#include "pare/quantize/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/graph/statistics.h"
#include "pare/quantize/sensitivity.h"
#include "pare/runtime/compile.h"
#include "quantize/layer_choice.h"
#include "quantize/mixed_layers.h"
#include "quantize/output_noise.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "search";

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

void check_options(const Batches& calibration, const Batches& data, const SearchOptions& o) {
  for (const Batches* given : {&calibration, &data})
    PARE_CHECK(given->count > 0 && given->get, invalid_argument, kWhere,
               "expected at least one batch of {}, got none",
               given == &calibration ? "calibration data" : "data");
  PARE_CHECK(o.metric_drop || o.sqnr_db || o.budget.weight_bytes, invalid_argument, kWhere,
             "expected a target (metric_drop, sqnr_db) or a budget of weight_bytes, got none");
  PARE_CHECK(!o.metric_drop || o.metric, invalid_argument, kWhere,
             "expected a metric for metric_drop, got none");
  PARE_CHECK(!o.metric_drop || (*o.metric_drop >= 0 && std::isfinite(*o.metric_drop)),
             invalid_argument, kWhere, "expected a finite metric_drop of at least 0, got {}",
             *o.metric_drop);
  PARE_CHECK(!o.sqnr_db || std::isfinite(*o.sqnr_db), invalid_argument, kWhere,
             "expected a finite sqnr_db, got {}", *o.sqnr_db);
  PARE_CHECK(!o.weight_bits.empty(), invalid_argument, kWhere,
             "expected at least one number of weight_bits, got none");
  for (std::size_t i = 0; i < o.weight_bits.size(); ++i) {
    const int bits = o.weight_bits[i];
    PARE_CHECK(bits >= 2 && bits <= 8, invalid_argument, kWhere,
               "expected weight_bits of 2 to 8, got {}", bits);
    PARE_CHECK(i == 0 || bits > o.weight_bits[i - 1], invalid_argument, kWhere,
               "expected ascending weight_bits, got {}", listed(o.weight_bits));
  }
  PARE_CHECK(o.budget.evaluations >= 0, invalid_argument, kWhere,
             "expected a budget of at least 0 evaluations, got {}", o.budget.evaluations);
  PARE_CHECK(o.budget.float_macs >= 0 && o.budget.float_macs <= 1, invalid_argument, kWhere,
             "expected a share of float_macs of 0 to 1, got {}", o.budget.float_macs);
}

class Search {
 public:
  Search(const Graph& graph, const Batches& calibration, const SearchOptions& options)
      : graph_(graph),
        calibration_(calibration),
        options_(options),
        data_(options.data ? *options.data : calibration),
        layers_(options) {}

  Searched run() {
    list_layers();
    const Plan reference = compile(graph_.share());
    noise_.emplace(graph_, reference, data_, kWhere);
    if (options_.metric) report_.float_metric = metric_of(reference);
    rank();
    layers_.fit_bytes();
    const bool go_on = !report_.stopped && tell(SearchProgress::Stage::raise, "", 0, layer_count());
    evaluate("");  // stopped or not, there is a net
    if (go_on) raise();
    for (std::size_t l = 0; l < layers_.all.size(); ++l)
      report_.layers[l].weight_bits = best_->layers.bits(l);
    report_.reached = held(best_->net);
    report_.sqnr_db = best_->net.sqnr_db;
    report_.metric = best_->net.metric;
    report_.weight_bytes = best_->layers.bytes();
    report_.float_macs = best_->layers.float_macs();
    std::stable_sort(
        report_.layers.begin(), report_.layers.end(),
        [](const auto& a, const auto& b) { return a.alone_sqnr_db < b.alone_sqnr_db; });
    return {std::move(best_->converted), best_->layers.config(), std::move(report_)};
  }

 private:
  struct Net {
    double sqnr_db = 0;
    std::optional<double> metric = {};
  };
  struct Candidate {
    Net net;
    MixedLayers layers;
    Converted converted;
  };

  std::int64_t layer_count() const { return static_cast<std::int64_t>(layers_.all.size()); }

  double metric_of(const Plan& plan) const {
    const double metric = options_.metric(plan);
    PARE_CHECK(std::isfinite(metric), invalid_argument, kWhere, "expected a finite metric, got {}",
               metric);
    return metric;
  }

  bool held(const Net& net) const {
    return (!options_.sqnr_db || net.sqnr_db >= *options_.sqnr_db) &&
           (!options_.metric_drop || *report_.float_metric - *net.metric <= *options_.metric_drop);
  }
  bool nearer(const Net& a, const Net& b) const {
    return options_.metric_drop ? std::pair(*a.metric, a.sqnr_db) > std::pair(*b.metric, b.sqnr_db)
                                : a.sqnr_db > b.sqnr_db;
  }

  // What convert makes integers of with fewest bits.
  void list_layers() {
    const Report made = convert(calibrated(graph_, calibration_, layers_.config_of_level(0)),
                                {.searches = options_.searches})
                            .report;
    const std::vector<bool> leaf = leaf_values(graph_);
    std::map<std::string, std::int64_t> macs;
    for (const NodeStatistics& node : statistics(graph_).nodes) macs[node.name] = node.macs;
    for (const Report::Node& line : made.nodes) {
      const int n = graph_.find_node(line.name);
      const int input = n < 0 ? -1 : graph_.node(n).call.op->quantization.weight_input;
      if (input < 0 || at(input) >= graph_.node(n).inputs.size()) continue;
      if (!line.quantized) {
        report_.left.push_back({line.name, line.note});
        continue;
      }
      MixedLayer layer{.name = line.name,
                       .macs = std::max<std::int64_t>(macs[line.name], 0),
                       .noise = std::vector<double>(options_.weight_bits.size() + 1, 0)};
      if (const int value = graph_.node(n).inputs[at(input)]; leaf[at(value)]) {
        layer.weight = value;
        layer.weights = graph_.value(value).shape.elements();
      }
      report_.layers.push_back(
          {.name = line.name, .op = line.op, .weights = layer.weights, .macs = layer.macs});
      layers_.all.push_back(std::move(layer));
    }
  }

  // The noise that each layer makes with each number of bits.
  void rank() {
    for (std::size_t level = 0; level < options_.weight_bits.size() && !report_.stopped; ++level) {
      SensitivityOptions o{
          .config = layers_.config_of_level(level), .data = data_, .searches = options_.searches};
      o.progress = [this](const LayerProgress& now) {
        return tell(SearchProgress::Stage::sensitivity, now.layer, now.done, now.layers);
      };
      for (const SensitivityReport::Layer& line : sensitivity(graph_, calibration_, o).layers)
        for (std::size_t l = 0; l < layers_.all.size(); ++l) {
          if (layers_.all[l].name != line.name) continue;
          layers_.all[l].noise[level] = std::pow(10, -line.sqnr_db / 10);
          if (level == 0) report_.layers[l].alone_sqnr_db = line.sqnr_db;
        }
    }
  }

  // Whether to go on.
  bool tell(SearchProgress::Stage stage, const std::string& layer, std::int64_t done,
            std::int64_t layers) {
    if (options_.progress)
      report_.stopped = !options_.progress({.stage = stage,
                                            .layer = layer,
                                            .evaluations = report_.evaluations,
                                            .done = done,
                                            .layers = layers,
                                            .sqnr_db = now_.sqnr_db,
                                            .metric = now_.metric});
    return !report_.stopped;
  }

  // Measures the net of the layers as they are; false: stopped before it.
  bool measure(const std::string& changed, SearchProgress::Stage stage) {
    const std::int64_t most = options_.budget.evaluations;
    if (most > 0 && report_.evaluations >= most) report_.stopped = true;
    if (report_.stopped || !tell(stage, changed, done_, of_)) return false;
    evaluate(changed);
    return true;
  }

  void evaluate(const std::string& changed) {
    Converted converted = convert(calibrated(graph_, calibration_, layers_.config()),
                                  {.searches = options_.searches});
    const Plan plan = compile(converted.graph.share());
    now_ = {.sqnr_db = noise_->sqnr_db(plan)};
    if (options_.metric) now_.metric = metric_of(plan);
    ++report_.evaluations;
    SearchReport::Step step{.layer = changed, .sqnr_db = now_.sqnr_db, .metric = now_.metric};
    for (std::size_t l = 0; l < layers_.all.size(); ++l)
      if (layers_.all[l].name == changed) {
        step.weight_bits = layers_.bits(l);
        report_.layers[l].sqnr_db = now_.sqnr_db;
        report_.layers[l].metric = now_.metric;
      }
    report_.steps.push_back(std::move(step));
    if (!best_ || held(now_) || (!held(best_->net) && nearer(now_, best_->net)))
      best_.emplace(Candidate{now_, layers_, std::move(converted)});
  }

  void raise() {
    of_ = layer_count();
    std::vector<std::size_t> raised;
    while (!held(now_)) {
      const int next = layers_.next_raise();
      if (next < 0) return;
      ++layers_.all[at(next)].level;
      raised.push_back(at(next));
      done_ = static_cast<std::int64_t>(raised.size());
      if (!measure(layers_.all[at(next)].name, SearchProgress::Stage::raise)) return;
    }
    if (raised.size() > 1) give_back(std::move(raised));
  }

  // Without the last step the target did not hold.
  void give_back(std::vector<std::size_t> raised) {
    raised.pop_back();
    std::sort(raised.begin(), raised.end());
    raised.erase(std::unique(raised.begin(), raised.end()), raised.end());
    std::stable_sort(raised.begin(), raised.end(), [&](std::size_t a, std::size_t b) {
      return layers_.gain(a) < layers_.gain(b);
    });
    done_ = 0;
    of_ = static_cast<std::int64_t>(raised.size());
    for (const std::size_t l : raised) {
      while (layers_.all[l].level > layers_.all[l].first) {
        --layers_.all[l].level;
        const SearchReport::Layer before = report_.layers[l];
        const bool measured = measure(layers_.all[l].name, SearchProgress::Stage::give_back);
        if (measured && held(now_)) continue;
        ++layers_.all[l].level;
        if (!measured) return;
        report_.steps.back().kept = false;
        report_.layers[l] = before;
        now_ = best_->net;
        break;
      }
      ++done_;
    }
  }

  const Graph& graph_;
  const Batches& calibration_;
  const SearchOptions& options_;
  const Batches data_;
  MixedLayers layers_;
  std::optional<OutputNoise> noise_ = {};
  Net now_ = {};  // of the layers as they are
  std::int64_t done_ = 0, of_ = 0;
  std::optional<Candidate> best_ = {};
  SearchReport report_ = {};
};

std::string bits_text(int bits) { return bits == 0 ? "float" : fmt::format("{} bits", bits); }

std::string number(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "";
}

}  // namespace

std::string to_string(const SearchReport& report) {
  std::string text =
      fmt::format("{:<40} {:>18} {:>8} {:>10} {:>10} {:>9} {:>10}\n", "layer", "op", "gets",
                  "weights", "alone dB", "then dB", report.float_metric ? "metric" : "");
  for (const SearchReport::Layer& layer : report.layers)
    text += fmt::format("{:<40} {:>18} {:>8} {:>10} {:>10.2f} {:>9} {:>10}\n", layer.name, layer.op,
                        bits_text(layer.weight_bits), layer.weights, layer.alone_sqnr_db,
                        number(layer.sqnr_db, 2), number(layer.metric, 4));
  text += float_lines(report.left);
  text += fmt::format("\n{:>4} {:<40} {:>8} {:>9} {:>10}\n", "net", "changed", "to", "SQNR dB",
                      report.float_metric ? "metric" : "");
  std::int64_t number_of_net = 0;
  for (const SearchReport::Step& step : report.steps)
    text += fmt::format("{:>4} {:<40} {:>8} {:>9.2f} {:>10}{}\n", ++number_of_net,
                        step.layer.empty() ? "(the first)" : step.layer,
                        step.layer.empty() ? "" : bits_text(step.weight_bits), step.sqnr_db,
                        number(step.metric, 4), step.kept ? "" : "  not kept");
  text += fmt::format("the target {}{}: {:.2f} dB", report.reached ? "holds" : "does not hold",
                      report.stopped ? " (stopped)" : "", report.sqnr_db);
  if (report.metric)
    text += fmt::format(", metric {:.4f} (float {:.4f})", *report.metric, *report.float_metric);
  text += fmt::format(", weights {} bytes, float share of the products {:.3f}\n",
                      report.weight_bytes, report.float_macs);
  return text;
}

Searched search(const Graph& graph, const Batches& calibration, const SearchOptions& options) {
  check_options(calibration, options.data ? *options.data : calibration, options);
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  return Search(graph, calibration, options).run();
}

}  // namespace pare::quantize
