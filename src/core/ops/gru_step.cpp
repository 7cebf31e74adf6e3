// The steps of one sample through a gru.
#include "core/ops/gru_step.h"

#include "core/multiversion.h"
#include "core/vector_math.h"

namespace pare {
namespace {

/// Linear before reset: the whole step.
// One function a loop: g++ does not turn a loop with several of them into vector code.
PARE_INLINE void whole_step_body(const GruForward& s) {
  const std::int64_t n = s.hidden;
  float* __restrict gates = s.gates;
  const float* __restrict rec = s.recurrent;
  const float* __restrict candidate = s.candidate;
  const float* __restrict b = s.bias_ih;
  const float* __restrict bn = s.bias_hn;
  for (std::int64_t k = 0; k < 2 * n; ++k) gates[k] = vec::sigmoid(gates[k] + rec[k] + b[k]);
  const float* __restrict gz = s.gates + n;
  float* __restrict gn = s.gates + 2 * n;
  float* __restrict gh = s.gates + 3 * n;
  for (std::int64_t k = 0; k < n; ++k) gh[k] = candidate[k] + bn[k];
  for (std::int64_t k = 0; k < n; ++k) gn[k] = vec::tanh(gn[k] + b[2 * n + k] + gates[k] * gh[k]);
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  for (std::int64_t k = 0; k < n; ++k) y[k] = h[k] = gn[k] + gz[k] * (h[k] - gn[k]);
}
PARE_MULTIVERSION(void, whole_step, (const GruForward& s), (s))

/// Reset before the product: r, z and r·h.
PARE_INLINE void first_half_body(const GruForward& s) {
  const std::int64_t n = s.hidden;
  float* __restrict gates = s.gates;
  const float* __restrict rec = s.recurrent;
  const float* __restrict b = s.bias_ih;
  for (std::int64_t k = 0; k < 2 * n; ++k) gates[k] = vec::sigmoid(gates[k] + rec[k] + b[k]);
  float* __restrict gh = s.gates + 3 * n;
  const float* __restrict h = s.h;
  for (std::int64_t k = 0; k < n; ++k) gh[k] = gates[k] * h[k];
}
PARE_MULTIVERSION(void, first_half, (const GruForward& s), (s))

PARE_INLINE void second_half_body(const GruForward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gz = s.gates + n;
  float* __restrict gn = s.gates + 2 * n;
  const float* __restrict candidate = s.candidate;
  const float* __restrict b = s.bias_ih + 2 * n;
  const float* __restrict bn = s.bias_hn;
  float* __restrict h = s.h;
  float* __restrict y = s.y;
  for (std::int64_t k = 0; k < n; ++k) {
    const float c = vec::tanh(gn[k] + candidate[k] + b[k] + bn[k]);
    gn[k] = c;
    y[k] = h[k] = c + gz[k] * (h[k] - c);
  }
}
PARE_MULTIVERSION(void, second_half, (const GruForward& s), (s))

PARE_INLINE void backward_whole_body(const GruBackward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict before = s.before;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict dr = s.dgates;
  float* __restrict dz = s.dgates + n;
  float* __restrict dn = s.dgates + 2 * n;
  float* __restrict dhn = s.dgates + 3 * n;
  float* __restrict er = s.dense;
  float* __restrict ez = s.dense + n;
  float* __restrict en = s.dense + 2 * n;
  for (std::int64_t k = 0; k < n; ++k) {
    const float r = gates[k];
    const float z = gates[n + k];
    const float c = gates[2 * n + k];
    const float d = dy[k] + dh[k];
    const float vn = d * (1.0F - z) * (1.0F - c * c);
    const float vz = d * (before[k] - c) * z * (1.0F - z);
    const float vr = vn * gates[3 * n + k] * r * (1.0F - r);
    const float vh = vn * r;
    dr[k] = vr;
    dz[k] = vz;
    dn[k] = vn;
    dhn[k] = vh;
    er[k] = vr;
    ez[k] = vz;
    en[k] = vh;
    dh[k] = d * z;
  }
}
PARE_MULTIVERSION(void, backward_whole, (const GruBackward& s), (s))

PARE_INLINE void backward_first_body(const GruBackward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict before = s.before;
  const float* __restrict dy = s.dy;
  float* __restrict dh = s.dh;
  float* __restrict dz = s.dgates + n;
  float* __restrict dn = s.dgates + 2 * n;
  float* __restrict ez = s.dense + n;
  float* __restrict en = s.dense + 2 * n;
  for (std::int64_t k = 0; k < n; ++k) {
    const float z = gates[n + k];
    const float c = gates[2 * n + k];
    const float d = dy[k] + dh[k];
    const float vn = d * (1.0F - z) * (1.0F - c * c);
    const float vz = d * (before[k] - c) * z * (1.0F - z);
    dz[k] = vz;
    dn[k] = vn;
    ez[k] = vz;
    en[k] = vn;
    dh[k] = d * z;
  }
}
PARE_MULTIVERSION(void, backward_first, (const GruBackward& s), (s))

PARE_INLINE void backward_second_body(const GruBackward& s) {
  const std::int64_t n = s.hidden;
  const float* __restrict gates = s.gates;
  const float* __restrict before = s.before;
  const float* __restrict dreset = s.dreset;
  float* __restrict dh = s.dh;
  float* __restrict dr = s.dgates;
  float* __restrict er = s.dense;
  for (std::int64_t k = 0; k < n; ++k) {
    const float r = gates[k];
    const float vr = dreset[k] * before[k] * r * (1.0F - r);
    dr[k] = vr;
    er[k] = vr;
    dh[k] += dreset[k] * r;
  }
}
PARE_MULTIVERSION(void, backward_second, (const GruBackward& s), (s))

// gate[0], [n], [2n]: what the functions of r, z and the candidate get; [3n]: W_hn·h + b_hn, or
// r·h.
void general_whole(const GruForward& s, const GateFunctions* functions) {
  const std::int64_t n = s.hidden;
  const GateFunctions& f = *functions;
  for (std::int64_t k = 0; k < n; ++k) {
    float* gate = s.gates + k;
    gate[0] += s.recurrent[k] + s.bias_ih[k];
    gate[n] += s.recurrent[n + k] + s.bias_ih[n + k];
    gate[3 * n] = s.candidate[k] + s.bias_hn[k];
    gate[2 * n] += s.bias_ih[2 * n + k] + f.at(0, gate[0]) * gate[3 * n];
    const float z = f.at(0, gate[n]);
    s.y[k] = s.h[k] = (1 - z) * f.at(1, gate[2 * n]) + z * s.h[k];
  }
}

void general_first_half(const GruForward& s, const GateFunctions* functions) {
  const std::int64_t n = s.hidden;
  for (std::int64_t k = 0; k < n; ++k) {
    float* gate = s.gates + k;
    gate[0] += s.recurrent[k] + s.bias_ih[k];
    gate[n] += s.recurrent[n + k] + s.bias_ih[n + k];
    gate[3 * n] = functions->at(0, gate[0]) * s.h[k];
  }
}

void general_second_half(const GruForward& s, const GateFunctions* functions) {
  const std::int64_t n = s.hidden;
  for (std::int64_t k = 0; k < n; ++k) {
    float* gate = s.gates + k;
    gate[2 * n] += s.candidate[k] + s.bias_ih[2 * n + k] + s.bias_hn[k];
    const float z = functions->at(0, gate[n]);
    s.y[k] = s.h[k] = (1 - z) * functions->at(1, gate[2 * n]) + z * s.h[k];
  }
}

/// The gradients of z and of the candidate, and of h as far as z passes it on.
struct Blend {
  float d_z, d_candidate, d_h;
};
Blend backward_blend(const GruBackward& s, const GateFunctions& f, std::int64_t k) {
  const float* gate = s.gates + k;
  const float z = f.at(0, gate[s.hidden]);
  const float d = s.dy[k] + s.dh[k];
  return {d * (s.before[k] - f.at(1, gate[2 * s.hidden])) * f.slope(0, gate[s.hidden]),
          d * (1 - z) * f.slope(1, gate[2 * s.hidden]), d * z};
}

void general_backward_whole(const GruBackward& s, const GateFunctions* functions) {
  const std::int64_t n = s.hidden;
  for (std::int64_t k = 0; k < n; ++k) {
    const float* gate = s.gates + k;
    const Blend b = backward_blend(s, *functions, k);
    const float d_r = b.d_candidate * gate[3 * n] * functions->slope(0, gate[0]);
    const float d_hn = b.d_candidate * functions->at(0, gate[0]);
    s.dgates[k] = s.dense[k] = d_r;
    s.dgates[n + k] = s.dense[n + k] = b.d_z;
    s.dgates[2 * n + k] = b.d_candidate;
    s.dgates[3 * n + k] = s.dense[2 * n + k] = d_hn;
    s.dh[k] = b.d_h;
  }
}

void general_backward_first(const GruBackward& s, const GateFunctions* functions) {
  const std::int64_t n = s.hidden;
  for (std::int64_t k = 0; k < n; ++k) {
    const Blend b = backward_blend(s, *functions, k);
    s.dgates[n + k] = s.dense[n + k] = b.d_z;
    s.dgates[2 * n + k] = s.dense[2 * n + k] = b.d_candidate;
    s.dh[k] = b.d_h;
  }
}

void general_backward_second(const GruBackward& s, const GateFunctions* functions) {
  for (std::int64_t k = 0; k < s.hidden; ++k) {
    const float gate = s.gates[k];
    s.dgates[k] = s.dense[k] = s.dreset[k] * s.before[k] * functions->slope(0, gate);
    s.dh[k] += s.dreset[k] * functions->at(0, gate);
  }
}

}  // namespace

const GruSteps kUsualGruSteps{
    [](const GruForward& s, const GateFunctions*) { whole_step(s); },
    [](const GruForward& s, const GateFunctions*) { first_half(s); },
    [](const GruForward& s, const GateFunctions*) { second_half(s); },
    [](const GruBackward& s, const GateFunctions*) { backward_whole(s); },
    [](const GruBackward& s, const GateFunctions*) { backward_first(s); },
    [](const GruBackward& s, const GateFunctions*) { backward_second(s); }};
const GruSteps kGeneralGruSteps{general_whole,          general_first_half,
                                general_second_half,    general_backward_whole,
                                general_backward_first, general_backward_second};

}  // namespace pare
