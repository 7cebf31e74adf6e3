// The range of a tensor's values, and how an observer's range follows it.
#include "core/value_range.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/multiversion.h"
#include "pare/core/op.h"

namespace pare {
namespace {

// Floats as integers in the same order, NaN at the two ends. Integer minima vectorize, need no
// rule for NaN, and tell it apart for free.
PARE_INLINE std::int32_t ordered(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }
constexpr std::int32_t kInfinity = 0x7f800000;

struct Keys {
  std::int32_t low, high;
};

PARE_INLINE Keys scan_body(const float* x, std::int64_t n) {
  std::int32_t low = std::numeric_limits<std::int32_t>::max();
  std::int32_t high = std::numeric_limits<std::int32_t>::min();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t key = ordered(__builtin_bit_cast(std::int32_t, x[i]));
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
  return {low, high};
}
PARE_MULTIVERSION(Keys, scan, (const float* x, std::int64_t n), (x, n))

void lower(std::atomic<std::int32_t>& best, std::int32_t key) {
  std::int32_t seen = best.load(std::memory_order_relaxed);
  while (key < seen && !best.compare_exchange_weak(seen, key, std::memory_order_relaxed)) {
  }
}
void raise(std::atomic<std::int32_t>& best, std::int32_t key) {
  std::int32_t seen = best.load(std::memory_order_relaxed);
  while (key > seen && !best.compare_exchange_weak(seen, key, std::memory_order_relaxed)) {
  }
}

}  // namespace

void ValueRange::join(const ValueRange& other) {
  min = std::min(min, other.min);
  max = std::max(max, other.max);
}

ValueRange empty_value_range() {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  return {infinity, -infinity};
}

ValueRange range_of(const float* x, std::int64_t n) {
  if (n == 0) return empty_value_range();
  const Keys keys = scan(x, n);
  return {__builtin_bit_cast(float, ordered(keys.low)),
          __builtin_bit_cast(float, ordered(keys.high))};
}

ValueRange value_range(const Tensor& x, const char* where) {
  const std::int64_t n = x.elements();
  if (n == 0) return empty_value_range();
  std::atomic<std::int32_t> low{std::numeric_limits<std::int32_t>::max()};
  std::atomic<std::int32_t> high{std::numeric_limits<std::int32_t>::min()};
  const float* data = x.data<float>();
  parallel_for(0, n, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    const Keys keys = scan(data + begin, end - begin);
    lower(low, keys.low);
    raise(high, keys.high);
  });
  const bool finite =
      low > ordered(__builtin_bit_cast(std::int32_t, -std::numeric_limits<float>::infinity())) &&
      high < kInfinity;
  if (!finite) {
    std::int64_t at = 0;
    while (std::isfinite(data[at])) ++at;
    fail(ErrorCode::invalid_argument, where, "expected finite values, got {} at element {} of {}",
         data[at], at, x.shape());
  }
  return {__builtin_bit_cast(float, ordered(low)), __builtin_bit_cast(float, ordered(high))};
}

ValueRange read_range(const Tensor& range) {
  const float* r = range.data<float>();
  return {r[0], r[1]};
}

void write_range(Tensor& range, const ValueRange& value) {
  float* r = range.mutable_data<float>();
  r[0] = value.min;
  r[1] = value.max;
}

void check_range_input(const InferArgs& args, int i) {
  PARE_CHECK(args.dtype(i) == DType::f32 && args.shape(i) == Shape{2}, shape_mismatch,
             args.call.op->name, "expected a range f32 [2] as input {}, got {} {}", i,
             args.dtype(i), args.shape(i));
}

ValueRange moved_range(const ValueRange& old, const ValueRange& seen, double averaging) {
  if (seen.empty()) return old;
  if (old.empty()) return seen;
  ValueRange now = old;
  if (averaging == 0) {
    now.join(seen);
    return now;
  }
  const float c = static_cast<float>(averaging);
  now.min += c * (seen.min - old.min);
  now.max += c * (seen.max - old.max);
  return now;
}

}  // namespace pare
