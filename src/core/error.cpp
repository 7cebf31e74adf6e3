// Error: construction and context.
#include "pare/core/error.h"

#include <fmt/format.h>

#include <utility>

#include "core/check.h"

fmt::appender fmt::formatter<pare::Shape>::format(const pare::Shape& shape,
                                                  fmt::format_context& context) const {
  return fmt::format_to(context.out(), "{}", shape.to_string());
}

fmt::appender fmt::formatter<pare::DType>::format(pare::DType dtype,
                                                  fmt::format_context& context) const {
  return fmt::format_to(context.out(), "{}", pare::traits(dtype).name);
}

namespace pare {

Error::Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

Error Error::within(const std::string& context) const {
  return Error(code_, context + ": " + message_);
}

void fail_with(ErrorCode code, std::string_view where, fmt::string_view text,
               fmt::format_args args) {
  throw Error(code, fmt::format("{}: {}", where, fmt::vformat(text, args)));
}

}  // namespace pare
