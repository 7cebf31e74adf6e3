// compare: both nets run side by side; a net with the reference's values as inputs gives each step
// alone.
#include "pare/quantize/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/graph/passes.h"
#include "quantize/dynamic_layers.h"
#include "quantize/measured_batch.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "compare";
constexpr std::int64_t kMostBins = 1 << 20;  // of each value

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// As prepare has it, so that a layer's value is that of its batch norm.
Graph folded(const Graph& graph) {
  return remove_identities(fold_batch_norm(graph.share()).graph).graph;
}

Tensor as_numbers(const Tensor& tensor) {
  return is_floating(tensor.dtype()) ? tensor : tensor.to(DType::f64);
}

// Finite values of two tensors at a time: first their range, then how often.
class HistogramBuilder {
 public:
  void widen(const Tensor& tensor) {
    for_each(tensor, [&](double x) {
      low_ = std::min(low_, x);
      high_ = std::max(high_, x);
    });
  }
  void count(const Tensor& reference, const Tensor& other, std::int64_t bins) {
    if (histogram_.edges.empty()) begin(bins);
    add(reference, histogram_.reference);
    add(other, histogram_.other);
  }
  ValueHistogram take() { return std::move(histogram_); }

 private:
  template <class Visit> static void for_each(const Tensor& tensor, Visit&& visit) {
    const Tensor plain = tensor.detach().to(MemoryFormat::row_major).to(DType::f32);
    const float* const x = plain.data<float>();
    for (std::int64_t i = 0; i < plain.elements(); ++i)
      if (std::isfinite(x[i])) visit(static_cast<double>(x[i]));
  }
  void begin(std::int64_t bins) {
    if (low_ > high_) low_ = high_ = 0;
    if (low_ == high_) {
      low_ -= 0.5;
      high_ += 0.5;
    }
    for (std::int64_t i = 0; i <= bins; ++i)
      histogram_.edges.push_back(i == bins ? high_
                                           : low_ + (high_ - low_) * static_cast<double>(i) /
                                                        static_cast<double>(bins));
    histogram_.reference.assign(at(bins), 0);
    histogram_.other.assign(at(bins), 0);
  }
  void add(const Tensor& tensor, std::vector<std::int64_t>& counts) const {
    const auto bins = static_cast<double>(counts.size());
    for_each(tensor, [&](double x) {
      const double place = std::floor((x - low_) / (high_ - low_) * bins);
      ++counts[static_cast<std::size_t>(std::clamp(place, 0.0, bins - 1))];
    });
  }

  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  ValueHistogram histogram_ = {};
};

class Comparer {
 public:
  Comparer(const Graph& reference, const Graph& other, const CompareOptions& options)
      : options_(options), reference_(folded(reference)), other_(folded(other)) {
    const auto same = [&](std::size_t a, std::size_t b, const char* what) {
      PARE_CHECK(a == b, invalid_argument, kWhere,
                 "expected graphs with the same number of {}, got {} and {}", what, a, b);
    };
    same(reference_.inputs().size(), other_.inputs().size(), "inputs");
    same(reference_.outputs().size(), other_.outputs().size(), "outputs");
    outputs_.resize(reference_.outputs().size());
    for (std::size_t v = 0; v < other_.values().size(); ++v) {
      const Graph::Value& value = other_.values()[v];
      if (value.kind == Graph::Kind::result && is_floating(value.dtype))
        by_name_[value.name] = static_cast<int>(v);
    }
  }

  Comparison run(const Batches& data) {
    for (std::int64_t b = 0; b < data.count; ++b)
      add(measured_batch(reference_, data, b, kWhere), b == 0);
    if (options_.histogram_bins > 0)
      for (std::int64_t b = 0; b < data.count; ++b) count(data.get(b));
    Comparison result;
    const std::vector<bool> leaf = leaf_values(reference_);
    for (const Graph::Node& node : reference_.nodes())
      for (const int v : node.outputs) {
        const auto found = pairs_.find(v);
        if (found != pairs_.end())
          result.values.push_back(line(v, found->second));
        else if (is_floating(reference_.value(v).dtype) && !leaf[at(v)])
          result.unmatched.push_back(reference_.value(v).name);
      }
    const std::vector<std::string> names = reference_.output_names();
    for (std::size_t o = 0; o < outputs_.size(); ++o)
      result.outputs.push_back(outputs_[o].result(names[o]));
    compare_weights(result);
    return result;
  }

