// The tape: one node per recorded call.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "core/gradient_hook.h"
#include "pare/core/op.h"

namespace pare::detail {

/// A tensor as it was when it was saved: the storage is kept, because state ops swap it, and its
/// version, because a change in place must be found out.
struct SavedTensor {
  Tensor tensor;
  Ref<Storage> storage;
  std::size_t offset = 0;
  std::uint32_t version = 0;
};

/// Where a gradient goes: to another node's output, or to a leaf.
struct Edge {
  Ref<Node> node;
  Ref<TensorImpl> leaf;
  int output_index = 0;
  bool present = false;  ///< the input was given
  bool needs = false;    ///< and wants a gradient
  DType dtype = DType::f32;
  MemoryFormat format = MemoryFormat::row_major;
  Shape shape;
};

/// Lives in one block of memory with its edges, saved tensors and gradient slots.
struct Node : RefCounted {
  Call call;
  bool training = false;
  Precision precision = Precision::f32;
  bool freed = false;  ///< backward has run without `retain`
  bool seen = false;   ///< scratch of one backward pass
  int pending = 0;     ///< scratch: readers whose gradient is still to come
  int edge_count = 0;
  int saved_count = 0;
  int output_count = 0;
  Edge* edges = nullptr;
  SavedTensor* saved = nullptr;  ///< inputs by ascending index, then outputs
  Tensor* gradients = nullptr;   ///< one per visible output
  std::vector<std::pair<int, Ref<GradientHooks>>> hooks;  ///< by output
  Node* next_dead = nullptr;

  static Ref<Node> create(const Call& call, int edges, int saved, int outputs);
  /// Iterative: a tape of any depth is freed without recursion.
  static void destroy(Node* node);
};

/// Puts a call that has run on the tape. `outputs` are all outputs of the op.
void record(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
            bool training);

}  // namespace pare::detail
