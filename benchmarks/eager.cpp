// Cost of eager calls: dispatch, the tape, elementwise bandwidth, reductions, matrix products.
#include <benchmark/benchmark.h>

#include "pare/pare.h"

namespace {

using namespace pare;

void BM_AddFour(benchmark::State& state) {
  Tensor a = Tensor::from({1, 2, 3, 4}, {4});
  const Tensor b = Tensor::from({5, 6, 7, 8}, {4});
  a.set_requires_grad(state.range(0) != 0);
  for (auto _ : state) benchmark::DoNotOptimize(add(a, b));
}
BENCHMARK(BM_AddFour)->ArgName("gradient")->Arg(0)->Arg(1);

template <Tensor (*Op)(const Tensor&)> void BM_Unary(benchmark::State& state) {
  const ContextScope scope;
  scope->threads = 1;
  const Tensor x = Generator(0).normal({state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(Op(x));
  state.SetBytesProcessed(state.iterations() * state.range(0) * 8);
}
BENCHMARK_TEMPLATE(BM_Unary, relu)->Arg(100000)->Arg(4000000);
BENCHMARK_TEMPLATE(BM_Unary, exp)->Arg(100000)->Arg(4000000);
BENCHMARK_TEMPLATE(BM_Unary, sigmoid)->Arg(100000)->Arg(4000000);

void BM_Sum(benchmark::State& state) {
  const ContextScope scope;
  scope->threads = 1;
  const Tensor x = Generator(0).normal({state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(sum(x));
  state.SetBytesProcessed(state.iterations() * state.range(0) * 4);
}
BENCHMARK(BM_Sum)->Arg(100000)->Arg(4000000);

void BM_Linear(benchmark::State& state) {
  const ContextScope scope;
  scope->threads = 1;
  const Tensor x = Generator(0).normal({state.range(0), state.range(1)});
  const Tensor w = Generator(1).normal({state.range(1), state.range(1)});
  for (auto _ : state) benchmark::DoNotOptimize(linear(x, w));
}
BENCHMARK(BM_Linear)->Args({10, 100})->Args({64, 512});

}  // namespace
