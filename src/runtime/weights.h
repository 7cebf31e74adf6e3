// Weights: the packed constants of all primitives of a plan, in as few blocks as possible.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/primitives.h"

namespace pare::runtime {

/// A primitive and where its constants lie once they are packed.
struct Packed {
  std::string name;  ///< of the node, whose weights are the same in every program of a plan
  std::unique_ptr<Primitive> primitive;
  const void* constants = nullptr;
  std::shared_ptr<const void> owner;
};

class WeightStore {
 public:
  /// Fills all constants into one new block, apart from those that are there already, byte by byte
  /// equal, from an earlier call (another batch size).
  void pack(const std::vector<std::shared_ptr<Packed>>& primitives);
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::size_t bytes;
    const void* constants;
    std::shared_ptr<const void> owner;
  };
  bool find(Packed& packed, const void* filled) const;

  std::map<std::string, std::vector<Entry>> entries_;
  std::size_t bytes_ = 0;
};

/// 64-byte aligned memory; huge pages where it is large. Not initialized.
std::shared_ptr<std::byte> allocate_block(std::size_t bytes);

}  // namespace pare::runtime
