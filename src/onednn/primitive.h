// A plan's primitive on oneDNN: what convolutions and dense layers have in common.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "onednn/api.h"
#include "runtime/primitives.h"

namespace pare::onednn {

/// Everything about one step; whoever makes it fills it in.
struct Step {
  dnnl::primitive primitive;
  std::string name;                                     ///< oneDNN's name of the implementation
  Desc source, weights, bias, destination, scratchpad;  ///< bias of no dimensions: none
  Desc weights_given;                                   ///< how `weight` lies
  Tensor weight;
  int weight_factor = 1;  ///< the weights are stored times this (halving_factor)
  std::vector<float> bias_values;
  Requantization requantization;  ///< no multipliers: f32
};

std::unique_ptr<runtime::Primitive> make_primitive(Step step);

/// What an int8 step multiplies and adds, from the encodings of its spec.
struct Int8Form {
  Requantization requantization;
  std::vector<float> bias;  ///< in the units of the oneDNN version; empty: none
  int weight_factor = 1;
};
struct Int8Problem {
  const Tensor& weight;  ///< [O, …]
  const Tensor& bias;
  const std::vector<float>& weight_scales;
  const runtime::Encoding& source;
  const runtime::Encoding& destination;
  bool padded = false;  ///< a source zero point cannot go into the bias
  bool halved = false;  ///< the implementation halves the weights
};
Int8Form int8_form(const Int8Problem& problem);

/// Whether every weight lies within ±63.
bool within_seven_bits(const Tensor& weight);

/// Residual and clip as post-ops. Drops what the destination's own saturation does.
void set_epilogue(dnnl::primitive_attr& attr, const runtime::Epilogue& epilogue,
                  const runtime::Encoding& destination);

Type type_of(DType dtype);

}  // namespace pare::onednn
