// Program: the steps of a graph for one set of input sizes, and where their values lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/step.h"

namespace pare::runtime {

/// A value in memory.
struct Slot {
  enum class Place : std::uint8_t { arena, input, output, constant };
  Shape shape;
  DType dtype = DType::f32;
  MemoryFormat format = MemoryFormat::row_major;
  int root = 0;           ///< the slot whose memory it shares, itself if none
  std::size_t shift = 0;  ///< bytes from the beginning of that memory; the rest holds for roots
  Place place = Place::arena;
  int number = 0;          ///< of an input or output
  Tensor constant;         ///< keeps the memory
  std::size_t offset = 0;  ///< into the arena
};

struct Program {
  std::vector<Slot> slots;
  std::vector<std::unique_ptr<Step>> steps;
  std::vector<int> outputs;  ///< slots, row-major
  std::size_t arena = 0;
  std::size_t live = 0;
  std::size_t scratch = 0;

  int root(int slot) const;
  std::size_t shift(int slot) const;  ///< bytes from the beginning of its root
  /// Whether it has all of its root's memory.
  bool fills_root(int slot) const { return slot_bytes(slot) == slot_bytes(root(slot)); }
  std::size_t slot_bytes(int slot) const;
  int add_slot(const Shape& shape, DType dtype, MemoryFormat format);
  /// Puts destinations of residual sums over the operands that die there, places all else in the
  /// arena by liveness. Nothing is added afterwards.
  void finish();

 private:
  void place_residuals();
  void place_in_arena();
  std::vector<int> last_reads() const;
};

}  // namespace pare::runtime
