// Elementwise runs: connected elementwise ops as one loop over blocks that stay in the cache.
#pragma once

#include <memory>
#include <vector>

#include "pare/core/op.h"
#include "runtime/step.h"

namespace pare::runtime {

/// Whether a call computes every element of its result from the elements at the same place of its
/// (broadcast) inputs, by its op's own forward: it may then run on any piece of them.
bool is_elementwise(const OpDef& op);

/// Whether a row-major operand of lower rank, broadcast to `result`, has its elements in the order
/// in which a result in `format` has them.
bool in_order_of(const Shape& operand, const Shape& result, MemoryFormat format);

/// What an elementwise run reads, computes and writes.
struct ElementwiseSpec {
  /// Broadcasts to the result. Of the result's rank it lies in `format`, else it is row-major and
  /// in_order_of the result.
  struct Operand {
    int slot = -1;
    Shape shape;
    DType dtype = DType::f32;
  };
  /// All results have `shape`; an input is the operand of that number, or ~k: the result of
  /// operation k, before this one.
  struct Operation {
    Call call;
    std::vector<int> inputs;
    DType dtype = DType::f32;
  };
  Shape shape;
  MemoryFormat format = MemoryFormat::row_major;
  std::vector<Operand> operands;
  std::vector<Operation> operations;  ///< the last one's result is what is written
  int to = -1;
};

/// Op after op on one block, then the next block; on context().threads threads.
std::unique_ptr<Step> elementwise_step(const ElementwiseSpec& spec);

}  // namespace pare::runtime
