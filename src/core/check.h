// PARE_CHECK for the caller's mistakes, PARE_ASSERT for ours; fmt formatting of pare's types.
#pragma once

#include <fmt/format.h>

#include <string>

#include "pare/core/dtype.h"
#include "pare/core/error.h"
#include "pare/core/shape.h"

template <> struct fmt::formatter<pare::Shape> : fmt::formatter<std::string> {
  template <class FormatContext> auto format(const pare::Shape& shape, FormatContext& ctx) const {
    return fmt::formatter<std::string>::format(shape.to_string(), ctx);
  }
};
template <> struct fmt::formatter<pare::DType> : fmt::formatter<std::string> {
  template <class FormatContext> auto format(pare::DType dtype, FormatContext& ctx) const {
    return fmt::formatter<std::string>::format(pare::traits(dtype).name, ctx);
  }
};

namespace pare {

/// Throws Error(code, "where: message").
template <class... Args>
[[noreturn, gnu::cold, gnu::noinline]] void fail(ErrorCode code, std::string_view where,
                                                 fmt::format_string<Args...> text, Args&&... args) {
  throw Error(code, fmt::format("{}: {}", where, fmt::format(text, std::forward<Args>(args)...)));
}

/// For memory that the operating system does not give.
[[noreturn, gnu::cold]] inline void fail_out_of_memory(std::string_view where, std::size_t bytes) {
  fail(ErrorCode::out_of_memory, where, "expected {} bytes of memory, got none", bytes);
}

}  // namespace pare

/// PARE_CHECK(a == b, shape_mismatch, "add", "expected shapes that broadcast, got {} and {}", a, b)
#define PARE_CHECK(condition, code, where, ...)                  \
  do {                                                           \
    if (!(condition)) [[unlikely]]                               \
      ::pare::fail(::pare::ErrorCode::code, where, __VA_ARGS__); \
  } while (false)

#define PARE_ASSERT(condition)                                                                  \
  do {                                                                                          \
    if (!(condition)) [[unlikely]]                                                              \
      ::pare::fail(::pare::ErrorCode::internal, __FILE__, "line {}: {}", __LINE__, #condition); \
  } while (false)
