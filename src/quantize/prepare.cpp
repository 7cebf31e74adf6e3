// prepare and prepare_qat: fake-quantized weights and observers, put where placement says.
#include "pare/quantize/prepare.h"

#include <algorithm>
#include <limits>
#include <map>

#include "core/check.h"
#include "core/ops/line_as_picture.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/learned_steps.h"
#include "pare/graph/passes.h"
#include "quantize/batch_norm_factor.h"
#include "quantize/float_graph.h"
#include "quantize/learned_attributes.h"
#include "quantize/metadata.h"
#include "quantize/placement.h"
#include "quantize/range_search.h"
#include "quantize/ranges.h"
#include "quantize/rounded_biases.h"
#include "quantize/settings.h"
#include "quantize/signs.h"

namespace pare::quantize {
namespace {

class Preparer {
 public:
  /// `qat` null: for quantization after training.
  Preparer(Graph& graph, const QConfig& config, const QATConfig* qat)
      : graph_(graph),
        config_(config),
        qat_(qat ? *qat : QATConfig{}),
        training_(qat != nullptr),
        placement_(place(graph, config)),
        uses_(graph) {}

  void run(const char* where) {
    const int nodes = static_cast<int>(graph_.nodes().size());
    bool any = false;
    for (int n = 0; n < nodes; ++n) {
      const Placement::NodeChoice& choice = placement_.nodes[static_cast<std::size_t>(n)];
      if (!choice.quantized && !choice.reason.empty())
        graph_.metadata()[kFloatKey + graph_.node(n).name] = choice.reason;
      if (!choice.quantized) continue;
      any = any || choice.weighted || choice.product;
      if (choice.weighted) quantize_weight(n, graph_.node(n).call.op->quantization.weight_input);
    }
    PARE_CHECK(any, unsupported, where,
               "expected a node with weights that can be quantized, got none: {}", why_not());
    for (const Placement::Range& range : placement_.ranges) observe(range);
    if (training_) round_biases(graph_, norms_);
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
    const bool depthwise = is_picture_convolution(node.call.op) && weight[1] == 1 &&
                           picture_attributes(node.call).groups == weight[0] && weight[0] > 1;
    return settings_of(config_, node)
        .weight_qmax.value_or(depthwise ? config_.depthwise_weight_qmax : config_.weight_qmax);
  }

  void quantize_weight(int n, int input) {
    const int w = graph_.node(n).inputs[static_cast<std::size_t>(input)];
    const NodeSettings settings = settings_of(config_, graph_.node(n));
    const int norm = training_ ? batch_norm_after(n) : -1;
    norms_[n] = norm;
    const bool one = settings.weight_granularity == Granularity::per_tensor;
    const bool folds = norm >= 0 && (qat_.batch_norm == BatchNormForm::folded ||
                                     (qat_.batch_norm == BatchNormForm::automatic && one));
    const std::string name = graph_.value(w).name;
    if (!folds) {
      graph_.edit_node(n).inputs[static_cast<std::size_t>(input)] = fake_quantized(n, w, name);
      return;
    }
    // FQ(W·f) / f: the division belongs to the weight, not to the layer's far larger result.
    const int factor = batch_norm_factor(graph_, n, norm);
    const int folded = output_of(graph_.add_node(name + "_folded", {&kMul, {}}, {w, factor}));
    const int quantized = fake_quantized(n, folded, name);
    graph_.edit_node(n).inputs[static_cast<std::size_t>(input)] =
        output_of(graph_.add_node(name + "_unfolded", {&kDiv, {}}, {quantized, factor}));
  }

  // Of the batch norm that is quantized with node n; −1: none.
  int batch_norm_after(int n) const {
    const int reader = uses_.only_reader(graph_.node(n).outputs[0]);
    return reader >= 0 && absorbed_into(graph_, uses_, graph_.node(reader)) == n ? reader : -1;
  }

  // The value w, the weight `name` of node n or that times its batch norm's factor, rounded.
  int fake_quantized(int n, int w, const std::string& name) {
    const Shape shape = graph_.value(w).shape;
    const NodeSettings settings = settings_of(config_, graph_.node(n));
    const int axis = settings.weight_granularity == Granularity::per_tensor
                         ? -1
                         : normalize_axis(graph_.node(n).call.op->quantization.weight_axis,
                                          shape.rank(), "prepare");
    const std::int64_t qmax = weight_qmax(graph_.node(n), shape);
    const ObserveWeightAttributes a{
        .qmin = config_.full_weight_range ? -qmax - 1 : -qmax,
        .qmax = qmax,
        .axis = axis,
        .symmetric = settings.symmetric_weights,
        .averaging = training_ && settings.weight_observer == WeightObserver::moving_average
                         ? config_.averaging
                         : 1,
        .least_squares = settings.weight_observer == WeightObserver::mse};
    if (training_ && weight_method() != TrainingMethod::moving_average)
      return learned_weight(name, w, a);
    const auto [scale, zero] = weight_parameters(name, w, a);
    return output_of(graph_.add_node(
        name + "_fake_quantize",
        {&kFakeQuantize,
         Attributes::of(FakeQuantizeAttributes{.qmin = a.qmin, .qmax = a.qmax, .axis = axis})},
        {w, scale, zero}));
  }

