// Storage: one allocation for the header and its 64-byte aligned elements.
#include <cstdlib>
#include <new>

#include "core/aligned.h"
#include "core/check.h"
#include "core/large_blocks.h"
#include "pare/core/tensor.h"

namespace pare::detail {
namespace {

constexpr std::size_t kOverhead = sizeof(Storage) + kAlignment;

}  // namespace

Ref<Storage> Storage::allocate(std::size_t bytes) {
  if (bytes > SIZE_MAX / 2)
    fail(ErrorCode::invalid_argument, "tensor", "expected fewer than 2^63 bytes, got {}", bytes);
  // malloc with alignment by hand: std::aligned_alloc costs several times as much.
  const std::size_t whole = kOverhead + bytes;
  const bool large = whole >= kLargeBlock;
  void* memory = large ? take_block(whole) : std::malloc(whole);
  if (!memory) fail_out_of_memory("tensor", bytes);
  auto* storage = new (memory) Storage;
  const auto after = reinterpret_cast<std::uintptr_t>(memory) + sizeof(Storage);
  storage->data = reinterpret_cast<std::byte*>(aligned(after));
  storage->bytes = bytes;
  storage->large_block = large ? whole : 0;
  return Ref<Storage>(storage);
}

Ref<Storage> Storage::wrap(void* data, std::size_t bytes, std::shared_ptr<void> owner) {
  void* memory = std::malloc(sizeof(Storage));
  if (!memory) fail_out_of_memory("tensor", sizeof(Storage));
  auto* storage = new (memory) Storage;
  storage->data = static_cast<std::byte*>(data);
  storage->bytes = bytes;
  storage->owner = std::move(owner);
  return Ref<Storage>(storage);
}

void Storage::destroy(Storage* storage) {
  const std::size_t large_block = storage->large_block;
  storage->~Storage();
  if (large_block > 0)
    give_block_back(storage, large_block);
  else
    std::free(storage);
}

}  // namespace pare::detail
