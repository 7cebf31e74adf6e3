// to_fake_quantize: dequantized codes become parameters, Q/DQ pairs fake_quantize.
#include "pare/quantize/to_fake_quantize.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "to_fake_quantize";
constexpr const char* kFloatBias = "; its float bias gets codes in convert";
constexpr const char* kCodesSuffix = "_quantized";

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// "conv1.weight" of "conv1.weight_quantized", as convert and ONNX Runtime name codes.
std::string float_name(const std::string& name) {
  const std::string suffix(kCodesSuffix);
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name + "_float";
}

class FakeQuantizer {
 public:
  FakeQuantizer(const Graph& quantized, const ToFakeQuantizeOptions& options)
      : options_(options),
        graph_(quantized.copy()),
        before_(graph_.share()),
        leaf_(leaf_values(before_)),
        float_of_(before_.values().size(), -1) {}

  FakeQuantized run() {
    check();
    for (int n = 0; n < nodes(); ++n) replace_activation(n);
    for (int n = 0; n < nodes(); ++n) replace_weights(n);
    graph_.compact();
    graph_.verify();
    note_rest();
    return {std::move(graph_), std::move(report_)};
  }

 private:
  /// Constant scale and zero point of a node that quantizes or dequantizes.
  struct By {
    Tensor scale;  ///< of rank 0 or 1
    Tensor zero;   ///< i32 of its shape
  };

  int nodes() const { return static_cast<int>(before_.nodes().size()); }
  const Graph::Node& node(int n) const { return before_.node(n); }
  int producer(int value) const { return value < 0 ? -1 : before_.value(value).producer; }
  bool is(int n, const OpDef& op) const { return n >= 0 && node(n).call.op == &op; }

  void check() const {
    PARE_CHECK(options_.averaging > 0 && options_.averaging <= 1, invalid_argument, kWhere,
               "expected an averaging above 0 and at most 1, got {}", options_.averaging);
    bool any = false;
    for (const Graph::Node& n : before_.nodes()) {
      PARE_CHECK(!is_observer(n) && n.call.op != &kFakeQuantize, invalid_state, kWhere,
                 "expected a graph of integers, got one that is prepared already (node '{}')",
                 n.name);
      any = any || n.call.op == &kDequantizeLinear;
    }
    PARE_CHECK(any, invalid_state, kWhere,
               "expected a graph with quantize_linear and dequantize_linear, got a float one");
  }

  std::optional<By> parameters_of(const Graph::Node& n) const {
    if (!leaf_[at(n.inputs[1])] ||
        (n.inputs.size() > 2 && n.inputs[2] >= 0 && !leaf_[at(n.inputs[2])]))
      return std::nullopt;
    LeafEvaluator evaluate(before_);
    By by{evaluate(n.inputs[1]).clone(), {}};
    by.zero = n.inputs.size() > 2 && n.inputs[2] >= 0 ? evaluate(n.inputs[2]).to(DType::i32).clone()
                                                      : Tensor::zeros(by.scale.shape(), DType::i32);
    return by;
  }

  static bool same(const By& a, const By& b) {
    return a.scale.shape() == b.scale.shape() &&
           a.scale.to_vector<float>() == b.scale.to_vector<float>() &&
           a.zero.to_vector<std::int32_t>() == b.zero.to_vector<std::int32_t>();
  }

  int output_of(int n) const { return graph_.node(n).outputs[0]; }
  int constant(const std::string& name, const Tensor& value) {
    return graph_.add_leaf(Graph::Kind::constant, name, value);
  }

  int parameter(const std::string& name, Tensor value) {
    value.set_requires_grad(true);
    return graph_.add_leaf(Graph::Kind::parameter, name, std::move(value), true);
  }

  /// x rounded to codes of one scale, for the activation of this name.
  int rounded(int x, const std::string& name, const By& by, std::int64_t qmin, std::int64_t qmax) {
    if (options_.moving_ranges) {
      const double s = by.scale.item(), z = by.zero.item();
      const auto end = [&](std::int64_t q) {
        return static_cast<float>((static_cast<double>(q) - z) * s);
      };
      const int range = graph_.add_leaf(Graph::Kind::buffer, name + "_range",
                                        Tensor::from({end(qmin), end(qmax)}, {2}));
      const ObserveAttributes a{
          .qmin = qmin, .qmax = qmax, .even_zero_point = false, .averaging = options_.averaging};
      return output_of(graph_.add_node(name + std::string(kObserverSuffix),
                                       {&kObserveFakeQuantize, Attributes::of(a)}, {x, range}));
    }
    const FakeQuantizeAttributes a{.qmin = qmin, .qmax = qmax, .axis = -1};
    return output_of(graph_.add_node(
        name + "_fake_quantize", {&kFakeQuantize, Attributes::of(a)},
        {x, constant(name + "_scale", by.scale), constant(name + "_zero_point", by.zero)}));
  }

