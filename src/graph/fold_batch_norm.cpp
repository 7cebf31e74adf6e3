// fold_batch_norm: a batch norm becomes factors of a weight, before or behind it, and a new bias.
#include "graph/fold_batch_norm.h"

#include <algorithm>
#include <optional>

#include "core/check.h"
#include "core/ops/convolution.h"
#include "graph/channel_factor.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/graph/passes.h"

namespace pare {

namespace {

// A channel whose gamma is 0 has codes of 0; its scale must only not be 0.
constexpr double kSmallestFactor = 1e-20;

class Folder {
 public:
  Folder(Graph graph, const ReasonToStay& stays)
      : graph_(std::move(graph)), leaf_(leaf_values(graph_)), stays_(stays) {}

  PassResult run() {
    const int count = static_cast<int>(graph_.nodes().size());
    for (int n = 0; n < count; ++n) {
      if (graph_.node(n).call.op != &kBatchNorm) continue;
      const std::string name = graph_.node(n).name;
      if (const std::string wish = stays_ ? stays_(graph_.node(n)) : ""; !wish.empty()) {
        report_.left.push_back({name, wish});
        continue;
      }
      const auto reason = obstacle(n);
      const int behind = reason ? layer_behind(n) : -1;
      if (reason && behind < 0) {
        report_.left.push_back({name, *reason});
        continue;
      }
      const int layer = reason ? behind : producer(n);
      report_.done.push_back({name, "folded into " + graph_.node(layer).name});
      reason ? fold_into(behind, n) : fold(n);
    }
    graph_.compact();
    graph_.verify();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  int producer(int norm) const { return graph_.value(graph_.node(norm).inputs[0]).producer; }
  const OpDef* op(int node) const { return graph_.node(node).call.op; }
  bool is_dequantized(int node) const {
    return op(node) == &kDequantizeLinear || op(node) == &kDequantizeWeight;
  }
  /// The axis of a layer's weight that its output channels are.
  int weight_axis(int layer) const { return op(layer)->quantization.weight_axis; }

  /// Why a batch norm stays.
  std::optional<std::string> obstacle(int norm) const {
    const int layer = producer(norm);
    if (layer < 0 ||
        (!is_convolution(op(layer)) && !is_conv_transpose(op(layer)) && op(layer) != &kLinear))
      return "its input is no convolution's or linear layer's result";
    const Graph::Node& node = graph_.node(layer);
    const int between = node.outputs[0];
    if (graph_.readers(between).size() != 1 || graph_.is_output(between))
      return fmt::format("the result of '{}' is also read elsewhere", node.name);
    if (op(layer) == &kLinear && graph_.value(between).shape.rank() != 2)
      return fmt::format("the channels of '{}' are not axis 1 of its result", node.name);
    const int weight = graph_.value(node.inputs[1]).producer;
    if (weight >= 0 && is_dequantized(weight))
      return fmt::format("the weight of '{}' is quantized already", node.name);
    if (weight >= 0 && op(weight) == &kFakeQuantize && is_conv_transpose(op(layer)) &&
        groups_of(node.call) > 1)
      return fmt::format("the weight of '{}' is fake-quantized with scales that its groups share",
                         node.name);
    if (weight >= 0 && op(weight) == &kFakeQuantize)
      if (const char* reason = commutes_not(graph_.node(weight), weight_axis(layer)))
        return fmt::format("the weight of '{}' is fake-quantized {}", node.name, reason);
    return std::nullopt;
  }

  /// The only reader, where it can take the batch norm of its input into its weight: a shift of the
  /// input is one of the bias wherever no padding takes the shifted numbers' place. −1: none.
  int layer_behind(int norm) const {
    const int between = graph_.node(norm).outputs[0];
    const std::vector<int> readers = graph_.readers(between);
    if (readers.size() != 1 || graph_.is_output(between)) return -1;
    const Graph::Node& layer = graph_.node(readers[0]);
    const int rank = graph_.value(between).shape.rank();
    const bool linear = layer.call.op == &kLinear && rank == 2;
    if (!linear &&
        (!is_convolution(layer.call.op) || groups_of(layer.call) > 1 || !is_unpadded(layer.call)))
      return -1;
    const int weight = layer.inputs[1];
    const int producer = graph_.value(weight).producer;
    const bool quantized =
        producer >= 0 && (is_dequantized(producer) || op(producer) == &kFakeQuantize);
    return layer.inputs[0] == between && weight != between && !quantized ? readers[0] : -1;
  }

  static bool is_unpadded(const Call& call) {
    const auto none = [](const auto& padding) {
      return std::ranges::all_of(padding, [](std::int64_t p) { return p == 0; });
    };
    if (call.op == &kConv1d) return none(call.attributes.as<Conv1dAttributes>().padding);
    if (call.op == &kConv2d) return none(call.attributes.as<Conv2dAttributes>().padding);
    return call.op == &kConv3d && none(call.attributes.as<Conv3dAttributes>().padding);
  }

  /// Why fake_quantize(W·f; s·|f|) would not be f·fake_quantize(W; s) for every f, null if it is.
  const char* commutes_not(const Graph::Node& fake_quantize, int axis) const {
    const auto& a = fake_quantize.call.attributes.as<FakeQuantizeAttributes>();
    const Shape& weight = graph_.value(fake_quantize.inputs[0]).shape;
    const Shape& scale = graph_.value(fake_quantize.inputs[1]).shape;
    if (scale.rank() != 1 || scale[0] != weight[axis] || a.axis != axis)
      return "with one scale for all channels";
    if (a.qmin != -a.qmax) return "to a range that is not the same on both sides of zero";
    const int zero = fake_quantize.inputs.size() > 2 ? fake_quantize.inputs[2] : -1;
    if (zero >= 0 && (!leaf_[static_cast<std::size_t>(zero)] || !all_zero(zero)))
      return "with zero points that are not known to be 0";
    return nullptr;
  }

  bool all_zero(int value) const {
    const Tensor zeros = LeafEvaluator(graph_)(value).to(DType::i32);
    return std::ranges::all_of(zeros.to_vector<std::int32_t>(), [](auto z) { return z == 0; });
  }

  /// Adds a call; gives its value.
  int add(const std::string& name, Call call, std::vector<int> inputs) {
    return graph_.node(graph_.add_node(name, std::move(call), std::move(inputs))).outputs[0];
  }

  /// gamma / √(variance + epsilon)
  int factor_of(int norm) {
    const std::string name = graph_.node(norm).name;
    const std::vector<int> statistics = graph_.node(norm).inputs;
    const double epsilon = graph_.node(norm).call.attributes.as<BatchNormAttributes>().epsilon;
    const int variance = statistics[4];
    const int offset = graph_.add_leaf(Graph::Kind::constant, name + ".epsilon",
                                       Tensor::scalar(epsilon, graph_.value(variance).dtype));
    int deviation = add(name + ".variance", {&kAdd, {}}, {variance, offset});
    deviation = add(name + ".deviation", {&kSqrt, {}}, {deviation});
    return add(name + ".factor", {&kDiv, {}}, {statistics[1], deviation});
  }

  /// W·(f·x + s) + b = (W·f)·x + (W·s + b), s = beta − mean·f
  void fold_into(int layer, int norm) {
    const std::string name = graph_.node(layer).name;
    const std::string norm_name = graph_.node(norm).name;
    const std::vector<int> statistics = graph_.node(norm).inputs;
    const int factor = factor_of(norm);
    int shift = add(norm_name + ".centre", {&kMul, {}}, {statistics[3], factor});
    shift = add(norm_name + ".shift", {&kSub, {}}, {statistics[2], shift});
    std::vector<int> inputs = graph_.node(layer).inputs;
    const int weight = inputs[1];
    constexpr int kInputAxis = 1;
    inputs[0] = statistics[0];
    inputs[1] = scaled(name + ".weight", weight, factor,
                       along(name + ".weight.factor", weight, factor, kInputAxis));
    ReduceAttributes all_inputs;
    for (int a = 1; a < graph_.value(weight).shape.rank(); ++a) all_inputs.axes.push_back(a);
    const int shifted = scaled(name + ".shift", weight, shift,
                               along(name + ".shift.factor", weight, shift, kInputAxis));
    const int moved = add(name + ".bias.shift", {&kSum, Attributes::of(all_inputs)}, {shifted});
    inputs.resize(3, -1);
    inputs[2] = inputs[2] < 0 ? moved : add(name + ".bias.folded", {&kAdd, {}}, {inputs[2], moved});
    graph_.edit_node(layer).inputs = std::move(inputs);
  }

  void fold(int norm) {
    const int layer = producer(norm);
    const std::string layer_name = graph_.node(layer).name;
    const std::vector<int> statistics = graph_.node(norm).inputs;
    const int beta = statistics[2];
    const int mean = statistics[3];
    const int factor = factor_of(norm);

    std::vector<int> inputs = graph_.node(layer).inputs;
    const int spread = as_weight_factor(graph_, layer, factor, layer_name + ".weight.factor");
    inputs[1] = scaled(layer_name + ".weight", inputs[1], factor, spread);
    inputs.resize(3, -1);
    const std::string bias_name = layer_name + ".bias";
    int bias = inputs[2] < 0 ? add(bias_name + ".centred", {&kNeg, {}}, {mean})
                             : add(bias_name + ".centred", {&kSub, {}}, {inputs[2], mean});
    bias = add(bias_name + ".scaled", {&kMul, {}}, {bias, factor});
    inputs[2] = add(bias_name + ".folded", {&kAdd, {}}, {bias, beta});
    const int between = graph_.node(layer).outputs[0];
    graph_.edit_node(layer).inputs = std::move(inputs);
    graph_.replace_uses(graph_.node(norm).outputs[0], between);
  }

  /// A factor for each index of an axis of the weight.
  int along(const std::string& name, int weight, int factor, int axis) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(graph_.value(weight).shape.rank()), 1);
    shape[static_cast<std::size_t>(axis)] = -1;
    return add(name, {&kReshape, Attributes::of(ReshapeAttributes{shape})}, {factor});
  }

