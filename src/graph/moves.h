// Which calls treat elements one by one: move them, or compute each from its own alone.
#pragma once

#include "pare/core/op.h"

namespace pare {

/// Whether each element of the result is one of the input's, unchanged, of ops that take any dtype
/// of whole bytes and have one input (repeated, shifted, bordered, resized to the nearest, …).
/// Reshape, transpose, slice, pad and concat are known by their channels' kind and have steps of
/// their own.
bool moves_elements(const Call& call);

/// Whether an element of the result depends on the elements at its place alone. Softmax is
/// elementwise to labels, but its values depend on one another.
inline bool acts_on_single_elements(const OpDef& op) {
  return op.channels.kind == ChannelFact::Kind::elementwise && !op.channels.statistics;
}

}  // namespace pare
