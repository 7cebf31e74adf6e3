// SizeParser: reads the printed form of a SizeExpression.
#include "core/size_parser.h"

#include <charconv>

namespace pare {
namespace {

// Names come from files: neither their length nor their nesting may cost much.
constexpr std::size_t kLongest = 4096;
constexpr int kDeepest = 40;

}  // namespace

std::optional<SizeExpression> SizeParser::read() {
  if (text_.size() > kLongest) return std::nullopt;
  Result whole = sum();
  return at_ == text_.size() ? whole : std::nullopt;
}

SizeParser::Result SizeParser::sum() {
  if (++depth_ > kDeepest) return std::nullopt;
  const bool negative = take('-');
  Result total = term();
  if (total && negative) total = SizeExpression(0) - *total;
  while (total && at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) {
    const bool minus = text_[at_++] == '-';
    const Result next = term();
    if (!next) return std::nullopt;
    total = minus ? *total - *next : *total + *next;
  }
  --depth_;
  return total;
}

SizeParser::Result SizeParser::term() {
  Result product = factor();
  while (product && at_ < text_.size() && (text_[at_] == '*' || text_[at_] == '/')) {
    const bool over = text_[at_++] == '/';
    const Result next = factor();
    if (!next) return std::nullopt;
    product = over ? product->divided_down(*next) : *product * *next;
  }
  return product;
}

SizeParser::Result SizeParser::factor() {
  if (at_ >= text_.size()) return std::nullopt;
  const char c = text_[at_];
  if (c >= '0' && c <= '9') return number();
  if (take('\'')) return quoted_name();
  if (take('(')) {
    Result inner = sum();
    return take(')') ? inner : std::nullopt;
  }
  return name();
}

SizeParser::Result SizeParser::number() {
  std::int64_t value = 0;
  const char* begin = text_.data() + at_;
  const auto [past, error] = std::from_chars(begin, text_.data() + text_.size(), value);
  if (error != std::errc()) return std::nullopt;
  at_ += static_cast<std::size_t>(past - begin);
  return SizeExpression(value);
}

SizeParser::Result SizeParser::quoted_name() {
  std::string name;
  for (; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\'') {
      ++at_;
      // Two stand for one in the name.
      if (at_ >= text_.size() || text_[at_] != '\'') return SizeExpression::symbol(name);
    }
    name += text_[at_];
  }
  return std::nullopt;
}

SizeParser::Result SizeParser::name() {
  const std::size_t begin = at_;
  while (at_ < text_.size() && in_name(text_[at_])) ++at_;
  if (at_ == begin) return std::nullopt;
  const std::string_view name = text_.substr(begin, at_ - begin);
  if ((name == "min" || name == "max") && take('(')) return extreme(name == "min");
  return SizeExpression::symbol(std::string(name));
}

SizeParser::Result SizeParser::extreme(bool smallest) {
  const Result a = sum();
  if (!a || !take(',')) return std::nullopt;
  const Result b = sum();
  if (!b || !take(')')) return std::nullopt;
  return smallest ? min(*a, *b) : max(*a, *b);
}

}  // namespace pare
