// What embedding and embedding_bag share: their indices, and sums into the rows of a table.
#pragma once

#include <vector>

#include "core/check.h"
#include "core/multiversion.h"
#include "pare/core/op.h"

namespace pare {

/// Integer indices as input 0, a table [V, E] as input 1, a padding row or −1.
void check_table(const InferArgs& args, std::int64_t padding);

/// The indices in row-major order. Throws out_of_range for one outside [0, rows).
std::vector<std::int64_t> read_rows(const char* where, const Tensor& indices, std::int64_t rows);

/// What share of its gradient each index passes on: 0 to the padding row, else 1 or, by frequency,
/// 1 over the number of its row's uses.
std::vector<double> row_shares(const std::vector<std::int64_t>& rows, std::int64_t count,
                               std::int64_t padding, bool by_frequency);

template <class T> struct RowTerm {
  const T* values;
  T factor;
};

/// table[rows[k]] += factor · values of term(k), rows of `width`.
template <class T, class Term>
void add_to_rows(const std::vector<std::int64_t>& rows, std::int64_t width, T* table,
                 const Term& term) {
  // Threads part the columns, so that none meets another's sum.
  const auto count = std::max<std::int64_t>(1, static_cast<std::int64_t>(rows.size()));
  parallel_for(0, width, std::max<std::int64_t>(16, 32768 / count),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::size_t k = 0; k < rows.size(); ++k) {
                   const RowTerm<T> t = term(k);
                   if (t.factor == T(0)) continue;
                   T* __restrict to = table + rows[k] * width;
                   const T* __restrict from = t.values;
                   for (std::int64_t c = begin; c < end; ++c) to[c] += t.factor * from[c];
                 }
               });
}

}  // namespace pare
