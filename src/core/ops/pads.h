// The value inputs that pad and pad_border share: amounts, and the axes they are for.
#pragma once

#include "core/ops/value_inputs.h"

namespace pare {

/// Input 1 (all amounts before, then all after) and input 2 (axes; all where it is not given) as
/// amounts per axis of x.
void bind_pads(const Values& values, const Shape& x, const char* where,
               std::vector<std::int64_t>& before, std::vector<std::int64_t>& after);
/// The output, where not all of them are known.
void infer_unknown_pads(InferArgs& args);
/// ONNX's Pad with the inputs as they are; `value` is the name of its third, "" for none.
void emit_value_pad(OnnxEmitter& emitter, const std::vector<std::int64_t>& before,
                    const std::vector<std::int64_t>& after, const std::string& value,
                    const char* mode);

}  // namespace pare
