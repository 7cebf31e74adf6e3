// The steps of one sample through an lstm.
#include "core/ops/lstm_step.h"

#include "core/multiversion.h"
#include "core/vector_math.h"

namespace pare {
namespace {

// One function a loop: g++ does not turn a loop with several of them into vector code.
PARE_INLINE void forward_step_body(const LstmForward& s) {
  const std::int64_t n = s.hidden;
  float* __restrict gates = s.gates;
  const float* __restrict r = s.recurrent;
  const float* __restrict b = s.bias;
  for (std::int64_t k = 0; k < 2 * n; ++k) gates[k] = vec::sigmoid(gates[k] + r[k] + b[k]);
  for (std::int64_t k = 2 * n; k < 3 * n; ++k) gates[k] = vec::tanh(gates[k] + r[k] + b[k]);
  for (std::int64_t k = 3 * n; k < 4 * n; ++k) gates[k] = vec::sigmoid(gates[k] + r[k] + b[k]);
  const float* __restrict f = s.gates + n;
  const float* __restrict g = s.gates + 2 * n;
  const float* __restrict o = s.gates + 3 * n;
  float* __restrict state = s.c_state;
  float* __restrict c = s.c;
  for (std::int64_t k = 0; k < n; ++k) c[k] = state[k] = f[k] * state[k] + gates[k] * g[k];
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  for (std::int64_t k = 0; k < n; ++k) y[k] = h[k] = o[k] * vec::tanh(c[k]);
}
PARE_MULTIVERSION(void, forward_step, (const LstmForward& s), (s))

PARE_INLINE void backward_step_body(const LstmBackward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict cells = s.c;
  const float* __restrict before = s.c_before;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict dc = s.dc;
  float* __restrict di = s.dgates;
  float* __restrict df = s.dgates + n;
  float* __restrict dg = s.dgates + 2 * n;
  float* __restrict d_o = s.dgates + 3 * n;
  float* __restrict ei = s.dgates_dense;
  float* __restrict ef = s.dgates_dense + n;
  float* __restrict eg = s.dgates_dense + 2 * n;
  float* __restrict eo = s.dgates_dense + 3 * n;
  for (std::int64_t k = 0; k < n; ++k) ei[k] = vec::tanh(cells[k]);
  for (std::int64_t k = 0; k < n; ++k) {
    const float i = gates[k];
    const float f = gates[n + k];
    const float g = gates[2 * n + k];
    const float o = gates[3 * n + k];
    const float t = ei[k];
    const float dout = dy[k] + dh[k];
    const float cell = dc[k] + dout * o * (1.0F - t * t);
    const float vi = cell * g * i * (1.0F - i);
    const float vf = cell * before[k] * f * (1.0F - f);
    const float vg = cell * i * (1.0F - g * g);
    const float vo = dout * t * o * (1.0F - o);
    di[k] = vi;
    df[k] = vf;
    dg[k] = vg;
    d_o[k] = vo;
    ei[k] = vi;
    ef[k] = vf;
    eg[k] = vg;
    eo[k] = vo;
    dc[k] = cell * f;
    dh[k] = 0.0F;
  }
}
PARE_MULTIVERSION(void, backward_step, (const LstmBackward& s), (s))

}  // namespace

void lstm_usual_forward(const LstmForward& s) { forward_step(s); }
void lstm_usual_backward(const LstmBackward& s) { backward_step(s); }

void lstm_general_forward(const LstmForward& s, const LstmOptions& options) {
  const std::int64_t n = s.hidden;
  const GateFunctions& f = options.functions;
  const float* p = options.peepholes;
  for (std::int64_t k = 0; k < 4 * n; ++k) s.gates[k] += s.recurrent[k] + s.bias[k];
  for (std::int64_t k = 0; k < n; ++k) {
    const float before = s.c_state[k];
    float* gate = s.gates + k;
    if (p) {
      gate[0] += p[k] * before;
      gate[n] += p[n + k] * before;
    }
    const float in = f.at(0, gate[0]);
    const float keep = options.input_forget ? 1 - in : f.at(0, gate[n]);
    const float c = keep * before + in * f.at(1, gate[2 * n]);
    if (p) gate[3 * n] += p[2 * n + k] * c;
    s.c[k] = s.c_state[k] = c;
    s.y[k] = s.h[k] = f.at(0, gate[3 * n]) * f.function(2)(c);
  }
}

void lstm_general_backward(const LstmBackward& s, const LstmOptions& options) {
  const std::int64_t n = s.hidden;
  const GateFunctions& f = options.functions;
  const float* p = options.peepholes;
  for (std::int64_t k = 0; k < n; ++k) {
    const float* gate = s.gates + k;
    const float in = f.at(0, gate[0]);
    const float keep = options.input_forget ? 1 - in : f.at(0, gate[n]);
    const float candidate = f.at(1, gate[2 * n]);
    const float out = s.dy[k] + s.dh[k];
    const float d_out = out * f.function(2)(s.c[k]) * f.slope(0, gate[3 * n]);
    float d_cell = s.dc[k] + out * f.at(0, gate[3 * n]) * f.function(2).slope(s.c[k]);
    if (p) d_cell += p[2 * n + k] * d_out;
    const float to_keep = d_cell * s.c_before[k];
    const float to_in = d_cell * candidate - (options.input_forget ? to_keep : 0);
    const float d_in = to_in * f.slope(0, gate[0]);
    const float d_keep = options.input_forget ? 0 : to_keep * f.slope(0, gate[n]);
    const float d[] = {d_in, d_keep, d_cell * in * f.slope(1, gate[2 * n]), d_out};
    for (std::int64_t g = 0; g < 4; ++g) s.dgates[g * n + k] = s.dgates_dense[g * n + k] = d[g];
    s.dc[k] = d_cell * keep;
    if (p) s.dc[k] += p[k] * d_in + p[n + k] * d_keep;
    s.dh[k] = 0;
  }
}

}  // namespace pare
