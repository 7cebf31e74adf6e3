// Runner: builds memory objects and reorders once, then only moves data handles.
#include "onednn/runner.h"

#include <utility>

#include "core/aligned.h"

namespace pare::onednn {
namespace {

dnnl::memory without_data(const Desc& desc) { return {desc, engine(), nullptr}; }

void set(const dnnl::memory& memory, const void* data) {
  memory.set_data_handle(const_cast<void*>(data));
}

}  // namespace

Runner::Runner(const dnnl::primitive& primitive, const Desc& scratchpad, std::string name,
               const std::vector<Operand>& operands)
    : primitive_(primitive),
      name_(std::move(name)),
      scratchpad_(without_data(scratchpad)),
      workspace_(aligned(scratchpad.get_size())) {
  arguments_.push_back({DNNL_ARG_SCRATCHPAD, scratchpad_.get()});
  for (const Operand& operand : operands) {
    given_.push_back(without_data(operand.given));
    if (operand.given == operand.wanted) {
      arguments_.push_back({operand.argument, given_.back().get()});
      continue;
    }
    const Desc& from = operand.output ? operand.wanted : operand.given;
    const Desc& to = operand.output ? operand.given : operand.wanted;
    const dnnl::reorder::primitive_desc desc(engine(), from, engine(), to, user_scratchpad());
    Reorder r{.operand = given_.size() - 1,
              .output = operand.output,
              .primitive = dnnl::reorder(desc),
              .wanted = without_data(operand.wanted),
              .scratchpad = without_data(desc.scratchpad_desc()),
              .offset = workspace_,
              .scratch_offset = workspace_ + aligned(operand.wanted.get_size()),
              .arguments = {}};
    workspace_ = r.scratch_offset + aligned(desc.scratchpad_desc().get_size());
    const dnnl_memory_t given = given_.back().get();
    const dnnl_memory_t wanted = r.wanted.get();
    r.arguments = {{DNNL_ARG_FROM, operand.output ? wanted : given},
                   {DNNL_ARG_TO, operand.output ? given : wanted},
                   {DNNL_ARG_SCRATCHPAD, r.scratchpad.get()}};
    arguments_.push_back({operand.argument, wanted});
    reorders_.push_back(std::move(r));
  }
}

void Runner::reorder(bool output, std::byte* base) {
  for (const Reorder& r : reorders_) {
    if (r.output != output) continue;
    set(r.scratchpad, base + r.scratch_offset);
    execute(r.primitive, r.arguments);
  }
}

void Runner::run(std::span<const void* const> pointers) {
  std::byte* base = workspace_ != 0 ? workspace(workspace_) : nullptr;
  set(scratchpad_, base);
  for (std::size_t i = 0; i < given_.size(); ++i) set(given_[i], pointers[i]);
  for (const Reorder& r : reorders_) set(r.wanted, base + r.offset);
  reorder(false, base);
  execute(primitive_, arguments_);
  reorder(true, base);
}

}  // namespace pare::onednn
