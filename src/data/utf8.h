// UTF-8: code points out of bytes and back.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pare::data {

/// The code points of a text. Throws corrupt_data naming `where` and the byte that is wrong.
std::u32string decode_utf8(std::string_view text, std::string_view where);
void append_utf8(std::string& text, char32_t character);

}  // namespace pare::data
