// Ties between parameters, freezing by name, and counts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/replacement.h"
#include "pare/nn/module.h"

namespace pare::nn {

/// Makes the parameter `name` one with `with` (both dotted names, `tie(net, "decoder.weight",
/// "encoder.weight")`): one leaf, which has the value of `with`, in two places; one gradient, one
/// entry of parameters(). Copies of this module are tied alike, state() and checkpoints have both
/// names. May be called before `initialize`. To
/// prune or quantize tied parameters edit a trace, where they are one value: an edit of one slot
/// does not know of the other. Returns what optimizers that hold the old leaf need.
/// Press and Wolf, "Using the output embedding to improve language models", 2017. Throws
/// invalid_argument for names that are no parameters or the same one, and for a parameter that is
/// computed from leaves; shape_mismatch or dtype_mismatch.
PARE_API std::vector<Replacement> tie(Module& module, const std::string& name,
                                      const std::string& with);

/// Whether `pattern`, with * for any characters and ? for one, is the whole of `name`.
PARE_API bool matches(std::string_view pattern, std::string_view name);

/// Freezes the parameters whose dotted names match ("features.*", "*.bias"), so that they want no
/// gradient, and puts the parts that match in eval mode (batch norms keep their statistics). Tied
/// parameters freeze under any of their names. Make optimizers afterwards. Returns how many
/// parameters it froze. Throws invalid_argument where nothing matches.
PARE_API std::int64_t freeze(Module& module, std::string_view pattern = "*");
/// The reverse.
PARE_API std::int64_t unfreeze(Module& module, std::string_view pattern = "*");

/// Elements of the leaves, tied ones once.
struct ParameterCount {
  std::int64_t trainable = 0;
  std::int64_t frozen = 0;   ///< of parameters that are not trained now, masks and the like
  std::int64_t buffers = 0;  ///< running statistics; of a Graph all that is not trained
  std::int64_t total() const { return trainable + frozen; }
};
/// Throws invalid_state before `initialize`.
PARE_API ParameterCount count_parameters(Module& module);

}  // namespace pare::nn
