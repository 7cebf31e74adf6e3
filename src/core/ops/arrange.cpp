// Functions that arrange elements through reshape, transpose, concat, slice and expand.
#include "pare/core/ops/arrange.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "core/defined.h"
#include "core/ops/exact_shape.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"

namespace pare {
namespace {

constexpr std::int64_t kFurthest = std::numeric_limits<std::int64_t>::max();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// A reshape that keeps the first axes as they are, then has `middle`, then the axes of x from
/// `rest` on. Sizes are said as numbers: trace finds out which of them is the batch's.
Tensor reshape_middle(const Tensor& x, int kept, const std::vector<std::int64_t>& middle,
                      int rest) {
  std::vector<std::int64_t> shape(at(kept), 0);
  shape.insert(shape.end(), middle.begin(), middle.end());
  for (int a = rest; a < x.rank(); ++a) shape.push_back(x.dim(a));
  // A 0 behind the first axes would copy the axis of x that is now at its place: one is left open.
  const auto moved = shape.begin() + kept;
  const auto open = std::count(moved, shape.end(), -1);
  const auto empty = std::count(moved, shape.end(), 0);
  if (empty == 1 && open == 0) *std::find(moved, shape.end(), 0) = -1;
  if (empty + open <= 1) return reshape(x, shape);
  for (int a = 0; a < kept; ++a) shape[at(a)] = x.dim(a);
  std::int64_t named = 1;
  for (const std::int64_t size : middle)
    if (size > 0) named *= size;
  std::replace(moved, shape.end(), std::int64_t{-1}, x.dim(kept) / named);
  return reshape_exactly(x, shape);
}

}  // namespace

Tensor reshape_exactly(const Tensor& x, const std::vector<std::int64_t>& shape) {
  const auto empty = std::find(shape.begin(), shape.end(), 0);
  if (empty == shape.end()) return reshape(x, shape);
  // One axis without elements, then the others "that often" along axes of 1.
  const auto axis = at(empty - shape.begin());
  std::vector<std::int64_t> first(shape.size(), 1);
  first[axis] = -1;
  TileAttributes others{shape};
  others.repeats[axis] = 1;
  const Tensor line = reshape(x, first);
  return apply({&kTile, Attributes::of(std::move(others))}, detail::Borrowed(line));
}

Tensor permute(const Tensor& x, const std::vector<std::int64_t>& axes) {
  require_defined(x, "permute");
  std::vector<std::int64_t> permutation;
  for (const std::int64_t axis : axes)
    permutation.push_back(normalize_axis(axis, x.rank(), "permute"));
  return transpose(x, permutation);
}

Tensor swapaxes(const Tensor& x, int a, int b) {
  require_defined(x, "swapaxes");
  std::vector<std::int64_t> permutation(at(x.rank()));
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[at(normalize_axis(a, x.rank(), "swapaxes"))],
            permutation[at(normalize_axis(b, x.rank(), "swapaxes"))]);
  return transpose(x, permutation);
}

Tensor movedim(const Tensor& x, int source, int destination) {
  require_defined(x, "movedim");
  const int from = normalize_axis(source, x.rank(), "movedim");
  const int to = normalize_axis(destination, x.rank(), "movedim");
  std::vector<std::int64_t> permutation;
  for (int a = 0; a < x.rank(); ++a)
    if (a != from) permutation.push_back(a);
  permutation.insert(permutation.begin() + to, from);
  return transpose(x, permutation);
}

Tensors split(const Tensor& x, const std::vector<std::int64_t>& sizes, int axis) {
  require_defined(x, "split");
  const int along = normalize_axis(axis, x.rank(), "split");
  std::int64_t left = x.dim(along);
  bool fits = true;
  for (const std::int64_t size : sizes) {
    fits = fits && size >= 0 && size <= left;
    if (fits) left -= size;
  }
  PARE_CHECK(fits && left == 0, invalid_argument, "split",
             "expected sizes of 0 or more that add up to {} (axis {} of x {}), got [{}]",
             x.dim(along), along, x.shape(), listed(sizes));
  Tensors parts;
  std::int64_t start = 0;
  for (const std::int64_t size : sizes) {
    parts.push_back(slice(x, along, start, start + size));
    start += size;
  }
  return parts;
}

