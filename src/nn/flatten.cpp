// Layers that only pass elements on.
#include "pare/nn/flatten.h"

#include <utility>

#include "core/defined.h"
#include "pare/core/ops/arrange.h"
#include "pare/core/ops/movement.h"

namespace pare::nn {

Flatten::Flatten(FlattenOptions options) : options_(options) {
  if (options.start < 0 || options.end != -1) return;
  ReshapeAttributes target;
  target.shape.assign(static_cast<std::size_t>(options.start), 0);
  target.shape.push_back(-1);
  to_end_ = {&kReshape, Attributes::of(std::move(target))};
}

Tensor Flatten::forward(const Tensor& x) {
  require_defined(x, "Flatten");
  if (to_end_.op && x.rank() > options_.start) return apply(to_end_, detail::Borrowed(x));
  return flatten(x, options_.start, options_.end);
}

std::string Flatten::kind() const { return "Flatten"; }

Unflatten::Unflatten(UnflattenOptions options) : options_(std::move(options)) {}
Tensor Unflatten::forward(const Tensor& x) { return unflatten(x, options_.dim, options_.sizes); }
std::string Unflatten::kind() const { return "Unflatten"; }

Tensor Identity::forward(const Tensor& x) { return x; }
std::string Identity::kind() const { return "Identity"; }

}  // namespace pare::nn