  /// Whether everybody who reads these codes, through movement or at once, dequantizes them by the
  /// same numbers; else why not.
  std::string obstacle(int codes, const By& by) const {
    if (before_.is_output(codes)) return "its codes leave the graph";
    for (const int r : before_.readers(codes)) {
      const Graph::Node& reader = node(r);
      if (reader.call.op == &kDequantizeLinear) {
        const auto other = parameters_of(reader);
        if (!other || !same(*other, by)) return "its codes are read with another scale";
        continue;
      }
      if (!selects(reader.call) || reader.inputs[0] != codes || reader.outputs.size() != 1 ||
          reader.call.op->quantization.kind != QuantizationFact::Kind::same_as_input)
        return fmt::format("its codes are read by '{}' ({})", reader.name, reader.call.op->name);
      if (std::string why = obstacle(reader.outputs[0], by); !why.empty()) return why;
    }
    return "";
  }

  /// The readers of codes get the numbers that they stand for.
  void pass_on(int codes, int real) {
    for (const int r : before_.readers(codes)) {
      const Graph::Node reader = node(r);
      if (reader.call.op == &kDequantizeLinear) {
        graph_.replace_uses(reader.outputs[0], real);
        float_of_[at(reader.outputs[0])] = real;
        continue;
      }
      std::vector<int> inputs = reader.inputs;
      inputs[0] = real;
      pass_on(reader.outputs[0],
              output_of(graph_.add_node(reader.name + "_float", reader.call, std::move(inputs))));
    }
  }

  void replace_activation(int n) {
    const Graph::Node& it = node(n);
    const std::string name =
        it.inputs.empty() || it.inputs[0] < 0 ? it.name : before_.value(it.inputs[0]).name;
    if (it.call.op == &kQuantizeLinear && !leaf_[at(it.inputs[0])]) {
      const auto& a = it.call.attributes.as<QuantizeAttributes>();
      const auto by = parameters_of(it);
      std::string why;
      if (!by || by->scale.elements() != 1)
        why = "its scale is not one constant";
      else if (a.dtype != DType::u8 && a.dtype != DType::i8)
        why = fmt::format("its codes are {}", a.dtype);
      else
        why = obstacle(it.outputs[0], *by);
      if (!why.empty()) {
        report_.left.push_back({it.name, why});
        return;
      }
      const By one{reshape(by->scale, {}), reshape(by->zero, {})};
      const int x = graph_.node(n).inputs[0];
      pass_on(it.outputs[0], rounded(x, name, one, a.qmin, a.qmax));
      report_.done.push_back({it.name, options_.moving_ranges ? "fake-quantized with a moving range"
                                                              : "fake-quantized with its scale"});
      return;
    }
    // Codes that come from outside: rounding their numbers again changes nothing.
    if (it.call.op != &kDequantizeLinear || leaf_[at(it.inputs[0])]) return;
    const DType dtype = before_.value(it.inputs[0]).dtype;
    if (from_quantize(it.inputs[0]) || (dtype != DType::u8 && dtype != DType::i8)) return;
    const auto by = parameters_of(it);
    if (!by || by->scale.elements() != 1) return;
    const By one{reshape(by->scale, {}), reshape(by->zero, {})};
    const int real = rounded(it.outputs[0], before_.value(it.outputs[0]).name, one,
                             static_cast<std::int64_t>(traits(dtype).lowest),
                             static_cast<std::int64_t>(traits(dtype).highest));
    graph_.replace_uses(it.outputs[0], real, graph_.value(real).producer);
    float_of_[at(it.outputs[0])] = real;
  }

  bool from_quantize(int codes) const {
    for (int p = producer(codes); p >= 0; p = producer(codes)) {
      if (is(p, kQuantizeLinear)) return true;
      if (node(p).inputs.empty()) return false;
      codes = node(p).inputs[0];
    }
    return false;
  }

  /// The dequantized constant codes that input i of a node reads; −1: none.
  int stored(int n, int i) const {
    if (i < 0 || at(i) >= node(n).inputs.size()) return -1;
    const int p = producer(node(n).inputs[at(i)]);
    return is(p, kDequantizeLinear) && before_.value(node(p).inputs[0]).is_leaf() ? p : -1;
  }

  /// The quantize_linear between a float weight and what input i of a node reads; −1: none.
  int rounding(int n, int i) const {
    if (i < 0 || at(i) >= node(n).inputs.size()) return -1;
    const int p = producer(node(n).inputs[at(i)]);
    if (!is(p, kDequantizeLinear)) return -1;
    const int q = producer(node(p).inputs[0]);
    return is(q, kQuantizeLinear) && leaf_[at(node(q).inputs[0])] ? q : -1;
  }

