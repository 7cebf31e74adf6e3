// Products of f32 matrices that are rounded to bf16 on the way: oneDNN's matmul behind reorders.
#include "onednn/gemm_bf16.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/threads.h"
#include "onednn/api.h"
#include "onednn/cache.h"
#include "onednn/runner.h"
#include "pare/core/parallel.h"

namespace pare::onednn {
namespace {

Runner::Operand factor(int argument, const Dims& size, const Matrix& matrix, const Desc& wanted) {
  const Dims strides = matrix.transposed ? Dims{1, matrix.stride} : Dims{matrix.stride, 1};
  return {argument, Desc(size, Type::f32, strides), wanted, false};
}

struct Product {
  std::int64_t m, n, k;
  Matrix a, b;
  std::int64_t c_stride;
  bool add;
};

std::optional<Runner> try_runner(const Product& p) {
  dnnl::primitive_attr attr = user_scratchpad();
  if (p.add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attr.set_post_ops(sum);
  }
  try {
    const Dims first{p.m, p.k}, second{p.k, p.n};
    const Desc c({p.m, p.n}, Type::f32, Dims{p.c_stride, 1});
    const auto desc = matmul(Desc(first, Type::bf16, Tag::any), Desc(second, Type::bf16, Tag::any),
                             Desc(), c, attr);
    return Runner(dnnl::matmul(desc), desc.scratchpad_desc(), desc.impl_info_str(),
                  {factor(DNNL_ARG_SRC, first, p.a, desc.src_desc()),
                   factor(DNNL_ARG_WEIGHTS, second, p.b, desc.weights_desc()),
                   {DNNL_ARG_DST, c, c, true}});
  } catch (const dnnl::error& error) {
    PARE_CHECK(error.status == dnnl_unimplemented, internal, "oneDNN",
               "a product in bf16 failed with {}", error.message);
    return std::nullopt;
  }
}

}  // namespace

bool multiply_bf16(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, float beta,
                   float* c, std::int64_t c_stride) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const std::int64_t numbers[] = {m, n, k, a.stride, b.stride, c_stride};
  if (std::any_of(std::begin(numbers), std::end(numbers),
                  [](std::int64_t v) { return v < 1 || v > kMost; }))
    return false;
  Key key{};
  std::transform(std::begin(numbers), std::end(numbers), key.begin(),
                 [](std::int64_t v) { return static_cast<std::int32_t>(v); });
  key[6] = (a.transposed ? 1 : 0) | (b.transposed ? 2 : 0) | (beta != 0 ? 4 : 0);
  key[7] = max_threads();
  thread_local Cache<std::optional<Runner>> cache(1024);
  const ThreadScope threads;
  auto& runner = cache.get(key, [&] { return try_runner({m, n, k, a, b, c_stride, beta != 0}); });
  if (!runner) return false;
  const void* pointers[] = {a.data, b.data, c};
  runner->run(pointers);
  return true;
}

}  // namespace pare::onednn