  /// The weight times `spread`, which is `factor` arranged so, below a fake_quantize.
  int scaled(const std::string& name, int weight, int factor, int spread) {
    const Call product{&kMul, {}};
    const int quantize = graph_.value(weight).producer;
    if (quantize < 0 || op(quantize) != &kFakeQuantize)
      return add(name + ".folded", product, {weight, spread});

    const Graph::Node node = graph_.node(quantize);
    const int inner = add(name + ".folded", product, {node.inputs[0], spread});
    int size = add(name + ".minus_factor", {&kNeg, {}}, {factor});
    size = add(name + ".factor_size", {&kMaximum, {}}, {factor, size});
    ClampAttributes positive;
    positive.min = kSmallestFactor;
    size = add(name + ".factor_clamped", {&kClamp, Attributes::of(positive)}, {size});
    const int scale = add(name + ".scale", product, {node.inputs[1], size});
    std::vector<int> inputs = node.inputs;
    inputs[0] = inner;
    inputs[1] = scale;
    return add(node.name, node.call, std::move(inputs));
  }

  Graph graph_;
  const std::vector<bool> leaf_;  ///< by value of the graph as it was given
  const ReasonToStay& stays_;
  PassReport report_;
};

}  // namespace

PassResult fold_batch_norm(Graph graph) { return fold_batch_norm_unless(std::move(graph), {}); }

PassResult fold_batch_norm_unless(Graph graph, const ReasonToStay& reason) {
  return Folder(std::move(graph), reason).run();
}

}  // namespace pare
