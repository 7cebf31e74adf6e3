// Forward: how a module sees a batch.
#pragma once

#include <functional>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/batch.h"
#include "pare/nn/module.h"

namespace pare::train {

/// Makes a module's output of a batch. Where a Forward is empty, it is module(batch.x).
using Forward = std::function<Tensor(nn::Module& module, const data::Batch& batch)>;

/// For modules that take the lengths of padded sequences: the first output of
/// module.run({batch.x, batch.lengths}). Throws invalid_argument for a batch without lengths, of a
/// loader without LoaderOptions::pad.
PARE_API Tensor with_lengths(nn::Module& module, const data::Batch& batch);

}  // namespace pare::train
