// What the Loader checks of a Mix before the first batch.
#pragma once

#include "pare/data/mix.h"

namespace pare::data {

/// Throws invalid_argument for numbers that make no sense.
void check(const Mix& how);

}  // namespace pare::data
