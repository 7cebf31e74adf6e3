// Whole numbers in files, least significant byte first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace pare::little_endian {

inline std::uint64_t number(const unsigned char* p, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{p[i]} << (8 * i);
  return value;
}

inline void append(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    out.push_back(static_cast<char>(value >> (8 * i) & 0xFFU));
}

}  // namespace pare::little_endian
