// A BackwardArgs by hand, for testing a backward kernel without the tape.
#pragma once

#include <utility>
#include <vector>

#include "pare/core/op.h"

namespace pare::test {

class GradientOf : public BackwardArgs {
 public:
  GradientOf(Call call, Tensors inputs, Tensor grad_output)
      : call_(std::move(call)),
        inputs_(std::move(inputs)),
        grad_output_(std::move(grad_output)),
        gradients(inputs_.size()) {}

  const Call& call() const override { return call_; }
  bool training() const override { return true; }
  int inputs() const override { return static_cast<int>(inputs_.size()); }
  bool needs(int i) const override { return has_input(i); }
  bool has_input(int i) const override { return at(i).defined(); }
  const Shape& input_shape(int i) const override { return at(i).shape(); }
  DType input_dtype(int i) const override { return at(i).dtype(); }
  MemoryFormat input_format(int i) const override { return at(i).format(); }
  const Tensor& input(int i) const override { return at(i); }
  const Tensor& output(int) const override { return grad_output_; }
  const Tensor& grad_output(int) const override { return grad_output_; }
  void set(int i, Tensor gradient) override {
    gradients[static_cast<std::size_t>(i)] = std::move(gradient);
  }

 private:
  const Tensor& at(int i) const { return inputs_[static_cast<std::size_t>(i)]; }
  Call call_;
  Tensors inputs_;
  Tensor grad_output_;

 public:
  Tensors gradients;
};

}  // namespace pare::test
