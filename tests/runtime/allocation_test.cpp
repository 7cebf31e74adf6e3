// A run of pare's own allocates its outputs and nothing else: counted where malloc can be replaced.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "core/sanitizers.h"
#include "pare/core/parallel.h"
#include "pare/models/resnet_cifar.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "runtime/nets.h"

#if defined(__GLIBC__) && !PARE_SANITIZED
#define PARE_COUNTS_ALLOCATIONS 1
#else
#define PARE_COUNTS_ALLOCATIONS 0
#endif

namespace {
std::atomic<int> allocations{0};
}  // namespace

#if PARE_COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t size);                           // NOLINT
void* __libc_calloc(std::size_t count, std::size_t size);        // NOLINT
void* __libc_memalign(std::size_t alignment, std::size_t size);  // NOLINT
void* malloc(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : 12;
}
}
#endif

namespace pare {
namespace {

template <class Action> int count(Action action) {
  const int before = allocations.load();
  action();
  return allocations.load() - before;
}

class PlanAllocations : public testing::Test {
 protected:
  void SetUp() override {
#if PARE_COUNTS_ALLOCATIONS && defined(PARE_ONEDNN)
    auto net = models::resnet8();
    graph = test::traced(net, test::random({2, 3, 32, 32}));
    one_output = count([] { const Tensor t = Tensor::empty({1, 10}); });
    ASSERT_GT(one_output, 0);
#else
    GTEST_SKIP() << "allocations cannot be counted here, or the reference kernels allocate";
#endif
  }
  void expect_none(const Plan& plan) const {
    const Tensor x = test::random({1, 3, 32, 32});
    plan.run(x);
    // oneDNN's execute makes a small map of its arguments in every call, with one entry more for
    // the convolutions that AVX-512 has.
    constexpr int kOfOnednn = 8;
    int most = one_output;
    for (const PlanStep& step : plan.steps())
      if (step.macs > 0) most += kOfOnednn;
    for (int k = 0; k < 3; ++k) {
      Tensor y;
      EXPECT_LE(count([&] { y = plan.run(x); }), most) << plan.to_string();
    }
  }
  Graph graph;
  int one_output = 0;
};

TEST(ParallelFor, AllocatesNothingInSeveralThreads) {
#if PARE_COUNTS_ALLOCATIONS
  ContextScope scope;
  scope->threads = 2;
  std::atomic<std::int64_t> sum{0};
  const auto work = [&] {
    parallel_for(0, 64, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
  };
  work();  // starts the threads
  EXPECT_EQ(count(work), 0);
  EXPECT_EQ(sum, 128);
#else
  GTEST_SKIP() << "allocations cannot be counted here";
#endif
}

TEST_F(PlanAllocations, Float) { expect_none(compile(graph, {.threads = 1})); }

TEST(ElementwiseRuns, AllocateNothing) {
#if PARE_COUNTS_ALLOCATIONS
  test::Builder b;
  const int x = b.input("x", {2, 8, 50, 100});
  const int gated = b.call(kMul, {x, b.constant(test::random({2, 8, 1, 1}))});
  const int power = b.call(kPow, {b.call(kSigmoid, {gated}), b.number(1.5)});
  const int truth = b.call(kLess, {power, b.constant(test::random({100}))});
  const Graph graph = b.finish({b.call(kWhere, {truth, power, x})});
  for (const int threads : {1, 2}) {
    const Plan plan = compile(graph, {.threads = threads});
    ASSERT_EQ(plan.steps().size(), 1U) << plan.to_string();
    const Tensor inputs[1] = {test::random({2, 8, 50, 100})};
    Tensor outputs[1] = {Tensor::empty({2, 8, 50, 100})};
    plan.run(inputs, outputs);
    EXPECT_EQ(count([&] { plan.run(inputs, outputs); }), 0) << plan.to_string();
  }
#else
  GTEST_SKIP() << "allocations cannot be counted here";
#endif
}

TEST_F(PlanAllocations, Int8) {
  const NoGrad no_grad;
  Graph prepared = quantize::prepare(graph);
  prepared(test::random({4, 3, 32, 32}));
  expect_none(compile(quantize::convert(prepared).graph, {.threads = 1}));
}

}  // namespace
}  // namespace pare
