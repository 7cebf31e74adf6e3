// Bytes through tables: every byte, rows of every length, in place.
#include "core/byte_lookup.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace pare {
namespace {

ByteTable some_table() {
  ByteTable table;
  for (std::size_t i = 0; i < table.size(); ++i)
    table[i] = static_cast<std::uint8_t>(i * 37 + (i >> 3));
  return table;
}

TEST(ByteLookup, EveryByteInRowsOfEveryLength) {
  const ByteTable table = some_table();
  for (const std::int64_t count : {0, 1, 3, 16, 63, 64, 65, 127, 128, 200, 300}) {
    const ByteRows rows{.rows = 4, .count = count, .from_step = count + 5, .to_step = count + 2};
    std::vector<std::uint8_t> from(static_cast<std::size_t>(rows.rows * rows.from_step));
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint8_t>(i * 101 + 7);
    std::vector<std::uint8_t> to(static_cast<std::size_t>(rows.rows * rows.to_step), 77);
    auto expected = to;
    for (std::int64_t r = 0; r < rows.rows; ++r)
      for (std::int64_t i = 0; i < count; ++i)
        expected[static_cast<std::size_t>(r * rows.to_step + i)] =
            table[from[static_cast<std::size_t>(r * rows.from_step + i)]];
    look_up(table, from.data(), to.data(), rows);
    EXPECT_EQ(to, expected) << count;  // and nothing beside the rows
  }
}

TEST(ByteLookup, InPlace) {
  const ByteTable table = some_table();
  std::vector<std::uint8_t> bytes(256), expected(256);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(255 - i);
    expected[i] = table[bytes[i]];
  }
  look_up(table, bytes.data(), bytes.data(), {.count = 256});
  EXPECT_EQ(bytes, expected);
}

}  // namespace
}  // namespace pare
