// Bytes through a table of 256.
#pragma once

#include <array>
#include <cstdint>

namespace pare {

/// 256 codes for 256 codes, indexed by their bits.
using ByteTable = std::array<std::uint8_t, 256>;

/// Rows of bytes, and how far one begins behind the other.
struct ByteRows {
  std::int64_t rows = 1, count = 0;
  std::int64_t from_step = 0, to_step = 0;
};

/// to[i] = table[from[i]] of every row. The two may be the same memory, not overlap otherwise.
void look_up(const ByteTable& table, const std::uint8_t* from, std::uint8_t* to,
             const ByteRows& rows);

}  // namespace pare
