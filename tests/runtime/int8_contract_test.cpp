// The contract of every op, its line on int8: quantized and compiled, it is the interpreter's
// result to within one step of its scale.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/layered_samples.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "pare/runtime/compile.h"

namespace pare {
namespace {

/// The scale of the codes that the output stands for; 0 where it is float.
double scale_of(const Graph& graph) {
  const int producer = graph.value(graph.outputs()[0]).producer;
  if (producer < 0 || graph.node(producer).call.op != &kDequantizeLinear) return 0;
  return graph.value(graph.node(producer).inputs[1]).tensor.item();
}

/// Whether the op's result has codes.
bool expect_within_a_step(const test::Sample& s, bool constant_weight = true) {
  Tensors inputs;
  const Graph graph = test::between_layers(s, constant_weight, inputs);
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

TEST(Int8Contract, EveryStepIsWithinItsBound) {
  ContextScope scope;
  scope->threads = 1;  // threads would wait for one another longer than they work
  std::map<std::string, int> quantized;
  int products = 0;  // of two activations
  for (const test::Sample& s : test::samples()) {
    const auto kind = s.call.op->quantization.kind;
    if (kind == QuantizationFact::Kind::none || s.training) continue;
    if (!test::suits_layers(s)) continue;
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
