// Tensors in oneDNN's blocked layouts, element by element.
#pragma once

#include "onednn/api.h"

namespace pare::onednn {

/// Copies a tensor from one layout to another of the same sizes: f32 or s8 as they are, bf16 to
/// f32. oneDNN's own reorders refuse layouts with compensation, which lies behind the elements.
/// False, with nothing written, for other types and where a layout is no arrangement of blocks.
bool unpack(const Desc& from, const void* source, const Desc& to, void* destination);

}  // namespace pare::onednn
