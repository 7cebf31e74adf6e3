// PARE_CHECK for the caller's mistakes, PARE_ASSERT for ours; fmt formatting of pare's types.
#pragma once

#include <fmt/core.h>

#include <string>

#include "pare/core/dtype.h"
#include "pare/core/error.h"
#include "pare/core/shape.h"

// fmt/core.h and formatters that are compiled once: every source includes this file, and
// fmt/format.h would cost each of them more than its own code.
template <> struct fmt::formatter<pare::Shape> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  fmt::appender format(const pare::Shape& shape, fmt::format_context& context) const;
};
template <> struct fmt::formatter<pare::DType> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  fmt::appender format(pare::DType dtype, fmt::format_context& context) const;
};

namespace pare {

/// The elements as fmt prints them, one after the other.
template <class Elements>
std::string listed(const Elements& elements, std::string_view separator = ", ") {
  std::string text;
  bool first = true;
  for (const auto& element : elements) {
    if (!first) text += separator;
    first = false;
    text += fmt::format("{}", element);
  }
  return text;
}

/// Throws Error(code, "where: message"): what fail() is once its arguments have lost their types.
[[noreturn, gnu::cold]] void fail_with(ErrorCode code, std::string_view where,
                                       fmt::string_view text, fmt::format_args args);

/// Throws Error(code, "where: message").
template <class... Args>
[[noreturn, gnu::cold, gnu::noinline]] void fail(ErrorCode code, std::string_view where,
                                                 fmt::format_string<Args...> text, Args&&... args) {
  fail_with(code, where, text, fmt::make_format_args(args...));
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
