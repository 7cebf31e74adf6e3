// SizeExpression: whole-number arithmetic on named sizes, in a canonical form that is its name.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pare/core/shape.h"

namespace pare {

/// A sum of products of whole numbers, symbols, quotients rounded down, minima and maxima. Equal
/// sums print alike, so that the printed form can be the symbol of an axis: "(height+1)/2",
/// "6*batch", "min(8,length)". Quotients and clamped bounds take symbols for as large as they need
/// to be: of `height` rows without the first there are "height-1".
class SizeExpression {
 public:
  SizeExpression() = default;
  SizeExpression(std::int64_t number);  // NOLINT(google-explicit-constructor)
  /// One symbol, whatever is in its name.
  static SizeExpression symbol(const std::string& name);
  /// What `to_string` wrote; other text is one symbol.
  static SizeExpression parse(const std::string& text);
  /// An axis of a shape.
  static SizeExpression of(const Shape& shape, int axis);
  /// The product of all axes.
  static SizeExpression product_of(const Shape& shape);

  bool is_number() const { return terms_.empty() || (terms_.size() == 1 && has_constant()); }
  /// The part without symbols; all of it where `is_number`.
  std::int64_t constant() const;
  std::string to_string() const;
  /// Appends it to a shape, as a number or a symbol. Throws invalid_argument for a negative number.
  void append_to(Shape& shape) const;
  /// The same for an axis that is there.
  void set_in(Shape& shape, int axis) const;

  // All throw invalid_argument where a number does not fit 63 bits.
  SizeExpression operator+(const SizeExpression& other) const;
  SizeExpression operator-(const SizeExpression& other) const;
  SizeExpression operator*(const SizeExpression& other) const;
  bool operator==(const SizeExpression& other) const = default;
  /// Where `by` times something is this; nothing where it is not, or `by` is 0.
  std::optional<SizeExpression> divided_exactly(const SizeExpression& by) const;
  /// The quotient rounded down, or up. Throws invalid_argument for a divisor of 0 or below.
  SizeExpression divided_down(const SizeExpression& by) const;
  SizeExpression divided_up(const SizeExpression& by) const;

  /// Its value where the symbols have these; throws what `value_of` throws.
  std::int64_t evaluate(const std::function<std::int64_t(const std::string&)>& value_of) const;
  /// With other symbols.
  SizeExpression renamed(const std::function<std::string(const std::string&)>& name_of) const;

 private:
  friend SizeExpression min(const SizeExpression& a, const SizeExpression& b);
  friend SizeExpression max(const SizeExpression& a, const SizeExpression& b);
  friend class SizeParser;

  struct Factor {
    enum class Kind : std::uint8_t { symbol, quotient, minimum, maximum };
    Kind kind = Kind::symbol;
    std::string text;                   ///< canonical; orders and compares
    std::vector<SizeExpression> parts;  ///< the two operands, of others than symbols
    std::string name;                   ///< as given, of symbols
    bool operator==(const Factor& other) const { return text == other.text; }
    bool operator<(const Factor& other) const { return text < other.text; }
  };
  using Product = std::vector<Factor>;  // ascending
  /// Those of most factors first, the number last.
  struct Before {
    bool operator()(const Product& a, const Product& b) const {
      return a.size() != b.size() ? a.size() > b.size() : a < b;
    }
  };

  static SizeExpression of(Factor factor);
  static SizeExpression combined(Factor::Kind kind, const SizeExpression& a,
                                 const SizeExpression& b);
  static SizeExpression extreme(Factor::Kind kind, const SizeExpression& a,
                                const SizeExpression& b);
  /// A name of its own kind is quoted unless it stands alone.
  std::string text(bool nested) const;
  bool has_constant() const { return !terms_.empty() && terms_.rbegin()->first.empty(); }
  void add(const Product& product, std::int64_t number);
  SizeExpression substituted(const std::function<SizeExpression(const std::string&)>& leaf) const;

  std::map<Product, std::int64_t, Before> terms_;
};

SizeExpression min(const SizeExpression& a, const SizeExpression& b);
SizeExpression max(const SizeExpression& a, const SizeExpression& b);

}  // namespace pare