 private:
  // A value that both have.
  struct Pair {
    int other;
    DifferenceMeter accumulated = {}, isolated = {};
    HistogramBuilder histogram = {};
  };
  using Kept = std::map<int, Tensor>;  // by the value in the reference

  // The reference's values that the other net may have.
  Kept reference_values(const Tensors& inputs, Tensors& outputs) {
    Kept kept;
    outputs = reference_.run_visiting(inputs, [&](int v, const Tensor& tensor) {
      if (is_floating(tensor.dtype()) && by_name_.contains(reference_.value(v).name))
        kept.emplace(v, tensor);
    });
    return kept;
  }

  template <class Visit> Tensors visit_other(const Tensors& inputs, const Kept& kept, Visit visit) {
    std::unordered_map<int, int> wanted;
    for (const auto& [v, tensor] : kept) wanted[by_name_.at(reference_.value(v).name)] = v;
    return other_.run_visiting(inputs, [&](int v, const Tensor& tensor) {
      const auto mine = wanted.find(v);
      if (mine != wanted.end()) visit(mine->second, v, tensor);
    });
  }

  void add(const Tensors& inputs, bool first) {
    Tensors expected;
    const Kept kept = reference_values(inputs, expected);
    const Tensors found = visit_other(inputs, kept, [&](int mine, int theirs, const Tensor& x) {
      const Tensor& wanted = kept.at(mine);
      if (first && wanted.shape() == x.shape()) pairs_.emplace(mine, Pair{theirs});
      const auto pair = pairs_.find(mine);
      if (pair == pairs_.end()) return;
      pair->second.accumulated.add(wanted, x);
      if (options_.histogram_bins == 0) return;
      pair->second.histogram.widen(wanted);
      pair->second.histogram.widen(x);
    });
    for (std::size_t o = 0; o < expected.size(); ++o) {
      PARE_CHECK(expected[o].shape() == found[o].shape(), shape_mismatch,
                 reference_.output_names()[o], "expected outputs of one shape, got {} and {}",
                 expected[o].shape(), found[o].shape());
      outputs_[o].add(as_numbers(expected[o]), as_numbers(found[o]));
    }
    if (options_.isolated) add_isolated(inputs, kept, first);
  }

  void count(const Tensors& inputs) {
    Tensors expected;
    const Kept kept = reference_values(inputs, expected);
    visit_other(inputs, kept, [&](int mine, int, const Tensor& x) {
      if (const auto pair = pairs_.find(mine); pair != pairs_.end())
        pair->second.histogram.count(kept.at(mine), x, options_.histogram_bins);
    });
  }

  // The other net with every matched value read from an input instead, and given as an output.
  void cut() {
    steps_ = other_.share();
    std::vector<int> outputs;
    for (const auto& [mine, pair] : pairs_) {
      const Graph::Value& value = other_.value(pair.other);
      const int given = steps_.add_input(value.name + "_given", value.shape, value.dtype);
      steps_.replace_uses(pair.other, given);
      outputs.push_back(pair.other);
    }
    steps_.set_outputs(outputs);
    steps_.compact();
  }

  void add_isolated(const Tensors& inputs, const Kept& kept, bool first) {
    if (pairs_.empty()) return;
    if (first) cut();
    Tensors all = inputs;
    for (const auto& [mine, pair] : pairs_)
      all.push_back(kept.at(mine).to(other_.value(pair.other).dtype));
    const Tensors found = steps_.run(all);
    std::size_t o = 0;
    for (auto& [mine, pair] : pairs_) pair.isolated.add(kept.at(mine), found[o++]);
  }

  Comparison::Value line(int v, Pair& pair) const {
    const std::string& name = reference_.value(v).name;
    Comparison::Value value{.name = name,
                            .op = other_.node(other_.value(pair.other).producer).call.op->name,
                            .accumulated = pair.accumulated.result(name)};
    if (options_.isolated) value.isolated = pair.isolated.result(name);
    if (options_.histogram_bins > 0) value.histogram = pair.histogram.take();
    return value;
  }

