// The one exception type of pare.
#pragma once

#include <exception>
#include <string>

#include "pare/core/export.h"

namespace pare {

/// What kind of thing went wrong; `Error::what()` says where, what was expected and what was found.
enum class ErrorCode {
  invalid_argument,  ///< a value or option that the function does not take
  shape_mismatch,    ///< shapes that do not fit together
  dtype_mismatch,    ///< an element type that the function does not take
  out_of_range,      ///< an axis, index or label outside its range
  invalid_state,     ///< a call at the wrong time (use before initialize, backward twice, …)
  unsupported,       ///< legal, but not something pare does
  io_error,          ///< the operating system refused
  corrupt_data,      ///< a file or buffer that is not what it says it is
  out_of_memory,     ///< more memory than there is
  stopped,           ///< a progress callback asked to stop
  internal,          ///< a bug in pare
};

/// Thrown for every failure. The message has the form `where: expected …, got …`.
class PARE_API Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message);
  ErrorCode code() const noexcept { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& message() const noexcept { return message_; }
  /// The same error with `context: ` put before its message (a node's name, a file's).
  Error within(const std::string& context) const;

 private:
  ErrorCode code_;
  std::string message_;
};

}  // namespace pare
