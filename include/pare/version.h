// The version of pare: the only place that states it; CMake reads it from here.
#pragma once

#include <string_view>

#include "pare/core/export.h"

#define PARE_VERSION_MAJOR 0
#define PARE_VERSION_MINOR 1
#define PARE_VERSION_PATCH 0

namespace pare {

/// The version of the library that is linked, such as "0.1.0"; the macros are that of the headers.
PARE_API std::string_view version() noexcept;

}  // namespace pare
