// States of optimizers, schedulers, plateaus and averages in safetensors files.
#pragma once

#include <string>

#include "pare/core/export.h"
#include "pare/optim/optimizer.h"

namespace pare::io {

/// Writes what `optimizer.state()`, or a scheduler's, a plateau's or an average's, gave. Throws
/// what save_tensors throws.
PARE_API void save_state(const optim::NamedState& state, const std::string& path);

/// Reads it, for `load_state`, which does the checking. Throws what load_tensors throws.
PARE_API optim::NamedState load_state(const std::string& path);

}  // namespace pare::io
