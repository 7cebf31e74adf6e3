// Dropout.
#include "pare/nn/dropout.h"

#include "core/check.h"
#include "pare/core/ops/normalization.h"

namespace pare::nn {

Dropout::Dropout(DropoutOptions options)
    : attributes_(Attributes::of(DropoutAttributes{.probability = options.p})) {
  PARE_CHECK(options.p >= 0 && options.p <= 1, invalid_argument, "Dropout",
             "expected p from 0 to 1, got {}", options.p);
}

Tensor Dropout::forward(const Tensor& x) { return dropout(x, attributes_); }

void Dropout::set_mode(bool train) {
  DropoutAttributes changed = attributes_.as<DropoutAttributes>();
  changed.frozen = !train;
  attributes_ = Attributes::of(changed);
}

std::string Dropout::kind() const { return "Dropout"; }

}  // namespace pare::nn
