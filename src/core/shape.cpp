// Shape: sizes and symbols.
#include "pare/core/shape.h"

#include <algorithm>

#include "core/check.h"

namespace pare {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  for (const std::int64_t d : dims) append(d);
}

int Shape::index_of(int axis) const {
  PARE_CHECK(axis >= -rank_ && axis < rank_, out_of_range, "shape",
             "expected an axis in [{}, {}), got {} of {}", -rank_, rank_, axis, *this);
  return axis < 0 ? axis + rank_ : axis;
}

std::int64_t Shape::checked(int axis) const {
  const int i = index_of(axis);
  const std::int64_t d = dims_[static_cast<std::size_t>(i)];
  PARE_CHECK(d >= 0, invalid_state, "shape",
             "expected a number at axis {}, got the symbol {} of {}", i, symbol(i), *this);
  return d;
}

std::int64_t Shape::elements() const { return elements(0, rank_); }

std::int64_t Shape::elements(int begin, int end) const {
  std::int64_t n = 1;
  for (int a = begin; a < end; ++a) {
    // A product that overflows must not look like a small tensor.
    if (__builtin_mul_overflow(n, (*this)[a], &n))
      fail(ErrorCode::invalid_argument, "shape", "expected at most 2^63 − 1 elements, got {}",
           *this);
  }
  return n;
}

bool Shape::symbolic(int axis) const { return dims_[static_cast<std::size_t>(index_of(axis))] < 0; }

const std::string& Shape::symbol(int axis) const {
  const std::int64_t d = dims_[static_cast<std::size_t>(index_of(axis))];
  PARE_CHECK(d < 0, invalid_argument, "shape", "expected a symbol at axis {}, got {}", axis, d);
  return (*names_)[static_cast<std::size_t>(-1 - d)];
}

void Shape::append(std::int64_t size) {
  PARE_CHECK(rank_ < kMaxRank, invalid_argument, "shape",
             "expected at most {} axes, got {} and one more", kMaxRank, *this);
  PARE_CHECK(size >= 0, invalid_argument, "shape", "expected a size of at least 0, got {}", size);
  dims_[static_cast<std::size_t>(rank_++)] = size;
}

void Shape::append_symbol(const std::string& name) {
  append(0);
  set_symbol(rank_ - 1, name);
}

void Shape::append(const Shape& from, int axis) {
  if (from.symbolic(axis))
    append_symbol(from.symbol(axis));
  else
    append(from[axis]);
}

void Shape::set(int axis, std::int64_t size) {
  PARE_CHECK(size >= 0, invalid_argument, "shape", "expected a size of at least 0, got {}", size);
  dims_[static_cast<std::size_t>(index_of(axis))] = size;
  if (std::none_of(dims_.begin(), dims_.begin() + rank_, [](auto d) { return d < 0; }))
    names_.reset();
}

void Shape::set_symbol(int axis, const std::string& name) {
  auto names = names_ ? std::make_shared<std::vector<std::string>>(*names_)
                      : std::make_shared<std::vector<std::string>>();
  auto place = std::find(names->begin(), names->end(), name);
  if (place == names->end()) place = names->insert(place, name);
  dims_[static_cast<std::size_t>(index_of(axis))] = -1 - (place - names->begin());
  names_ = std::move(names);
}

std::vector<std::int64_t> Shape::to_vector() const {
  std::vector<std::int64_t> out(dims_.begin(), dims_.begin() + rank_);
  for (auto& d : out) d = std::max<std::int64_t>(d, -1);
  return out;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int a = 0; a < rank_; ++a) {
    if (a) text += ", ";
    text += symbolic(a) ? symbol(a) : std::to_string(dims_[static_cast<std::size_t>(a)]);
  }
  return text + "]";
}

bool Shape::same_axis(int a, const Shape& other, int b) const {
  if (symbolic(a) != other.symbolic(b)) return false;
  return symbolic(a) ? symbol(a) == other.symbol(b) : (*this)[a] == other[b];
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  if (!names_ && !other.names_)
    return std::equal(dims_.begin(), dims_.begin() + rank_, other.dims_.begin());
  for (int a = 0; a < rank_; ++a)
    if (!same_axis(a, other, a)) return false;
  return true;
}

int normalize_axis(std::int64_t axis, int rank, const char* where) {
  PARE_CHECK(axis >= -rank && axis < rank, out_of_range, where,
             "expected an axis in [{}, {}), got {}", -rank, rank, axis);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace pare
