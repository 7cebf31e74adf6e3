// How a module sees a batch.
#include "pare/train/forward.h"

#include "core/check.h"

namespace pare::train {

Tensor with_lengths(nn::Module& module, const data::Batch& batch) {
  PARE_CHECK(batch.lengths.defined(), invalid_argument, "train::with_lengths",
             "expected a batch with lengths, of a loader with LoaderOptions::pad, got x {} alone",
             batch.x.shape());
  return module.run({batch.x, batch.lengths})[0];
}

}  // namespace pare::train
