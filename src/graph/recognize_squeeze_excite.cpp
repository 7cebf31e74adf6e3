// recognize: squeeze-and-excite, however written, becomes a mean and convolutions of one pixel.
#include <algorithm>

#include "graph/moves.h"
#include "graph/rewrites.h"
#include "graph/uses.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

/// One call between the pooled picture and the product, the last ones first.
struct Step {
  enum class Kind { layer, elementwise } kind;
  int node = -1;          ///< whose result is the step's
  std::size_t input = 0;  ///< of an elementwise call: where the value before it comes in
  // of a layer
  int op = -1;           ///< the convolution or product; the node itself unless that adds a bias
  int added_bias = -1;   ///< a leaf that the node adds to the product
  bool is_gate = false;  ///< an elementwise call whose results lie between 0 and 1
};

struct Module {
  int product = -1;      ///< the node
  std::size_t gate = 0;  ///< which of its inputs
  int squeeze = -1;      ///< the node whose result is the picture's mean
  int picture = -1;
  std::vector<Step> steps;  ///< from the product up
  bool moves = false;       ///< shapes change on the way
};

/// [N, …] where the other axes are 1 but for at most one, which has all the channels: whatever such
/// shapes follow one another, the elements stay in their order.
bool is_vector(const Shape& shape, const Shape& picture, std::int64_t channels) {
  if (shape.rank() < 2 || shape.rank() > 4 || !shape.same_axis(0, picture, 0)) return false;
  for (int a = 1; a < shape.rank(); ++a)
    if (shape.symbolic(a) || (shape[a] != 1 && shape[a] != channels)) return false;
  return shape.elements(1, shape.rank()) == channels;
}

/// Its axes from the start; empty for other calls and for axes that arrive as a tensor.
std::vector<std::int64_t> axes_of_mean(const Pattern& p, int value) {
  const Graph::Node* mean = p.made_by(value, kMean);
  if (!mean || mean->inputs.size() != 1) return {};
  std::vector<std::int64_t> axes = mean->call.attributes.as<ReduceAttributes>().axes;
  for (std::int64_t& a : axes)
    if (a < 0) a += p.graph().value(mean->inputs[0]).shape.rank();
  std::ranges::sort(axes);
  return axes;
}

/// The picture [N, C, H, W] whose mean over all pixels a value is: one call, or over one axis after
/// the other, or over pixels in a row. −1 for other values.
int averaged_picture(const Pattern& p, int value) {
  const Graph& graph = p.graph();
  const auto rank = [&](int v) { return v < 0 ? 0 : graph.value(v).shape.rank(); };
  if (const int x = p.operand(value, kGlobalAveragePool); rank(x) == 4) return x;
  if (const Graph::Node* pool = p.made_by(value, kAveragePool2d)) {
    const auto& attributes = pool->call.attributes.as<Pool2dAttributes>();
    const Shape& x = graph.value(pool->inputs[0]).shape;
    const bool whole = !x.symbolic(2) && !x.symbolic(3) && attributes.divisor_override == 0 &&
                       attributes.kernel == decltype(attributes.kernel){x[2], x[3]} &&
                       attributes.padding == decltype(attributes.padding){};
    return whole ? pool->inputs[0] : -1;
  }
  const std::vector<std::int64_t> axes = axes_of_mean(p, value);
  const int from = p.operand(value, kMean);
  if (rank(from) == 4 && axes == std::vector<std::int64_t>{2, 3}) return from;
  if (axes.size() != 1) return -1;
  const Graph::Node* reshape = p.made_by(from, kReshape);
  if (reshape && reshape->inputs.size() == 1 && rank(from) == 3 && axes[0] == 2) {
    const int x = reshape->inputs[0];
    const Shape& row = graph.value(from).shape;
    const bool same = rank(x) == 4 && row.same_axis(0, graph.value(x).shape, 0) &&
                      row.same_axis(1, graph.value(x).shape, 1);
    return same ? x : -1;
  }
  const std::vector<std::int64_t> first = axes_of_mean(p, from);
  const int x = p.operand(from, kMean);
  if (rank(x) != 4 || first.size() != 1 || (first[0] != 2 && first[0] != 3)) return -1;
  const std::int64_t other = rank(from) == 4 ? 5 - first[0] : 2;
  return axes[0] == other ? x : -1;
}

