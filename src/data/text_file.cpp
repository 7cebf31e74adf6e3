// Reading of text files.
#include "data/text_file.h"

#include <algorithm>

#include "core/check.h"
#include "data/byte_source.h"

namespace pare::data {

std::string read_text(const std::string& path, std::int64_t max_bytes, const char* option) {
  ByteSource source(path);
  const auto limit = static_cast<std::uint64_t>(std::max<std::int64_t>(max_bytes, 0));
  PARE_CHECK(source.compressed() || source.most_left() <= limit, corrupt_data, path,
             "expected at most {} bytes ({}), got {}", limit, option, source.most_left());
  std::string text;
  while (true) {
    const std::size_t old = text.size();
    // One byte more than allowed tells a text that is too long from one that just fits.
    const std::uint64_t step = std::min<std::uint64_t>(1 << 20, limit + 1 - old);
    text.resize(old + step);
    const std::size_t got = source.read_some(text.data() + old, step);
    text.resize(old + got);
    PARE_CHECK(text.size() <= limit, corrupt_data, path, "expected at most {} bytes ({}), got more",
               limit, option);
    if (got < step) return text;
  }
}

std::string_view take_line(std::string_view& rest) {
  std::string_view line;
  take_field(rest, '\n', line);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool take_field(std::string_view& rest, char delimiter, std::string_view& field) {
  const std::size_t end = rest.find(delimiter);
  field = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return end != std::string_view::npos;
}

std::string_view trimmed(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

std::string shown(std::string_view field) {
  constexpr std::size_t kMost = 40;
  return field.size() <= kMost ? std::string(field) : std::string(field.substr(0, kMost)) + "…";
}

}  // namespace pare::data
