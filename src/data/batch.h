// BatchMaker: examples and their transforms, straight into the memory of a batch.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "pare/core/generator.h"
#include "pare/data/loader.h"

namespace pare::data {

class BatchMaker {
 public:
  /// Throws invalid_argument for transforms and padding that make no sense.
  explicit BatchMaker(const LoaderOptions& options);

  /// The batch of these examples, at least one. Each draws from `generator.fork` of its stream,
  /// of which there are as many; null: crops come from the middle and nothing is left to chance.
  Batch make(const Dataset& dataset, std::span<const std::int64_t> indices,
             std::span<const std::uint64_t> streams, const Generator* generator) const;

 private:
  struct Drawn;
  Drawn draw_example(const Dataset& dataset, std::int64_t index, const Generator* generator,
                     std::uint64_t stream) const;
  bool converts(const Tensor& input) const;

  Transforms steps_;  // that change the whole picture, in their order
  Transforms moves_;  // crops and mirrorings after them
  Normalize normalize_{.scale = 1};
  bool normalizes_ = false;
  MemoryFormat format_;
  std::optional<Pad> pad_;
};

}  // namespace pare::data
