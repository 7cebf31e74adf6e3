// The backend: which oneDNN pare was linked with.
#pragma once

#include <string>

#include "pare/core/export.h"

namespace pare {

/// "2.6.3"; empty where pare was built without oneDNN.
PARE_API std::string onednn_version();

}  // namespace pare
