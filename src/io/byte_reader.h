// ByteReader: numbers and text out of bytes, never beyond their end.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/little_endian.h"

namespace pare::io {

class ByteReader {
 public:
  /// `where` begins errors.
  ByteReader(std::string where, std::string_view bytes) : where_(std::move(where)), all_(bytes) {}

  std::size_t left() const { return all_.size() - position_; }
  /// The place reached, for errors.
  std::string place() const { return fmt::format("{}: byte {}", where_, position_); }

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::int32_t i32() { return static_cast<std::int32_t>(u32()); }
  std::uint64_t u64() { return number(8); }
  std::int64_t i64() { return static_cast<std::int64_t>(number(8)); }
  double f64() { return std::bit_cast<double>(number(8)); }
  bool truth() {
    const std::string at = place();
    const std::uint8_t value = u8();
    PARE_CHECK(value <= 1, corrupt_data, at, "expected 0 or 1, got {}", value);
    return value == 1;
  }
  std::string text() {
    const std::size_t bytes = count(1, "characters");
    return std::string(take(bytes));
  }
  /// The number of items that follow, of at least `least` bytes each.
  std::size_t count(std::size_t least, std::string_view what) {
    const std::string at = place();
    const std::uint32_t items = u32();
    PARE_CHECK(items <= left() / least, corrupt_data, at, "expected {} {}, got {} bytes", items,
               what, left());
    return items;
  }
  void expect_end() const {
    PARE_CHECK(left() == 0, corrupt_data, place(), "expected the end, got {} more bytes", left());
  }

 private:
  std::string_view take(std::size_t bytes) {
    PARE_CHECK(bytes <= left(), corrupt_data, place(), "expected {} bytes, got {}", bytes, left());
    const std::string_view taken = all_.substr(position_, bytes);
    position_ += bytes;
    return taken;
  }
  std::uint64_t number(std::size_t bytes) {
    const std::string_view taken = take(bytes);
    return little_endian::number(reinterpret_cast<const unsigned char*>(taken.data()), bytes);
  }

  std::string where_;
  std::string_view all_;
  std::size_t position_ = 0;
};

}  // namespace pare::io
