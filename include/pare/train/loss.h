// Loss: anything that makes a scalar out of a network's output and its batch.
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/loader.h"

namespace pare::train {

using data::Batch;

/// Holds `Tensor f(output, labels)`, such as cross_entropy or mse, or `Tensor f(output, batch)` for
/// losses that look at the input too, such as distillation. By default cross_entropy.
class PARE_API Loss {
 public:
  Loss();
  /// Of an op that also takes options, such as cross_entropy, the form without.
  Loss(Tensor (*f)(const Tensor& output, const Tensor& labels))  // NOLINT: {.loss = mse}
      : function_([f](const Tensor& output, const Batch& batch) { return f(output, batch.y); }) {}
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Loss> &&
           (std::is_invocable_r_v<Tensor, F&, const Tensor&, const Batch&> ||
            std::is_invocable_r_v<Tensor, F&, const Tensor&, const Tensor&>))
      Loss(F f) {  // NOLINT(google-explicit-constructor): {.loss = mse}
    if constexpr (std::is_invocable_r_v<Tensor, F&, const Tensor&, const Batch&>) {
      function_ = std::move(f);
    } else {
      function_ = [f = std::move(f)](const Tensor& output, const Batch& batch) mutable {
        return f(output, batch.y);
      };
    }
  }
  /// A scalar on the tape.
  Tensor operator()(const Tensor& output, const Batch& batch) const {
    return function_(output, batch);
  }

 private:
  std::function<Tensor(const Tensor& output, const Batch& batch)> function_;
};

}  // namespace pare::train
