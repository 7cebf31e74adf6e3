// Dense layers on rows that are quantized as they come: a step for the codes, a primitive for the
// product.
#pragma once

#include <memory>

#include "runtime/primitives.h"
#include "runtime/step.h"

namespace pare::runtime {

/// Bytes of quantized rows: the codes, from the next cache line on a RowCode for each row.
std::size_t quantized_rows_bytes(std::int64_t rows, std::int64_t columns);

/// f32 [rows, columns] to quantized rows: by a range for each, or one for all.
std::unique_ptr<Step> quantize_rows_step(int from, int to, std::int64_t rows, std::int64_t columns,
                                         bool per_row);

/// Source: quantized rows; weight i8 with its scales, bias f32; destination f32. Of the epilogue
/// all but the activation. Rows of 1 to ByteProduct::kMostInner codes.
std::unique_ptr<Primitive> make_dynamic_dense(const DenseSpec& spec);

}  // namespace pare::runtime
