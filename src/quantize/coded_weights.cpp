// to_fake_quantize: codes of weights and biases become parameters behind fake-quantization.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "pare/core/ops.h"
#include "quantize/coded_graph.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "to_fake_quantize";
constexpr const char* kNotConverts = "its weight has codes that convert does not make";
constexpr const char* kFloatBias = "; its float bias gets codes in convert";
constexpr const char* kCodesSuffix = "_quantized";

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// "conv1.weight" of "conv1.weight_quantized", as convert and ONNX Runtime name codes.
std::string float_name(const std::string& name) {
  const std::string suffix(kCodesSuffix);
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name + "_float";
}

class Weights {
 public:
  explicit Weights(CodedGraph& coded) : coded_(coded), before_(coded.before()) {}

  void replace(int n) {
    const QuantizationFact& fact = node(n).call.op->quantization;
    const int weight = stored(n, fact.weight_input), rounded = rounding(n, fact.weight_input);
    if (weight < 0 && rounded < 0) return;
    const int source = node(n).inputs[0];
    const std::string& name = node(n).name;
    if (source < 0 || !coded_.has_real(source)) {
      coded_.report.left.push_back({name, "its input has no codes: its weight stays integers"});
      return;
    }
    if (rounded >= 0) return round_weight(n, rounded);
    const auto by = coded_.parameters_of(node(weight));
    const int axis = normalize_axis(fact.weight_axis,
                                    before_.value(node(weight).inputs[0]).shape.rank(), kWhere);
    const auto its_axis = node(weight).call.attributes.as<DequantizeAttributes>().axis;
    const bool fits = by && (by->scale.elements() == 1 || its_axis == axis);
    if (!fits || !is_byte(before_.value(node(weight).inputs[0]).dtype)) {
      coded_.report.left.push_back({name, kNotConverts});
      return;
    }
    coded_.graph.edit_node(n).inputs[at(fact.weight_input)] = weight_value(weight, *by, axis);
    std::string text = "weight trainable";
    if (const int bias = stored(n, fact.bias_input); bias >= 0) {
      coded_.graph.edit_node(n).inputs[at(fact.bias_input)] = bias_value(n, bias, *by, text);
    } else if (has_input(n, fact.bias_input)) {
      text += kFloatBias;
    }
    coded_.report.done.push_back({name, text});
  }

 private:
  const Graph::Node& node(int n) const { return before_.node(n); }
  bool has_input(int n, int i) const {
    return i >= 0 && at(i) < node(n).inputs.size() && node(n).inputs[at(i)] >= 0;
  }

  /// The dequantized constant codes that input i of a node reads; −1: none.
  int stored(int n, int i) const {
    if (!has_input(n, i)) return -1;
    const int p = coded_.producer(node(n).inputs[at(i)]);
    return coded_.is(p, kDequantizeLinear) && before_.value(node(p).inputs[0]).is_leaf() ? p : -1;
  }

  /// The quantize_linear between a float weight and what input i of a node reads; −1: none.
  int rounding(int n, int i) const {
    if (!has_input(n, i)) return -1;
    const int p = coded_.producer(node(n).inputs[at(i)]);
    if (!coded_.is(p, kDequantizeLinear)) return -1;
    const int q = coded_.producer(node(p).inputs[0]);
    return coded_.is(q, kQuantizeLinear) && coded_.is_constant(node(q).inputs[0]) ? q : -1;
  }

  /// A weight that the file keeps as floats before quantize_linear, as PyTorch exports them.
  void round_weight(int n, int q) {
    const QuantizationFact& fact = node(n).call.op->quantization;
    const int weight = node(q).inputs[0];
    const auto by = coded_.parameters_of(node(q));
    const auto& its = node(q).call.attributes.as<QuantizeAttributes>();
    const int axis = normalize_axis(fact.weight_axis, before_.value(weight).shape.rank(), kWhere);
    if (!by || !is_byte(its.dtype) || (by->scale.elements() > 1 && its.axis != axis) ||
        !coded_.obstacle(node(q).outputs[0], *by).empty()) {
      coded_.report.left.push_back({node(n).name, kNotConverts});
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
    const int scale =
        coded_.constant(name + "_scale", Tensor::from(by->scale.to_vector<float>(), shape));
    const int zero = coded_.constant(name + "_zero_point", Tensor::from(zeros, shape));
    const int result = coded_.output_of(coded_.graph.add_node(
        name + "_fake_quantize", {&kFakeQuantize, Attributes::of(a)}, {weight, scale, zero}));
    coded_.graph.edit_node(n).inputs[at(fact.weight_input)] = result;
    std::string text = "weight trainable";
    if (has_input(n, fact.bias_input)) text += kFloatBias;
    coded_.report.done.push_back({node(n).name, text});
  }

  /// The scale's element of every code.
  static std::size_t channel(std::size_t i, const Shape& shape, int axis, std::size_t scales) {
    if (scales == 1) return 0;
    return i / static_cast<std::size_t>(shape.elements(axis + 1, shape.rank())) % scales;
  }

  int weight_value(int dequantize, const CodeParameters& by, int axis) {
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
      for (const std::int64_t end : {1, 3, 7, 15, 31, 63, 127})
        if (most == end || end == 127) {
          a.qmin = -end;
          a.qmax = end;
          break;
        }
    }
    const std::string name = float_name(stored.name);
    const int leaf = coded_.parameter(name, Tensor::from(w, stored.shape));
    const Shape shape = s.size() == 1 ? Shape{} : Shape{static_cast<std::int64_t>(s.size())};
    int scale = -1;
    if (coded_.options().moving_ranges && centred && is_signed && a.qmin == -a.qmax) {
      const SymmetricScaleAttributes follow{.qmax = a.qmax, .axis = a.axis};
      scale = coded_.output_of(coded_.graph.add_node(
          name + "_scale", {&kSymmetricScale, Attributes::of(follow)}, {leaf}));
    } else {
      scale = coded_.constant(name + "_scale", Tensor::from(s, shape));
    }
    const int zero = coded_.constant(name + "_zero_point", Tensor::from(z, shape));
    const int result = coded_.output_of(coded_.graph.add_node(
        name + "_fake_quantize", {&kFakeQuantize, Attributes::of(a)}, {leaf, scale, zero}));
    return weights_[dequantize] = result;
  }

  int bias_value(int n, int dequantize, const CodeParameters& weight, std::string& text) {
    const auto by = coded_.parameters_of(node(dequantize));
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
    return coded_.parameter(float_name(codes.name), Tensor::from(b, codes.shape));
  }

  std::optional<float> source_scale(int n) const {
    const int p = coded_.producer(node(n).inputs[0]);
    if (!coded_.is(p, kDequantizeLinear)) return std::nullopt;
    const auto by = coded_.parameters_of(node(p));
    if (!by || by->scale.elements() != 1) return std::nullopt;
    return static_cast<float>(by->scale.item());
  }

  CodedGraph& coded_;
  const Graph& before_;
  std::map<int, int> weights_;  // by the node that dequantizes
};

}  // namespace

void train_weights(CodedGraph& coded) {
  Weights weights(coded);
  for (int n = 0; n < coded.nodes(); ++n) weights.replace(n);
}

}  // namespace pare::quantize
