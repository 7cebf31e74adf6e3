// Calls of recurrent layers whose ONNX nodes are run in ONNX Runtime.
#pragma once

#include <string>
#include <vector>

#include "core/text_emitter.h"
#include "pare/core/generator.h"
#include "pare/core/ops/recurrent.h"

namespace pare::test {

struct OnnxCase {
  std::string name;
  Call call;
  Tensors inputs;
};

/// What a case has besides x and the matrices.
struct OnnxOperands {
  bool everything = false;  ///< biases, first states, lengths
  bool peepholes = false;
  std::int64_t projection = 0;
};

inline OnnxCase onnx_case(Generator& g, const Call& call, bool two, const OnnxOperands& o) {
  constexpr std::int64_t kSteps = 3, kBatch = 3, kIn = 2, kHidden = 3;
  const bool cell = call.op == &kLstm;
  const std::int64_t gates = cell ? 4 : call.op == &kGru ? 3 : 1;
  const std::int64_t directions = two ? 2 : 1;
  const std::int64_t out = o.projection > 0 ? o.projection : kHidden;
  Tensors inputs(cell ? 15 : 11);
  inputs[0] = g.normal({kSteps, kBatch, kIn});
  for (std::int64_t d = 0; d < directions; ++d) {
    Tensor* to = &inputs[static_cast<std::size_t>(1 + 4 * d)];
    to[0] = g.normal({gates * kHidden, kIn});
    to[1] = g.normal({gates * kHidden, out});
    for (int b = 2; o.everything && b < 4; ++b) to[b] = g.normal({gates * kHidden});
    if (o.projection > 0) inputs[static_cast<std::size_t>(13 + d)] = g.normal({out, kHidden});
  }
  if (o.everything) {
    if (o.projection == 0) inputs[9] = g.normal({directions, kBatch, out});
    inputs[10] = Tensor::from(std::vector<std::int64_t>{3, 1, 2}, {kBatch});
    if (cell) inputs[11] = g.normal({directions, kBatch, kHidden});
  }
  if (o.peepholes) inputs[12] = g.normal({directions, 3 * kHidden});
  std::string name = call.op->name;
  name.append(" ").append(call.attributes.to_string());
  if (o.everything) name.append(", everything");
  if (o.peepholes) name.append(", peepholes");
  if (o.projection > 0) name.append(", projection");
  return {std::move(name), call, std::move(inputs)};
}

inline std::vector<OnnxCase> onnx_cases() {
  std::vector<OnnxCase> cases;
  Generator g(1);
  const auto add = [&](auto attributes, const OpDef& op, const OnnxOperands& operands) {
    const bool two = attributes.direction == "bidirectional";
    cases.push_back(onnx_case(g, {&op, Attributes::of(attributes)}, two, operands));
  };
  for (const char* direction : {"forward", "reverse", "bidirectional"})
    for (const bool everything : {false, true}) {
      const bool first = !everything;
      const OnnxOperands operands{.everything = everything};
      add(RnnAttributes{direction, first, "tanh"}, kRnn, operands);
      add(RnnAttributes{direction, first, "relu"}, kRnn, operands);
      add(LstmAttributes{direction, first}, kLstm, operands);
      add(GruAttributes{direction, first, true}, kGru, operands);
      add(GruAttributes{direction, first, false}, kGru, operands);
      add(LstmAttributes{direction, first}, kLstm, {.everything = everything, .peepholes = true});
      add(LstmAttributes{direction, first}, kLstm, {.everything = everything, .projection = 2});
    }
  const OnnxOperands all{.everything = true};
  add(RnnAttributes{.direction = "bidirectional",
                    .activations = "Affine,LeakyRelu",
                    .activation_alpha = {0.5, 0.25},
                    .activation_beta = {0.125},
                    .clip = 1.5},
      kRnn, all);
  add(RnnAttributes{.activations = "ThresholdedRelu", .activation_alpha = {0.25}}, kRnn, all);
  add(RnnAttributes{.activations = "Softsign"}, kRnn, all);
  // Their usual numbers are written out.
  for (const char* word : {"LeakyRelu", "HardSigmoid", "Elu", "Softplus", "ThresholdedRelu"})
    add(RnnAttributes{.activations = word}, kRnn, all);
  add(LstmAttributes{.direction = "bidirectional",
                     .activations = "HardSigmoid,ScaledTanh,Elu",
                     .activation_alpha = {0.25, 1.5, 0.5},
                     .activation_beta = {0.375, 0.75},
                     .clip = 0.75,
                     .input_forget = true},
      kLstm, {.everything = true, .peepholes = true});
  add(LstmAttributes{.activations = "Sigmoid,Tanh,Relu", .clip = 1}, kLstm,
      {.everything = true, .projection = 2});
  for (const bool linear : {false, true})
    add(GruAttributes{.direction = "reverse",
                      .batch_first = true,
                      .linear_before_reset = linear,
                      .activations = "HardSigmoid,Softsign",
                      .clip = 1.25},
        kGru, all);
  return cases;
}

}  // namespace pare::test