Tensors split(const Tensor& x, std::int64_t size, int axis) {
  require_defined(x, "split");
  const std::int64_t length = x.dim(normalize_axis(axis, x.rank(), "split"));
  PARE_CHECK(size > 0 || (size == 0 && length == 0), invalid_argument, "split",
             "expected parts of at least 1, got {}", size);
  std::vector<std::int64_t> sizes;
  for (std::int64_t left = length; left > 0; left -= sizes.back())
    sizes.push_back(std::min(size, left));
  if (sizes.empty()) sizes.push_back(0);
  return split(x, sizes, axis);
}

Tensors chunk(const Tensor& x, std::int64_t chunks, int axis) {
  require_defined(x, "chunk");
  PARE_CHECK(chunks > 0, invalid_argument, "chunk", "expected at least 1 chunk, got {}", chunks);
  const std::int64_t length = x.dim(normalize_axis(axis, x.rank(), "chunk"));
  if (length == 0) return split(x, std::vector<std::int64_t>(at(chunks), 0), axis);
  return split(x, (length - 1) / chunks + 1, axis);
}

Tensor stack(const Tensors& xs, int axis) {
  PARE_CHECK(!xs.empty(), invalid_argument, "stack", "expected at least one tensor, got none");
  Tensors rows;
  for (const Tensor& x : xs) {
    require_defined(x, "stack");
    PARE_CHECK(x.shape() == xs.front().shape(), shape_mismatch, "stack",
               "expected tensors of one shape, got {} and {}", xs.front().shape(), x.shape());
    rows.push_back(unsqueeze(x, axis));
  }
  return concat(rows, axis);
}

Tensor squeeze(const Tensor& x) {
  require_defined(x, "squeeze");
  Tensor y = x;
  for (int a = x.rank() - 1; a >= 0; --a) y = squeeze(y, a);
  return y;
}

Tensor squeeze(const Tensor& x, int axis) {
  require_defined(x, "squeeze");
  const int a = normalize_axis(axis, std::max(x.rank(), 1), "squeeze");
  if (x.rank() == 0 || x.dim(a) != 1) return x;
  return reshape_middle(x, a, {}, a + 1);
}

Tensor unsqueeze(const Tensor& x, int axis) {
  require_defined(x, "unsqueeze");
  const int a = normalize_axis(axis, x.rank() + 1, "unsqueeze");
  return reshape_middle(x, a, {1}, a);
}

Tensor unflatten(const Tensor& x, int axis, const std::vector<std::int64_t>& sizes) {
  require_defined(x, "unflatten");
  const int a = normalize_axis(axis, x.rank(), "unflatten");
  std::vector<std::int64_t> known = sizes;
  std::int64_t product = 1;
  std::int64_t* open = nullptr;
  bool fits = !sizes.empty();
  for (std::int64_t& size : known) {
    if (size == -1 && !open) {
      open = &size;
    } else {
      fits = fits && size > 0 && !__builtin_mul_overflow(product, size, &product);
    }
  }
  fits = fits && (open ? x.dim(a) % product == 0 : x.dim(a) == product);
  PARE_CHECK(fits, shape_mismatch, "unflatten",
             "expected sizes of at least 1 (or one -1) whose product is {} (axis {} of x {}), got "
             "[{}]",
             x.dim(a), a, x.shape(), listed(sizes));
  // The first axis may be a batch whose size changes: what is asked to be open stays so.
  if (open && a > 0) *open = x.dim(a) / product;
  return reshape_middle(x, a, known, a + 1);
}

Tensor tile(const Tensor& x, const std::vector<std::int64_t>& repeats) {
  require_defined(x, "tile");
  TileAttributes attributes{repeats};
  if (static_cast<int>(repeats.size()) < x.rank())
    attributes.repeats.insert(attributes.repeats.begin(), at(x.rank()) - repeats.size(), 1);
  Tensor y = x;
  while (y.rank() < static_cast<int>(attributes.repeats.size())) y = unsqueeze(y, 0);
  return apply({&kTile, Attributes::of(std::move(attributes))}, detail::Borrowed(y));
}

