// The steps of one sample through a gru: the usual ones, and those with any functions.
#pragma once

#include <cstdint>

#include "core/ops/recurrent_functions.h"

namespace pare {

/// A sample's step, in two halves where the reset comes before the product.
struct GruForward {
  std::int64_t hidden;
  float* gates;            // [4H] in: W_ih·x of three gates, out: what is saved
  const float* recurrent;  // [3H] W_hh·h, r and z's alone in the first half
  const float* candidate;  // [H] W_hn·h, or of the second half W_hn·(r·h)
  const float* bias_ih;    // [3H] those of r and z summed with bias_hh's
  const float* bias_hn;    // [H]
  float* h;
  float* y;
};
struct GruBackward {
  std::int64_t hidden;
  const float* gates;   // [4H] as saved
  const float* before;  // [H] h
  const float* dy;
  float* dh;            // in: from the next step; out: but for what the products add
  float* dgates;        // [4H] of r z n before their functions, and of W_hn·h
  float* dense;         // [3H] what the products read: of r, z and W_hn·h
  const float* dreset;  // [H] of r·h, in the second half
};

/// The whole step where the product comes before the reset, else two halves; `functions` are null
/// in the usual steps, which save the gates, and those of the direction in the general ones, which
/// save what the functions get, before it is clipped.
struct GruSteps {
  using ForwardStep = void (*)(const GruForward& s, const GateFunctions* functions);
  using BackwardStep = void (*)(const GruBackward& s, const GateFunctions* functions);
  ForwardStep whole, first_half, second_half;
  BackwardStep backward_whole, backward_first, backward_second;
};
extern const GruSteps kUsualGruSteps, kGeneralGruSteps;

}  // namespace pare
