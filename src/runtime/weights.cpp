// Weights: packing, sharing between programs, huge pages.
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <span>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/check.h"
#include "pare/core/ops/movement.h"
#include "runtime/arena.h"

namespace pare::runtime {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Below this a huge page would be mostly empty memory.
constexpr std::size_t kHugePagesFrom = std::size_t{1} << 20;

/// Row-major; undefined where the constants do not give it back.
Tensor given_back(const Packed& packed, int i, const Shape& shape) {
  const Tensor weight = packed.primitive->leaf(packed.constants, i);
  if (!weight.defined() || (weight.shape() == shape && !packed.transposed)) return weight;
  if (!packed.transposed) return reshape(weight, shape.to_vector());
  return transpose(reshape(weight, {shape[1], shape[0]}), {1, 0});
}

/// But for the rounding of bf16 or of a transform. A form that holds the weights otherwise than
/// expected is far off.
bool nearly_equal(const Tensor& found, const Tensor& wanted) {
  if (!found.defined() || found.dtype() != wanted.dtype()) return false;
  const Tensor row_major = wanted.to(MemoryFormat::row_major);
  if (std::memcmp(found.raw(), row_major.raw(), found.bytes()) == 0) return true;
  if (found.dtype() != DType::f32) return false;
  const std::span<const float> a(found.data<float>(), static_cast<std::size_t>(found.elements()));
  const float* b = row_major.data<float>();
  float most = 0;
  for (const float v : a) most = std::max(most, std::fabs(v));
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - b[i]) <= 0x1p-8F * std::fabs(b[i]) + 0x1p-20F * most)) return false;
  return most <= std::numeric_limits<float>::max();
}

}  // namespace

std::shared_ptr<std::byte> allocate_block(std::size_t bytes) {
  const bool huge = bytes >= kHugePagesFrom;
  const std::size_t alignment = huge ? kHugePage : kAlignment;
  const std::size_t size =
      (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, size);
  if (!memory) fail_out_of_memory("plan", size);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  // Advice only: where it is refused, the memory is as good with small pages.
  if (huge) (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

std::shared_ptr<const Packed> WeightStore::find(const Packed& packed, const void* filled) const {
  const auto known = known_.find(packed.name);
  if (known == known_.end()) return nullptr;
  const std::size_t bytes = packed.primitive->constant_bytes();
  for (const auto& other : known->second)
    if (other->primitive->constant_bytes() == bytes &&
        packed.primitive->same(other->constants, filled))
      return other;
  return nullptr;
}

void WeightStore::pack(const std::vector<std::shared_ptr<Packed>>& primitives) {
  struct Own {
    const std::shared_ptr<Packed>& packed;
    std::shared_ptr<std::byte> filled;  // null: not filled yet
  };
  std::vector<Own> own;
  std::size_t total = 0;
  for (const auto& packed : primitives) {
    const std::size_t bytes = packed->primitive->constant_bytes();
    std::shared_ptr<std::byte> filled;
    if (known_.count(packed->name)) {
      filled = allocate_block(bytes);
      std::memset(filled.get(), 0, bytes);
      packed->primitive->fill(filled.get());
      if (const auto other = find(*packed, filled.get())) {
        packed->constants = other->constants;
        packed->owner = other->owner;
        continue;
      }
    }
    own.push_back({packed, std::move(filled)});
    total += aligned(bytes);
  }
  if (own.empty()) return;
  const std::shared_ptr<std::byte> block = allocate_block(total);
  // Gaps between the parts of a primitive's constants compare equal.
  std::memset(block.get(), 0, total);
  std::byte* at = block.get();
  for (const Own& o : own) {
    const std::size_t bytes = o.packed->primitive->constant_bytes();
    if (o.filled)
      std::memcpy(at, o.filled.get(), bytes);
    else
      o.packed->primitive->fill(at);
    o.packed->constants = at;
    o.packed->owner = block;
    known_[o.packed->name].push_back(o.packed);
    for (std::size_t i = 0; i < o.packed->leaves.size(); ++i)
      if (const int leaf = o.packed->leaves[i]; leaf >= 0)
        of_leaf_.try_emplace(leaf, Place{o.packed, static_cast<int>(i)});
    at += aligned(bytes);
  }
  bytes_ += total;
}

void WeightStore::take_leaves(Graph& graph) {
  for (const auto& [leaf, place] : of_leaf_) {
    Tensor& tensor = graph.edit_value(leaf).tensor;
    if (tensor.defined() &&
        nearly_equal(given_back(*place.packed, place.i, tensor.shape()), tensor))
      tensor = {};
  }
}

void WeightStore::give_leaves(Graph& graph) const {
  for (const auto& [leaf, place] : of_leaf_) {
    Graph::Value& value = graph.edit_value(leaf);
    if (!value.tensor.defined()) value.tensor = given_back(*place.packed, place.i, value.shape);
  }
}

}  // namespace pare::runtime
