// A FakeQuantizer's operations as nodes of a graph: traced by themselves, then copied in.
#include "quantize/own_rounding.h"

#include <charconv>
#include <map>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/ops.h"
#include "pare/graph/trace.h"
#include "quantize/metadata.h"

namespace pare::quantize {

FakeQuantizer::~FakeQuantizer() = default;

Tensors FakeQuantizer::leaves(const FakeQuantizerPlace&) const { return {}; }

namespace {

std::string leaf_name(std::size_t i) { return fmt::format("own{}", i); }

// `round` as a module.
class Rounding final : public nn::Module {
 public:
  Rounding(const FakeQuantizer& own, const FakeQuantizerPlace& place, Tensors leaves)
      : own_(own), place_(place), leaves_(std::move(leaves)) {}

  void members(nn::Members& m) override {
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      m.leaf(leaf_name(i), leaves_[i], leaves_[i].requires_grad());
  }
  Tensors run(const Tensors& inputs) override {
    FakeQuantizer::Rounded rounded = own_.round(inputs.at(0), leaves_, place_);
    PARE_CHECK(rounded.value.defined() && rounded.scale.defined(), invalid_argument, place_.name,
               "expected a value and a scale of a FakeQuantizer, got an undefined tensor");
    if (!rounded.zero_point.defined())
      rounded.zero_point = Tensor::zeros(rounded.scale.shape(), DType::i32);
    return {rounded.value, rounded.scale, rounded.zero_point};
  }
  Tensor forward(const Tensor& x) override { return run({x})[0]; }

 private:
  const FakeQuantizer& own_;
  const FakeQuantizerPlace& place_;
  Tensors leaves_;
};

// Values to trace with: of a symbolic axis some, the same for axes of one symbol.
Tensor example_of(const Graph::Value& value, TraceOptions& options) {
  constexpr std::int64_t kSome = 2;
  std::vector<std::int64_t> sizes;
  for (int a = 0; a < value.shape.rank(); ++a) {
    sizes.push_back(value.shape.symbolic(a) ? kSome : value.shape[a]);
    if (!value.shape.symbolic(a)) continue;
    if (a == 0) {
      options.symbolic_batch = true;
      options.batch_symbol = value.shape.symbol(a);
    } else {
      options.axes.push_back({0, a, value.shape.symbol(a)});
    }
  }
  Generator generator(1);
  return generator.normal(Shape(sizes), 0, 1);
}

void check(const Graph& traced, const Shape& x, const FakeQuantizerPlace& place) {
  const std::vector<bool> leaf = leaf_values(traced);
  const auto output = [&](std::size_t i) -> const Graph::Value& {
    return traced.value(traced.outputs()[i]);
  };
  const Shape scales = place.axis < 0 ? Shape{} : Shape{x[place.axis]};
  PARE_CHECK(output(0).shape == x && output(0).dtype == DType::f32, shape_mismatch, place.name,
             "expected a FakeQuantizer to give f32 {}, got {} {}", x, output(0).dtype,
             output(0).shape);
  PARE_CHECK(output(1).dtype == DType::f32 && output(2).dtype == DType::i32 &&
                 output(1).shape == scales && output(2).shape == scales,
             shape_mismatch, place.name,
             "expected a FakeQuantizer's scale f32 {0} and zero point i32 {0}, got {1} {2} and {3} "
             "{4}",
             scales, output(1).dtype, output(1).shape, output(2).dtype, output(2).shape);
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}})
    PARE_CHECK(leaf[static_cast<std::size_t>(traced.outputs()[i])], invalid_argument, place.name,
               "expected a FakeQuantizer's scale and zero point of its leaves alone, got some that "
               "depend on x");
}

// The activation that fake_quantize node n stands for the rounding of.
int rounded_by(const Graph& graph, int n) {
  const auto found = graph.metadata().find(kOwnKey + graph.node(n).name);
  if (found == graph.metadata().end() || found->second.empty()) return graph.node(n).inputs[0];
  const std::string& text = found->second;
  std::size_t input = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), input);
  const int first = failed == std::errc() && *end == ' '
                        ? graph.find_node(std::string_view(end + 1, text.data() + text.size()))
                        : -1;
  PARE_CHECK(first >= 0 && input < graph.node(first).inputs.size(), invalid_state, "convert",
             "expected the node where the rounding of '{}' begins, got '{}'", graph.node(n).name,
             text);
  return graph.node(first).inputs[input];
}

}  // namespace

