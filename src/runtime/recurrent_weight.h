// RecurrentWeight: a weight of a recurrent layer as packed codes, for integer products with rows.
#pragma once

#include <vector>

#include "core/byte_product.h"
#include "core/ops/recurrent.h"
#include "runtime/primitives.h"

namespace pare::runtime {

/// Multiplies through `multiply`, any number of rows: it has no execution of its own.
class RecurrentWeight final : public Primitive {
 public:
  /// `blocks`, in the order of their rows, make up the weight i8 [rows, inner]; one scale or one
  /// per row.
  RecurrentWeight(const Tensor& weight, const std::vector<float>& scales,
                  std::vector<WeightBlock> blocks);
  std::string name() const override { return products_.front().name(); }
  bool slow() const override { return false; }
  std::size_t constant_bytes() const override { return bytes_; }
  std::size_t scratch_bytes() const override { return 0; }
  void fill(void* constants) override;
  Tensor weight(const void* constants) const override;
  bool same(const void* a, const void* b) const override;
  std::unique_ptr<Execution> execution(const void* /*constants*/) const override { return nullptr; }

  const std::vector<WeightBlock>& blocks() const { return blocks_; }
  Shape shape() const;
  /// y [rows, count of the block], its rows `stride` apart = x [rows, inner] · blockᵀ, each row of
  /// x rounded to codes.
  void multiply(const void* constants, std::size_t block, std::int64_t rows, const float* x,
                float* y, std::int64_t stride) const;

 private:
  std::vector<WeightBlock> blocks_;
  std::vector<ByteProduct> products_;
  std::vector<std::size_t> offsets_;
  std::size_t bytes_ = 0;
};

}  // namespace pare::runtime
