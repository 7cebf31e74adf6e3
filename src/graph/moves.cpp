// Which calls only move elements.
#include "graph/moves.h"

#include "pare/core/ops/arrange.h"
#include "pare/core/ops/resample.h"

namespace pare {

bool moves_elements(const Call& call) {
  const OpDef* op = call.op;
  if (op == &kResize) return call.attributes.as<ResizeAttributes>().mode == "nearest";
  // Its padding is zeros, which have another code.
  if (op == &kUnfold)
    return call.attributes.as<UnfoldAttributes>().padding == std::array<std::int64_t, 2>{0, 0};
  return op == &kTile || op == &kRoll || op == &kPadBorder || op == &kDepthToSpace ||
         op == &kSpaceToDepth;
}

}  // namespace pare
