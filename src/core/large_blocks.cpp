// The blocks that are kept, newest last, behind one lock; none under a sanitizer.
#include "core/large_blocks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <mutex>

#include "core/sanitizers.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pare::detail {
namespace {

#if PARE_SANITIZED
constexpr bool kKeep = false;  // a sanitizer has to see each block end
#else
constexpr bool kKeep = true;
#endif

// Blocks differ by pages, so that tensors of nearly one size share them.
constexpr std::size_t kPage = 4096;
// From this size on, huge pages are worth a system call.
constexpr std::size_t kHugePagesFrom = std::size_t{4} << 20;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t rounded(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void ask_for_huge_pages([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const auto at = reinterpret_cast<std::uintptr_t>(block);
  const auto first = (at + kHugePage - 1) / kHugePage * kHugePage;
  const auto last = (at + bytes) / kHugePage * kHugePage;
  // Advice only: where it is refused, the memory is as good with small pages.
  if (last > first) (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

void* new_block(std::size_t bytes) {
  void* block = std::malloc(bytes);
  if (block && bytes >= kHugePagesFrom) ask_for_huge_pages(block, bytes);
  return block;
}

/// Never destroyed: tensors of static duration may be freed after everything else.
class Kept {
 public:
  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    void* block = nullptr;
    // The newest of its size: most likely still in a cache of the CPU.
    for (std::size_t i = count_; i-- > 0 && !block;)
      if (blocks_[i].bytes == bytes) block = drop(i);
    if (!block) {
      // A new block must hardly raise the peak.
      const std::size_t bound = std::max(most_in_use_, in_use_ + bytes) + kSlackBytes;
      while (count_ > 0 && in_use_ + bytes + bytes_ > bound) std::free(drop(0));
      block = new_block(bytes);
    }
    if (!block) return nullptr;
    in_use_ += bytes;
    most_in_use_ = std::max(most_in_use_, in_use_);
    return block;
  }

  void give_back(void* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    in_use_ -= bytes;
    if (bytes > kKeptBytes) return std::free(block);
    while (count_ == blocks_.size() || bytes_ + bytes > kKeptBytes) std::free(drop(0));
    blocks_[count_++] = {block, bytes};
    bytes_ += bytes;
  }

  void release() {
    const std::lock_guard lock(mutex_);
    while (count_ > 0) std::free(drop(count_ - 1));
    most_in_use_ = in_use_;
  }

 private:
  struct Block {
    void* memory;
    std::size_t bytes;
  };

  void* drop(std::size_t i) {
    const Block block = blocks_[i];
    std::copy(blocks_.begin() + static_cast<std::ptrdiff_t>(i) + 1,
              blocks_.begin() + static_cast<std::ptrdiff_t>(count_),
              blocks_.begin() + static_cast<std::ptrdiff_t>(i));
    --count_;
    bytes_ -= block.bytes;
    return block.memory;
  }

  std::mutex mutex_;
  std::array<Block, 256> blocks_{};
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::size_t in_use_ = 0;
  std::size_t most_in_use_ = 0;
};

constinit Kept kept;

}  // namespace

void* take_block(std::size_t bytes) {
  if constexpr (!kKeep) return new_block(bytes);
  return kept.take(rounded(bytes));
}

void give_block_back(void* block, std::size_t bytes) {
  if constexpr (!kKeep) return std::free(block);
  kept.give_back(block, rounded(bytes));
}

void release_kept_blocks() { kept.release(); }

}  // namespace pare::detail
