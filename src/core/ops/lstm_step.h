// The steps of one sample through an lstm: the usual one, and that of every option.
#pragma once

#include <cstdint>

#include "core/ops/recurrent_functions.h"

namespace pare {

/// What the gates get from x and become, from h; c and h before and after.
struct LstmForward {
  std::int64_t hidden;
  float* gates;            // [4H] in: W_ih·x, out: what is saved
  const float* recurrent;  // [4H] W_hh·h
  const float* bias;       // [4H]
  float* c_state;          // [H] c before, then after
  float* c;                // [H] c after
  float* h;
  float* y;
};
struct LstmBackward {
  std::int64_t hidden;
  const float* gates;  // [4H] as saved
  const float* c;
  const float* c_before;
  const float* dy;
  float* dh;            // in: from the next step; out: 0, for the product to add to
  float* dc;            // in: from the next step; out: for the one before
  float* dgates;        // [4H] before the gates' functions
  float* dgates_dense;  // the same again
};

/// Saved are the gates i f g o.
void lstm_usual_forward(const LstmForward& s);
void lstm_usual_backward(const LstmBackward& s);

/// The options of one direction.
struct LstmOptions {
  const GateFunctions& functions;
  const float* peepholes;  // [3H] of i f o, null: none
  bool input_forget;
};
/// Saved is what the gates' functions get, before it is clipped.
void lstm_general_forward(const LstmForward& s, const LstmOptions& options);
void lstm_general_backward(const LstmBackward& s, const LstmOptions& options);

}  // namespace pare
