// parallel_for over OpenMP, or over std::thread where OpenMP cannot be checked (thread sanitizer).
#include "pare/core/parallel.h"

#include <algorithm>
#include <exception>
#include <mutex>

#include "core/threads.h"
#include "pare/core/context.h"

#if PARE_PARALLEL_OPENMP
#include <omp.h>
#else
#include <thread>
#include <vector>
#endif

namespace pare {
namespace {

// The error of the first piece that has one. Nothing is allocated unless there is.
struct Failure {
  std::mutex mutex;
  std::int64_t piece = -1;
  std::exception_ptr error;

  void note(std::int64_t i) {
    const std::lock_guard lock(mutex);
    if (error && piece < i) return;
    piece = i;
    error = std::current_exception();
  }
};

struct Work {
  std::int64_t begin, end, pieces;
  detail::RangeFunction run;
  void* state;
  Failure* failure;

  void piece(std::int64_t i) const {
    const std::int64_t size = end - begin;
    // Equal pieces; their bounds depend on the count alone.
    const std::int64_t b = begin + size * i / pieces;
    const std::int64_t e = begin + size * (i + 1) / pieces;
    try {
      run(state, b, e);
    } catch (...) {
      failure->note(i);
    }
  }
};

#if PARE_PARALLEL_OPENMP
bool nested() { return omp_in_parallel() != 0; }
void run_all(const Work& work) {
#pragma omp parallel for num_threads(static_cast <int>(work.pieces)) schedule(static, 1)
  for (std::int64_t i = 0; i < work.pieces; ++i) work.piece(i);
}
#else
thread_local bool inside = false;
bool nested() { return inside; }
void run_all(const Work& work) {
  std::vector<std::thread> threads;
  for (std::int64_t i = 1; i < work.pieces; ++i)
    threads.emplace_back([&work, i] {
      inside = true;
      work.piece(i);
    });
  inside = true;
  work.piece(0);
  inside = false;
  for (auto& t : threads) t.join();
}
#endif

}  // namespace

int max_threads() {
  if (const int wanted = context().threads; wanted > 0) return wanted;
#if PARE_PARALLEL_OPENMP
  return omp_get_max_threads();
#else
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#endif
}

void detail::parallel_ranges(std::int64_t begin, std::int64_t end, std::int64_t grain,
                             RangeFunction run, void* state) {
  const std::int64_t pieces =
      std::min<std::int64_t>(max_threads(), (end - begin) / std::max<std::int64_t>(grain, 1));
  if (pieces <= 1 || nested()) {
    run(state, begin, end);
    return;
  }
  Failure failure;
  run_all({begin, end, pieces, run, state, &failure});
  if (failure.error) std::rethrow_exception(failure.error);
}

#if PARE_PARALLEL_OPENMP
ThreadScope::ThreadScope() {
  const int wanted = context().threads;
  if (wanted <= 0 || wanted == omp_get_max_threads()) return;
  before_ = omp_get_max_threads();
  omp_set_num_threads(wanted);
}
ThreadScope::~ThreadScope() {
  if (before_) omp_set_num_threads(before_);
}
#else
ThreadScope::ThreadScope() = default;
ThreadScope::~ThreadScope() = default;
#endif

}  // namespace pare
