// Products of numbers and named symbols, for axes that a reshape merges.
#include "core/ops/monomial.h"

#include <algorithm>
#include <charconv>

#include "core/check.h"

namespace pare {

void Monomial::multiply(std::int64_t factor) {
  PARE_CHECK(!__builtin_mul_overflow(number, factor, &number), invalid_argument, "shape",
             "expected at most 2^63 − 1 elements, got a product of sizes beyond it");
}

void Monomial::multiply(const Shape& shape, int axis) {
  if (!shape.symbolic(axis)) {
    multiply(shape[axis]);
    return;
  }
  const std::string& symbol = shape.symbol(axis);
  for (std::size_t begin = 0; begin < symbol.size();) {
    const std::size_t end = std::min(symbol.find('*', begin), symbol.size());
    const std::string factor = symbol.substr(begin, end - begin);
    std::int64_t value = 0;
    const auto [past, error] = std::from_chars(factor.data(), factor.data() + factor.size(), value);
    if (error == std::errc() && past == factor.data() + factor.size() && value >= 0) {
      multiply(value);
    } else {
      symbols.push_back(factor);
    }
    begin = end + 1;
  }
  std::sort(symbols.begin(), symbols.end());
}

bool Monomial::divide(const Monomial& by) {
  if (by.number == 0 || number % by.number != 0) return false;
  if (!std::includes(symbols.begin(), symbols.end(), by.symbols.begin(), by.symbols.end()))
    return false;
  number /= by.number;
  std::vector<std::string> rest;
  std::set_difference(symbols.begin(), symbols.end(), by.symbols.begin(), by.symbols.end(),
                      std::back_inserter(rest));
  symbols = std::move(rest);
  return true;
}

std::string Monomial::to_string() const {
  std::string text = number == 1 && !symbols.empty() ? "" : std::to_string(number);
  for (const std::string& symbol : symbols) text += (text.empty() ? "" : "*") + symbol;
  return text;
}

void Monomial::append_to(Shape& shape) const {
  if (symbols.empty()) {
    shape.append(number);
  } else {
    shape.append_symbol(to_string());
  }
}

Monomial product_of(const Shape& shape) {
  Monomial product;
  for (int a = 0; a < shape.rank(); ++a) product.multiply(shape, a);
  return product;
}

}  // namespace pare
