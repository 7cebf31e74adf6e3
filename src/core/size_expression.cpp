// SizeExpression: whole-number arithmetic on named sizes, in a canonical form that is its name.
#include "core/size_expression.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/size_parser.h"

namespace pare {
namespace {

constexpr std::size_t kMostTerms = 256;  ///< beyond this nobody reads the name

std::int64_t sum_of(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  PARE_CHECK(!__builtin_add_overflow(a, b, &sum), invalid_argument, "shape",
             "expected sizes below 2^63, got a sum beyond it");
  return sum;
}

std::int64_t product_of(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  PARE_CHECK(!__builtin_mul_overflow(a, b, &product), invalid_argument, "shape",
             "expected at most 2^63 − 1 elements, got a product of sizes beyond it");
  return product;
}

std::int64_t floor_of(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);  // b > 0
}

bool is_plain(const std::string& name) {
  const auto starts = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '?';
  };
  return !name.empty() && starts(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return SizeParser::in_name(c); });
}

std::string quoted(const std::string& name) {
  if (is_plain(name)) return name;
  std::string text = "'";
  for (const char c : name) text += c == '\'' ? std::string("''") : std::string(1, c);
  return text + "'";
}

}  // namespace

SizeExpression::SizeExpression(std::int64_t number) { add({}, number); }

SizeExpression SizeExpression::symbol(const std::string& name) {
  return of(Factor{Factor::Kind::symbol, quoted(name), {}, name});
}

SizeExpression SizeExpression::parse(const std::string& text) {
  try {
    if (auto read = SizeParser(text).read()) return *read;
  } catch (const Error&) {  // numbers beyond 63 bits and their like: a name after all
  }
  return symbol(text);
}

SizeExpression SizeExpression::of(const Shape& shape, int axis) {
  return shape.symbolic(axis) ? parse(shape.symbol(axis)) : SizeExpression(shape[axis]);
}

SizeExpression SizeExpression::product_of(const Shape& shape) {
  SizeExpression product(1);
  for (int a = 0; a < shape.rank(); ++a) product = product * of(shape, a);
  return product;
}

SizeExpression SizeExpression::of(Factor factor) {
  SizeExpression one;
  one.terms_.emplace(Product{std::move(factor)}, 1);
  return one;
}

void SizeExpression::add(const Product& product, std::int64_t number) {
  if (number == 0) return;
  const auto [at, fresh] = terms_.try_emplace(product, 0);
  at->second = sum_of(at->second, number);
  if (at->second == 0) terms_.erase(at);
  PARE_CHECK(terms_.size() <= kMostTerms, unsupported, "shape",
             "expected sizes that are sums of at most {} terms, got more", kMostTerms);
}

std::int64_t SizeExpression::constant() const {
  return has_constant() ? terms_.rbegin()->second : 0;
}

std::string SizeExpression::text(bool nested) const {
  if (terms_.empty()) return "0";
  if (!nested && terms_.size() == 1) {
    const auto& [product, number] = *terms_.begin();
    if (product.size() == 1 && number == 1 && product[0].kind == Factor::Kind::symbol)
      return product[0].name;
  }
  std::string out;
  for (const auto& [product, number] : terms_) {
    if (number < 0)
      out += '-';
    else if (!out.empty())
      out += '+';
    // The smallest number has no positive one.
    const std::string digits = std::to_string(number).substr(number < 0 ? 1 : 0);
    std::string term = digits == "1" && !product.empty() ? "" : digits;
    for (const Factor& factor : product) {
      const bool only = product.size() == 1 && digits == "1";
      if (!term.empty()) term += '*';
      term +=
          factor.kind == Factor::Kind::quotient && !only ? "(" + factor.text + ")" : factor.text;
    }
    out += term;
  }
  return out;
}

std::string SizeExpression::to_string() const { return text(false); }

void SizeExpression::append_to(Shape& shape) const {
  if (is_number())
    shape.append(constant());
  else
    shape.append_symbol(to_string());
}

void SizeExpression::set_in(Shape& shape, int axis) const {
  if (is_number())
    shape.set(axis, constant());
  else
    shape.set_symbol(axis, to_string());
}

SizeExpression SizeExpression::operator+(const SizeExpression& other) const {
  SizeExpression sum = *this;
  for (const auto& [product, number] : other.terms_) sum.add(product, number);
  return sum;
}

SizeExpression SizeExpression::operator-(const SizeExpression& other) const {
  return *this + other * SizeExpression(-1);
}

SizeExpression SizeExpression::operator*(const SizeExpression& other) const {
  SizeExpression result;
  for (const auto& [mine, number] : terms_)
    for (const auto& [its, factor] : other.terms_) {
      Product product;
      std::merge(mine.begin(), mine.end(), its.begin(), its.end(), std::back_inserter(product));
      result.add(product, pare::product_of(number, factor));
    }
  return result;
}

// Long division: the first term of what is left by the first of the divisor.
std::optional<SizeExpression> SizeExpression::divided_exactly(const SizeExpression& by) const {
  if (by.terms_.empty()) return std::nullopt;
  const auto& [product, number] = *by.terms_.begin();
  SizeExpression rest = *this;
  SizeExpression quotient;
  for (std::size_t step = 0; !rest.terms_.empty(); ++step) {
    const auto& [first, count] = *rest.terms_.begin();
    if (step == kMostTerms || count % number != 0 ||
        !std::includes(first.begin(), first.end(), product.begin(), product.end()))
      return std::nullopt;
    SizeExpression term;
    Product left;
    std::set_difference(first.begin(), first.end(), product.begin(), product.end(),
                        std::back_inserter(left));
    term.add(left, count / number);
    quotient = quotient + term;
    rest = rest - term * by;
  }
  return quotient;
}

