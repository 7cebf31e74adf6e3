// The arithmetic of bf16 in f32.
#include "core/precision.h"

#include "core/half.h"
#include "core/multiversion.h"

namespace pare {
namespace {

constexpr std::int64_t kGrain = 32768;

PARE_INLINE void round_all_body(const float* __restrict x, float* __restrict y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = vec::widen(vec::narrow_to_bfloat16(x[i]));
}
PARE_MULTIVERSION(void, round_all, (const float* x, float* y, std::int64_t n), (x, y, n))

}  // namespace

Tensor rounded_to_bf16(const Tensor& tensor) {
  if (!tensor.defined() || tensor.dtype() != DType::f32) return tensor;
  Tensor result = Tensor::empty(tensor.shape(), DType::f32, tensor.format());
  const float* const x = tensor.data<float>();
  float* const y = result.mutable_data<float>();
  parallel_for(0, tensor.elements(), kGrain,
               [&](std::int64_t b, std::int64_t e) { round_all(x + b, y + b, e - b); });
  return result;
}

}  // namespace pare
