// to_fake_quantize: quantized activations become numbers behind fake-quantization.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "pare/core/ops.h"
#include "quantize/coded_graph.h"
#include "quantize/placement.h"
#include "quantize/ranges.h"

namespace pare::quantize {
namespace {

class Activations {
 public:
  explicit Activations(CodedGraph& coded) : coded_(coded) {}

  void replace(int n) {
    const Graph::Node& it = coded_.node(n);
    if (it.call.op == &kQuantizeLinear && !coded_.is_constant(it.inputs[0])) quantized(n);
    if (it.call.op == &kDequantizeLinear && !coded_.is_constant(it.inputs[0])) from_outside(n);
  }

 private:
  void quantized(int n) {
    const Graph::Node& it = coded_.node(n);
    const auto& a = it.call.attributes.as<QuantizeAttributes>();
    const auto by = coded_.parameters_of(it);
    std::string why;
    if (!by || by->scale.elements() != 1)
      why = "its scale is not one constant";
    else if (!is_byte(a.dtype))
      why = fmt::format("its codes are {}", a.dtype);
    else
      why = coded_.obstacle(it.outputs[0], *by);
    if (!why.empty()) {
      coded_.report.left.push_back({it.name, why});
      return;
    }
    const std::string& name = coded_.before().value(it.inputs[0]).name;
    const int x = coded_.graph.node(n).inputs[0];
    pass_on(it.outputs[0], rounded(x, name, *by, a.qmin, a.qmax));
    coded_.report.done.push_back({it.name, coded_.options().moving_ranges
                                               ? "fake-quantized with a moving range"
                                               : "fake-quantized with its scale"});
  }

  /// Codes that come from outside: rounding their numbers again changes nothing.
  void from_outside(int n) {
    const Graph::Node& it = coded_.node(n);
    const DType dtype = coded_.before().value(it.inputs[0]).dtype;
    if (from_quantize(it.inputs[0]) || !is_byte(dtype)) return;
    const auto by = coded_.parameters_of(it);
    if (!by || by->scale.elements() != 1) return;
    const int real = rounded(it.outputs[0], coded_.before().value(it.outputs[0]).name, *by,
                             static_cast<std::int64_t>(traits(dtype).lowest),
                             static_cast<std::int64_t>(traits(dtype).highest));
    coded_.graph.replace_uses(it.outputs[0], real, coded_.graph.value(real).producer);
    coded_.stands_for(it.outputs[0], real);
  }

  /// x rounded to codes of one scale, for the activation of this name.
  int rounded(int x, const std::string& name, const CodeParameters& by, std::int64_t qmin,
              std::int64_t qmax) {
    Graph& graph = coded_.graph;
    if (coded_.options().moving_ranges) {
      const double s = by.scale.item(), z = by.zero.item();
      const auto end = [&](std::int64_t q) {
        return static_cast<float>((static_cast<double>(q) - z) * s);
      };
      const int range = graph.add_leaf(Graph::Kind::buffer, name + "_range",
                                       Tensor::from({end(qmin), end(qmax)}, {2}));
      const ObserveAttributes a{.qmin = qmin,
                                .qmax = qmax,
                                .even_zero_point = false,
                                .averaging = coded_.options().averaging};
      return coded_.output_of(graph.add_node(name + std::string(kObserverSuffix),
                                             {&kObserveFakeQuantize, Attributes::of(a)},
                                             {x, range}));
    }
    const FakeQuantizeAttributes a{.qmin = qmin, .qmax = qmax, .axis = -1};
    return coded_.output_of(
        graph.add_node(name + "_fake_quantize", {&kFakeQuantize, Attributes::of(a)},
                       {x, coded_.constant(name + "_scale", reshape(by.scale, {})),
                        coded_.constant(name + "_zero_point", reshape(by.zero, {}))}));
  }

  /// The readers of codes get the numbers that they stand for.
  void pass_on(int codes, int real) {
    if (coded_.before().is_output(codes)) {
      std::vector<int> outputs = coded_.graph.outputs();
      std::ranges::replace(outputs, codes, real);
      coded_.graph.set_outputs(std::move(outputs), coded_.graph.output_names());
    }
    for (const int r : coded_.before().readers(codes)) {
      const Graph::Node reader = coded_.node(r);
      if (reader.call.op == &kDequantizeLinear) {
        coded_.graph.replace_uses(reader.outputs[0], real);
        coded_.stands_for(reader.outputs[0], real);
        continue;
      }
      std::vector<int> inputs = reader.inputs;
      inputs[0] = real;
      pass_on(reader.outputs[0], coded_.output_of(coded_.graph.add_node(
                                     reader.name + "_float", reader.call, std::move(inputs))));
    }
  }

  bool from_quantize(int codes) const {
    for (int p = coded_.producer(codes); p >= 0; p = coded_.producer(codes)) {
      if (coded_.is(p, kQuantizeLinear)) return true;
      if (coded_.node(p).inputs.empty()) return false;
      codes = coded_.node(p).inputs[0];
    }
    return false;
  }

  CodedGraph& coded_;
};

}  // namespace

void fake_quantize_activations(CodedGraph& coded) {
  Activations activations(coded);
  for (int n = 0; n < coded.nodes(); ++n) activations.replace(n);
}

}  // namespace pare::quantize
