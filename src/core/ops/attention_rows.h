// Rows of attention's scores: masks, the weights of keys, their gradients.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pare::attention_rows {

/// Products of a query with `count` keys, scaled by `factor`, then masked: a bool hides where it is
/// false, a float is added.
struct MaskedRow {
  float* scores;
  std::int64_t count;
  float factor;
};
/// Adds the terms, which lie `step` apart.
void add_mask(MaskedRow row, const float* mask, std::int64_t step);
void hide(MaskedRow row, const bool* mask, std::int64_t step);

/// A row of scores: `seen` of them, worked on in whole vectors up to `padded`, zeros up to `limit`.
struct ScoreRow {
  float* data;
  std::int64_t seen, padded, limit;
  ScoreRow(float* row, std::int64_t seen_keys, std::int64_t row_keys)
      : data(row),
        seen(seen_keys),
        padded(std::min(row_keys, (seen_keys + 15) / 16 * 16)),
        limit(row_keys) {}
};

/// The rows of a block of queries, `limit` apart: row = e^(row · factor − m) with the largest m;
/// all zero where nothing is seen. Out: the logarithm of each row's sum before the largest was
/// taken off (∞ where nothing is seen: of a query that sees nothing, backward finds nothing), and
/// what is left to multiply by.
struct ScoreBlock {
  float* scores;
  std::int64_t rows, limit;
  std::int64_t first;  ///< of the queries, where they are causal; else −1
  float factor;
  float* log_sums;
  float* inverse;
};
void weigh(ScoreBlock block);

/// row = p = e^(row · factor − log_sum) and ds = p · (ds − delta) · scale
struct RowGradient {
  float factor, log_sum, delta, scale;
};
void weigh_gradient(ScoreRow row, float* gradient, RowGradient with);

/// row = keep ? row · factor : 0
void drop(float* row, const std::uint8_t* keep, std::int64_t n, float factor);
/// Rows of n elements, `stride` apart, each by its factor.
void scale_rows(float* x, std::int64_t rows, std::int64_t stride, std::int64_t n,
                const float* factors);
double dot(const float* a, const float* b, std::int64_t n);

}  // namespace pare::attention_rows
