// The sizes of an attention call, and where its heads lie.
#pragma once

#include <cmath>
#include <span>

#include "pare/core/op.h"
#include "pare/core/ops/attention.h"

namespace pare {

/// A stack of matrices, one for each sample and head.
struct HeadLayout {
  std::int64_t sample, head, row;  ///< elements from one to the next
  std::int64_t at(std::int64_t n, std::int64_t h) const { return n * sample + h * head; }
};

/// Without key and value: [..., L, 3, H, E] of all three.
inline bool is_packed(std::span<const Tensor> inputs) {
  return inputs.size() < 2 || !inputs[1].defined();
}

/// The shape of each of the three that are packed.
inline Shape unpacked(const Shape& packed) {
  Shape one;
  for (int a = 0; a < packed.rank(); ++a)
    if (a != packed.rank() - 3) one.append(packed, a);
  return one;
}

struct AttentionSizes {
  int rank;
  int head_axis, length_axis;  ///< of query, key, value and output; head_axis −1: there is none
  AttentionSizes(const Call& call, int operand_rank, bool packed)
      : rank(operand_rank), head_axis(-1), length_axis(operand_rank - 2) {
    const bool length_first = packed || call.attributes.as<AttentionAttributes>().length_first;
    if (rank >= 3) head_axis = length_first ? rank - 2 : rank - 3;
    if (length_first) length_axis = rank - 3;
  }
  std::int64_t heads(const Shape& s) const { return head_axis < 0 ? 1 : s[head_axis]; }
  std::int64_t length(const Shape& s) const { return s[length_axis]; }
  std::int64_t samples(const Shape& s) const { return rank > 3 ? s.elements(0, rank - 3) : 1; }
  /// Of one of `parts` matrices that lie row by row next to each other.
  HeadLayout layout(const Shape& s, std::int64_t parts = 1) const {
    const std::int64_t width = s[rank - 1];
    const std::int64_t all = length(s) * heads(s) * width * parts;
    if (head_axis > length_axis) return {all, width, heads(s) * width * parts};
    return {all, length(s) * width, width};
  }
};

inline double attention_scale(const AttentionAttributes& attr, std::int64_t width) {
  if (attr.scale != 0) return attr.scale;
  return width > 0 ? 1 / std::sqrt(static_cast<double>(width)) : 1;
}

}  // namespace pare
