// Large blocks come back for the next tensor of their size, and never raise the peak.
#include "core/large_blocks.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "core/sanitizers.h"
#include "pare/core/tensor.h"

namespace pare {
namespace {

#if PARE_SANITIZED
constexpr bool kKept = false;
#else
constexpr bool kKept = true;
#endif

constexpr std::int64_t kFloats = std::int64_t{5} << 18;  // 5 MiB

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmRSS:", 0) == 0) return std::stoul(line.substr(6));
  return 0;
}

TEST(LargeBlocks, AFreedBlockIsTheNextTensorOfItsSize) {
  if (!kKept) GTEST_SKIP() << "a sanitizer has to see each block end";
  // The most in use so far, so that keeping one of them raises no peak.
  { const Tensor all = Tensor::empty({8 * kFloats}); }
  const void* first = Tensor::empty({kFloats}).raw();
  const Tensor other = Tensor::empty({2 * kFloats});
  EXPECT_NE(other.raw(), first);
  EXPECT_EQ(Tensor::empty({kFloats}).raw(), first);
  // In use it belongs to one tensor.
  const Tensor a = Tensor::empty({kFloats});
  const Tensor b = Tensor::empty({kFloats});
  EXPECT_NE(a.raw(), b.raw());
}

TEST(LargeBlocks, WhatIsKeptMakesRoomForWhatIsNew) {
  if (!kKept) GTEST_SKIP() << "a sanitizer has to see each block end";
  // One tensor at a time, each a little larger: without room being made all would stay resident.
  const std::size_t before = resident_kib();
  for (int i = 0; i < 40; ++i) Tensor::zeros({kFloats + i * 4096});
  EXPECT_LT(resident_kib(),
            before + (10 * static_cast<std::size_t>(kFloats) * 4 + detail::kSlackBytes) / 1024);
}

TEST(LargeBlocks, ABlockBeyondMemoryIsRefusedAndNotCounted) {
  if (!kKept) GTEST_SKIP() << "a sanitizer stops the program where memory ends";
  constexpr std::size_t kHuge = std::size_t{1} << 60;
  EXPECT_EQ(detail::take_block(kHuge), nullptr);
  // Had it been counted as in use, more than a gigabyte would now be kept.
  for (int i = 0; i < 40; ++i) Tensor::zeros({kFloats * 8 + i * 4096});
  EXPECT_LT(resident_kib(), std::size_t{2} << 20);
}

}  // namespace
}  // namespace pare
