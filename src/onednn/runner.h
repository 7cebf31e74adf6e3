// Runner: a primitive whose operands may have to be reordered from and to the caller's formats.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "onednn/api.h"

namespace pare::onednn {

/// Keeps the memory objects, so that running it allocates nothing. One thread at a time.
class Runner {
 public:
  /// One operand: how it lies with the caller, and how the primitive wants it.
  struct Operand {
    int argument;
    Desc given;
    Desc wanted;
    bool output;
  };
  Runner(const dnnl::primitive& primitive, const Desc& scratchpad, std::string name,
         const std::vector<Operand>& operands);

  /// One pointer per operand, in their order.
  void run(std::span<const void* const> pointers);
  const std::string& name() const { return name_; }

 private:
  struct Reorder {
    std::size_t operand;
    bool output;
    dnnl::reorder primitive;
    dnnl::memory wanted;
    dnnl::memory scratchpad;
    std::size_t offset;  // of the reordered operand in the workspace
    std::size_t scratch_offset;
    std::vector<dnnl_exec_arg_t> arguments;
  };
  void reorder(bool output, std::byte* base);

  dnnl::primitive primitive_;
  std::string name_;
  std::vector<dnnl::memory> given_;
  std::vector<Reorder> reorders_;
  dnnl::memory scratchpad_;
  std::size_t workspace_ = 0;  // bytes; the scratchpad lies at its start
  std::vector<dnnl_exec_arg_t> arguments_;
};

}  // namespace pare::onednn
