// BatchMaker: examples and their transforms, straight into the memory of a batch.
#pragma once

#include <cstdint>
#include <span>

#include "pare/core/generator.h"
#include "pare/data/loader.h"

namespace pare::data {

class BatchMaker {
 public:
  /// Throws invalid_argument for transforms that make no sense.
  BatchMaker(const Transforms& transforms, MemoryFormat format);

  /// The batch of these examples, at least one. Each draws from `generator.fork(its number)`;
  /// null: crops come from the middle and nothing is mirrored.
  Batch make(const Dataset& dataset, std::span<const std::int64_t> indices,
             const Generator* generator) const;

 private:
  bool converts(const Tensor& input) const;

  Transforms moves_;  // crops and mirrorings, in their order
  Normalize normalize_{.scale = 1};
  bool normalizes_ = false;
  MemoryFormat format_;
};

}  // namespace pare::data
