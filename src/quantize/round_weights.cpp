// round_weights: layer by layer, the codes and biases that leave its output as it was.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/rounding.h"
#include "pare/runtime/compile.h"
#include "quantize/clips.h"
#include "quantize/float_graph.h"
#include "quantize/layer_moments.h"
#include "quantize/relaxed_rounding.h"
#include "quantize/round_codes.h"
#include "quantize/weight_groups.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "round_weights";
// Moments of more columns take longer than they are worth: 4096² doubles are 128 MB.
constexpr std::int64_t kLargestColumns = 4096;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

void check_options(const Batches& data, const RoundingOptions& options) {
  PARE_CHECK(data.count > 0 && data.get, invalid_argument, kWhere,
             "expected at least one batch of calibration data, got none");
  PARE_CHECK(options.places > 0, invalid_argument, kWhere,
             "expected at least one place per sample, got {}", options.places);
  PARE_CHECK(options.damping > 0 && options.damping <= 1e6, invalid_argument, kWhere,
             "expected a damping above 0, got {}", options.damping);
  const RelaxationOptions& r = options.relaxation;
  PARE_CHECK(r.iterations > 0 && r.batch > 0, invalid_argument, kWhere,
             "expected at least one iteration on at least one position, got {} and {}",
             r.iterations, r.batch);
  PARE_CHECK(r.learning_rate > 0 && r.learning_rate <= 10, invalid_argument, kWhere,
             "expected a learning_rate above 0 and up to 10, got {}", r.learning_rate);
  PARE_CHECK(r.regularization >= 0 && std::isfinite(r.regularization), invalid_argument, kWhere,
             "expected a regularization of at least 0, got {}", r.regularization);
  PARE_CHECK(r.warm_start >= 0 && r.warm_start < 1, invalid_argument, kWhere,
             "expected a warm_start of 0 to below 1, got {}", r.warm_start);
  PARE_CHECK(r.first_beta >= r.last_beta && r.last_beta >= 1 && r.first_beta <= 1000,
             invalid_argument, kWhere, "expected betas that fall to at least 1, got {} to {}",
             r.first_beta, r.last_beta);
}

class Rounding {
 public:
  Rounding(const Graph& prepared, const Batches& data, const RoundingOptions& options)
      : data_(data), options_(options), float_(float_form(prepared)), graph_(prepared.copy()) {}

