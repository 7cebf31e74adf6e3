// prepare and prepare_qat: fake-quantized weights and observers, put where placement says.
#include "pare/quantize/prepare.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "core/ops/line_as_picture.h"
#include "graph/names.h"
#include "pare/core/ops.h"
#include "pare/graph/passes.h"
#include "quantize/metadata.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

constexpr std::int64_t kActivationMax = 255;

void check_config(const Graph& graph, const QConfig& config, const char* where) {
  PARE_CHECK(config.histogram_bins >= 256, invalid_argument, where,
             "expected at least 256 histogram bins, got {}", config.histogram_bins);
  PARE_CHECK(config.averaging > 0 && config.averaging <= 1, invalid_argument, where,
             "expected an averaging constant in (0, 1], got {}", config.averaging);
  const auto check_qmax = [&](std::int64_t qmax) {
    PARE_CHECK(qmax >= 1 && qmax <= 127, invalid_argument, where,
               "expected a weight_qmax of 1 to 127, got {}", qmax);
  };
  check_qmax(config.weight_qmax);
  check_qmax(config.depthwise_weight_qmax);

  std::vector<std::string> names;
  std::set<std::string> ops;
  for (const Graph::Node& node : graph.nodes()) {
    names.push_back(node.name);
    ops.insert(node.call.op->name);
  }
  for (const std::string& pattern : config.exclude) {
    const bool found = std::any_of(names.begin(), names.end(),
                                   [&](const std::string& name) { return matches(pattern, name); });
    PARE_CHECK(found, invalid_argument, where,
               "expected the name of a node to exclude, got '{}'; the nearest are {}", pattern,
               nearest_names(pattern, names));
  }
  for (const OpOverride& o : config.overrides) {
    PARE_CHECK(ops.count(o.op) != 0, invalid_argument, where,
               "expected an op of the graph to override, got '{}'; the nearest are {}", o.op,
               nearest_names(o.op, {ops.begin(), ops.end()}));
    if (o.weight_qmax) check_qmax(*o.weight_qmax);
  }
}

void check_float(const Graph& graph, const char* where) {
  for (const Graph::Node& node : graph.nodes()) {
    const OpDef* op = node.call.op;
    const bool quantized = is_observer(node) || op == &kFakeQuantize || op == &kQuantizeLinear ||
                           op == &kDequantizeLinear;
    PARE_CHECK(!quantized, invalid_state, where,
               "expected a float graph, got one that is prepared or quantized already (node '{}')",
               node.name);
  }
}

class Preparer {
 public:
  Preparer(Graph& graph, const QConfig& config, bool training)
      : graph_(graph), config_(config), training_(training), placement_(place(graph, config)) {}

  void run(const char* where) {
    const int nodes = static_cast<int>(graph_.nodes().size());
    bool any = false;
    for (int n = 0; n < nodes; ++n) {
      const Placement::NodeChoice& choice = placement_.nodes[static_cast<std::size_t>(n)];
      if (!choice.quantized && !choice.reason.empty())
        graph_.metadata()[kFloatKey + graph_.node(n).name] = choice.reason;
      if (!choice.quantized) continue;
      any = any || choice.weighted || choice.product;
      if (choice.weighted)
        fake_quantize_weight(n, graph_.node(n).call.op->quantization.weight_input);
    }
    PARE_CHECK(any, unsupported, where,
               "expected a node with weights that can be quantized, got none: {}", why_not());
    for (const Placement::Range& range : placement_.ranges) {
      if (range.fixed)
        fake_quantize_fixed(range.sources[0]);
      else
        observe(range);
    }
    graph_.metadata()[kIsaKey] = config_.isa;
    graph_.compact();
    graph_.verify();
  }

 private:
  std::string why_not() const {
    std::string text;
    for (std::size_t n = 0; n < placement_.nodes.size(); ++n)
      if (const std::string& reason = placement_.nodes[n].reason; !reason.empty())
        text += fmt::format("{}'{}' ({})", text.empty() ? "" : ", ",
                            graph_.node(static_cast<int>(n)).name, reason);
    return text.empty() ? "the graph has no nodes" : text;
  }

  std::int64_t weight_qmax(const Graph::Node& node, const Shape& weight) const {
    const OpOverride* o = find_override(config_, *node.call.op);
    if (o && o->weight_qmax) return *o->weight_qmax;
    const bool depthwise = is_picture_convolution(node.call.op) && weight[1] == 1 &&
                           picture_attributes(node.call).groups == weight[0] && weight[0] > 1;
    return depthwise ? config_.depthwise_weight_qmax : config_.weight_qmax;
  }

  void fake_quantize_weight(int n, int input) {
    const int w = graph_.node(n).inputs[static_cast<std::size_t>(input)];
    const std::string name = graph_.value(w).name;
    const Shape shape = graph_.value(w).shape;
    const int axis =
        normalize_axis(graph_.node(n).call.op->quantization.weight_axis, shape.rank(), "prepare");
    const std::int64_t qmax = weight_qmax(graph_.node(n), shape);
    const int scale = output_of(graph_.add_node(
        name + "_scale",
        {&kSymmetricScale, Attributes::of(SymmetricScaleAttributes{.qmax = qmax, .axis = axis})},
        {w}));
    const int zero = graph_.add_leaf(Graph::Kind::constant, name + "_zero_point",
                                     Tensor::zeros({shape[axis]}, DType::i32));
    const int quantized = output_of(graph_.add_node(
        name + "_fake_quantize",
        {&kFakeQuantize,
         Attributes::of(FakeQuantizeAttributes{.qmin = -qmax, .qmax = qmax, .axis = axis})},
        {w, scale, zero}));
    graph_.edit_node(n).inputs[static_cast<std::size_t>(input)] = quantized;
  }