  TrainingMethod weight_method() const { return qat_.weight_method.value_or(qat_.method); }

  // A weight's steps start from its values.
  int learned_weight(const std::string& name, int w, const ObserveWeightAttributes& observed) {
    FakeQuantizeLearnedAttributes a =
        learned_attributes(weight_method(), qat_.start, observed.qmin, observed.qmax);
    a.axis = observed.axis;
    if (qat_.start == StepStart::paper && a.form == "clip") a.start = "largest";
    const NoGrad no_grad;
    const StartingSteps start = starting_steps(LeafEvaluator(graph_)(w), a, !observed.symmetric);
    std::vector<int> inputs{w, add_parameter(name + "_step", start.step)};
    if (start.zero_point.defined())
      inputs.push_back(add_parameter(name + "_offset", start.zero_point));
    return output_of(graph_.add_node(name + "_fake_quantize",
                                     {&kFakeQuantizeLearned, Attributes::of(a)}, inputs));
  }

  // The values of a weight's scales and zero points.
  std::pair<int, int> weight_parameters(const std::string& name, int w,
                                        const ObserveWeightAttributes& a) {
    const Shape scales =
        a.axis < 0 ? Shape{} : Shape{graph_.value(w).shape[static_cast<int>(a.axis)]};
    const auto constant = [&](const char* suffix, const Tensor& value) {
      return graph_.add_leaf(Graph::Kind::constant, name + suffix, value);
    };
    if (a.symmetric && a.qmin == -a.qmax && a.averaging == 1 && !a.least_squares) {
      const Call call{&kSymmetricScale,
                      Attributes::of(SymmetricScaleAttributes{.qmax = a.qmax, .axis = a.axis})};
      return {output_of(graph_.add_node(name + "_scale", call, {w})),
              constant("_zero_point", Tensor::zeros(scales, DType::i32))};
    }
    // A search is worth repeating only where the weight moves.
    if (a.least_squares && !training_) {
      const NoGrad no_grad;
      const Tensors found = observe_weight(LeafEvaluator(graph_)(w), {}, a);
      return {constant("_scale", found[0]), constant("_zero_point", found[1])};
    }
    std::vector<int> inputs{w};
    if (a.averaging < 1) inputs.push_back(add_state(name + "_range", empty_ranges(scales)));
    const int node = graph_.add_node(name + "_scale", {&kObserveWeight, Attributes::of(a)}, inputs);
    return {graph_.node(node).outputs[0], graph_.node(node).outputs[1]};
  }

  static Tensor empty_ranges(Shape shape) {
    shape.append(2);
    Tensor ranges = Tensor::empty(shape);
    float* ends = ranges.mutable_data<float>();
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (std::int64_t i = 0; i < ranges.elements(); ++i)
      ends[i] = i % 2 == 0 ? kInfinity : -kInfinity;
    return ranges;
  }

  // What the config says of a range: its sources' overrides, which must agree.
  struct Choice {
    Observer observer;
    Codes codes;
    bool overridden = false;
  };
  Choice choice_of(const Placement::Range& range) const {
    std::optional<Observer> observer;
    std::optional<int> bits;
    for (const Placement::Source& source : range.sources) {
      const Graph::Value& value = graph_.value(source.value);
      std::vector<NodeSettings> settings;
      // Of conv + batch norm + relu both the conv and the relu may be meant.
      if (source.node >= 0) settings.push_back(settings_of(config_, graph_.node(source.node)));
      if (value.producer >= 0)
        settings.push_back(settings_of(config_, graph_.node(value.producer)));
      if (settings.empty()) settings.push_back(settings_of_input(config_, value.name));
      for (const NodeSettings& s : settings) {
        agree(observer, s.observer, value.name, [](const Observer& o) { return o.to_string(); });
        agree(bits, s.activation_bits, value.name, [](int b) { return fmt::format("{} bits", b); });
      }
    }
    return {observer.value_or(config_.observer),
            activation_codes(config_, bits.value_or(config_.activation_bits)),
            observer.has_value()};
  }
  template <class T, class Name>
  static void agree(std::optional<T>& chosen, const std::optional<T>& stated,
                    const std::string& value, Name&& name) {
    if (!stated) return;
    PARE_CHECK(!chosen || name(*chosen) == name(*stated), invalid_argument, "prepare",
               "expected overrides to agree where activations share a range, got {} and {} at '{}'",
               name(*chosen), name(*stated), value);
    chosen = stated;
  }

