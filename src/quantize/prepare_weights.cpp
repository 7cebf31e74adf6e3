// Fake-quantized weights: by their own values, by moving averages, by learned steps.
#include "quantize/prepare_weights.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "core/ops/line_as_picture.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/learned_steps.h"
#include "quantize/added_leaves.h"
#include "quantize/batch_norm_factor.h"
#include "quantize/learned_attributes.h"
#include "quantize/metadata.h"
#include "quantize/own_rounding.h"
#include "quantize/settings.h"
#include "quantize/weight_groups.h"

namespace pare::quantize {
namespace {

class WeightPreparer {
 public:
  WeightPreparer(Graph& graph, const QConfig& config, const QATConfig* qat, RoundedWeights& known)
      : graph_(graph),
        config_(config),
        qat_(qat ? *qat : QATConfig{}),
        training_(qat != nullptr),
        known_(known) {}

  void run(int n, int norm) {
    const int input = graph_.node(n).call.op->quantization.weight_input;
    const int w = graph_.node(n).inputs[static_cast<std::size_t>(input)];
    const NodeSettings settings = settings_of(config_, graph_.node(n));
    const bool one = settings.weight_granularity == Granularity::per_tensor;
    // Groups of a transposed convolution share scales, but have factors of their own.
    const OpDef* op = graph_.node(n).call.op;
    const bool shares = is_conv_transpose(op) && groups_of(graph_.node(n).call) > 1;
    const bool exact = qat_.batch_norm == BatchNormForm::exact;
    const bool folds = norm >= 0 && (shares || exact || qat_.batch_norm == BatchNormForm::folded ||
                                     (qat_.batch_norm == BatchNormForm::automatic && one));
    const std::string name = graph_.value(w).name;
    const int axis = graph_.node(n).call.op->quantization.weight_axis;
    if (!folds) {
      const int rounded = once(n, w, name, axis);
      graph_.edit_node(n).inputs[static_cast<std::size_t>(input)] = rounded;
      return;
    }
    // FQ(W·f) / f: the division belongs to the weight, not to the layer's far larger result.
    const BatchNormFactor factor = batch_norm_factor(graph_, n, norm, exact);
    const int folded = output_of(graph_.add_node(name + "_folded", {&kMul, {}}, {w, factor.value}));
    const int quantized = fake_quantized(n, folded, name, axis);
    const int unfolded = without_factor(graph_, name, folded, quantized, factor);
    graph_.edit_node(n).inputs[static_cast<std::size_t>(input)] = unfolded;
  }

  void run_rows(int n, std::size_t input) {
    const int w = graph_.node(n).inputs[input];
    PARE_CHECK(settings_of(config_, graph_.node(n)).weight_granularity != Granularity::per_group,
               unsupported, graph_.node(n).name,
               "expected a scale for each row of weights that train for dynamic, or one, got "
               "groups; an override gives it another weight_granularity");
    const std::string name = graph_.value(w).name;
    const int rounded = once(n, w, name, 0);
    graph_.edit_node(n).inputs[input] = rounded;
  }

 private:
  std::int64_t weight_qmax(const Graph::Node& node, const Shape& weight) const {
    const bool depthwise = is_picture_convolution(node.call.op) && weight[1] == 1 &&
                           picture_attributes(node.call).groups == weight[0] && weight[0] > 1;
    return settings_of(config_, node)
        .weight_qmax.value_or(depthwise ? config_.depthwise_weight_qmax : config_.weight_qmax);
  }

  // After training layers are rounded each by itself (round_weights), though they share a weight.
  int once(int n, int w, const std::string& name, int channel_axis) {
    if (!training_) return fake_quantized(n, w, name, channel_axis);
    const NodeSettings s = settings_of(config_, graph_.node(n));
    const std::string key = fmt::format(
        "{} {} {} {} {} {} {}", w, channel_axis, weight_qmax(graph_.node(n), graph_.value(w).shape),
        static_cast<int>(s.weight_observer), static_cast<int>(s.weight_granularity),
        s.weight_group_size, s.symmetric_weights);
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    return known_[key] = fake_quantized(n, w, name, channel_axis);
  }

