// What prepare leaves in the graph for convert.
#pragma once

#include <map>

#include "pare/graph/graph.h"

namespace pare::quantize {

inline constexpr const char* kIsaKey = "quantize.isa";
/// Followed by a node's name; the value says why it stays float.
inline constexpr const char* kFloatKey = "quantize.float.";
/// Followed by an observer's name; the value says how its range is chosen (range_rule.h).
inline constexpr const char* kRangeKey = "quantize.range.";
/// Followed by the name of a fake_quantize node of an activation behind a FakeQuantizer; the value
/// is "<input> <node>": where that reads the activation (own_rounding.h).
inline constexpr const char* kOwnKey = "quantize.own.";
/// Followed by the name of a leaf that a FakeQuantizer keeps.
inline constexpr const char* kOwnLeafKey = "quantize.own_leaf.";
/// Followed by the name of a node that fake-quantizes a weight's groups (weight_groups.h); the
/// value is their size.
inline constexpr const char* kGroupKey = "quantize.group.";
/// Followed by the name of a batch norm that is no more; the value says what became of it.
inline constexpr const char* kFoldedKey = "quantize.folded.";

/// Drops what prepare notes for convert about single nodes: the notes of an earlier graph, read
/// from a file, may be about nodes of other meaning.
inline void drop_notes(Graph& graph) {
  std::erase_if(graph.metadata(), [](const auto& entry) {
    for (const char* key : {kFloatKey, kFoldedKey, kRangeKey, kOwnKey, kOwnLeafKey, kGroupKey})
      if (entry.first.starts_with(key)) return true;
    return false;
  });
}

}  // namespace pare::quantize
