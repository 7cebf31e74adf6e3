// What methods take that go layer by layer: data that they ask for more than once, and whom they
// tell how far they are.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "pare/core/tensor.h"

namespace pare::quantize {

/// Batches of a graph's inputs, which are asked for more than once, each time in order.
struct Batches {
  Batches(std::int64_t batches, std::function<Tensors(std::int64_t batch)> read)
      : count(batches), get(std::move(read)) {}
  Batches(std::vector<Tensors> batches)  // NOLINT: whoever has them all need not say more
      : count(static_cast<std::int64_t>(batches.size())),
        get([held = std::move(batches)](std::int64_t b) {
          return held[static_cast<std::size_t>(b)];
        }) {}
  std::int64_t count;
  std::function<Tensors(std::int64_t batch)> get;
};

struct LayerProgress {
  std::string layer;        ///< the one that is next
  std::int64_t done = 0;    ///< layers
  std::int64_t layers = 0;  ///< all that the method goes over
};

}  // namespace pare::quantize
