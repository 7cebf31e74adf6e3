// Bytes of a .pare file, to be changed by tests and fuzzers so that its checksums hold again.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>

#include "core/little_endian.h"

namespace pare::test {

struct ContainerBytes {
  std::string bytes;

  std::uint64_t number(std::size_t at, std::size_t count) const {
    return little_endian::number(reinterpret_cast<const unsigned char*>(bytes.data()) + at, count);
  }
  void put(std::size_t at, std::uint64_t value, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
  }
  /// Where a section's row of the table is.
  std::size_t entry(const std::string& name) const {
    for (std::size_t at = 32;; at += 32)
      if (bytes.substr(at, name.size() + 1) == name + '\0') return at;
  }
  std::size_t offset(const std::string& name) const { return number(entry(name) + 16, 8); }
  std::size_t size(const std::string& name) const { return number(entry(name) + 24, 8); }
  /// Puts the checksums of all sections that lie within the file, and of the table.
  void mend() {
    if (bytes.size() < 32) return;
    const auto sum = [&](std::size_t at, std::size_t count, uLong before = 0) {
      return crc32(before, reinterpret_cast<const Bytef*>(bytes.data()) + at,
                   static_cast<uInt>(count));
    };
    const std::uint64_t sections = number(12, 4);
    if (sections > (bytes.size() - 32) / 32) return;
    for (std::size_t i = 0; i < sections; ++i) {
      const std::size_t at = 32 + 32 * i;
      const std::size_t begin = number(at + 16, 8), count = number(at + 24, 8);
      if (begin <= bytes.size() && count <= bytes.size() - begin)
        put(at + 12, sum(begin, count), 4);
    }
    put(28, sum(32, 32 * sections, sum(0, 28)), 4);
  }
};

}  // namespace pare::test
