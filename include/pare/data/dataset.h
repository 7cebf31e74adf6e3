// Dataset: examples by number; TensorDataset: examples that lie in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "pare/core/export.h"
#include "pare/core/tensor.h"

namespace pare::data {

/// What a network sees once: an input and, where there is one, what it should answer.
struct Example {
  Tensor input;
  Tensor label;  ///< rank 0 i64 for a class; undefined where there is none
};

/// A numbered collection of examples of one shape. Derive from it to bring your own.
class PARE_API Dataset {
 public:
  virtual ~Dataset();
  virtual std::int64_t size() const = 0;
  /// Example `index` of 0 … size()−1. Called by several threads at once. What it throws reaches
  /// whoever iterates over the Loader.
  virtual Example get(std::int64_t index) const = 0;
};

/// Examples along the first axis of two tensors. Copies share the elements.
class PARE_API TensorDataset : public Dataset {
 public:
  /// inputs [N, …], labels [N, …] (i64 [N] for classes) or undefined; both are made row-major.
  /// Throws shape_mismatch where the first axes differ.
  explicit TensorDataset(const Tensor& inputs, const Tensor& labels = {});

  std::int64_t size() const override { return inputs_->dim(0); }
  /// A view of the elements. Throws out_of_range.
  Example get(std::int64_t index) const override;

  const Tensor& inputs() const { return *inputs_; }
  /// Undefined where there are none.
  const Tensor& labels() const { return *labels_; }
  /// Examples [begin, end), sharing the elements. Throws out_of_range.
  TensorDataset part(std::int64_t begin, std::int64_t end) const;
  /// A copy of the examples of these numbers, in this order. Throws out_of_range.
  TensorDataset take(std::span<const std::int64_t> indices) const;

 private:
  // Shared pointers, so that the views of `get` keep the elements alive.
  std::shared_ptr<Tensor> inputs_;
  std::shared_ptr<Tensor> labels_;
};

}  // namespace pare::data
