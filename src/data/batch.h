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

  /// The batch of these examples, at least one. Each draws from `generator.fork(its number)`;
  /// null: crops come from the middle and nothing is mirrored.
  Batch make(const Dataset& dataset, std::span<const std::int64_t> indices,
             const Generator* generator) const;

 private:
  Batch make_padded(const Dataset& dataset, std::span<const std::int64_t> indices) const;
  bool converts(const Tensor& input) const;

  Transforms moves_;  // crops and mirrorings, in their order
  Normalize normalize_{.scale = 1};
  bool normalizes_ = false;
  MemoryFormat format_;
  std::optional<Pad> pad_;
};

}  // namespace pare::data
