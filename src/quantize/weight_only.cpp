// weight_only: which weights become codes, in what order, and the report of it.
#include "pare/quantize/weight_only.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "pare/runtime/compile.h"
#include "quantize/float_graph.h"
#include "quantize/layer_choice.h"
#include "quantize/layer_moments.h"
#include "quantize/round_codes.h"
#include "quantize/settings.h"
#include "quantize/weight_codes.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "weight_only";
// Moments of more columns take longer than they are worth: 4096² doubles are 128 MB.
constexpr std::int64_t kLargestColumns = 4096;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

DType dtype_of(WeightFormat format) {
  return format == WeightFormat::f16 ? DType::f16 : DType::bf16;
}

void check_options(const Graph& graph, const WeightOnlyOptions& options) {
  check_enum(options.format, WeightFormat::bf16, "a format", kWhere);
  check_enum(options.granularity, Granularity::per_group, "a granularity", kWhere);
  check_enum(options.weight_observer, WeightObserver::mse, "a weight_observer", kWhere);
  PARE_CHECK(options.bits >= 2 && options.bits <= 8, invalid_argument, kWhere,
             "expected 2 to 8 bits, got {}", options.bits);
  PARE_CHECK(options.embedding_bits >= 2 && options.embedding_bits <= 8, invalid_argument, kWhere,
             "expected 2 to 8 embedding_bits, got {}", options.embedding_bits);
  PARE_CHECK(options.group_size >= 0, invalid_argument, kWhere,
             "expected a group of 1 or more weights, or 0 for none, got {}", options.group_size);
  PARE_CHECK(
      options.granularity != Granularity::per_group, invalid_argument, kWhere,
      "expected the granularity per_channel or per_tensor, got per_group; group_size makes groups");
  PARE_CHECK(options.weight_observer != WeightObserver::moving_average, invalid_argument, kWhere,
             "expected the weight observer min_max or mse, got moving_average");
  PARE_CHECK(options.damping > 0 && options.damping <= 1e6, invalid_argument, kWhere,
             "expected a damping above 0, got {}", options.damping);
  PARE_CHECK(options.places > 0, invalid_argument, kWhere,
             "expected at least one place per sample, got {}", options.places);
  const bool has_data = options.data && options.data->count > 0 && options.data->get;
  PARE_CHECK(!options.gptq || options.format == WeightFormat::codes, invalid_argument, kWhere,
             "expected integer codes for GPTQ, got {}", dtype_of(options.format));
  PARE_CHECK(!options.gptq || has_data, invalid_argument, kWhere,
             "expected at least one batch of data for GPTQ, got none");
  PARE_CHECK(!options.data || has_data, invalid_argument, kWhere,
             "expected at least one batch of data, got none");
  LayerChoice(options).check(
      graph, [](const Graph::Node& node) { return weight_place(node).input >= 0; },
      "whose weights can be quantized", kWhere);
}

class WeightQuantizer {
 public:
  WeightQuantizer(const Graph& graph, const WeightOnlyOptions& options)
      : options_(options), graph_(graph.copy()) {
    report_.bytes_before = graph_.bytes();
  }

