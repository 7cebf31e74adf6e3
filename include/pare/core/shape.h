// Shape: the sizes of a tensor's axes, each a number or a named symbol.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pare/core/export.h"

namespace pare {

/// At most eight axes. A symbolic axis ("batch") has a name in place of a number; asking it for its
/// number is an error, so that code which has not thought of symbols cannot miscalculate.
class PARE_API Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  /// Size of an axis (negative counts from the end). Throws out_of_range; invalid_state if
  /// symbolic.
  std::int64_t operator[](int axis) const {
    if (axis >= 0 && axis < rank_ && dims_[static_cast<std::size_t>(axis)] >= 0)
      return dims_[static_cast<std::size_t>(axis)];
    return checked(axis);
  }
  /// Product of all sizes (1 for a scalar). Throws invalid_state if an axis is symbolic.
  std::int64_t elements() const;
  /// Product of the sizes of axes [begin, end).
  std::int64_t elements(int begin, int end) const;

  bool symbolic() const { return names_ != nullptr; }
  bool symbolic(int axis) const;
  /// The symbol of a symbolic axis.
  const std::string& symbol(int axis) const;

  void append(std::int64_t size);
  void append_symbol(const std::string& name);
  /// Appends axis `axis` of `from`, number or symbol.
  void append(const Shape& from, int axis);
  void set(int axis, std::int64_t size);
  void set_symbol(int axis, const std::string& name);

  /// The sizes, −1 for a symbolic axis.
  std::vector<std::int64_t> to_vector() const;
  /// "[batch, 3, 32, 32]"
  std::string to_string() const;
  /// Whether axis a of this and axis b of other are the same number or the same symbol.
  bool same_axis(int a, const Shape& other, int b) const;

  bool operator==(const Shape& other) const;

 private:
  std::int64_t checked(int axis) const;
  int index_of(int axis) const;

  // A negative entry −1−k is the symbol (*names_)[k].
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
  std::shared_ptr<const std::vector<std::string>> names_;
};

/// The axis as 0 … rank−1; throws out_of_range naming `where`.
PARE_API int normalize_axis(std::int64_t axis, int rank, const char* where);

}  // namespace pare