class Finding {
 public:
  Finding(const Graph& graph, const Uses& uses) : graph_(graph), pattern_(graph), uses_(uses) {}

  std::optional<Module> at(int product) const {
    const Graph::Node& mul = graph_.node(product);
    if (mul.call.op != &kMul || mul.inputs.size() != 2) return std::nullopt;
    for (const std::size_t gate : {1U, 0U}) {
      Module module{.product = product, .gate = gate, .picture = mul.inputs[1 - gate]};
      if (fits(module)) return module;
    }
    return std::nullopt;
  }

 private:
  const Shape& shape(int value) const { return graph_.value(value).shape; }

  bool fits(Module& module) const {
    const Graph::Node& mul = graph_.node(module.product);
    const Shape& picture = shape(module.picture);
    if (picture.rank() != 4 || picture.symbolic(1) ||
        graph_.value(module.picture).dtype != DType::f32)
      return false;
    int value = mul.inputs[module.gate];
    int reader = module.product;
    if (const Graph::Node* expand = pattern_.made_by(value, kExpand);
        expand && shape(value) == picture && uses_.only_reader(value) == reader) {
      reader = graph_.value(value).producer;
      value = expand->inputs[0];
      module.moves = true;
    }
    std::int64_t channels = picture[1];
    // A module that is longer is none of an exporter's.
    for (int length = 0; length < 24 && is_vector(shape(value), picture, channels); ++length) {
      if (uses_.only_reader(value) != reader) return false;
      if (averaged_picture(pattern_, value) == module.picture) {
        module.squeeze = graph_.value(value).producer;
        return is_whole(module.steps);
      }
      const int before = step_back(module, value, reader, channels);
      if (before < 0) return false;
      value = before;
    }
    return false;
  }

  /// Two layers with an activation between them and a gate behind.
  static bool is_whole(const std::vector<Step>& steps) {
    const auto is_layer = [](const Step& s) { return s.kind == Step::Kind::layer; };
    const auto second = std::ranges::find_if(steps, is_layer);
    if (second == steps.end()) return false;
    const auto first = std::find_if(second + 1, steps.end(), is_layer);
    return std::any_of(steps.begin(), second, [](const Step& s) { return s.is_gate; }) &&
           first > second + 1 && first + 1 == steps.end();
  }

  /// What comes before a value on the way up, with the node that reads it there and its channels;
  /// −1 at the end of the way.
  int step_back(Module& module, int value, int& reader, std::int64_t& channels) const {
    const int n = reader = graph_.value(value).producer;
    if (n < 0) return -1;
    const Graph::Node& node = graph_.node(n);
    if (keeps_order(node)) {
      module.moves = true;
      return node.inputs[0];
    }
    if (const auto layer = layer_of(value, n)) {
      module.steps.push_back(*layer);
      reader = layer->op;
      const Graph::Node& op = graph_.node(layer->op);
      const Shape& weight = shape(op.inputs[1]);
      channels =
          op.call.op == &kConv2d ? shape(op.inputs[0])[1] : weight[op.call.op == &kLinear ? 1 : 0];
      return op.inputs[0];
    }
    const int input = single_input(node);
    if (input < 0) return -1;
    module.steps.push_back({.kind = Step::Kind::elementwise,
                            .node = n,
                            .input = static_cast<std::size_t>(input),
                            .is_gate = is_gate(node)});
    return node.inputs[static_cast<std::size_t>(input)];
  }