  WeightOnly run() {
    std::vector<std::string> chosen = choose();
    check_any(chosen, report_.left, "a layer whose weight can be quantized", kWhere);
    LayerProgress progress{"", 0, static_cast<std::int64_t>(chosen.size())};
    bool stopped = false;
    for (const std::string& name : chosen) {
      progress.layer = name;
      stopped = stopped || (options_.progress && !options_.progress(progress));
      if (stopped)
        report_.left.push_back({name, "stopped before it"});
      else
        quantize(graph_.find_node(name));
      ++progress.done;
    }
    graph_.metadata()[kWeightOnlyKey] = about();
    graph_.compact();
    graph_.verify();
    report_.bytes_after = graph_.bytes();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  std::string about() const {
    if (options_.format != WeightFormat::codes) return fmt::format("{}", dtype_of(options_.format));
    return fmt::format(
        "{} bits{}{}", options_.bits,
        options_.group_size > 0 ? fmt::format(" in groups of {}", options_.group_size) : "",
        options_.gptq ? ", GPTQ" : "");
  }

  // What one form of a weight has become.
  struct Done {
    int value = -1;
    std::string reader;
  };

  std::vector<std::string> choose() {
    const std::vector<bool> of_leaves = leaf_values(graph_);
    std::vector<std::string> chosen;
    for (const Graph::Node& node : graph_.nodes()) {
      if (of_leaves[at(node.outputs[0])]) continue;
      const std::string reason = why_not(node, of_leaves);
      if (reason.empty())
        chosen.push_back(node.name);
      else if (reads_weights(graph_, node, of_leaves))
        report_.left.push_back({node.name, reason});
    }
    return chosen;
  }

  // Empty: nothing is against it.
  std::string why_not(const Graph::Node& node, const std::vector<bool>& of_leaves) const {
    const WeightPlace place = weight_place(node);
    if (place.input < 0) return fmt::format("weights of {} stay float", node.call.op->name);
    const int v = node.inputs[at(place.input)];
    if (!of_leaves[at(v)]) return "its weight is computed from the inputs";
    const Graph::Value& weight = graph_.value(v);
    if (weight.dtype != DType::f32) return fmt::format("its weight is {}", weight.dtype);
    const bool taps = node.call.op == &kConv1d || node.call.op == &kConv2d;
    if (weight.shape.rank() != 2 && !taps)
      return fmt::format("its weight has {} axes", weight.shape.rank());
    if (weight.shape.elements() == 0) return "its weight has no elements";
    return LayerChoice(options_).why_not(node);
  }

  void quantize(int n) {
    const Graph::Node node = graph_.node(n);
    const WeightPlace place = weight_place(node);
    const int value = node.inputs[at(place.input)];
    WeightOnlyReport::Layer line{.name = node.name, .op = node.call.op->name};
    const auto key = std::pair{value, place.input_axis};
    if (const auto done = done_.find(key); done != done_.end()) {
      graph_.edit_node(n).inputs[at(place.input)] = done->second.value;
      line.note = fmt::format("reads the codes of '{}'", done->second.reader);
      report_.layers.push_back(std::move(line));
      return;
    }
    const Tensor weight = LeafEvaluator(graph_)(value);
    const Graph::Node reader = moments_reader(node, value, place);
    const ScaleLayout layout = scale_layout(node, place, weight.shape(), options_);
    const std::vector<double> rows = weight_rows(node, weight);
    PARE_CHECK(std::ranges::all_of(rows, [](double w) { return std::isfinite(w); }),
               invalid_argument, node.name, "expected finite weights, got NaN or infinity");
    if (options_.format != WeightFormat::codes) {
      done_[key] = {add_rounded(line, reader, value, weight), node.name};
      graph_.edit_node(n).inputs[at(place.input)] = done_[key].value;
      report_.layers.push_back(std::move(line));
      return;
    }
    line.bits = is_table(node) ? options_.embedding_bits : options_.bits;
    const CodeRange range = code_range(line.bits, options_.symmetric);
    const RowCodes nearest = nearest_codes(rows, layout, range, options_.weight_observer);
    RowCodes chosen = nearest;
    const LayerForm form = layer_form(reader, weight.shape());
    if (options_.data && form.columns > 0 && form.columns <= kLargestColumns) {
      const LayerMoments moments = moments_of(reader, weight);
      if (moments.places() > 0 && options_.gptq) {
        chosen = gptq_codes(rows, layout, range, moments, nearest, options_);
        line.gptq = true;
      }
      if (moments.places() > 0) {
        line.nearest_sqnr_db = output_sqnr(rows, layout, nearest, moments);
        line.output_sqnr_db = output_sqnr(rows, layout, chosen, moments);
      }
    }
    if (options_.gptq && !line.gptq)
      line.note = form.columns > kLargestColumns
                      ? fmt::format("nearest codes: {} columns are too many", form.columns)
                      : "nearest codes";
    const StoredWeight tensors = stored(node, weight.shape(), chosen, layout, range);
    const Call dequantize{&kDequantizeWeight, Attributes::of(layout.attributes)};
    done_[key] = {add_stored(graph_, value, tensors, dequantize), node.name};
    graph_.edit_node(n).inputs[at(place.input)] = done_[key].value;
    line.weight_sqnr_db = weight_sqnr(rows, layout, chosen);
    line.weights = static_cast<std::int64_t>(rows.size());
    line.scales = tensors.scale.elements();
    line.bytes_before = rows.size() * sizeof(float);
    line.bytes_after = tensors.bytes();
    report_.layers.push_back(std::move(line));
  }

  /// The weight in 16 bits, and the cast that reads it.
  int add_rounded(WeightOnlyReport::Layer& line, const Graph::Node& node, int value,
                  const Tensor& weight) {
    const DType dtype = dtype_of(options_.format);
    Tensor rounded = weight.to(MemoryFormat::row_major).to(dtype);
    const Tensor back = rounded.to(DType::f32);
    const std::vector<float> w = weight.to_vector<float>(), r = back.to_vector<float>();
    double signal = 0, noise = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      PARE_CHECK(std::isfinite(r[i]), invalid_argument, node.name,
                 "expected weights that {} holds, got {}", dtype, w[i]);
      signal += double{w[i]} * w[i];
      noise += (double{r[i]} - w[i]) * (double{r[i]} - w[i]);
    }
    line.bits = traits(dtype).bits;
    line.weights = weight.elements();
    line.weight_sqnr_db = decibels(signal, noise);
    line.bytes_before = w.size() * sizeof(float);
    line.bytes_after = rounded.bytes();
    const std::string name = graph_.value(value).name;
    const int leaf =
        graph_.add_leaf(Graph::Kind::parameter, name + "_" + traits(dtype).name, rounded, false);
    const Call call{&kCast, Attributes::of(CastAttributes{DType::f32})};
    return graph_.node(graph_.add_node(name + "_widen", call, {leaf})).outputs[0];
  }

