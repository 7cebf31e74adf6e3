// Products of f32 matrices that are rounded to bf16 on the way.
#pragma once

#include "onednn/gemm.h"

namespace pare::onednn {

/// As multiply, on the CPU's bf16 instructions with f32 sums; false, having written nothing, where
/// oneDNN has no kernel for it.
bool multiply_bf16(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
                   float* c, std::int64_t c_stride);

}  // namespace pare::onednn