  /// Of the vectors that stand before and behind it.
  bool keeps_order(const Graph::Node& node) const {
    if (node.call.op == &kReshape) return true;
    if (node.call.op != &kTranspose) return false;
    const auto& order = node.call.attributes.as<TransposeAttributes>().permutation;
    return order.front() == 0 || order.front() == -static_cast<std::int64_t>(order.size());
  }

  /// The one operand of a call that computes each element from its own, numbers aside. Quantized
  /// modules stay: their groups are known by the calls that are there.
  int single_input(const Graph::Node& node) const {
    const OpDef* const op = node.call.op;
    if (!acts_on_single_elements(*op) || node.outputs.size() != 1 || op == &kQuantizeLinear ||
        op == &kDequantizeLinear || op == &kFakeQuantize)
      return -1;
    int found = -1;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const int operand = node.inputs[i];
      if (operand < 0 || (is_number(operand) && pattern_.number(operand))) continue;
      if (found >= 0) return -1;
      found = static_cast<int>(i);
    }
    return found;
  }

  /// Whether it has one element, so that it goes with any shape.
  bool is_number(int value) const {
    return !shape(value).symbolic() && shape(value).elements() == 1;
  }

  static bool is_gate(const Graph::Node& node) {
    if (node.call.op == &kSigmoid || node.call.op == &kHardsigmoid) return true;
    if (node.call.op != &kClamp || node.inputs.size() != 1) return false;
    const auto& clamp = node.call.attributes.as<ClampAttributes>();
    return clamp.min == 0 && clamp.max == 1;
  }

  /// A convolution of the single pixel, or a product of the vector and a matrix that is a leaf; its
  /// bias may be a sum of its own.
  std::optional<Step> layer_of(int value, int n) const {
    Step layer{.kind = Step::Kind::layer, .node = n, .op = n};
    if (is_layer(n)) return layer;
    const bool fits = pattern_.either_order(value, kAdd, [&](int product, int bias) {
      layer.op = product < 0 ? -1 : graph_.value(product).producer;
      layer.added_bias = bias;
      return layer.op >= 0 && is_layer(layer.op) && uses_.only_reader(product) == n &&
             !has_bias(graph_.node(layer.op)) && is_bias(bias, layer.op);
    });
    return fits ? std::optional(layer) : std::nullopt;
  }

  static bool has_bias(const Graph::Node& node) {
    return node.inputs.size() > 2 && node.inputs[2] >= 0;
  }

  bool is_layer(int n) const {
    const Graph::Node& node = graph_.node(n);
    const bool linear = node.call.op == &kLinear;
    const bool convolution = node.call.op == &kConv2d;
    if (!linear && !convolution && node.call.op != &kMatmul) return false;
    const Shape& x = shape(node.inputs[0]);
    const int weight = node.inputs[1];
    const Shape& w = shape(weight);
    if (w.symbolic()) return false;
    if (convolution) {
      const auto& attributes = node.call.attributes.as<Conv2dAttributes>();
      const bool one = x.rank() == 4 && !x.symbolic(1) && !x.symbolic(2) && !x.symbolic(3) &&
                       x[2] == 1 && x[3] == 1;
      return one && w[2] == 1 && w[3] == 1 && attributes.padding == decltype(attributes.padding){};
    }
    return graph_.value(weight).is_leaf() && graph_.value(weight).dtype == DType::f32 &&
           w.rank() == 2 && x.rank() >= 2 && !x.symbolic(x.rank() - 1) &&
           x[-1] == w[linear ? 1 : 0];
  }

  /// A leaf with a number for each channel of a layer's result.
  bool is_bias(int bias, int op) const {
    const Graph::Node& node = graph_.node(op);
    const Shape& y = shape(node.outputs[0]);
    const Shape& b = shape(bias);
    const int axis = (node.call.op == &kConv2d ? 1 : y.rank() - 1) - (y.rank() - b.rank());
    return graph_.value(bias).is_leaf() && !b.symbolic() && axis >= 0 &&
           y.same_axis(axis + y.rank() - b.rank(), b, axis) && b.elements() == b[axis];
  }

  const Graph& graph_;
  const Pattern pattern_;
  const Uses& uses_;
};

