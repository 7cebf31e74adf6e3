// Which elements of the input an element of a resized axis is made of, and their weights.
#pragma once

#include "core/ops/taps.h"
#include "pare/core/ops/resample.h"

namespace pare {

/// Throws invalid_argument or unsupported for words that ResizeAttributes does not have.
void check_resize(const ResizeAttributes& attributes);

/// `scale` is that of the coordinates: result over input.
Taps resize_taps(const ResizeAttributes& attributes, std::int64_t in, std::int64_t out,
                 double scale);

}  // namespace pare
