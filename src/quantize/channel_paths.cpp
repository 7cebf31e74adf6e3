// Follows channels from layer to layer: movement runs on tensors of their numbers.
#include "quantize/channel_paths.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/ops/pooling.h"
#include "graph/leaf_evaluator.h"
#include "graph/moves.h"
#include "graph/smallest_sizes.h"
#include "pare/core/ops.h"
#include "quantize/clips.h"

namespace pare::quantize {
namespace {

// Labels of elements: c + 1 of channel c; these of what is filled in with zeros, and of what comes
// from elsewhere.
constexpr std::int32_t kZero = 0, kForeign = -1;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The one label, zeros apart, of each index of `axis`; nothing where an index has several.
std::optional<std::vector<std::int32_t>> labels_of_axis(const Tensor& labels, int axis) {
  const Shape& shape = labels.shape();
  if (axis < 0) axis += shape.rank();
  if (axis < 0 || axis >= shape.rank()) return std::nullopt;
  const std::int64_t size = shape[axis], inner = shape.elements(axis + 1, shape.rank());
  std::vector<std::int32_t> found(at(size), kZero);
  const Tensor plain = labels.to(MemoryFormat::row_major);
  const auto* l = plain.data<std::int32_t>();
  for (std::int64_t e = 0; e < labels.elements(); ++e) {
    std::int32_t& one = found[at(e / inner % size)];
    if (l[e] == kZero || l[e] == one) continue;
    if (one != kZero) return std::nullopt;
    one = l[e];
  }
  return found;
}

Tensor spread(const std::vector<std::int32_t>& labels, const Shape& shape, int axis) {
  if (axis < 0) axis += shape.rank();
  Tensor out = Tensor::empty(shape, DType::i32);
  auto* l = out.mutable_data<std::int32_t>();
  const std::int64_t size = shape[axis], inner = shape.elements(axis + 1, shape.rank());
  for (std::int64_t e = 0; e < out.elements(); ++e) l[e] = labels[at(e / inner % size)];
  return out;
}

class Finder {
 public:
  Finder(const Graph& graph, bool clipped)
      : graph_(graph),
        sized_(at_smallest_sizes(graph)),
        uses_(graph),
        leaf_(leaf_values(graph)),
        clipped_(clipped) {}

  ChannelPaths run() {
    ChannelPaths result;
    for (int n = 0; n < static_cast<int>(graph_.nodes().size()); ++n) {
      const Graph::Node& node = graph_.node(n);
      if (node.call.op->quantization.weight_input < 0 || leaf_[at(node.outputs[0])]) continue;
      ChannelPath path{.first = n};
      if (const std::string why = follow(path); !why.empty())
        result.left.push_back({node.name, why});
      else
        result.paths.push_back(std::move(path));
    }
    return result;
  }

 private:
  const Shape& shape(int value) const { return sized_.value(value).shape; }

  // Why the layer can be no end of a path; empty if it can.
  std::string obstacle(const Graph::Node& node) const {
    if (node.call.op->quantization.weight_input != 1 || node.inputs.size() < 2 ||
        node.inputs[1] < 0 || layer_channels(node, shape(node.inputs[1])).outputs == 0)
      return fmt::format("{} has no weight of output and input channels", node.call.op->name);
    for (std::size_t i = 1; i < node.inputs.size(); ++i)
      if (node.inputs[i] >= 0 && !leaf_[at(node.inputs[i])])
        return "its weight or bias is computed from the inputs";
    if (graph_.value(node.outputs[0]).dtype != DType::f32) return "its result is not f32";
    return "";
  }

  // Why there is no path; empty if there is.
  std::string follow(ChannelPath& path) {
    const Graph::Node& first = graph_.node(path.first);
    if (std::string why = obstacle(first); !why.empty()) return why;
    const LayerChannels layer = layer_channels(first, shape(first.inputs[1]));
    int value = first.outputs[0];
    if (shape(value).symbolic()) return "the sizes of its result depend on values";
    std::vector<std::int32_t> numbers(at(layer.outputs));
    for (std::size_t c = 0; c < numbers.size(); ++c) numbers[c] = static_cast<std::int32_t>(c) + 1;
    Tensor labels = spread(numbers, shape(value), layer.axis);
    while (true) {
      const std::string& name = graph_.value(value).name;
      if (uses_.is_output(value)) return fmt::format("'{}' is an output of the graph", name);
      const int reader = uses_.only_reader(value);
      if (reader < 0) return fmt::format("'{}' has several readers", name);
      const Graph::Node& node = graph_.node(reader);
      if (node.call.op->quantization.weight_input == 1 && node.inputs[0] == value) {
        if (const std::string why = obstacle(node); !why.empty())
          return fmt::format("'{}': {}", node.name, why);
        path.second = reader;
        return arrive(labels, node, path);
      }
      if (node.outputs.size() != 1 || shape(node.outputs[0]).symbolic())
        return fmt::format("'{}' ({}) is not followed", node.name, node.call.op->name);
      const std::optional<Tensor> passed = pass(node, value, labels);
      if (!passed)
        return fmt::format("'{}' ({}) does not keep factors of channels", node.name,
                           node.call.op->name);
      if (const auto bounds = clip_bounds(node.call); bounds && !is_homogeneous(*bounds))
        path.clips.push_back(reader);
      labels = *passed;
      path.between.push_back(reader);
      value = node.outputs[0];
    }
  }

