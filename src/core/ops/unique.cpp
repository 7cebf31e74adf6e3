// unique: the distinct values of a tensor, by way of its sorted elements.
#include <vector>

#include "core/dtype_switch.h"
#include "pare/core/context.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/sort.h"

namespace pare {

Unique unique(const Tensor& x) {
  PARE_CHECK(x.defined(), invalid_argument, "unique", "expected a tensor, got an undefined one");
  PARE_CHECK(!context().tracer, unsupported, "unique",
             "expected no tracing, since the number of values depends on the data");
  const NoGrad no_grad;
  if (is_half(x.dtype())) {
    Unique out = unique(x.to(DType::f32));
    out.values = out.values.to(x.dtype());
    return out;
  }
  // Not taken apart: clang 14 does not capture structured bindings.
  const Sorted in_order = sort(reshape(x.to(MemoryFormat::row_major), {-1}), {.axis = 0});
  const auto* index = in_order.indices.data<std::int64_t>();
  Unique out;
  out.inverse = Tensor::empty(x.shape(), DType::i64);
  auto* inverse = out.inverse.mutable_data<std::int64_t>();
  std::vector<std::int64_t> counts;
  visit_arithmetic(x.dtype(), "unique", [&](auto type) {
    using T = decltype(type);
    const T* sorted = in_order.values.template data<T>();
    std::vector<T> distinct;
    for (std::int64_t i = 0; i < in_order.values.elements(); ++i) {
      if (i == 0 || !(sorted[i] == sorted[i - 1])) {
        distinct.push_back(sorted[i]);
        counts.push_back(0);
      }
      ++counts.back();
      inverse[index[i]] = static_cast<std::int64_t>(counts.size()) - 1;
    }
    const Shape shape{static_cast<std::int64_t>(counts.size())};
    out.values = Tensor::empty(shape, x.dtype());
    std::copy(distinct.begin(), distinct.end(), out.values.template mutable_data<T>());
  });
  out.counts = Tensor::from(counts, {static_cast<std::int64_t>(counts.size())});
  return out;
}

}  // namespace pare
