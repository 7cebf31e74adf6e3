// A checksum of all that a safetensors file says.
#include "io/checksum.h"

#include <zlib.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "pare/core/context.h"
#include "pare/core/dtype.h"

namespace pare::io {
namespace {

class Sum {
 public:
  void bytes(const void* data, std::size_t size) {
    // zlib counts in 32 bits.
    constexpr std::size_t kMost = std::size_t{1} << 30;
    const auto* from = static_cast<const Bytef*>(data);
    for (std::size_t at = 0; at < size; at += kMost)
      value_ = crc32(value_, from + at, static_cast<uInt>(std::min(kMost, size - at)));
  }
  void number(std::int64_t value) { bytes(&value, sizeof value); }
  // With its length: "ab", "c" is not "a", "bc".
  void text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    bytes(value.data(), value.size());
  }
  std::uint32_t value() const { return static_cast<std::uint32_t>(value_); }

 private:
  uLong value_ = crc32(0, nullptr, 0);
};

}  // namespace

std::uint32_t checksum(std::span<const NamedTensor> tensors, const Metadata& metadata) {
  Sum sum;
  for (const auto& [key, value] : metadata) {
    sum.text(key);
    sum.text(value);
  }
  std::vector<const NamedTensor*> sorted;
  for (const NamedTensor& named : tensors) sorted.push_back(&named);
  std::sort(sorted.begin(), sorted.end(),
            [](const NamedTensor* a, const NamedTensor* b) { return a->name < b->name; });
  const NoGrad off;
  for (const NamedTensor* named : sorted) {
    const Tensor plain = named->tensor.to(MemoryFormat::row_major);
    sum.text(named->name);
    sum.text(traits(plain.dtype()).name);
    sum.number(plain.rank());
    for (int a = 0; a < plain.rank(); ++a) sum.number(plain.dim(a));
    if (plain.elements() > 0) sum.bytes(plain.raw(), plain.bytes());
  }
  return sum.value();
}

}  // namespace pare::io