Tensor repeat(const Tensor& x, const std::vector<std::int64_t>& repeats) {
  require_defined(x, "repeat");
  PARE_CHECK(static_cast<int>(repeats.size()) >= x.rank(), invalid_argument, "repeat",
             "expected at least {} repeats for x {}, got {}", x.rank(), x.shape(), repeats.size());
  return tile(x, repeats);
}

Tensor repeat_interleave(const Tensor& x, std::int64_t repeats, int axis) {
  require_defined(x, "repeat_interleave");
  PARE_CHECK(repeats >= 0, invalid_argument, "repeat_interleave",
             "expected at least 0 repeats, got {}", repeats);
  const int a = normalize_axis(axis, x.rank(), "repeat_interleave");
  if (repeats == 0) return slice(x, a, 0, 0);
  if (x.elements() == 0) {  // nothing has an order
    std::vector<std::int64_t> times(at(x.rank()), 1);
    times[at(a)] = repeats;
    return tile(x, times);
  }
  std::vector<std::int64_t> shape(at(x.rank()) + 1, -1);
  shape[at(a) + 1] = repeats;
  return flatten(expand(unsqueeze(x, a + 1), shape), a, a + 1);
}

Tensor flip(const Tensor& x, const std::vector<std::int64_t>& axes) {
  require_defined(x, "flip");
  SliceAttributes backwards;
  for (const std::int64_t axis : axes) {
    const int a = normalize_axis(axis, x.rank(), "flip");
    backwards.axes.push_back(a);
    backwards.starts.push_back(-1);
    backwards.ends.push_back(-kFurthest);
    backwards.steps.push_back(-1);
  }
  return slice(x, backwards);
}

Tensor arange(const ArangeOptions& options) {
  constexpr const char* kWhere = "arange";
  const auto [start, end, step, dtype] = options;
  PARE_CHECK(std::isfinite(start) && std::isfinite(end) && std::isfinite(step), invalid_argument,
             kWhere, "expected finite bounds and a finite step, got {} to {} by {}", start, end,
             step);
  PARE_CHECK(step != 0, invalid_argument, kWhere, "expected a step other than 0, got 0");
  PARE_CHECK(dtype == DType::f32 || dtype == DType::f64 || dtype == DType::i64 ||
                 dtype == DType::i32 || dtype == DType::i16,
             dtype_mismatch, kWhere, "expected f32, f64, i64, i32 or i16, got {}", dtype);
  ContextScope scope;
  scope->tracer = nullptr;  // a constant
  const auto numbers = [](double from, double to, double by, DType type) {
    const Tensor bounds[] = {Tensor::scalar(from, type), Tensor::scalar(to, type),
                             Tensor::scalar(by, type)};
    return apply({&kRange, {}}, bounds);
  };
  const bool whole = dtype == DType::i64 || dtype == DType::i32 || dtype == DType::i16;
  if (!whole) return numbers(start, end, step, dtype);
  // As PyTorch: the bounds as they were given say how many, then start and step lose what is behind
  // the point.
  const double count = std::max(0.0, std::ceil((end - start) / step));
  const double first = std::trunc(start), by = std::trunc(step);
  const double last = first + by * std::max(0.0, count - 1);
  const double most = std::ldexp(1.0, static_cast<int>(traits(dtype).bits) - 1);
  PARE_CHECK(first >= -most && first < most && last >= -most && last < most && count < 0x1p62,
             invalid_argument, kWhere, "expected numbers that fit {}, got {} to {} by {}", dtype,
             start, end, step);
  if (by == 0) return Tensor::full({static_cast<std::int64_t>(count)}, first, dtype);
  return cast(numbers(first, first + by * count, by, DType::i64), dtype);
}

Tensor arange(std::int64_t end) { return arange({.end = static_cast<double>(end)}); }

}  // namespace pare
