// StateReader: takes numbers and tensors out of a saved state by name, and leaves none behind.
#include "optim/state_reader.h"

#include <algorithm>

#include "core/check.h"

namespace pare::optim {

const Tensor& StateReader::tensor(std::string_view name) {
  const auto found = std::find_if(state_.begin(), state_.end(),
                                  [&](const auto& one) { return one.first == name; });
  PARE_CHECK(found != state_.end(), invalid_argument, where_,
             "expected a state with '{}', got none", name);
  taken_.push_back(found->first);
  return found->second;
}

std::int64_t StateReader::count(std::string_view name) {
  const double value = number(name);
  PARE_CHECK(value >= 0 && value < 9e15, invalid_argument, where_,
             "expected '{}' to be at least 0, got {}", name, value);
  return static_cast<std::int64_t>(value);
}

void StateReader::finish() const {
  for (const auto& one : state_)
    PARE_CHECK(std::find(taken_.begin(), taken_.end(), one.first) != taken_.end(), invalid_argument,
               where_, "expected a state of its own, got one with '{}'", one.first);
}

}  // namespace pare::optim