SizeExpression SizeExpression::divided_down(const SizeExpression& by) const {
  const bool known = by.is_number();
  PARE_CHECK(!known || by.constant() > 0, invalid_argument, "shape",
             "expected a divisor of at least 1 for {}, got {}", to_string(), by.to_string());
  if (auto exact = divided_exactly(by)) return *exact;
  if (!known) return combined(Factor::Kind::quotient, *this, by);
  std::int64_t divisor = by.constant();
  SizeExpression whole;
  SizeExpression rest;
  std::int64_t common = divisor;
  for (const auto& [product, number] : terms_) {
    const std::int64_t quotient = floor_of(number, divisor);
    // 3·h/2 stays one quotient, but numbers and whole multiples leave it.
    if (product.empty() || number % divisor == 0) {
      whole.add(product, quotient);
      rest.add(product, number - quotient * divisor);
    } else {
      rest.add(product, number);
    }
    if (!product.empty() && number % divisor != 0) common = std::gcd(common, number);
  }
  if (rest.is_number()) return whole;
  SizeExpression reduced;
  for (const auto& [product, number] : rest.terms_) reduced.add(product, floor_of(number, common));
  divisor /= common;
  if (divisor == 1) return whole + reduced;
  // (x / a + k) / b is (x + k·a) / (a·b).
  const auto& [first, count] = *reduced.terms_.begin();
  const bool nested = count == 1 && first.size() == 1 && first[0].kind == Factor::Kind::quotient &&
                      first[0].parts[1].is_number() &&
                      reduced.terms_.size() == 1U + (reduced.has_constant() ? 1U : 0U);
  if (nested) {
    const SizeExpression inner = first[0].parts[1];
    const SizeExpression outer = first[0].parts[0] + inner * SizeExpression(reduced.constant());
    return whole + outer.divided_down(inner * SizeExpression(divisor));
  }
  return whole + combined(Factor::Kind::quotient, reduced, SizeExpression(divisor));
}

SizeExpression SizeExpression::divided_up(const SizeExpression& by) const {
  return (*this + by - SizeExpression(1)).divided_down(by);
}

SizeExpression SizeExpression::combined(Factor::Kind kind, const SizeExpression& a,
                                        const SizeExpression& b) {
  // One product needs no parentheses above a line, one number or name none below it.
  const auto operand = [](const SizeExpression& e, bool above) {
    const std::string text = e.text(true);
    const bool single = text.find_first_of(above ? "+-/" : "+-/*") == std::string::npos;
    return single ? text : "(" + text + ")";
  };
  Factor factor{kind, "", {a, b}, ""};
  if (kind == Factor::Kind::quotient)
    factor.text = operand(a, true) + "/" + operand(b, false);
  else
    factor.text =
        (kind == Factor::Kind::minimum ? "min(" : "max(") + a.text(true) + "," + b.text(true) + ")";
  return of(std::move(factor));
}

SizeExpression SizeExpression::extreme(Factor::Kind kind, const SizeExpression& a,
                                       const SizeExpression& b) {
  const SizeExpression difference = a - b;
  const bool smallest = kind == Factor::Kind::minimum;
  if (difference.is_number()) return (difference.constant() <= 0) == smallest ? a : b;
  return a.text(true) < b.text(true) ? combined(kind, a, b) : combined(kind, b, a);
}

SizeExpression min(const SizeExpression& a, const SizeExpression& b) {
  return SizeExpression::extreme(SizeExpression::Factor::Kind::minimum, a, b);
}
SizeExpression max(const SizeExpression& a, const SizeExpression& b) {
  return SizeExpression::extreme(SizeExpression::Factor::Kind::maximum, a, b);
}

SizeExpression SizeExpression::substituted(
    const std::function<SizeExpression(const std::string&)>& leaf) const {
  const auto value = [&](const Factor& factor) {
    if (factor.kind == Factor::Kind::symbol) return leaf(factor.name);
    const SizeExpression a = factor.parts[0].substituted(leaf);
    const SizeExpression b = factor.parts[1].substituted(leaf);
    return factor.kind == Factor::Kind::quotient  ? a.divided_down(b)
           : factor.kind == Factor::Kind::minimum ? min(a, b)
                                                  : max(a, b);
  };
  SizeExpression sum;
  for (const auto& [product, number] : terms_) {
    SizeExpression term(number);
    for (const Factor& factor : product) term = term * value(factor);
    sum = sum + term;
  }
  return sum;
}

std::int64_t SizeExpression::evaluate(
    const std::function<std::int64_t(const std::string&)>& value_of) const {
  return substituted([&](const std::string& name) { return SizeExpression(value_of(name)); })
      .constant();
}

SizeExpression SizeExpression::renamed(
    const std::function<std::string(const std::string&)>& name_of) const {
  return substituted([&](const std::string& name) { return symbol(name_of(name)); });
}

}  // namespace pare