  static ObserveAttributes attributes(const Codes& codes, double averaging) {
    return {.qmin = codes.qmin,
            .qmax = codes.qmax,
            .even_zero_point = codes.even_zero_point,
            .averaging = averaging};
  }

  // A range that is known is fake_quantize by constants.
  void fix(const Placement::Range& range, const ScaleAndZeroPoint& known, const Codes& codes) {
    const std::string first = graph_.value(range.sources[0].value).name;
    const int scale =
        graph_.add_leaf(Graph::Kind::constant, first + "_scale", Tensor::scalar(known.scale));
    const int zero = graph_.add_leaf(Graph::Kind::constant, first + "_zero_point",
                                     Tensor::scalar(known.zero_point, DType::i32));
    const Call call{&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{
                                        .qmin = codes.qmin, .qmax = codes.qmax, .axis = -1})};
    for (const Placement::Source& source : range.sources) {
      const std::string name = graph_.value(source.value).name;
      const int node = graph_.add_node(name + "_fake_quantize", call, {source.value, scale, zero});
      graph_.replace_uses(source.value, output_of(node), node);
    }
  }

  // The fact is that of unsigned codes of 8 bits.
  ScaleAndZeroPoint fixed_by_fact(const Placement::Source& source, const Codes& codes) const {
    const QuantizationFact& fact = graph_.node(source.node).call.op->quantization;
    constexpr std::int64_t kLevels = 256;
    const std::int64_t levels = codes.qmax - codes.qmin + 1;
    return {static_cast<float>(fact.scale * kLevels / static_cast<double>(levels)),
            static_cast<std::int32_t>(codes.qmin + fact.zero_point * levels / kLevels)};
  }

  int add_state(const std::string& name, Tensor value) {
    return graph_.add_leaf(Graph::Kind::buffer, name, std::move(value));
  }

  int add_parameter(const std::string& name, Tensor value) {
    value.set_requires_grad(true);
    return graph_.add_leaf(Graph::Kind::parameter, name, value, true);
  }

  void add_observer(int value, const Call& call, const std::vector<int>& state,
                    const Choice& choice) {
    std::vector<int> inputs{value};
    inputs.insert(inputs.end(), state.begin(), state.end());
    const std::string name = graph_.value(value).name + std::string(kObserverSuffix);
    const int node = graph_.add_node(name, call, inputs);
    if (!is_learned(graph_.node(node)))
      graph_.metadata()[kRangeKey + graph_.node(node).name] = rule_of(choice).to_string();
    graph_.replace_uses(value, output_of(node), node);
    if (training_) take_in_relu(value, node);
  }

  // In training the ReLU before a fake-quantization is part of it, which saves two passes over the
  // activation and its gradient; convert puts it back.
  void take_in_relu(int value, int observer) {
    const int producer = graph_.value(value).producer;
    if (producer < 0 || graph_.node(producer).call.op != &kRelu) return;
    Graph::Node& node = graph_.edit_node(observer);
    const auto with_relu = [&](auto a) {
      a.relu = true;
      node.call.attributes = Attributes::of(a);
    };
    if (is_learned(node))
      with_relu(node.call.attributes.as<FakeQuantizeLearnedAttributes>());
    else
      with_relu(node.call.attributes.as<ObserveAttributes>());
    node.inputs[0] = graph_.node(producer).inputs[0];
  }

  // Sources of one range join what they see: into one histogram, or each into a range of its own
  // (a moving average must not mix them) with the others' at hand.
  void observe(const Placement::Range& range) {
    const Choice choice = choice_of(range);
    if (choice.observer == Observer::fixed) {
      const FixedQParams& known = choice.observer.fixed_parameters();
      return fix(range, {static_cast<float>(known.scale), known.zero_point}, choice.codes);
    }
    if (range.fixed && !choice.overridden)
      return fix(range, fixed_by_fact(range.sources[0], choice.codes), choice.codes);
    if (training_ && qat_.method != TrainingMethod::moving_average) return learn(range, choice);
    const Observer kind = training_ ? Observer(Observer::moving_average) : choice.observer;
    if (kind == Observer::min_max || kind == Observer::moving_average) {
      const Call call{training_ ? &kObserveFakeQuantize : &kObserveMinMax,
                      Attributes::of(attributes(
                          choice.codes, kind == Observer::moving_average ? config_.averaging : 0))};
      return observe_each(range, call, choice, "_range", [] { return empty_range(); }, {});
    }
    const std::string name = graph_.value(range.sources[0].value).name;
    if (kind == Observer::mean_min_max) {
      const Call call{&kObserveMeanMinMax, Attributes::of(attributes(choice.codes, 0))};
      const int seen = add_state(name + "_range", empty_range());
      return observe_each(
          range, call, choice, "_sums", [] { return empty_range_sums(); }, seen);
    }
    const int counts =
        add_state(name + "_counts", Tensor::zeros({config_.histogram_bins}, DType::i64));
    const int seen = add_state(name + "_range", empty_range());
    const Call call{&kObserveHistogram, Attributes::of(attributes(choice.codes, 0))};
    for (const Placement::Source& source : range.sources)
      add_observer(source.value, call, {counts, seen}, choice);
  }

