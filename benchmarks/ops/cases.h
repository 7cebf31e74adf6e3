// A case of the benchmark of ops: a call on inputs of 10^5 elements or more, and the plain loop
// that computes the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace pare::bench {

/// How an input is made, on both sides: kind [shape]. Kinds: normal, uniform [0, 1), positive
/// [0.1, 2.1), sign (±1), bool, int (i32 in [0, 1000)), labels:N (i64 in [0, N)), u8, i8, zeros,
/// ones, const:V (f32), i32:V, range (f32 [2]: an observer's that has seen nothing), none.
struct Input {
  std::string kind;
  Shape shape = {};
};

/// Writes into `out`, which has the op's result and shape, what the op computes.
using Loop = std::function<void(const Tensors& inputs, Tensor& out)>;

struct Case {
  std::string name;  ///< ops.py's too
  Call call;
  std::vector<Input> inputs;
  Loop loop;                       ///< of the forward
  Loop backward_loop = {};         ///< inputs: the gradient, then the op's; out: of input 0
  std::vector<int> wanted = {-1};  ///< inputs that want a gradient; {−1}: all of kind normal,
                                   ///< uniform and positive; empty: no backward
  bool training = false;
};
using Cases = std::vector<Case>;

void add_elementwise_cases(Cases& cases);
void add_activation_cases(Cases& cases);
void add_reduction_cases(Cases& cases);
void add_movement_cases(Cases& cases);
void add_arrange_cases(Cases& cases);
void add_indexing_cases(Cases& cases);
void add_resample_cases(Cases& cases);
void add_contraction_cases(Cases& cases);
void add_layer_cases(Cases& cases);
void add_feature_norm_cases(Cases& cases);
void add_loss_cases(Cases& cases);
void add_sequence_cases(Cases& cases);
void add_quantization_cases(Cases& cases);
void add_spatial_cases(Cases& cases);

inline const Shape kMatrix{256, 512};  ///< 131 072 elements
inline const Shape kImages{8, 32, 32, 32};

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// out[i] = f(x[i])
template <class To = float, class From = float, class F> Loop each(F f) {
  return [f](const Tensors& in, Tensor& out) {
    const From* x = in[0].data<From>();
    To* y = out.mutable_data<To>();
    for (std::int64_t i = 0, n = out.elements(); i < n; ++i) y[i] = f(x[i]);
  };
}

/// out[i] = f(a[i], b[i])
template <class To = float, class From = float, class F> Loop pairs(F f) {
  return [f](const Tensors& in, Tensor& out) {
    const From* a = in[0].data<From>();
    const From* b = in[1].data<From>();
    To* y = out.mutable_data<To>();
    for (std::int64_t i = 0, n = out.elements(); i < n; ++i) y[i] = f(a[i], b[i]);
  };
}

/// out[r] = f(row r of x, its length)
template <class To = float, class From = float, class F> Loop rows(F f) {
  return [f](const Tensors& in, Tensor& out) {
    const From* x = in[0].data<From>();
    To* y = out.mutable_data<To>();
    const std::int64_t count = out.elements(), length = in[0].elements() / count;
    for (std::int64_t r = 0; r < count; ++r) y[r] = f(x + r * length, length);
  };
}

}  // namespace pare::bench