  void fake_quantize_fixed(const Placement::Source& source) {
    const QuantizationFact& fact = graph_.node(source.node).call.op->quantization;
    const std::string name = graph_.value(source.value).name;
    const int scale =
        graph_.add_leaf(Graph::Kind::constant, name + "_scale", Tensor::scalar(fact.scale));
    const int zero = graph_.add_leaf(Graph::Kind::constant, name + "_zero_point",
                                     Tensor::scalar(fact.zero_point, DType::i32));
    const int node = graph_.add_node(
        name + "_fake_quantize",
        {&kFakeQuantize,
         Attributes::of(FakeQuantizeAttributes{.qmin = 0, .qmax = kActivationMax, .axis = -1})},
        {source.value, scale, zero});
    graph_.replace_uses(source.value, output_of(node), node);
  }

  Observer observer_of(const Placement::Range& range) const {
    for (const Placement::Source& source : range.sources) {
      if (source.node < 0) continue;
      const OpOverride* o = find_override(config_, *graph_.node(source.node).call.op);
      if (o && o->observer) return *o->observer;
    }
    return config_.observer;
  }

  ObserveAttributes attributes(double averaging) const {
    return {.qmin = 0,
            .qmax = kActivationMax,
            .even_zero_point = config_.even_zero_points,
            .averaging = averaging};
  }

  int add_state(const std::string& name, Tensor value) {
    return graph_.add_leaf(Graph::Kind::buffer, name, std::move(value));
  }

  void add_observer(int value, const Call& call, std::vector<int> state) {
    std::vector<int> inputs{value};
    inputs.insert(inputs.end(), state.begin(), state.end());
    const std::string name = graph_.value(value).name + std::string(kObserverSuffix);
    const int node = graph_.add_node(name, call, inputs);
    graph_.replace_uses(value, output_of(node), node);
    if (training_) take_in_relu(value, node);
  }

  // In training the ReLU before a fake-quantization is part of it, which saves two passes over the
  // activation and its gradient; convert puts it back.
  void take_in_relu(int value, int observer) {
    const int producer = graph_.value(value).producer;
    if (producer < 0 || graph_.node(producer).call.op != &kRelu) return;
    Graph::Node& node = graph_.edit_node(observer);
    ObserveAttributes a = node.call.attributes.as<ObserveAttributes>();
    a.relu = true;
    node.call.attributes = Attributes::of(a);
    node.inputs[0] = graph_.node(producer).inputs[0];
  }

  // Sources of one range join what they see: into one histogram, or each into a range of its own
  // (a moving average must not mix them) with the others' at hand.
  void observe(const Placement::Range& range) {
    const Observer kind = training_ ? Observer::moving_average : observer_of(range);
    if (kind == Observer::histogram) {
      const std::string name = graph_.value(range.sources[0].value).name;
      const int counts =
          add_state(name + "_counts", Tensor::zeros({config_.histogram_bins}, DType::i64));
      const int seen = add_state(name + "_range", empty_range());
      const Call call{&kObserveHistogram, Attributes::of(attributes(0))};
      for (const Placement::Source& source : range.sources)
        add_observer(source.value, call, {counts, seen});
      return;
    }
    const Call call{
        training_ ? &kObserveFakeQuantize : &kObserveMinMax,
        Attributes::of(attributes(kind == Observer::moving_average ? config_.averaging : 0))};
    std::vector<int> states;
    for (const Placement::Source& source : range.sources)
      states.push_back(add_state(graph_.value(source.value).name + "_range", empty_range()));
    for (const Placement::Source& source : range.sources) {
      add_observer(source.value, call, states);
      std::rotate(states.begin(), states.begin() + 1, states.end());
    }
  }

  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  Graph& graph_;
  const QConfig& config_;
  const bool training_;
  const Placement placement_;
};

}  // namespace

Graph prepare(const Graph& graph, const QConfig& config) {
  check_float(graph, "prepare");
  check_config(graph, config, "prepare");
  const PassResult folded = fold_batch_norm(graph);
  Graph result = remove_identities(folded.graph).graph;
  Preparer(result, config, false).run("prepare");
  // What the pass says is closer to the cause than that the op has no quantized form.
  for (const PassReport::Line& line : folded.report.left)
    result.metadata()[kFloatKey + line.node] = line.text;
  for (const PassReport::Line& line : folded.report.done)
    result.metadata()[kFoldedKey + line.node] = line.text;
  return result;
}

Graph prepare_qat(const Graph& graph, const QConfig& config) {
  check_float(graph, "prepare_qat");
  check_config(graph, config, "prepare_qat");
  Graph result = graph.copy();
  Preparer(result, config, true).run("prepare_qat");
  return result;
}

}  // namespace pare::quantize
