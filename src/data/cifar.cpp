// CIFAR-10's binary records.
#include <memory>

#include "core/check.h"
#include "data/byte_source.h"
#include "pare/data/readers.h"

namespace pare::data {
namespace {

constexpr std::int64_t kPicture = 3 * 32 * 32;
constexpr std::int64_t kRecord = 1 + kPicture;
constexpr std::uint8_t kClasses = 10;

}  // namespace

TensorDataset read_cifar10(const std::vector<std::string>& files) {
  PARE_CHECK(!files.empty(), invalid_argument, "data::read_cifar10",
             "expected at least one file, got none");
  std::vector<std::unique_ptr<ByteSource>> sources;
  std::int64_t total = 0;
  for (const std::string& path : files) {
    const ByteSource& source = *sources.emplace_back(std::make_unique<ByteSource>(path));
    PARE_CHECK(!source.compressed(), unsupported, path,
               "expected CIFAR-10's plain binary form, got a gzip file; decompress it first");
    const auto bytes = static_cast<std::int64_t>(source.most_left());
    PARE_CHECK(bytes > 0 && bytes % kRecord == 0, corrupt_data, path,
               "expected records of {} bytes, got {} bytes, which is {} records and {} bytes",
               kRecord, bytes, bytes / kRecord, bytes % kRecord);
    total += bytes / kRecord;
  }
  Tensor pictures = Tensor::empty({total, 3, 32, 32}, DType::u8);
  Tensor labels = Tensor::empty({total}, DType::i64);
  auto* picture = pictures.mutable_data<std::uint8_t>();
  auto* label = labels.mutable_data<std::int64_t>();
  for (const auto& source : sources) {
    const std::int64_t records = static_cast<std::int64_t>(source->most_left()) / kRecord;
    std::vector<std::uint8_t> block(static_cast<std::size_t>(kRecord));
    for (std::int64_t r = 0; r < records; ++r) {
      source->read(block.data(), block.size(), "a record");
      PARE_CHECK(block[0] < kClasses, corrupt_data, source->path(),
                 "record {}: expected a class of 0 … {}, got {}", r, kClasses - 1, block[0]);
      *label++ = block[0];
      picture = std::copy(block.begin() + 1, block.end(), picture);
    }
  }
  return TensorDataset(pictures, labels);
}

}  // namespace pare::data