  std::string arrive(const Tensor& labels, const Graph::Node& node, ChannelPath& path) const {
    const LayerChannels layer = layer_channels(node, shape(node.inputs[1]));
    const auto found = labels_of_axis(labels, layer.axis);
    if (!found)
      return fmt::format("the input channels of '{}' are made of several channels", node.name);
    path.channel.clear();
    for (const std::int32_t label : *found)
      path.channel.push_back(label > 0 ? std::int64_t{label} - 1 : -1);
    PARE_ASSERT(static_cast<std::int64_t>(path.channel.size()) == layer.inputs);
    return "";
  }

  // Whether a call that clips does so at 0 alone.
  static bool is_homogeneous(const Bounds& bounds) {
    const auto open = [](double bound) { return bound == 0 || std::isinf(bound); };
    return open(bounds.low) && open(bounds.high);
  }

  // The labels of the node's result; nothing where a factor of a channel does not pass.
  std::optional<Tensor> pass(const Graph::Node& node, int value, const Tensor& labels) const {
    const OpDef* op = node.call.op;
    const Shape& result = shape(node.outputs[0]);
    const bool alone =
        std::all_of(node.inputs.begin() + 1, node.inputs.end(), [](int v) { return v < 0; });
    const bool leads = node.inputs[0] == value;
    if (op->channels.kind == ChannelFact::Kind::movement || moves_elements(node.call))
      return move(node, value, labels, alone);
    if (is_single_element(node, value) && result == labels.shape()) return labels;
    if (!leads || !alone) return std::nullopt;
    if (is_pool(op)) {
      const auto channels = labels_of_axis(labels, 1);
      if (!channels) return std::nullopt;
      return spread(*channels, result, 1);
    }
    if (op == &kMean || op == &kSum || op == &kMax || op == &kMin) return reduce(node, labels);
    return std::nullopt;
  }

  // Whether every element of the result is a positively homogeneous function of the one at its
  // place.
  bool is_single_element(const Graph::Node& node, int value) const {
    const OpDef* op = node.call.op;
    const bool leads = node.inputs[0] == value;
    if (const auto bounds = clip_bounds(node.call))
      return leads && (is_homogeneous(*bounds) || (clipped_ && bounds->low == 0));
    for (const OpDef* known :
         {&kLeakyRelu, &kPrelu, &kAbs, &kNeg, &kDropout, &kDetach, &kToFormat, &kDiv})
      if (op == known) return leads && (node.inputs.size() < 2 || leaf_[at(node.inputs[1])]);
    if (op == &kMul) return leaf_[at(node.inputs[leads ? 1 : 0])];
    return op == &kCast && graph_.value(node.outputs[0]).dtype == DType::f32;
  }

  static Tensor run(const Call& call, const Tensors& inputs) {
    ContextScope scope;
    scope->grad = scope->training = false;
    scope->tracer = nullptr;
    return apply_all(call, inputs)[0];
  }

  std::optional<Tensor> reduce(const Graph::Node& node, const Tensor& labels) const {
    // Only equal labels are summed where the largest is the smallest.
    const Tensor most = run({&kMax, node.call.attributes}, {labels});
    const Tensor least = run({&kMin, node.call.attributes}, {labels});
    if (most.to_vector<std::int32_t>() != least.to_vector<std::int32_t>()) return std::nullopt;
    return most;
  }

  std::optional<Tensor> move(const Graph::Node& node, int value, const Tensor& labels,
                             bool alone) const {
    const OpDef* op = node.call.op;
    if (op == &kPad && node.call.attributes.as<PadAttributes>().value != 0) return std::nullopt;
    if (alone) return run(node.call, {labels});
    Tensors inputs;
    for (const int v : node.inputs) {
      if (v == value)
        inputs.push_back(labels);
      else if (op == &kConcat && !shape(v).symbolic())
        inputs.push_back(Tensor::full(shape(v), kForeign, DType::i32));
      else
        return std::nullopt;
    }
    return run(node.call, inputs);
  }

  const Graph& graph_;
  const Graph sized_;
  const Uses uses_;
  const std::vector<bool> leaf_;
  const bool clipped_;
};

}  // namespace

ChannelPaths find_channel_paths(const Graph& graph, bool clipped) {
  return Finder(graph, clipped).run();
}

}  // namespace pare::quantize