std::vector<int> add_own_leaves(Graph& graph, const FakeQuantizer& own,
                                const FakeQuantizerPlace& place) {
  std::vector<int> values;
  for (const Tensor& leaf : own.leaves(place)) {
    PARE_CHECK(leaf.defined(), invalid_argument, place.name,
               "expected the leaves of a FakeQuantizer, got an undefined tensor");
    const bool learned = leaf.requires_grad();
    values.push_back(graph.add_leaf(learned ? Graph::Kind::parameter : Graph::Kind::buffer,
                                    fmt::format("{}_{}", place.name, leaf_name(values.size())),
                                    leaf, learned));
    graph.metadata()[kOwnLeafKey + graph.value(values.back()).name];
  }
  return values;
}

int add_own_rounding(Graph& graph, int x, const std::vector<int>& leaves, const FakeQuantizer& own,
                     const FakeQuantizerPlace& place) {
  TraceOptions options{.symbolic_batch = false, .batch_symbol = ""};
  const Shape shape = graph.value(x).shape;
  const Tensor example =
      place.weight.defined() ? place.weight.clone() : example_of(graph.value(x), options);
  Tensors tensors;
  for (const int leaf : leaves) tensors.push_back(graph.value(leaf).tensor);
  Rounding module(own, place, std::move(tensors));
  const Graph traced = trace(module, example, options);
  check(traced, shape, place);

  std::map<int, int> here;  // from the traced graph's values
  const auto value_here = [&](int v) {
    if (v < 0) return -1;
    if (const auto known = here.find(v); known != here.end()) return known->second;
    const Graph::Value& value = traced.value(v);
    for (std::size_t i = 0; i < leaves.size(); ++i)
      if (value.kind != Graph::Kind::constant && value.name == leaf_name(i))
        return here[v] = leaves[i];
    return here[v] = graph.add_leaf(Graph::Kind::constant,
                                    fmt::format("{}_{}", place.name, value.name), value.tensor);
  };
  here[traced.inputs()[0]] = x;
  std::string begins;
  for (const Graph::Node& node : traced.nodes()) {
    std::vector<int> inputs;
    for (const int v : node.inputs) inputs.push_back(value_here(v));
    const int added =
        graph.add_node(fmt::format("{}_{}", place.name, node.name), node.call, inputs);
    for (std::size_t o = 0; o < node.outputs.size(); ++o)
      here[node.outputs[o]] = graph.node(added).outputs[o];
    for (std::size_t i = 0; i < inputs.size() && begins.empty(); ++i)
      if (inputs[i] == x) begins = fmt::format("{} {}", i, graph.node(added).name);
  }
  std::vector<int> rounded;
  for (const int v : traced.outputs()) rounded.push_back(value_here(v));
  const Call call{&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{
                                      .qmin = place.qmin, .qmax = place.qmax, .axis = place.axis})};
  const int node = graph.add_node(place.name + "_fake_quantize", call, rounded);
  if (!place.weight.defined()) graph.metadata()[kOwnKey + graph.node(node).name] = begins;
  return node;
}

Graph without_own_rounding(const Graph& prepared) {
  Graph graph = prepared.share();
  bool any = false;
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const std::string key = kOwnKey + graph.node(n).name;
    if (graph.metadata().count(key) == 0) continue;
    graph.edit_node(n).inputs[0] = rounded_by(prepared, n);
    graph.metadata().erase(key);
    any = true;
  }
  if (any) graph.compact();
  return graph;
}

std::vector<ActivationRange> own_ranges(const Graph& prepared) {
  std::vector<ActivationRange> ranges;
  LeafEvaluator evaluate(prepared);
  for (int n = 0; n < static_cast<int>(prepared.nodes().size()); ++n) {
    const Graph::Node& node = prepared.node(n);
    if (prepared.metadata().count(kOwnKey + node.name) == 0) continue;
    const auto& a = node.call.attributes.as<FakeQuantizeAttributes>();
    const auto scale = static_cast<float>(evaluate(node.inputs[1]).item());
    const auto zero = static_cast<std::int32_t>(evaluate(node.inputs[2]).item());
    const float low = scale * static_cast<float>(a.qmin - zero);
    const float high = scale * static_cast<float>(a.qmax - zero);
    ranges.push_back({.value = prepared.value(rounded_by(prepared, n)).name,
                      .seen_min = low,
                      .seen_max = high,
                      .min = low,
                      .max = high,
                      .scale = scale,
                      .zero_point = zero});
  }
  return ranges;
}

void freeze_own_leaves(Graph& prepared, bool on) {
  prepared.set_leaves_trainable(
      [&](std::string_view name) {
        return prepared.metadata().count(kOwnLeafKey + std::string(name)) != 0;
      },
      !on);
}

}  // namespace pare::quantize
