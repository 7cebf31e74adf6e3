// Error: construction and context.
#include "pare/core/error.h"

#include <utility>

namespace pare {

Error::Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

Error Error::within(const std::string& context) const {
  return Error(code_, context + ": " + message_);
}

}  // namespace pare