  // The value w, the weight `name` of node n or that times its batch norm's factor, rounded with a
  // scale for each channel of an axis, for each group, or with one.
  int fake_quantized(int n, int w, const std::string& name, int channel_axis) {
    const Shape shape = graph_.value(w).shape;
    const NodeSettings settings = settings_of(config_, graph_.node(n));
    const std::int64_t qmax = weight_qmax(graph_.node(n), shape);
    const auto rounded_along = [&](int value, int axis) {
      return rounded(value, name, settings, qmax, axis);
    };
    if (settings.weight_granularity == Granularity::per_tensor) return rounded_along(w, -1);
    if (settings.weight_granularity == Granularity::per_group) {
      const WeightGroups groups(graph_.node(n), shape, settings.weight_group_size);
      if (!groups.are_channels()) {
        const int rows = rounded_along(add_calls(graph_, w, groups.to_rows(), name), 0);
        const std::string& quantizer = graph_.node(graph_.value(rows).producer).name;
        graph_.metadata()[kGroupKey + quantizer] = std::to_string(settings.weight_group_size);
        return add_calls(graph_, rows, groups.from_rows(), name + "_grouped");
      }
    }
    return rounded_along(w, normalize_axis(channel_axis, shape.rank(), "prepare"));
  }

  int rounded(int w, const std::string& name, const NodeSettings& settings, std::int64_t qmax,
              int axis) {
    const ObserveWeightAttributes a{
        .qmin = config_.full_weight_range ? -qmax - 1 : -qmax,
        .qmax = qmax,
        .axis = axis,
        .symmetric = settings.symmetric_weights,
        .averaging = training_ && settings.weight_observer == WeightObserver::moving_average
                         ? config_.averaging
                         : 1,
        .least_squares = settings.weight_observer == WeightObserver::mse};
    if (training_ && qat_.weight_fake_quantizer) return own_weight(name, w, a);
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

  int own_weight(const std::string& name, int w, const ObserveWeightAttributes& observed) {
    const FakeQuantizer& own = *qat_.weight_fake_quantizer;
    const NoGrad no_grad;
    const FakeQuantizerPlace place{.name = name,
                                   .qmin = observed.qmin,
                                   .qmax = observed.qmax,
                                   .axis = static_cast<int>(observed.axis),
                                   .weight = LeafEvaluator(graph_)(w)};
    return output_of(add_own_rounding(graph_, w, add_own_leaves(graph_, own, place), own, place));
  }

  // A weight's steps start from its values.
  int learned_weight(const std::string& name, int w, const ObserveWeightAttributes& observed) {
    FakeQuantizeLearnedAttributes a =
        learned_attributes(weight_method(), qat_.start, observed.qmin, observed.qmax);
    a.axis = observed.axis;
    if (qat_.start == StepStart::paper && a.form == "clip") a.start = "largest";
    const NoGrad no_grad;
    const StartingSteps start = starting_steps(LeafEvaluator(graph_)(w), a, !observed.symmetric);
    std::vector<int> inputs{w, add_parameter(graph_, name + "_step", start.step)};
    if (start.zero_point.defined())
      inputs.push_back(add_parameter(graph_, name + "_offset", start.zero_point));
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
    if (a.averaging < 1) inputs.push_back(add_state(graph_, name + "_range", empty_ranges(scales)));
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

  int output_of(int node) const { return graph_.node(node).outputs[0]; }

  Graph& graph_;
  const QConfig& config_;
  const QATConfig qat_;
  const bool training_;
  RoundedWeights& known_;
};

}  // namespace

void prepare_weight(Graph& graph, int n, int norm, const QConfig& config, const QATConfig* qat,
                    RoundedWeights& known) {
  WeightPreparer(graph, config, qat, known).run(n, norm);
}

void prepare_rows(Graph& graph, int n, std::size_t input, const QConfig& config,
                  const QATConfig& qat, RoundedWeights& known) {
  WeightPreparer(graph, config, &qat, known).run_rows(n, input);
}

}  // namespace pare::quantize
