// What observes activations: histograms and ranges, moving averages, learned steps.
#include "quantize/prepare_activations.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "pare/core/ops.h"
#include "pare/core/ops/learned_steps.h"
#include "quantize/added_leaves.h"
#include "quantize/learned_attributes.h"
#include "quantize/metadata.h"
#include "quantize/own_rounding.h"
#include "quantize/range_search.h"
#include "quantize/ranges.h"
#include "quantize/settings.h"
#include "quantize/signs.h"

namespace pare::quantize {
namespace {

class ActivationPreparer {
 public:
  ActivationPreparer(Graph& graph, const QConfig& config, const QATConfig* qat)
      : graph_(graph), config_(config), qat_(qat ? *qat : QATConfig{}), training_(qat != nullptr) {}

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
    if (training_ && qat_.fake_quantizer) return round_as_own(range, choice);
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
      const int seen = add_state(graph_, name + "_range", empty_range());
      return observe_each(
          range, call, choice, "_sums", [] { return empty_range_sums(); }, seen);
    }
    const int counts =
        add_state(graph_, name + "_counts", Tensor::zeros({config_.histogram_bins}, DType::i64));
    const int seen = add_state(graph_, name + "_range", empty_range());
    const Call call{&kObserveHistogram, Attributes::of(attributes(choice.codes, 0))};
    for (const Placement::Source& source : range.sources)
      add_observer(source.value, call, {counts, seen}, choice);
  }

 private:
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
      if (source.node < 0 || value.producer >= 0) settings.push_back(settings_at(source.value));
      for (const int whole : source.parts_of) {
        NodeSettings s = settings_at(whole);
        for (const NodeSettings& nearer : settings) {
          if (nearer.observer) s.observer.reset();
          if (nearer.activation_bits) s.activation_bits.reset();
        }
        settings.push_back(std::move(s));
      }
      for (const NodeSettings& s : settings) {
        agree(observer, s.observer, value.name, [](const Observer& o) { return o.to_string(); });
        agree(bits, s.activation_bits, value.name, [](int b) { return fmt::format("{} bits", b); });
      }
    }
    const Choice choice{observer.value_or(config_.observer),
                        activation_codes(config_, bits.value_or(config_.activation_bits)),
                        observer.has_value()};
    check_zero_point(choice.observer, choice.codes, graph_.value(range.sources[0].value).name);
    return choice;
  }
  NodeSettings settings_at(int value) const {
    const int producer = graph_.value(value).producer;
    return producer >= 0 ? settings_of(config_, graph_.node(producer))
                         : settings_of_input(config_, graph_.value(value).name);
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
            .symmetric = codes.symmetric,
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

  // All sources of a range with the same leaves.
  void round_as_own(const Placement::Range& range, const Choice& choice) {
    const FakeQuantizer& own = *qat_.fake_quantizer;
    FakeQuantizerPlace place{.qmin = choice.codes.qmin, .qmax = choice.codes.qmax};
    std::vector<int> leaves;
    for (const Placement::Source& source : range.sources) {
      const bool first = place.name.empty();
      place.name = graph_.value(source.value).name;
      if (first) leaves = add_own_leaves(graph_, own, place);
      const auto before = static_cast<int>(graph_.nodes().size());
      const int rounded = output_of(add_own_rounding(graph_, source.value, leaves, own, place));
      graph_.replace_uses(source.value, rounded);
      for (int n = before; n < static_cast<int>(graph_.nodes().size()); ++n)
        std::ranges::replace(graph_.edit_node(n).inputs, rounded, source.value);
    }
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
        add_parameter(graph_, name + "_step", Tensor::scalar(clips ? kClip : kUnsetStep))};
    if (qat_.method == TrainingMethod::lsq_plus && !codes.symmetric) {
      a.zero_point = codes.qmin;
      leaves.push_back(add_parameter(graph_, name + "_offset", Tensor::scalar(kUnsetStep)));
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
      states.push_back(add_state(graph_, graph_.value(source.value).name + suffix, empty()));
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
};

}  // namespace

void prepare_activation(Graph& graph, const Placement::Range& range, const QConfig& config,
                        const QATConfig* qat) {
  ActivationPreparer(graph, config, qat).observe(range);
}

}  // namespace pare::quantize
