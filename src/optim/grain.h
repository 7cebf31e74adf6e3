// How many elements make another thread worth while in an update.
#pragma once

#include <cstdint>

namespace pare::optim {

inline constexpr std::int64_t kGrain = 32768;

}  // namespace pare::optim
