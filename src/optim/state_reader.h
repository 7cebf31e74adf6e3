// StateReader: takes numbers and tensors out of a saved state by name, and leaves none behind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pare/optim/optimizer.h"

namespace pare::optim {

class StateReader {
 public:
  /// Borrows the state; `where` begins the messages.
  StateReader(const char* where, const NamedState& state) : where_(where), state_(state) {}
  /// These throw invalid_argument where there is none of that name.
  const Tensor& tensor(std::string_view name);
  double number(std::string_view name) { return tensor(name).item(); }
  /// And where it is below 0.
  std::int64_t count(std::string_view name);
  /// Throws invalid_argument for what has not been asked for.
  void finish() const;

 private:
  const char* where_;
  const NamedState& state_;
  std::vector<std::string_view> taken_;
};

}  // namespace pare::optim
