// Proto: a protobuf message that a test writes field by field, wrong ones included.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace pare::test {

struct Proto {
  std::string bytes;

  Proto& varint(std::uint64_t value) {
    for (; value > 127; value >>= 7U) bytes.push_back(static_cast<char>((value & 127U) | 128U));
    bytes.push_back(static_cast<char>(value));
    return *this;
  }
  Proto& key(std::uint64_t field, unsigned type) { return varint((field << 3U) | type); }
  Proto& integer(int field, std::int64_t value) {
    return key(static_cast<std::uint64_t>(field), 0).varint(static_cast<std::uint64_t>(value));
  }
  Proto& text(int field, const std::string& value) {
    key(static_cast<std::uint64_t>(field), 2).varint(value.size());
    bytes += value;
    return *this;
  }
  Proto& message(int field, const Proto& value) { return text(field, value.bytes); }
  Proto& real(int field, float value) {
    key(static_cast<std::uint64_t>(field), 5);
    char raw[4];
    std::memcpy(raw, &value, 4);
    bytes.append(raw, 4);
    return *this;
  }
  std::span<const std::byte> span() const {
    return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
  }
};

}  // namespace pare::test
