// The contract of every op, its line on int8: quantized and compiled, it is the interpreter's
// result to within one step of its scale.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/samples.h"
#include "pare/core/ops.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "pare/runtime/compile.h"

namespace pare {
namespace {

/// A linear layer over the last axis of a value.
int layer_over(Graph& graph, const std::string& name, int value, std::int64_t outputs) {
  const Shape& shape = graph.value(value).shape;
  const int weight = graph.add_leaf(Graph::Kind::parameter, name + ".weight",
                                    Generator(7).normal({outputs, shape[shape.rank() - 1]}), true);
  const int node = graph.add_node(name, {&kLinear, {}}, {value, weight});
  return graph.node(node).outputs[0];
}

/// The sample's op between linear layers, without which most ops would stay float: all its
/// activations come from one, and one reads its output, which is the graph's first output.
/// `inputs` gets values for the graph's inputs. A weight is a parameter, or an activation as well.
Graph net_of(const test::Sample& s, bool constant_weight, Tensors& inputs) {
  Graph graph;
  const QuantizationFact& fact = s.call.op->quantization;
  std::vector<int> operands;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const Tensor& t = s.inputs[i];
    const auto name = "input" + std::to_string(i);
    const int which = static_cast<int>(i);
    if (!t.defined()) {
      operands.push_back(-1);
    } else if (t.dtype() != DType::f32) {
      operands.push_back(graph.add_leaf(Graph::Kind::constant, name, t.clone()));
    } else if (constant_weight && (which == fact.weight_input || which == fact.bias_input)) {
      operands.push_back(graph.add_leaf(Graph::Kind::parameter, name, t.clone(), true));
    } else {
      const int input = graph.add_input(name, t.shape(), DType::f32);
      operands.push_back(
          layer_over(graph, "before" + std::to_string(i), input, t.dim(t.rank() - 1)));
      inputs.push_back(t.to(MemoryFormat::row_major));
    }
  }
  const int node = graph.add_node("op", s.call, operands);
  const int y = graph.node(node).outputs[0];
  graph.set_outputs({y, layer_over(graph, "after", y, 3)});
  graph.compact();
  graph.verify();
  return graph;
}

/// The scale of the codes that the output stands for; 0 where it is float.
double scale_of(const Graph& graph) {
  const int producer = graph.value(graph.outputs()[0]).producer;
  if (producer < 0 || graph.node(producer).call.op != &kDequantizeLinear) return 0;
  return graph.value(graph.node(producer).inputs[1]).tensor.item();
}

/// Whether the op's result has codes.
bool expect_within_a_step(const test::Sample& s, bool constant_weight = true) {
  Tensors inputs;
  const Graph graph = net_of(s, constant_weight, inputs);
  quantize::QConfig config = quantize::QConfig::x86();
  config.quantize_outputs = true;
  config.observer = quantize::Observer::min_max;
  Graph prepared = quantize::prepare(graph, config);
  const NoGrad no_grad;
  prepared.run(inputs);
  Graph converted = quantize::convert(prepared).graph;
  const double scale = scale_of(converted);
  const auto expected = converted.run(inputs)[0].to_vector<float>();
  const auto result = compile(converted, {.threads = 1}).run(inputs)[0].to_vector<float>();
  EXPECT_EQ(result.size(), expected.size());
  for (std::size_t i = 0; i < std::min(result.size(), expected.size()); ++i) {
    const double bound = scale * 1.001 + 1e-5 * (1 + std::fabs(expected[i]));
    EXPECT_NEAR(result[i], expected[i], bound) << i << " in steps of " << scale;
  }
  return scale > 0;
}

/// Float operands and result with elements, all with a last axis for the layers around.
bool suits(const test::Sample& s) {
  const auto fits = [](const Tensor& t) {
    return t.dtype() == DType::f32 && t.rank() > 0 && t.elements() > 0;
  };
  if (!s.inputs[0].defined() || !fits(s.inputs[0])) return false;
  for (const Tensor& t : s.inputs)
    if (t.defined() && t.dtype() == DType::f32 && !fits(t)) return false;
  const NoGrad no_grad;
  return fits(apply_all(s.call, s.inputs)[0]);
}

TEST(Int8Contract, EveryStepIsWithinItsBound) {
  ContextScope scope;
  scope->threads = 1;  // threads would wait for one another longer than they work
  std::map<std::string, int> quantized;
  int products = 0;  // of two activations
  for (const test::Sample& s : test::samples()) {
    const auto kind = s.call.op->quantization.kind;
    if (kind == QuantizationFact::Kind::none || s.training) continue;
    if (!suits(s)) continue;
    SCOPED_TRACE(test::label(s));
    quantized[s.call.op->name] += expect_within_a_step(s);
    if (s.call.op == &kMatmul) products += expect_within_a_step(s, false);
  }
  EXPECT_GT(products, 0);
  for (const OpDef* op : all_ops()) {
    const auto kind = op->quantization.kind;
    if (kind == QuantizationFact::Kind::none || kind == QuantizationFact::Kind::fused_activation)
      continue;
    EXPECT_GT(quantized[op->name], 0) << op->name << " was never quantized";
  }
}

}  // namespace
}  // namespace pare