  /// A weight that the file keeps as floats before quantize_linear, as PyTorch exports them.
  void round_weight(int n, int q) {
    const QuantizationFact& fact = node(n).call.op->quantization;
    const int weight = node(q).inputs[0];
    const auto by = parameters_of(node(q));
    const auto& its = node(q).call.attributes.as<QuantizeAttributes>();
    const int axis = normalize_axis(fact.weight_axis, before_.value(weight).shape.rank(), kWhere);
    const bool small = its.dtype == DType::i8 || its.dtype == DType::u8;
    if (!by || !small || (by->scale.elements() > 1 && its.axis != axis) ||
        !obstacle(node(q).outputs[0], *by).empty()) {
      report_.left.push_back({node(n).name, "its weight has codes that convert does not make"});
      return;
    }
    const std::int32_t shift = its.dtype == DType::u8 ? 128 : 0;
    std::vector<std::int32_t> zeros = by->zero.to_vector<std::int32_t>();
    for (std::int32_t& z : zeros) z -= shift;
    const bool one = zeros.size() == 1;
    const Shape shape = one ? Shape{} : by->scale.shape();
    const FakeQuantizeAttributes a{
        .qmin = its.qmin - shift, .qmax = its.qmax - shift, .axis = one ? -1 : axis};
    const std::string& name = before_.value(weight).name;
    const int scale = constant(name + "_scale", Tensor::from(by->scale.to_vector<float>(), shape));
    const int zero = constant(name + "_zero_point", Tensor::from(zeros, shape));
    const int result = output_of(graph_.add_node(
        name + "_fake_quantize", {&kFakeQuantize, Attributes::of(a)}, {weight, scale, zero}));
    graph_.edit_node(n).inputs[at(fact.weight_input)] = result;
    std::string text = "weight trainable";
    if (fact.bias_input >= 0 && at(fact.bias_input) < node(n).inputs.size() &&
        node(n).inputs[at(fact.bias_input)] >= 0)
      text += kFloatBias;
    report_.done.push_back({node(n).name, text});
  }

  void replace_weights(int n) {
    const QuantizationFact& fact = node(n).call.op->quantization;
    const int weight = stored(n, fact.weight_input), rounded = rounding(n, fact.weight_input);
    if (weight < 0 && rounded < 0) return;
    const int source = node(n).inputs[0];
    const std::string& name = node(n).name;
    if (source < 0 || float_of_[at(source)] < 0) {
      report_.left.push_back({name, "its input has no codes: its weight stays integers"});
      return;
    }
    if (rounded >= 0) return round_weight(n, rounded);
    const auto by = parameters_of(node(weight));
    const int axis = normalize_axis(fact.weight_axis,
                                    before_.value(node(weight).inputs[0]).shape.rank(), kWhere);
    const auto its_axis = node(weight).call.attributes.as<DequantizeAttributes>().axis;
    const bool fits = by && (by->scale.elements() == 1 || its_axis == axis);
    const DType dtype = before_.value(node(weight).inputs[0]).dtype;
    if (!fits || (dtype != DType::i8 && dtype != DType::u8)) {
      report_.left.push_back({name, "its weight has codes that convert does not make"});
      return;
    }
    graph_.edit_node(n).inputs[at(fact.weight_input)] = weight_value(weight, *by, axis);
    std::string text = "weight trainable";
    if (const int bias = stored(n, fact.bias_input); bias >= 0) {
      graph_.edit_node(n).inputs[at(fact.bias_input)] = bias_value(n, bias, *by, text);
    } else if (fact.bias_input >= 0 && at(fact.bias_input) < node(n).inputs.size() &&
               node(n).inputs[at(fact.bias_input)] >= 0) {
      text += kFloatBias;
    }
    report_.done.push_back({name, text});
  }

  /// The scale's element of every code.
  static std::size_t channel(std::size_t i, const Shape& shape, int axis, std::size_t scales) {
    if (scales == 1) return 0;
    return i / static_cast<std::size_t>(shape.elements(axis + 1, shape.rank())) % scales;
  }

