// SizeParser: reads the printed form of a SizeExpression.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/size_expression.h"

namespace pare {

/// sum: [-] term {(+ | -) term}; term: factor {(* | /) factor}; factor: number, name, 'quoted
/// name', (sum), min(sum,sum) or max(sum,sum).
class SizeParser {
 public:
  explicit SizeParser(std::string_view text) : text_(text) {}
  /// Nothing where the text is something else.
  std::optional<SizeExpression> read();

  static bool in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '?' || c == '.' || c == ':';
  }

 private:
  using Result = std::optional<SizeExpression>;
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Result sum();
  Result term();
  Result factor();
  Result number();
  Result quoted_name();
  Result name();
  Result extreme(bool smallest);

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace pare
