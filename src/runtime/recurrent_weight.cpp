// RecurrentWeight: a weight of a recurrent layer as packed codes.
#include "runtime/recurrent_weight.h"

#include <cstring>

#include "pare/core/ops/movement.h"

namespace pare::runtime {
namespace {

const std::byte* at(const void* constants, std::size_t offset) {
  return static_cast<const std::byte*>(constants) + offset;
}

/// Memory for the codes of rows, which a thread keeps: a plan allocates nothing as it runs.
struct RowMemory {
  std::vector<std::uint8_t> codes;
  std::vector<RowCode> row_codes;
};
RowMemory& row_memory(std::int64_t rows, std::int64_t inner) {
  static thread_local RowMemory memory;
  const auto count = static_cast<std::size_t>(rows * inner);
  if (memory.codes.size() < count) memory.codes.resize(count);
  if (memory.row_codes.size() < static_cast<std::size_t>(rows))
    memory.row_codes.resize(static_cast<std::size_t>(rows));
  return memory;
}

}  // namespace

RecurrentWeight::RecurrentWeight(const Tensor& weight, const std::vector<float>& scales,
                                 std::vector<WeightBlock> blocks)
    : blocks_(std::move(blocks)) {
  for (const WeightBlock& block : blocks_) {
    const std::int64_t end = block.first + block.count;
    const std::vector<float> own =
        scales.size() == 1 ? scales
                           : std::vector<float>(scales.begin() + block.first, scales.begin() + end);
    products_.emplace_back(slice(weight, 0, block.first, end), own);
    offsets_.push_back(bytes_);
    bytes_ += products_.back().constant_bytes();
  }
}

Shape RecurrentWeight::shape() const {
  return {blocks_.back().first + blocks_.back().count, products_.front().inner()};
}

void RecurrentWeight::fill(void* constants) {
  for (std::size_t b = 0; b < products_.size(); ++b)
    products_[b].fill(static_cast<std::byte*>(constants) + offsets_[b]);
}

Tensor RecurrentWeight::weight(const void* constants) const {
  Tensors parts;
  for (std::size_t b = 0; b < products_.size(); ++b)
    parts.push_back(products_[b].weight(at(constants, offsets_[b])));
  return parts.size() == 1 ? parts.front() : concat(parts, 0);
}

bool RecurrentWeight::same(const void* a, const void* b) const {
  return std::memcmp(a, b, bytes_) == 0;
}

void RecurrentWeight::multiply(const void* constants, std::size_t block, std::int64_t rows,
                               const float* x, float* y, std::int64_t stride) const {
  const ByteProduct& product = products_[block];
  RowMemory& memory = row_memory(rows, product.inner());
  quantize_rows(x, rows, product.inner(), memory.codes.data(), memory.row_codes.data());
  product.run(at(constants, offsets_[block]), rows, memory.codes.data(), memory.row_codes.data(), y,
              stride);
}

}  // namespace pare::runtime
