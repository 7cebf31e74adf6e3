// States of optimizers, schedulers, plateaus and averages in safetensors files.
#include "pare/io/state.h"

#include "pare/io/safetensors.h"

namespace pare::io {

void save_state(const optim::NamedState& state, const std::string& path) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : state) tensors.push_back({name, tensor, false});
  save_tensors(path, tensors);
}

optim::NamedState load_state(const std::string& path) {
  optim::NamedState state;
  TensorFile file = load_tensors(path);
  for (NamedTensor& named : file.tensors)
    state.emplace_back(std::move(named.name), std::move(named.tensor));
  return state;
}

}  // namespace pare::io
