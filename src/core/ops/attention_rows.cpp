// Rows of attention's scores, for each vector instruction set.
#include "core/ops/attention_rows.h"

#include <limits>

#include "core/multiversion.h"
#include "core/ops/norm_rows.h"
#include "core/softmax_rows.h"

namespace pare::attention_rows {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

PARE_INLINE float masked(float score, float term) { return score + term; }
PARE_INLINE float masked(float score, bool seen) { return seen ? score : -kInfinity; }
/// The terms lie `step` apart.
template <class T> PARE_INLINE void mask_loop(MaskedRow r, const T* mask, std::int64_t step) {
  float* __restrict s = r.scores;
  if (step == 1)
    for (std::int64_t j = 0; j < r.count; ++j) s[j] = masked(s[j] * r.factor, mask[j]);
  else
    for (std::int64_t j = 0; j < r.count; ++j) s[j] = masked(s[j] * r.factor, mask[j * step]);
}
PARE_INLINE void add_mask_row_body(MaskedRow r, const float* mask, std::int64_t step) {
  mask_loop(r, mask, step);
}
PARE_MULTIVERSION(void, add_mask_row, (MaskedRow r, const float* mask, std::int64_t step),
                  (r, mask, step))
PARE_INLINE void hide_row_body(MaskedRow r, const bool* mask, std::int64_t step) {
  mask_loop(r, mask, step);
}
PARE_MULTIVERSION(void, hide_row, (MaskedRow r, const bool* mask, std::int64_t step),
                  (r, mask, step))

PARE_INLINE void scale_all_body(float* x, std::int64_t rows, std::int64_t stride, std::int64_t n,
                                const float* factors) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* __restrict row = x + r * stride;
    const float factor = factors[r];
    for (std::int64_t i = 0; i < n; ++i) row[i] *= factor;
  }
}
PARE_MULTIVERSION(void, scale_all,
                  (float* x, std::int64_t rows, std::int64_t stride, std::int64_t n,
                   const float* factors),
                  (x, rows, stride, n, factors))

/// row = e^(row · factor − m) with the largest m, and their sum; all zero where nothing is seen.
PARE_INLINE double weigh_row(ScoreRow r, float factor, float* largest) {
  float* const row = r.data;
  for (std::int64_t i = 0; i < r.padded; ++i) row[i] *= factor;
  for (std::int64_t i = r.seen; i < r.padded; ++i) row[i] = -kInfinity;
  const float m = rows::largest(static_cast<const float*>(row), r.padded);
  *largest = m;
  const float shift = m == -kInfinity ? 0 : m;
  for (std::int64_t i = 0; i < r.padded; ++i) row[i] = rows::exponential(row[i] - shift);
  for (std::int64_t i = r.padded; i < r.limit; ++i) row[i] = 0;
  return m == -kInfinity ? 0 : rows::total(static_cast<const float*>(row), r.padded);
}
PARE_INLINE void weigh_block_body(ScoreBlock b) {
  for (std::int64_t i = 0; i < b.rows; ++i) {
    const std::int64_t seen = b.first < 0 ? b.limit : std::min(b.limit, b.first + i + 1);
    const double sum = weigh_row({b.scores + i * b.limit, seen, b.limit}, b.factor, b.log_sums + i);
    b.inverse[i] = static_cast<float>(sum);
  }
  for (std::int64_t i = 0; i < b.rows; ++i) {
    const float sum = b.inverse[i];
    const float logarithm = b.log_sums[i] + vec::log(sum);
    b.log_sums[i] = sum == 0 ? kInfinity : logarithm;
    b.inverse[i] = sum == 0 ? 0.0F : 1.0F / sum;
  }
}
PARE_MULTIVERSION(void, weigh_block, (ScoreBlock b), (b))

PARE_INLINE void weigh_gradient_row_body(ScoreRow r, float* gradient, RowGradient with) {
  float* const row = r.data;
  float* __restrict ds = gradient;
  for (std::int64_t i = 0; i < r.padded; ++i)
    row[i] = rows::exponential(row[i] * with.factor - with.log_sum);
  for (std::int64_t i = 0; i < r.padded; ++i) ds[i] = row[i] * (ds[i] - with.delta) * with.scale;
  for (std::int64_t i = r.seen; i < r.limit; ++i) row[i] = ds[i] = 0;
}
PARE_MULTIVERSION(void, weigh_gradient_row, (ScoreRow r, float* gradient, RowGradient with),
                  (r, gradient, with))

PARE_INLINE void drop_row_body(float* row, const std::uint8_t* keep, std::int64_t n, float factor) {
  for (std::int64_t i = 0; i < n; ++i) row[i] = keep[i] ? row[i] * factor : 0.0F;
}
PARE_MULTIVERSION(void, drop_row,
                  (float* row, const std::uint8_t* keep, std::int64_t n, float factor),
                  (row, keep, n, factor))

PARE_INLINE double dot_of_body(const float* a, const float* b, std::int64_t n) {
  return norm_rows::dot(a, b, n);
}
PARE_MULTIVERSION(double, dot_of, (const float* a, const float* b, std::int64_t n), (a, b, n))

}  // namespace

void add_mask(MaskedRow row, const float* mask, std::int64_t step) {
  add_mask_row(row, mask, step);
}
void hide(MaskedRow row, const bool* mask, std::int64_t step) { hide_row(row, mask, step); }
void weigh(ScoreBlock block) { weigh_block(block); }
void weigh_gradient(ScoreRow row, float* gradient, RowGradient with) {
  weigh_gradient_row(row, gradient, with);
}
void drop(float* row, const std::uint8_t* keep, std::int64_t n, float factor) {
  drop_row(row, keep, n, factor);
}
void scale_rows(float* x, std::int64_t rows, std::int64_t stride, std::int64_t n,
                const float* factors) {
  scale_all(x, rows, stride, n, factors);
}
double dot(const float* a, const float* b, std::int64_t n) { return dot_of(a, b, n); }

}  // namespace pare::attention_rows
