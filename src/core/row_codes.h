// Codes of rows, each with the scale and zero point that its own numbers ask for.
#pragma once

#include <cstdint>

namespace pare {

/// How the codes of a row stand for numbers: scale · (code − zero_point).
struct RowCode {
  float scale = 1;
  std::int32_t zero_point = 0;
};

/// What ONNX's DynamicQuantizeLinear chooses for numbers between low ≤ 0 and high ≥ 0: scale
/// (high − low) / 255 (1 where that is 0), zero point round_half_even(−low / scale) within 0 … 255.
/// A scale that is not finite becomes NaN, its zero point 0.
RowCode row_code(float low, float high);

/// One code for all of x.
RowCode range_code(const float* x, std::int64_t count);
/// codes[i] = clamp(round_half_even(x[i] / scale) + zero_point, 0, 255); 0 where the scale is NaN.
/// x lies in the range that `by` was chosen for.
void quantize_row(const float* x, std::int64_t count, const RowCode& by, std::uint8_t* codes);

/// x [rows, columns] to codes [rows, columns], a RowCode each (quantize_row by range_code). A row
/// with NaN or infinity gets the scale NaN, and so does one whose range is beyond float: what is
/// computed from it is NaN throughout.
void quantize_rows(const float* x, std::int64_t rows, std::int64_t columns, std::uint8_t* codes,
                   RowCode* row_codes);

}  // namespace pare
