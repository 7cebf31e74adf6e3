// Which ops the modules of pare::nn are made of, found by running each of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pare/core/op.h"
#include "pare/nn/module.h"

namespace pare::docs {

struct ModuleRow {
  std::string kind;
  std::vector<std::string> ops;  ///< each once, in the order of its first call
};

/// Runs modules and takes down what they call.
class ModuleList {
 public:
  template <class Module> void add(Module module, const Tensors& inputs) { take(module, inputs); }
  template <class Module> void add(Module module, const Shape& input) {
    take(module, {Generator(1).uniform(input, 0.1F, 0.9F)});
  }
  const std::vector<ModuleRow>& rows() const { return rows_; }

 private:
  void take(nn::Module& module, const Tensors& inputs);
  std::vector<ModuleRow> rows_;
};

void add_activations(ModuleList& list);
void add_layers(ModuleList& list);
void add_losses(ModuleList& list);

}  // namespace pare::docs