  // All sources of a range by one step. It starts with the first of them that is seen.
  void learn(const Placement::Range& range, const Choice& choice) {
    const Codes& codes = choice.codes;
    FakeQuantizeLearnedAttributes a =
        learned_attributes(qat_.method, qat_.start, codes.qmin, codes.qmax);
    a.even_zero_point = codes.even_zero_point;
    const bool positive = std::ranges::all_of(range.sources, [&](const Placement::Source& source) {
      return never_negative(graph_, source.value);
    });
    const std::int64_t middle = codes.qmin + (codes.qmax - codes.qmin + 1) / 2;
    a.zero_point = positive && !codes.symmetric ? codes.qmin : middle;
    const std::string name = graph_.value(range.sources[0].value).name;
    constexpr float kClip = 6;  // where PACT starts
    const bool clips = a.form == "clip" && qat_.start == StepStart::paper;
    std::vector<int> leaves{
        add_parameter(name + "_step", Tensor::scalar(clips ? kClip : kUnsetStep))};
    if (qat_.method == TrainingMethod::lsq_plus && !codes.symmetric) {
      a.zero_point = codes.qmin;
      leaves.push_back(add_parameter(name + "_offset", Tensor::scalar(kUnsetStep)));
    }
    const Call call{&kFakeQuantizeLearned, Attributes::of(a)};
    for (const Placement::Source& source : range.sources)
      add_observer(source.value, call, leaves, choice);
  }

  // Each source with a state of its own first, then what they share, then the others' states.
  template <class Empty>
  void observe_each(const Placement::Range& range, const Call& call, const Choice& choice,
                    const char* suffix, Empty&& empty, std::optional<int> shared) {
    std::vector<int> states;
    for (const Placement::Source& source : range.sources)
      states.push_back(add_state(graph_.value(source.value).name + suffix, empty()));
    for (const Placement::Source& source : range.sources) {
      std::vector<int> inputs = states;
      if (shared) inputs.insert(inputs.begin() + 1, *shared);
      add_observer(source.value, call, inputs, choice);
      std::rotate(states.begin(), states.begin() + 1, states.end());
    }
  }

  static RangeRule rule_of(const Choice& choice) {
    RangeRule rule{.symmetric = choice.codes.symmetric};
    switch (choice.observer) {
      case Observer::percentile:
        rule.search = kPercentile;
        rule.share = choice.observer.share();
        break;
      case Observer::entropy:
        rule.search = kEntropy;
        break;
      case Observer::mse:
        rule.search = kMse;
        break;
      case Observer::custom:
        rule.search = choice.observer.search()->name();
        break;
      default:
        break;
    }
    return rule;
  }

  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  Graph& graph_;
  const QConfig& config_;
  const QATConfig qat_;
  const bool training_;
  const Placement placement_;
  const Uses uses_;
  std::map<int, int> norms_;  // of layers whose weights are quantized, the batch norm behind; −1
};

}  // namespace

Graph prepare(const Graph& graph, const QConfig& config) {
  check_float(graph, "prepare");
  check_config(graph, config, "prepare");
  const PassResult folded = fold_batch_norm(graph);
  Graph result = remove_identities(folded.graph).graph;
  Preparer(result, config, nullptr).run("prepare");
  // What the pass says is closer to the cause than that the op has no quantized form.
  for (const PassReport::Line& line : folded.report.left)
    result.metadata()[kFloatKey + line.node] = line.text;
  for (const PassReport::Line& line : folded.report.done)
    result.metadata()[kFoldedKey + line.node] = line.text;
  return result;
}

Graph prepare_qat(const Graph& graph, const QConfig& config, const QATConfig& qat) {
  check_float(graph, "prepare_qat");
  check_config(graph, config, "prepare_qat");
  PARE_CHECK(
      !config.symmetric_activations || qat.method != TrainingMethod::moving_average, unsupported,
      "prepare_qat",
      "expected activations with zero points where ranges are moving averages, got symmetric "
      "ones; learned steps may be symmetric");
  Graph result = graph.copy();
  Preparer(result, config, &qat).run("prepare_qat");
  return result;
}

}  // namespace pare::quantize
