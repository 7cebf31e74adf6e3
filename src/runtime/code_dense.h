// Dense layers and tables whose weights stay codes, or f16 or bf16, in a plan.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/code_matrix.h"
#include "runtime/primitives.h"

namespace pare::runtime {

/// Source [rows, in] and destination [rows, out], both f32. Of `epilogue` all but the activation,
/// which activates() leaves to others. Null where CodeMatrix has no form for the weight.
std::unique_ptr<Primitive> make_code_dense(CodeMatrixSpec spec, std::int64_t rows,
                                           const Epilogue& epilogue);

/// Rows of a table [entries, width] by numbers: source [count], i64 or i32, destination f32 [count,
/// width]. A number that is no entry throws out_of_range naming `where`; negative ones count from
/// the end where `wraps` is set.
struct CodeTableSpec {
  CodeMatrixSpec table;
  std::int64_t count = 0;
  DType numbers = DType::i64;
  bool wraps = false;
  std::string where;
};
std::unique_ptr<Primitive> make_code_table(const CodeTableSpec& spec);

}  // namespace pare::runtime
