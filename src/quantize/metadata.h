// What prepare leaves in the graph for convert.
#pragma once

namespace pare::quantize {

inline constexpr const char* kIsaKey = "quantize.isa";
/// Followed by a node's name; the value says why it stays float.
inline constexpr const char* kFloatKey = "quantize.float.";

}  // namespace pare::quantize
