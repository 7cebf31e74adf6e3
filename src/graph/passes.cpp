// The report of a pass.
#include "pare/graph/passes.h"

#include <fmt/format.h>

namespace pare {

std::string PassReport::to_string() const {
  std::string text;
  for (const Line& line : done) text += fmt::format("{}: {}\n", line.node, line.text);
  for (const Line& line : left) text += fmt::format("{}: left: {}\n", line.node, line.text);
  return text;
}

}  // namespace pare
