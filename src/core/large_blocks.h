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
/// what is in use never the most that was in use at one time: the peak of the process stays as it
/// was.
void give_block_back(void* block, std::size_t bytes);

inline constexpr std::size_t kKeptBytes = std::size_t{512} << 20;

}  // namespace pare::detail
