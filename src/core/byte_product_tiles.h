// Tiles of a product of bytes: a few rows times panels of columns, for each instruction set.
#pragma once

#include <cstdint>

#include "core/row_codes.h"

namespace pare {

inline constexpr std::int64_t kPanelColumns = 16;
inline constexpr std::int64_t kPanelGroup = 4;  ///< neighbours along a row that lie side by side
inline constexpr std::int64_t kGroupBytes = kPanelColumns * kPanelGroup;

/// A panel is [inner / 4, rounded up][16 columns][4 neighbours], zeros behind the last ones.
struct ByteTile {
  const std::uint8_t* codes;  ///< of the first row; rows follow one another
  const RowCode* row_codes;
  std::int64_t inner;
  const std::int8_t* panels;
  std::int64_t panel_bytes;
  const std::int32_t* sums;  ///< of the columns' weights; of the first panel, as scales and bias
  const float* scales;
  const float* bias;
  float* y;
  std::int64_t y_stride;
  std::int64_t width;  ///< columns that there are, in all panels
  bool accumulate;
  bool clips;
  float low, high;
};

/// `rows` and `panels` no more than the set's.
using RunByteTile = void (*)(const ByteTile& tile, std::int64_t rows, std::int64_t panels);
struct ByteTiles {
  const char* name;
  std::int64_t rows;
  std::int64_t panels;
  RunByteTile run;
};
/// The best that this CPU has. `pairs`: vpmaddubsw does not saturate with these weights.
const ByteTiles& byte_tiles(bool pairs);

}  // namespace pare
