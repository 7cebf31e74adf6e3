// Large blocks of memory that are kept when they are freed: the next step wants the same sizes
// again.
#pragma once
#include <cstddef>

namespace pare::detail {

/// From this many bytes on a block goes through take_block and give_block_back: malloc would hand
/// such a block back to the operating system when it is freed, or soon after.
inline constexpr std::size_t kLargeBlock = std::size_t{128} << 10;

/// A block of at least `bytes` bytes, as malloc aligns it: one that was kept, or a new one; null
/// where there is no memory.
void* take_block(std::size_t bytes);

/// Takes back what take_block(bytes) gave. What is kept never exceeds kKeptBytes, and together with
/// what is in use exceeds the most that was in use at one time by kSlackBytes at most: the peak of
/// the process stays nearly as it was, and a small net, whose blocks are of many sizes, finds them
/// all again.
void give_block_back(void* block, std::size_t bytes);

/// Gives all that is kept back to the operating system: after work whose sizes do not come again.
void release_kept_blocks();

inline constexpr std::size_t kKeptBytes = std::size_t{512} << 20;
inline constexpr std::size_t kSlackBytes = std::size_t{32} << 20;

}  // namespace pare::detail
