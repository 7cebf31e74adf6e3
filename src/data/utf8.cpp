// UTF-8 as RFC 3629 defines it: no surrogates, no longer forms than needed.
#include "data/utf8.h"

#include <cstdint>

#include "core/check.h"

namespace pare::data {

std::u32string decode_utf8(std::string_view text, std::string_view where) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) -> std::uint32_t {
      return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U;
    };
    const std::uint32_t first = byte(i);
    if (first < 0x80) {
      out.push_back(static_cast<char32_t>(first));
      ++i;
      continue;
    }
    const std::size_t more = first >= 0xF0 ? 3 : (first >= 0xE0 ? 2 : 1);
    std::uint32_t point = first & (0x3FU >> more);
    bool good = first >= 0xC2 && first <= 0xF4;
    for (std::size_t k = 1; k <= more; ++k) {
      good = good && (byte(i + k) & 0xC0U) == 0x80U;
      point = point << 6 | (byte(i + k) & 0x3FU);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    good =
        good && point >= kLeast[more] && point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
    PARE_CHECK(good, corrupt_data, where, "expected UTF-8, got byte {:#04x} at byte {}", first, i);
    out.push_back(static_cast<char32_t>(point));
    i += more + 1;
  }
  return out;
}

void append_utf8(std::string& text, char32_t character) {
  const auto point = static_cast<std::uint32_t>(character);
  const auto put = [&](std::uint32_t byte) {
    text.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
  };
  const auto tail = [&](unsigned shift) { put(0x80U | (point >> shift & 0x3FU)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0U | point >> 6), tail(0);
  } else if (point < 0x10000) {
    put(0xE0U | point >> 12), tail(6), tail(0);
  } else {
    put(0xF0U | point >> 18), tail(12), tail(6), tail(0);
  }
}

}  // namespace pare::data
