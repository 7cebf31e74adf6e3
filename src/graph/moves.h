// Which calls only move elements, so that they may move codes in place of numbers.
#pragma once

#include "pare/core/op.h"

namespace pare {

/// Whether each element of the result is one of the input's, unchanged, of ops that take any dtype
/// of whole bytes and have one input (repeated, shifted, bordered, resized to the nearest, …).
/// Reshape, transpose, slice, pad and concat are known by their channels' kind and have steps of
/// their own.
bool moves_elements(const Call& call);

}  // namespace pare
