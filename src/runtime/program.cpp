// Program: residual sums in place, placement of values in memory.
#include "runtime/program.h"

#include <algorithm>

#include "core/tensor_bytes.h"
#include "runtime/arena.h"
#include "runtime/steps.h"

namespace pare::runtime {

std::unique_ptr<StepState> Step::bind(const Frame& /*frame*/) const { return nullptr; }

int Program::root(int slot) const {
  while (slots[static_cast<std::size_t>(slot)].root != slot)
    slot = slots[static_cast<std::size_t>(slot)].root;
  return slot;
}

std::size_t Program::shift(int slot) const {
  std::size_t bytes = 0;
  for (int s = slot; slots[static_cast<std::size_t>(s)].root != s;
       s = slots[static_cast<std::size_t>(s)].root)
    bytes += slots[static_cast<std::size_t>(s)].shift;
  return bytes;
}

std::size_t Program::slot_bytes(int slot) const {
  const Slot& s = slots[static_cast<std::size_t>(slot)];
  return tensor_bytes(s.shape, s.dtype);
}

int Program::add_slot(const Shape& shape, DType dtype, MemoryFormat format) {
  Slot slot;
  slot.shape = shape;
  slot.dtype = dtype;
  slot.format = format;
  slot.root = static_cast<int>(slots.size());
  slots.push_back(std::move(slot));
  return slots.back().root;
}

std::vector<int> Program::last_reads() const {
  std::vector<int> last(slots.size(), -1);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    for (const int slot : steps[s]->reads)
      last[static_cast<std::size_t>(root(slot))] = static_cast<int>(s);
    if (steps[s]->residual >= 0)
      last[static_cast<std::size_t>(root(steps[s]->residual))] = static_cast<int>(s);
  }
  return last;
}

void Program::place_residuals() {
  std::vector<int> last = last_reads();
  std::vector<std::unique_ptr<Step>> result;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    Step& step = *steps[s];
    if (step.residual >= 0) {
      const int from = root(step.residual);
      const int to = root(step.writes[0]);
      const bool read_again =
          last[static_cast<std::size_t>(from)] > static_cast<int>(s) ||
          std::any_of(step.reads.begin(), step.reads.end(), [&](int r) { return root(r) == from; });
      Slot& source = slots[static_cast<std::size_t>(from)];
      if (source.place == Slot::Place::arena && !read_again && from != to &&
          fills_root(step.residual)) {
        source.root = step.writes[0];
        // The memory holds the sum then: a later residual must wait for the sum's readers too.
        int& end = last[static_cast<std::size_t>(to)];
        end = std::max(end, last[static_cast<std::size_t>(from)]);
      } else {
        auto copy = copy_step(step.residual, step.writes[0], slot_bytes(step.residual));
        copy->info.node = step.info.node;
        copy->info.source = copy->info.destination =
            slots[static_cast<std::size_t>(step.residual)].dtype;
        copy->info.bytes = 2 * slot_bytes(step.residual);
        result.push_back(std::move(copy));
      }
      step.reads.push_back(step.writes[0]);
    }
    result.push_back(std::move(steps[s]));
  }
  steps = std::move(result);
}

void Program::place_in_arena() {
  std::vector<int> first(slots.size(), -1);
  std::vector<int> last = last_reads();
  for (std::size_t s = 0; s < steps.size(); ++s)
    for (const int slot : steps[s]->writes) {
      const auto r = static_cast<std::size_t>(root(slot));
      if (first[r] < 0) first[r] = static_cast<int>(s);
      last[r] = std::max(last[r], static_cast<int>(s));
    }
  std::vector<Buffer> buffers;
  std::vector<int> owners;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const Slot& slot = slots[i];
    if (slot.root != static_cast<int>(i) || slot.place != Slot::Place::arena || first[i] < 0)
      continue;
    buffers.push_back({slot_bytes(static_cast<int>(i)), first[i], last[i], 0});
    owners.push_back(static_cast<int>(i));
  }
  const ArenaSize size = place(buffers);
  for (std::size_t b = 0; b < buffers.size(); ++b)
    slots[static_cast<std::size_t>(owners[b])].offset = buffers[b].offset;
  arena = size.bytes;
  live = size.live;
}

void Program::finish() {
  place_residuals();
  place_in_arena();
  for (const auto& step : steps) scratch = std::max(scratch, step->scratch_bytes());
}

}  // namespace pare::runtime
