// require_defined: for functions that read a tensor's properties before any op sees it.
#pragma once

#include <string_view>

#include "core/check.h"
#include "pare/core/tensor.h"

namespace pare {

/// Throws invalid_argument for an undefined tensor.
inline void require_defined(const Tensor& x, std::string_view where) {
  PARE_CHECK(x.defined(), invalid_argument, where, "expected a tensor, got an undefined one");
}

}  // namespace pare