  // The constant weights of a node, of a recurrent layer all.
  static Tensors weights_of(const Graph::Node& node, const std::vector<bool>& leaf,
                            LeafEvaluator& evaluate) {
    std::vector<std::size_t> inputs;
    if (is_recurrent(node.call.op))
      inputs = recurrent_weights(node);
    else if (const int input = node.call.op->quantization.weight_input;
             input >= 0 && at(input) < node.inputs.size() && node.inputs[at(input)] >= 0)
      inputs = {at(input)};
    Tensors weights;
    for (const std::size_t input : inputs) {
      if (!leaf[at(node.inputs[input])]) return {};
      weights.push_back(evaluate(node.inputs[input]));
      evaluate.forget();
    }
    return weights;
  }

  static bool have_one_shape(const Tensors& a, const Tensors& b) {
    return std::ranges::equal(
        a, b, [](const Tensor& x, const Tensor& y) { return x.shape() == y.shape(); });
  }

  void compare_weights(Comparison& result) const {
    LeafEvaluator mine(reference_), theirs(other_);
    const std::vector<bool> my_leaf = leaf_values(reference_), their_leaf = leaf_values(other_);
    for (const Graph::Node& node : reference_.nodes()) {
      const int n = other_.find_node(node.name);
      if (n < 0 || other_.node(n).call.op != node.call.op) continue;
      const Tensors a = weights_of(node, my_leaf, mine);
      const Tensors b = a.empty() ? Tensors{} : weights_of(other_.node(n), their_leaf, theirs);
      if (b.empty() || !have_one_shape(a, b)) continue;
      DifferenceMeter meter;
      for (std::size_t i = 0; i < a.size(); ++i) meter.add(as_numbers(a[i]), as_numbers(b[i]));
      Comparison::Weight weight{
          .layer = node.name, .op = node.call.op->name, .difference = meter.result(node.name)};
      if (options_.histogram_bins > 0) {
        HistogramBuilder histogram;
        for (const Tensors* weights : {&a, &b})
          for (const Tensor& w : *weights) histogram.widen(w);
        for (std::size_t i = 0; i < a.size(); ++i)
          histogram.count(a[i], b[i], options_.histogram_bins);
        weight.histogram = histogram.take();
      }
      result.weights.push_back(std::move(weight));
    }
  }

  const CompareOptions& options_;
  Graph reference_, other_;
  Graph steps_ = {};
  std::unordered_map<std::string, int> by_name_ = {};  // floating results of the other net
  std::map<int, Pair> pairs_ = {};                     // by the value in the reference
  std::vector<DifferenceMeter> outputs_ = {};
};

std::string numbers(const ValueDifference& d) {
  return fmt::format("{:>9.2f} {:>10.6f} {:>12.5g}", d.sqnr_db, d.cosine, d.max_abs);
}

}  // namespace

std::string to_string(const Comparison& comparison) {
  const bool isolated = std::any_of(comparison.values.begin(), comparison.values.end(),
                                    [](const auto& value) { return value.isolated.has_value(); });
  const char* const columns = " SQNR dB     cosine    max |a-b|";
  std::string text = fmt::format("{}  {}{}\n", columns, isolated ? " alone dB  " : "", "value");
  for (const Comparison::Value& value : comparison.values)
    text +=
        fmt::format("{}  {}{}\n", numbers(value.accumulated),
                    isolated ? fmt::format("{:>9.2f}  ", value.isolated->sqnr_db) : "", value.name);
  if (!comparison.weights.empty()) text += fmt::format("\n{}  weight of\n", columns);
  for (const Comparison::Weight& weight : comparison.weights)
    text += fmt::format("{}  {}\n", numbers(weight.difference), weight.layer);
  text += fmt::format("\n{}  output\n", columns);
  for (const ValueDifference& output : comparison.outputs)
    text += fmt::format("{}  {}\n", numbers(output), output.name);
  return text;
}

Comparison compare(const Graph& reference, const Graph& other, const Batches& data,
                   const CompareOptions& options) {
  PARE_CHECK(data.count > 0 && data.get, invalid_argument, kWhere,
             "expected at least one batch of data, got none");
  PARE_CHECK(options.histogram_bins >= 0 && options.histogram_bins <= kMostBins, invalid_argument,
             kWhere, "expected 0 to {} histogram_bins, got {}", kMostBins, options.histogram_bins);
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  return Comparer(reference, other, options).run(data);
}

}  // namespace pare::quantize