  int weight_value(int dequantize, const By& by, int axis) {
    const int codes = node(dequantize).inputs[0];
    if (const auto known = weights_.find(dequantize); known != weights_.end()) return known->second;
    const Graph::Value& stored = before_.value(codes);
    const bool is_signed = stored.dtype == DType::i8;
    const std::vector<std::int32_t> q = stored.tensor.to(DType::i32).to_vector<std::int32_t>();
    const std::vector<float> s = by.scale.to_vector<float>();
    std::vector<std::int32_t> z = by.zero.to_vector<std::int32_t>();
    std::vector<float> w(q.size());
    std::int64_t least = 0, most = 0;
    for (std::size_t i = 0; i < q.size(); ++i) {
      const std::size_t c = channel(i, stored.shape, axis, s.size());
      w[i] = static_cast<float>(q[i] - z[c]) * s[c];
      least = std::min<std::int64_t>(least, q[i]);
      most = std::max<std::int64_t>(most, q[i]);
    }
    const bool centred = std::ranges::all_of(z, [](std::int32_t v) { return v == 0; });
    constexpr std::int32_t kShift = 128;
    if (!is_signed)
      for (std::int32_t& v : z) v -= kShift;
    FakeQuantizeAttributes a{
        .qmin = -kShift, .qmax = kShift - 1, .axis = s.size() == 1 ? -1 : axis};
    if (is_signed && centred && least >= -most) {
      // What reaches exactly the end of a narrower range was made for it.
      for (const std::int64_t end : {1, 7, 63, 127})
        if (most == end || end == 127) {
          a.qmin = -end;
          a.qmax = end;
          break;
        }
    }
    const std::string name = float_name(stored.name);
    const int leaf = parameter(name, Tensor::from(w, stored.shape));
    const Shape shape = s.size() == 1 ? Shape{} : Shape{static_cast<std::int64_t>(s.size())};
    int scale = -1;
    if (options_.moving_ranges && centred && is_signed && a.qmin == -a.qmax) {
      const SymmetricScaleAttributes follow{.qmax = a.qmax, .axis = a.axis};
      scale = output_of(
          graph_.add_node(name + "_scale", {&kSymmetricScale, Attributes::of(follow)}, {leaf}));
    } else {
      scale = constant(name + "_scale", Tensor::from(s, shape));
    }
    const int zero = constant(name + "_zero_point", Tensor::from(z, shape));
    const int result = output_of(graph_.add_node(
        name + "_fake_quantize", {&kFakeQuantize, Attributes::of(a)}, {leaf, scale, zero}));
    return weights_[dequantize] = result;
  }

  int bias_value(int n, int dequantize, const By& weight, std::string& text) {
    const auto by = parameters_of(node(dequantize));
    const Graph::Value& codes = before_.value(node(dequantize).inputs[0]);
    if (!by) return node(dequantize).outputs[0];
    const std::vector<double> q = codes.tensor.to(DType::f64).to_vector<double>();
    const std::vector<float> s = by->scale.to_vector<float>();
    const std::vector<std::int32_t> z = by->zero.to_vector<std::int32_t>();
    std::vector<float> b(q.size());
    for (std::size_t i = 0; i < q.size(); ++i) {
      const std::size_t c = s.size() == 1 ? 0 : i;
      b[i] = static_cast<float>((q[i] - z[c]) * double{s[c]});
    }
    // In units of the layer's own scales, as convert will have it.
    if (const auto source = source_scale(n)) {
      const std::vector<float> scales = weight.scale.to_vector<float>();
      std::int64_t changed = 0;
      for (std::size_t i = 0; i < q.size(); ++i) {
        const float unit = *source * scales[scales.size() == 1 ? 0 : i % scales.size()];
        const std::size_t c = s.size() == 1 ? 0 : i;
        if (std::nearbyint(double{b[i]} / double{unit}) != q[i] - z[c]) ++changed;
      }
      if (changed > 0) text += fmt::format("; {} codes of its bias have another scale", changed);
    }
    return parameter(float_name(codes.name), Tensor::from(b, codes.shape));
  }

  std::optional<float> source_scale(int n) const {
    const int p = producer(node(n).inputs[0]);
    if (!is(p, kDequantizeLinear)) return std::nullopt;
    const auto by = parameters_of(node(p));
    if (!by || by->scale.elements() != 1) return std::nullopt;
    return static_cast<float>(by->scale.item());
  }

  /// Of the integers that are left those that nothing was said about.
  void note_rest() {
    for (const Graph::Node& n : graph_.nodes()) {
      if (n.call.op != &kDequantizeLinear) continue;
      if (graph_.value(n.inputs[0]).is_leaf())
        report_.left.push_back({n.name, "constant codes that are no layer's weight or bias"});
    }
  }

  const ToFakeQuantizeOptions& options_;
  Graph graph_;
  const Graph before_;
  const std::vector<bool> leaf_;
  std::vector<int> float_of_;  // by value of before_: what stands for a dequantized activation
  std::map<int, int> weights_;
  PassReport report_;
};

}  // namespace

FakeQuantized to_fake_quantize(const Graph& quantized, const ToFakeQuantizeOptions& options) {
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  scope->tracer = nullptr;
  return FakeQuantizer(quantized, options).run();
}

}  // namespace pare::quantize