  Rounded run() {
    std::vector<std::string> names;
    for (const Graph::Node& node : graph_.nodes())
      if (weight_quantizer(graph_, node) >= 0) names.push_back(node.name);
    progress_.layers = static_cast<std::int64_t>(names.size());
    for (const std::string& name : names) {
      progress_.layer = name;
      const Graph::Node& node = graph_.node(graph_.find_node(name));
      report_.layers.push_back({.name = name, .op = node.call.op->name});
      if (!go_on())
        report_.layers.back().note = "stopped before it";
      else
        fit(name, report_.layers.back());
      ++progress_.done;
    }
    graph_.verify();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  bool go_on() {
    stopped_ = stopped_ || (options_.progress && !options_.progress(progress_));
    return !stopped_;
  }

  LayerMoments moments_of(const Graph::Node& node, const Tensor& weight) const {
    const Plan quantized = plan_before(convert(graph_, options_.convert).graph, node.name);
    const Plan reference = plan_before(float_, node.name);
    const bool relaxes = options_.round_weights && options_.method == RoundingMethod::adaround;
    LayerMoments moments(node, weight, options_.places, options_.seed, relaxes ? data_.count : 0);
    for (std::int64_t b = 0; b < data_.count; ++b) {
      const Tensors inputs = data_.get(b);
      moments.add(quantized.run(inputs)[0], reference.run(inputs)[0]);
    }
    return moments;
  }

  void fit(const std::string& name, RoundingReport::Layer& line) {
    const int n = graph_.find_node(name);
    const Graph::Node node = graph_.node(n);
    const int q = weight_quantizer(graph_, node);
    const Graph::Node quantizer = graph_.node(q);
    LeafEvaluator evaluate(graph_);
    const Tensor weight = evaluate(exact_weight(graph_, q));
    const LayerForm form = layer_form(node, weight.shape());
    if (form.columns == 0 || form.columns > kLargestColumns) {
      line.note = form.columns == 0 ? fmt::format("{} is not fitted", node.call.op->name)
                                    : fmt::format("{} columns are too many", form.columns);
      return;
    }
    LayerMoments moments = moments_of(node, weight);
    const int weight_input = node.call.op->quantization.weight_input;
    const int bias_input = node.call.op->quantization.bias_input;
    const Tensor nearest = evaluate(node.inputs[at(weight_input)]);
    const bool has_bias =
        bias_input >= 0 && at(bias_input) < node.inputs.size() && node.inputs[at(bias_input)] >= 0;
    Fit fit{.layer = name,
            .form = form,
            .qmax = quantizer.call.attributes.as<FakeQuantizeAttributes>().qmax,
            .round = options_.round_weights,
            .correct = options_.correct_bias && bias_input >= 0,
            .weight = weight_rows(node, weight),
            .nearest = weight_rows(node, nearest)};
    const bool by_group = rounds_groups(graph_, q);
    if (fit.round && (by_group || !has_row_scales(node, quantizer, evaluate))) {
      fit.round = false;
      line.note = by_group ? "nearest codes: its weight has a scale for each group"
                           : "nearest codes: its weight has zero points or one scale";
    }
    const std::int64_t outputs = form.groups * form.rows;
    fit.bias.assign(at(outputs), 0);
    if (has_bias) fit.bias = evaluate(node.inputs[at(bias_input)]).to_vector<float>();
    fit.float_bias = fit.bias;
    fit.scales.assign(at(outputs), 0);
    if (fit.round) fit.scales = evaluate(quantizer.inputs[1]).to_vector<float>();
    fit.rows.assign(fit.nearest.begin(), fit.nearest.end());

    fit.clip = clip_behind(node);
    for (std::int64_t g = 0; g < form.groups; ++g)
      fit_group(fit, g, moments.group(g), moments.take_samples(g), line);
    line.relaxed = fit.loss_before > 0 ? fit.loss_after / fit.loss_before : 1;
    // An output that is constant but for rounding has the level of its square.
    const double signal = fit.signal > 1e-10 * fit.means ? fit.signal : fit.means;
    line.before = decibels(signal, fit.noise_before);
    line.after = decibels(signal, fit.noise_after);
    line.weights = static_cast<std::int64_t>(fit.rows.size());
    line.fitted = true;
    set_layer(n, fit, weight.shape());
  }

  // Codes are chosen row by row: each needs a scale of its own, and no zero point.
  static bool has_row_scales(const Graph::Node& node, const Graph::Node& quantizer,
                             LeafEvaluator& evaluate) {
    const auto& a = quantizer.call.attributes.as<FakeQuantizeAttributes>();
    const int rank = evaluate(quantizer.inputs[0]).rank();
    if (a.axis != normalize_axis(node.call.op->quantization.weight_axis, rank, kWhere))
      return false;
    if (evaluate(quantizer.inputs[1]).rank() != 1) return false;
    if (quantizer.inputs.size() < 3 || quantizer.inputs[2] < 0) return true;
    const auto zeros = evaluate(quantizer.inputs[2]).to(DType::i32).to_vector<std::int32_t>();
    return std::all_of(zeros.begin(), zeros.end(), [](std::int32_t z) { return z == 0; });
  }

  // Of an activation that alone reads the layer.
  Bounds clip_behind(const Graph::Node& node) const {
    const std::vector<int> readers = graph_.readers(node.outputs[0]);
    if (readers.size() != 1 || graph_.is_output(node.outputs[0])) return {-INFINITY, INFINITY};
    return clip_bounds(graph_.node(readers[0]).call).value_or(Bounds{-INFINITY, INFINITY});
  }

  // A layer, its weight as rows (one for each output channel).
  struct Fit {
    std::string layer;
    LayerForm form;
    std::int64_t qmax;
    bool round, correct;
    std::vector<double> weight, nearest;  // float, and as prepared
    std::vector<float> rows = {};         // as chosen
    std::vector<float> scales = {};
    std::vector<float> bias = {}, float_bias = {};
    Bounds clip = {-INFINITY, INFINITY};  // of the activation that follows
    double signal = 0, means = 0, noise_before = 0, noise_after = 0;
    double loss_before = 0, loss_after = 0;  // of the relaxation
  };

  // The weights that, on the quantized input, come closest to the float layer's output; `moments`
  // gets what errors of codes are weighed with: without the means where the bias takes those.
  std::vector<double> targets_of(const Fit& fit, std::int64_t first, const LayerMoments::Group& m,
                                 SquareMatrix* moments) const {
    const std::int64_t k = fit.form.columns;
    SquareMatrix own = fit.correct ? m.own : m.own_with_means();
    SquareMatrix difference = fit.correct ? m.cross : m.cross_with_means();
    double varying = 0, all = 0;  // the traces, without the means and with them
    for (std::size_t i = 0; i < own.data.size(); ++i) difference.data[i] -= own.data[i];
    for (std::int64_t i = 0; i < k; ++i) {
      varying += own.row(i)[i];
      all += m.own.row(i)[i] + m.mean[at(i)] * m.mean[at(i)];
    }
    // Inputs that vary by less than a hundredth of what they are hardly do so by more than their
    // own rounding: no weights should be fitted to that.
    constexpr double kLeastPart = 1e-4;
    const double trace = std::max(varying, kLeastPart * all);
    const double damping = trace > 0 ? options_.damping * trace / static_cast<double>(k) : 1.0;
    for (std::int64_t i = 0; i < k; ++i) own.row(i)[i] += damping;

    const auto weights = fit.weight.begin() + first * k;
    std::vector<double> targets =
        shifted_targets(own, difference, {weights, weights + fit.form.rows * k}, fit.layer);
    if (moments) *moments = std::move(own);
    return targets;
  }

  void round_group(Fit& fit, std::int64_t first, const LayerMoments::Group& m) const {
    const std::int64_t k = fit.form.columns;
    SquareMatrix moments;
    const std::vector<double> targets = targets_of(fit, first, m, &moments);
    const auto scales = fit.scales.begin() + first;
    const RoundedRows result = round_rows({.moments = moments,
                                           .qmax = fit.qmax,
                                           .search_scales = options_.search_scales,
                                           .where = fit.layer},
                                          targets, {scales, scales + fit.form.rows});
    std::copy(result.scales.begin(), result.scales.end(), scales);
    for (std::size_t i = 0; i < result.codes.size(); ++i)
      fit.rows[at(first * k) + i] = result.scales[i / at(k)] * static_cast<float>(result.codes[i]);
  }

  // AdaRound's relaxation from the codes and biases that are there.
  void relax_group(Fit& fit, std::int64_t g, const LayerMoments::Group& m,
                   LayerMoments::Samples samples) {
    const std::int64_t k = fit.form.columns, first = g * fit.form.rows;
    RelaxedProblem problem{.rows = fit.form.rows,
                           .columns = k,
                           .inputs = std::move(samples.inputs),
                           .outputs = std::move(samples.outputs),
                           .low = fit.clip.low,
                           .high = fit.clip.high,
                           .qmin = -fit.qmax,
                           .qmax = fit.qmax};
    // The float layer's bias is part of what is clipped.
    for (std::size_t i = 0; i < problem.outputs.size(); ++i)
      problem.outputs[i] += fit.float_bias[at(first) + i % at(fit.form.rows)];
    RoundedProduct start;
    for (std::int64_t r = first; r < first + fit.form.rows; ++r) {
      start.scales.push_back(fit.scales[at(r)]);
      start.bias.push_back(fit.bias[at(r)]);
      for (std::int64_t i = 0; i < k; ++i)
        start.codes.push_back(std::nearbyint(static_cast<double>(fit.rows[at(r * k + i)]) /
                                             static_cast<double>(fit.scales[at(r)])));
    }
    const RoundedProduct found =
        relax(problem, start, targets_of(fit, first, m, nullptr), options_.relaxation, fit.correct,
              options_.seed + static_cast<std::uint64_t>(g), [this] { return go_on(); });
    fit.loss_before += product_loss(problem, start);
    fit.loss_after += product_loss(problem, found);
    for (std::size_t r = 0; r < at(fit.form.rows); ++r) fit.bias[at(first) + r] = found.bias[r];
    for (std::size_t i = 0; i < found.codes.size(); ++i)
      fit.rows[at(first * k) + i] = found.scales[i / at(k)] * static_cast<float>(found.codes[i]);
  }

  void fit_group(Fit& fit, std::int64_t g, const LayerMoments::Group& m,
                 LayerMoments::Samples samples, RoundingReport::Layer& line) {
    const std::int64_t k = fit.form.columns;
    const std::int64_t first = g * fit.form.rows;
    const std::vector<float> given(fit.scales.begin() + first,
                                   fit.scales.begin() + first + fit.form.rows);
    const auto row = [&](const auto& numbers, std::int64_t r) {
      return std::vector<double>(numbers.begin() + (first + r) * k,
                                 numbers.begin() + (first + r + 1) * k);
    };
    // By how much the mean output of a row is too low with some weights.
    const auto missing = [&](const std::vector<double>& q, std::int64_t r) {
      const std::vector<double> w = row(fit.weight, r);
      return std::inner_product(w.begin(), w.end(), m.wanted.begin(), 0.0) -
             std::inner_product(q.begin(), q.end(), m.mean.begin(), 0.0);
    };
    if (fit.round) round_group(fit, first, m);
    for (std::int64_t r = 0; fit.correct && r < fit.form.rows; ++r)
      fit.bias[at(first + r)] += static_cast<float>(missing(row(fit.rows, r), r));
    if (fit.round && !samples.inputs.empty()) relax_group(fit, g, m, std::move(samples));
    for (std::int64_t r = 0; r < fit.form.rows; ++r) {
      const std::vector<double> w = row(fit.weight, r), before = row(fit.nearest, r),
                                after = row(fit.rows, r);
      std::vector<double> mixed(at(k));  // of x and w z
      for (std::int64_t i = 0; i < k; ++i)
        mixed[at(i)] = std::inner_product(w.begin(), w.end(), m.cross.row(i), 0.0);
      // Without the mean, which is apart.
      const auto error = [&](const std::vector<double>& q) {
        return std::max(0.0, m.power[at(r)] -
                                 2 * std::inner_product(q.begin(), q.end(), mixed.begin(), 0.0) +
                                 quadratic(m.own, q.data()));
      };
      const auto squared = [](double v) { return v * v; };
      const double shift = static_cast<double>(fit.bias[at(first + r)]) -
                           static_cast<double>(fit.float_bias[at(first + r)]);
      const double mean = std::inner_product(w.begin(), w.end(), m.wanted.begin(), 0.0);
      fit.signal += m.power[at(r)];
      fit.means += squared(mean);
      fit.noise_before += error(before) + squared(missing(before, r));
      fit.noise_after += error(after) + squared(missing(after, r) - shift);
      for (std::int64_t i = 0; fit.round && i < k; ++i) {
        const auto code = [](double v, float scale) {
          return std::nearbyint(v / static_cast<double>(scale));
        };
        line.changed +=
            code(before[at(i)], given[at(r)]) == code(after[at(i)], fit.scales[at(first + r)]) ? 0
                                                                                               : 1;
      }
      line.largest_shift = std::max(line.largest_shift, std::fabs(shift));
    }
  }

  // Puts a new leaf in the place of an input; it takes over the name of what nobody reads then.
  void replace_input(int node, std::size_t input, const Tensor& tensor, const std::string& name) {
    const int leaf = graph_.add_leaf(Graph::Kind::constant, name + "_rounded", tensor);
    std::vector<int>& inputs = graph_.edit_node(node).inputs;
    if (inputs.size() <= input) inputs.resize(input + 1, -1);
    inputs[input] = leaf;
  }

  const std::string& input_name(int node, int input) const {
    return graph_.value(graph_.node(node).inputs[at(input)]).name;
  }

  void set_layer(int n, const Fit& fit, const Shape& shape) {
    const int q = weight_quantizer(graph_, graph_.node(n));
    const int bias_input = graph_.node(n).call.op->quantization.bias_input;
    const std::int64_t outputs = fit.form.groups * fit.form.rows;
    std::vector<std::string> wished;
    if (fit.round) {
      wished = {input_name(q, 0), input_name(q, 1)};
      replace_input(q, 0, weight_from_rows(graph_.node(n), shape, fit.rows), wished[0]);
      replace_input(q, 1, Tensor::from(fit.scales, {outputs}), wished[1]);
    }
    if (fit.correct) {
      const std::vector<int>& inputs = graph_.node(n).inputs;
      const bool own = at(bias_input) < inputs.size() && inputs[at(bias_input)] >= 0 &&
                       graph_.value(inputs[at(bias_input)]).is_leaf();
      wished.push_back(own ? input_name(n, bias_input) : graph_.node(n).name + ".bias");
      replace_input(n, at(bias_input), Tensor::from(fit.bias, {outputs}), wished.back());
    }
    graph_.compact();
    for (const std::string& name : wished)
      if (const int leaf = graph_.find_value(name + "_rounded");
          leaf >= 0 && graph_.find_value(name) < 0)
        graph_.edit_value(leaf).name = name;
  }

  const Batches& data_;
  const RoundingOptions& options_;
  Graph float_;
  Graph graph_;
  RoundingReport report_;
  LayerProgress progress_;
  bool stopped_ = false;
};

}  // namespace

std::string to_string(const RoundingReport& report) {
  std::string text = fmt::format("{:<40} {:>12} {:>10} {:>10} {:>10}  {}\n", "layer", "op",
                                 "before", "after", "changed", "note");
  for (const RoundingReport::Layer& line : report.layers) {
    if (!line.fitted) {
      text += fmt::format("{:<40} {:>12} {:>10} {:>10} {:>10}  {}\n", line.name, line.op, "", "",
                          "", line.note);
      continue;
    }
    const double share = static_cast<double>(line.changed) /
                         static_cast<double>(std::max<std::int64_t>(line.weights, 1));
    text += fmt::format("{:<40} {:>12} {:>7.2f} dB {:>7.2f} dB {:>9.1f}%  {}\n", line.name, line.op,
                        line.before, line.after, 100 * share, line.note);
  }
  return text;
}

Rounded round_weights(const Graph& prepared, const Batches& data, const RoundingOptions& options) {
  check_options(data, options);
  check_prepared(prepared, kWhere);
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  return Rounding(prepared, data, options).run();
}

}  // namespace pare::quantize