/// Whether one call makes [N, C, 1, 1] of the picture.
bool keeps_pixels(const Graph& graph, const Module& module) {
  const Graph::Node& squeeze = graph.node(module.squeeze);
  if (squeeze.call.op == &kGlobalAveragePool) return true;
  return squeeze.call.op == &kMean && squeeze.inputs[0] == module.picture &&
         squeeze.call.attributes.as<ReduceAttributes>().keepdim;
}

/// Makes the module mean or global_average_pool → conv2d → … → conv2d → … → mul; false where it is
/// that already.
bool normalize(Graph& graph, const Module& module) {
  bool changed = module.moves;
  const auto add = [&](int of, const char* part, const OpDef& op, Attributes attributes, int from) {
    const int n = graph.add_node(graph.node(of).name + part, {&op, std::move(attributes)}, {from});
    return graph.node(n).outputs[0];
  };
  const auto reshaped = [&](int of, const char* part, int value, std::vector<std::int64_t> to) {
    return add(of, part, kReshape, Attributes::of(ReshapeAttributes{std::move(to)}), value);
  };
  if (!keeps_pixels(graph, module)) {
    Graph::Node& squeeze = graph.edit_node(module.squeeze);
    // A mean is computed in whichever format its picture lies; a pool asks for channels-last.
    squeeze.call = squeeze.call.op == &kMean
                       ? Call{&kMean, Attributes::of(ReduceAttributes{{2, 3}, true})}
                       : Call{&kGlobalAveragePool, {}};
    squeeze.inputs = {module.picture};
    changed = true;
  }
  int value = graph.node(module.squeeze).outputs[0];
  for (auto step = module.steps.rbegin(); step != module.steps.rend(); ++step) {
    if (step->kind == Step::Kind::elementwise) {
      graph.edit_node(step->node).inputs[step->input] = value;
      value = graph.node(step->node).outputs[0];
      continue;
    }
    Call call = graph.node(step->op).call;
    std::vector<int> inputs = graph.node(step->op).inputs;
    inputs[0] = value;
    if (call.op != &kConv2d) {
      const Shape matrix = graph.value(inputs[1]).shape;
      const bool columns = call.op == &kMatmul;
      if (columns)
        inputs[1] = add(step->op, ".turned", kTranspose,
                        Attributes::of(TransposeAttributes{{1, 0}}), inputs[1]);
      inputs[1] = reshaped(step->op, ".weight", inputs[1],
                           {matrix[columns ? 1 : 0], matrix[columns ? 0 : 1], 1, 1});
      call = {&kConv2d, Attributes::of(Conv2dAttributes{})};
      changed = true;
    }
    if (step->added_bias >= 0) {
      const bool row = graph.value(step->added_bias).shape.rank() == 1;
      inputs.resize(2);
      inputs.push_back(row ? step->added_bias
                           : reshaped(step->op, ".bias", step->added_bias, {-1}));
      changed = true;
    }
    Graph::Node& node = graph.edit_node(step->node);
    node.call = std::move(call);
    node.inputs = std::move(inputs);
    value = node.outputs[0];
  }
  graph.edit_node(module.product).inputs[module.gate] = value;
  return changed;
}

}  // namespace

void recognize_squeeze_excite(Graph& graph, PassReport& report) {
  const Uses uses(graph);
  const int count = static_cast<int>(graph.nodes().size());
  for (int n = 0; n < count; ++n) {
    const auto module = Finding(graph, uses).at(n);
    if (module && normalize(graph, *module))
      report.done.push_back({graph.node(n).name, "is squeeze-and-excite"});
  }
}

}  // namespace pare
