// The version of the linked library.
#include "pare/version.h"

#define PARE_TEXT(x) #x
#define PARE_VERSION_TEXT(major, minor, patch) \
  PARE_TEXT(major) "." PARE_TEXT(minor) "." PARE_TEXT(patch)

namespace pare {

std::string_view version() noexcept {
  return PARE_VERSION_TEXT(PARE_VERSION_MAJOR, PARE_VERSION_MINOR, PARE_VERSION_PATCH);
}

}  // namespace pare
