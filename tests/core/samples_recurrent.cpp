// Samples of recurrent layers with ONNX's options and with projections.
#include "core/samples.h"
#include "pare/core/ops/recurrent.h"

namespace pare::test {
namespace {

constexpr std::int64_t kSteps = 3, kBatch = 2, kIn = 3, kHidden = 3;

struct Form {
  const char* name;
  Call call;
  std::int64_t gates;
  std::int64_t directions = 1;
  std::int64_t projection = 0;
  bool peepholes = false, states = true;
  std::vector<std::int64_t> lengths = {};
  std::int64_t steps = kSteps, batch = kBatch, hidden = kHidden;
  std::vector<int> differentiate = {};  // empty: all
};

void add(Samples& samples, Generator& g, const Form& f) {
  const bool cell = f.call.op == &kLstm;
  const std::int64_t out = f.projection > 0 ? f.projection : f.hidden;
  Tensors inputs(cell ? 15 : 11);
  inputs[0] = g.normal({f.steps, f.batch, kIn});
  for (std::int64_t d = 0; d < f.directions; ++d) {
    Tensor* to = &inputs[static_cast<std::size_t>(1 + 4 * d)];
    to[0] = g.normal({f.gates * f.hidden, kIn});
    to[1] = g.normal({f.gates * f.hidden, out});
    for (int b = 2; b < 4; ++b) to[b] = g.normal({f.gates * f.hidden});
    if (f.projection > 0) inputs[static_cast<std::size_t>(13 + d)] = g.normal({out, f.hidden});
  }
  if (f.states) inputs[9] = g.normal({f.directions, f.batch, out});
  if (f.states && cell) inputs[11] = g.normal({f.directions, f.batch, f.hidden});
  if (!f.lengths.empty()) inputs[10] = Tensor::from(f.lengths, {f.batch});
  if (f.peepholes) inputs[12] = g.normal({f.directions, 3 * f.hidden});
  samples.push_back({f.name, f.call, std::move(inputs)});
  samples.back().differentiate = f.differentiate;
}

Call of(const RnnAttributes& a) { return {&kRnn, Attributes::of(a)}; }
Call of(const LstmAttributes& a) { return {&kLstm, Attributes::of(a)}; }
Call of(const GruAttributes& a) { return {&kGru, Attributes::of(a)}; }

/// With dynamic_quantize. Of one step, in which nothing that is differentiated is rounded: not x
/// and h0, and with a projection only what is projected with.
void add_rounded(Samples& samples) {
  Generator g(61);
  const std::string both = "bidirectional";
  const std::vector<int> smooth{1, 2, 3, 4};
  const std::vector<Form> forms{
      {.name = "rounded rows",
       .call = of(RnnAttributes{.dynamic_quantize = true}),
       .gates = 1,
       .steps = 1,
       .differentiate = smooth},
      {.name = "rounded rows, peepholes",
       .call = of(LstmAttributes{.dynamic_quantize = true}),
       .gates = 4,
       .peepholes = true,
       .steps = 1,
       .differentiate = {1, 2, 3, 4, 11, 12}},
      {.name = "rounded rows, both directions",
       .call = of(LstmAttributes{.direction = both, .dynamic_quantize = true}),
       .gates = 4,
       .directions = 2,
       .steps = 1,
       .differentiate = {1, 2, 5, 6, 7, 11}},
      {.name = "rounded rows, projection",
       .call = of(LstmAttributes{.dynamic_quantize = true}),
       .gates = 4,
       .projection = 2,
       .states = false,
       .steps = 1,
       .differentiate = {13}},
      {.name = "rounded rows",
       .call = of(GruAttributes{.dynamic_quantize = true}),
       .gates = 3,
       .steps = 1,
       .differentiate = smooth},
      {.name = "rounded rows, reset before the product",
       .call = of(GruAttributes{.linear_before_reset = false, .dynamic_quantize = true}),
       .gates = 3,
       .states = false,  // what is reset of h is rounded
       .steps = 1,
       .differentiate = {1, 3}},
  };
  for (const Form& f : forms) {
    add(samples, g, f);
    // A sum that is rounded otherwise may turn a code of what is projected or reset.
    samples.back().kernel_tolerance = 2e-2;
  }
}

}  // namespace

void add_recurrent_samples(Samples& samples, Generator& g) {
  const std::string both = "bidirectional";
  const std::vector<Form> forms{
      {"softplus", of(RnnAttributes{.activations = "Softplus"}), 1},
      {"functions with numbers, both directions, lengths",
       of(RnnAttributes{.direction = both,
                        .activations = "ScaledTanh,Affine",
                        .activation_alpha = {1.5, 0.5},
                        .activation_beta = {0.75}}),
       1,
       2,
       0,
       false,
       true,
       {3, 1}},
      {"clip", of(RnnAttributes{.clip = 8}), 1},
      {"clip", of(LstmAttributes{.clip = 8}), 4},
      {"functions",
       of(LstmAttributes{.activations = "HardSigmoid,Softsign,Elu",
                         .activation_alpha = {0.03125, 1}}),
       4},
      {"functions that are not 0 at 0", of(LstmAttributes{.activations = "Sigmoid,Tanh,Softplus"}),
       4},
      {"peepholes", of(LstmAttributes{}), 4, 1, 0, true},
      {"peepholes, both directions, lengths",
       of(LstmAttributes{.direction = both}),
       4,
       2,
       0,
       true,
       false,
       {1, 3}},
      {"input_forget", of(LstmAttributes{.direction = "reverse", .input_forget = true}), 4},
      {"projection", of(LstmAttributes{}), 4, 1, 2},
      {"projection, both directions, lengths",
       of(LstmAttributes{.direction = both}),
       4,
       2,
       1,
       false,
       true,
       {0, 3}},
      {"projection, no first states", of(LstmAttributes{}), 4, 1, 2, false, false},
      {"projection and every option",
       of(LstmAttributes{.activations = "Sigmoid,ScaledTanh,Softplus",
                         .activation_alpha = {1.5},
                         .activation_beta = {0.75},
                         .clip = 8,
                         .input_forget = true}),
       4, 1, 2, true},
      {"projection of no samples", of(LstmAttributes{}), 4, 1, 2, true, true, {}, 3, 0},
      {"projection, no steps", of(LstmAttributes{}), 4, 1, 2, true, true, {}, 0, 2},
      {"wide projection", of(LstmAttributes{}), 4, 1, 17, false, false, {}, 2, 7, 21},
      {"clip", of(GruAttributes{.clip = 8}), 3},
      {"functions",
       of(GruAttributes{.activations = "Sigmoid,Softsign"}),
       3,
       1,
       0,
       false,
       true,
       {2, 3}},
      {"functions, reset before the product",
       of(GruAttributes{.direction = both,
                        .linear_before_reset = false,
                        .activations = "Sigmoid,ScaledTanh,Sigmoid,Softplus",
                        .activation_alpha = {1.5},
                        .activation_beta = {0.75}}),
       3,
       2,
       0,
       false,
       true,
       {3, 2}},
  };
  for (const Form& f : forms) add(samples, g, f);
  add_rounded(samples);
}

}  // namespace pare::test
