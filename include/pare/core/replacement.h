// Replacement: which tensor a structural edit put in the place of which.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pare/core/tensor.h"

namespace pare {

/// What `optimizer.rebuild` needs so that momentum follows a parameter through an edit.
struct Replacement {
  Tensor old;  ///< retired by the edit; undefined for a parameter that is new
  Tensor now;  ///< undefined for a parameter that is gone
  /// Per axis of `old` the indices that `now` kept, ascending; nullopt or no entry: all of them.
  std::vector<std::optional<std::vector<std::int64_t>>> kept = {};
};

}  // namespace pare
