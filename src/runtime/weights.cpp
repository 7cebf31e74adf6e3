// Weights: packing, sharing between programs, huge pages.
#include "runtime/weights.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/check.h"
#include "runtime/arena.h"

namespace pare::runtime {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Below this a huge page would be mostly empty memory.
constexpr std::size_t kHugePagesFrom = std::size_t{1} << 20;

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

bool WeightStore::find(Packed& packed, const void* filled) const {
  const auto known = entries_.find(packed.name);
  if (known == entries_.end()) return false;
  const std::size_t bytes = packed.primitive->constant_bytes();
  for (const Entry& entry : known->second) {
    if (entry.bytes != bytes || std::memcmp(entry.constants, filled, bytes) != 0) continue;
    packed.constants = entry.constants;
    packed.owner = entry.owner;
    return true;
  }
  return false;
}

void WeightStore::pack(const std::vector<std::shared_ptr<Packed>>& primitives) {
  struct Own {
    Packed* packed;
    std::shared_ptr<std::byte> filled;  // null: not filled yet
  };
  std::vector<Own> own;
  std::size_t total = 0;
  for (const auto& packed : primitives) {
    const std::size_t bytes = packed->primitive->constant_bytes();
    std::shared_ptr<std::byte> filled;
    if (entries_.count(packed->name)) {
      filled = allocate_block(bytes);
      std::memset(filled.get(), 0, bytes);
      packed->primitive->fill(filled.get());
      if (find(*packed, filled.get())) continue;
    }
    own.push_back({packed.get(), std::move(filled)});
    total += aligned(bytes);
  }
  if (own.empty()) return;
  const std::shared_ptr<std::byte> block = allocate_block(total);
  // Gaps between the parts of a primitive's constants compare equal.
  std::memset(block.get(), 0, total);
  std::byte* at = block.get();
  for (Own& o : own) {
    const std::size_t bytes = o.packed->primitive->constant_bytes();
    if (o.filled)
      std::memcpy(at, o.filled.get(), bytes);
    else
      o.packed->primitive->fill(at);
    o.packed->constants = at;
    o.packed->owner = block;
    entries_[o.packed->name].push_back({bytes, at, block});
    at += aligned(bytes);
  }
  bytes_ += total;
}

}  // namespace pare::runtime
