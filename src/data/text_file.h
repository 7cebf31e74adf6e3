// Text files: reading them whole within a limit, lines, and numbers in fields.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace pare::data {

/// The text of a file, plain or compressed by gzip. Throws corrupt_data where it is longer than
/// `max_bytes`, which `option` names.
std::string read_text(const std::string& path, std::int64_t max_bytes, const char* option);

/// Takes the first line off `rest`, without its "\n" or "\r\n".
std::string_view take_line(std::string_view& rest);
/// Takes what stands before the first `delimiter` off `rest`, or all of it; says whether there was
/// one.
bool take_field(std::string_view& rest, char delimiter, std::string_view& field);
/// Without blanks and tabs at both ends.
std::string_view trimmed(std::string_view s);
/// A field as an error may show it.
std::string shown(std::string_view field);

/// Reads all of `text`, a plus sign included, which from_chars does not know. What is too small for
/// a float is 0, with its sign.
template <class T> bool parse(std::string_view text, T& value) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  const auto [past, error] = std::from_chars(text.data(), end, value);
  if constexpr (std::is_floating_point_v<T>) {
    // Too large and too small are told alike; what is too small has a negative exponent.
    if (error == std::errc::result_out_of_range && past == end) {
      const std::size_t exponent = text.find_first_of("eE");
      const bool small = exponent != std::string_view::npos && text.substr(exponent + 1, 1) == "-";
      if (small) value = text[0] == '-' ? -T(0) : T(0);
      return small;
    }
  }
  return error == std::errc() && past == end;
}

}  // namespace pare::data