  // A table that also is the weight of a layer gets that layer's codes.
  Graph::Node moments_reader(const Graph::Node& node, int value, const WeightPlace& place) const {
    const Shape& shape = graph_.value(value).shape;
    if (!options_.gptq || layer_form(node, shape).columns > 0) return node;
    for (const int r : graph_.readers(value)) {
      const Graph::Node& other = graph_.node(r);
      const WeightPlace its = weight_place(other);
      if (its.input >= 0 && other.inputs[at(its.input)] == value &&
          its.input_axis == place.input_axis && layer_form(other, shape).columns > 0)
        return other;
    }
    return node;
  }

  LayerMoments moments_of(const Graph::Node& node, const Tensor& weight) const {
    const Plan before = plan_before(graph_, node.name);
    LayerMoments moments(node, weight, options_.places, options_.seed);
    for (std::int64_t b = 0; b < options_.data->count; ++b) {
      const Tensor x = before.run(options_.data->get(b))[0];
      moments.add(x, x);
    }
    return moments;
  }

  static double output_sqnr(const std::vector<double>& weight, const ScaleLayout& layout,
                            const RowCodes& codes, const LayerMoments& moments) {
    double signal = 0, noise = 0;
    const std::int64_t rows = moments.form().rows, k = layout.columns;
    for (std::int64_t g = 0; g < moments.form().groups; ++g) {
      const SquareMatrix own = moments.group(g).own_with_means();
      std::vector<double> error(at(k));
      for (std::int64_t r = g * rows; r < (g + 1) * rows; ++r) {
        for (std::int64_t c = 0; c < k; ++c)
          error[at(c)] = codes.value(layout, r, c) - weight[at(r * k + c)];
        signal += quadratic(own, weight.data() + r * k);
        noise += quadratic(own, error.data());
      }
    }
    return decibels(signal, noise);
  }

  const WeightOnlyOptions& options_;
  Graph graph_;
  std::map<std::pair<int, int>, Done> done_;  // by value and input axis
  WeightOnlyReport report_;
};

}  // namespace

std::string to_string(const WeightOnlyReport& report) {
  std::string text =
      fmt::format("{:<40} {:>10} {:>4} {:>10} {:>10} {:>10} {:>10} {:>10}  {}\n", "layer", "op",
                  "bits", "bytes", "were", "weight", "nearest", "output", "note");
  const auto level = [](const std::optional<double>& db) {
    return db ? fmt::format("{:.2f} dB", *db) : std::string();
  };
  for (const WeightOnlyReport::Layer& line : report.layers) {
    const bool own = line.bytes_before > 0;
    text += fmt::format("{:<40} {:>10} {:>4} {:>10} {:>10} {:>10} {:>10} {:>10}  {}\n", line.name,
                        line.op, own ? std::to_string(line.bits) : "", line.bytes_after,
                        line.bytes_before, own ? level(line.weight_sqnr_db) : "",
                        level(line.nearest_sqnr_db), level(line.output_sqnr_db), line.note);
  }
  text += fmt::format("{:<40} {:>10} {:>4} {:>10} {:>10}\n", "all", "", "", report.bytes_after,
                      report.bytes_before);
  return text + float_lines(report.left);
}

WeightOnly weight_only(const Graph& graph, const WeightOnlyOptions& options) {
  check_float(graph, kWhere);
  check_options(graph, options);
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  return WeightQuantizer(graph, options).run();
}

}  // namespace pare::quantize
