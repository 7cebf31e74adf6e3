// Storage: one allocation for the header and its 64-byte aligned elements.
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/check.h"
#include "pare/core/tensor.h"

namespace pare::detail {
namespace {

constexpr std::size_t kAlignment = 64;
// From this size on, huge pages are worth a system call: a training step of a convolution net
// otherwise spends several percent of its time in page faults on freshly allocated activations.
constexpr std::size_t kHugePagesFrom = std::size_t{4} << 20;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

void ask_for_huge_pages([[maybe_unused]] std::byte* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const auto first =
      (reinterpret_cast<std::uintptr_t>(data) + kHugePage - 1) / kHugePage * kHugePage;
  const auto last = (reinterpret_cast<std::uintptr_t>(data) + bytes) / kHugePage * kHugePage;
  // Advice only: where it is refused, the memory is as good with small pages.
  if (last > first) (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

Ref<Storage> Storage::allocate(std::size_t bytes) {
  constexpr std::size_t overhead = sizeof(Storage) + kAlignment;
  if (bytes > SIZE_MAX / 2)
    fail(ErrorCode::invalid_argument, "tensor", "expected fewer than 2^63 bytes, got {}", bytes);
  // malloc with alignment by hand: std::aligned_alloc costs several times as much.
  void* memory = std::malloc(overhead + bytes);
  if (!memory) throw std::bad_alloc();
  auto* storage = new (memory) Storage;
  const auto after = reinterpret_cast<std::uintptr_t>(memory) + sizeof(Storage);
  storage->data = reinterpret_cast<std::byte*>((after + kAlignment - 1) / kAlignment * kAlignment);
  storage->bytes = bytes;
  if (bytes >= kHugePagesFrom) ask_for_huge_pages(storage->data, bytes);
  return Ref<Storage>(storage);
}

Ref<Storage> Storage::wrap(void* data, std::size_t bytes, std::shared_ptr<void> owner) {
  void* memory = std::malloc(sizeof(Storage));
  if (!memory) throw std::bad_alloc();
  auto* storage = new (memory) Storage;
  storage->data = static_cast<std::byte*>(data);
  storage->bytes = bytes;
  storage->owner = std::move(owner);
  return Ref<Storage>(storage);
}

void Storage::destroy(Storage* storage) {
  storage->~Storage();
  std::free(storage);
}

}  // namespace pare::detail
