// Weights: the packed constants of all primitives of a plan, in as few blocks as possible.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "runtime/primitives.h"

namespace pare::runtime {

/// A primitive and where its constants lie once they are packed.
struct Packed {
  std::string name;  ///< of the node, whose weights are the same in every program of a plan
  std::unique_ptr<Primitive> primitive;
  /// Of the graph, those that nobody else reads (else −1): the weight, its scale and zero point.
  std::vector<int> leaves;
  bool transposed = false;  ///< the first leaf is the weight transposed
  const void* constants = nullptr;
  std::shared_ptr<const void> owner;
};

class WeightStore {
 public:
  /// Fills all constants into one new block, apart from those that are there already from an
  /// earlier call (another batch size).
  void pack(const std::vector<std::shared_ptr<Packed>>& primitives);
  /// Drops the tensors of those leaves that the packed constants give back, so that no weight is
  /// kept twice. `graph` is numbered as the one that was packed.
  void take_leaves(Graph& graph);
  /// Gives every dropped one its tensor again.
  void give_leaves(Graph& graph) const;
  std::size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<const Packed> find(const Packed& packed, const void* filled) const;

  std::map<std::string, std::vector<std::shared_ptr<const Packed>>> known_;
  struct Place {
    std::shared_ptr<const Packed> packed;
    int i;  ///< of the packed leaves
  };
  std::map<int, Place> of_leaf_;
  std::size_t bytes_ = 0;
};

/// 64-byte aligned memory; huge pages where it is large. Not initialized.
std::shared_ptr<std::byte> allocate_block(std::size_t bytes);

}  // namespace pare::runtime
