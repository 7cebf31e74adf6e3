// Products of matrices so small that packing them, as oneDNN does, costs more than it gains.
#pragma once

#include <cstdint>

#include "onednn/gemm.h"

namespace pare::onednn {

/// c = a · bᵀ + beta · c (beta 0 or 1) in the calling thread, where that beats dnnl_sgemm; else
/// false. AVX2, one thread: 10x784 by 784x30 in 9 µs against 17, by 784x100 33 against 43, 10x100
/// by 100x10 0.6 against 1.6. The products of backward, which run along b's rows, dnnl_sgemm does
/// best.
bool multiply_small(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
                    float* c, std::int64_t c_stride);

}  // namespace pare::onednn
