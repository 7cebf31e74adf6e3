// IDX files (MNIST's format).
#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <vector>

#include "core/check.h"
#include "data/byte_source.h"
#include "pare/data/readers.h"

namespace pare::data {
namespace {

struct IdxType {
  std::uint8_t code;
  DType dtype;
};
constexpr std::array<IdxType, 6> kTypes{{{0x08, DType::u8},
                                         {0x09, DType::i8},
                                         {0x0B, DType::i16},
                                         {0x0C, DType::i32},
                                         {0x0D, DType::f32},
                                         {0x0E, DType::f64}}};

DType dtype_of_code(const std::string& path, std::uint8_t code) {
  const auto* const type =
      std::ranges::find_if(kTypes, [code](const IdxType& t) { return t.code == code; });
  PARE_CHECK(type != kTypes.end(), corrupt_data, path,
             "expected an IDX element type (0x08, 0x09, 0x0b to 0x0e) at byte 2, got {:#04x}",
             code);
  return type->dtype;
}

// IDX numbers are big-endian.
void swap_bytes(std::byte* data, std::size_t bytes, std::size_t width) {
  if (width == 1) return;
  for (std::size_t i = 0; i < bytes; i += width) std::reverse(data + i, data + i + width);
}

std::string plain_or_gz(const std::string& folder, const std::string& name) {
  const std::filesystem::path plain = std::filesystem::path(folder) / name;
  std::error_code ignored;
  if (std::filesystem::exists(plain, ignored)) return plain.string();
  return plain.string() + ".gz";
}

}  // namespace

Tensor read_idx(const std::string& path, const IdxOptions& options) {
  ByteSource source(path);
  std::array<std::uint8_t, 4> magic{};
  source.read(magic.data(), magic.size(), "IDX magic number");
  PARE_CHECK(magic[0] == 0 && magic[1] == 0, corrupt_data, path,
             "expected an IDX file, which begins with two zero bytes, got {:#04x} {:#04x}",
             magic[0], magic[1]);
  const DType dtype = dtype_of_code(path, magic[2]);
  const int rank = magic[3];
  PARE_CHECK(rank >= 1 && rank <= Shape::kMaxRank, corrupt_data, path,
             "expected 1 to {} axes at byte 3, got {}", Shape::kMaxRank, rank);

  std::vector<std::int64_t> lengths;
  const auto width = static_cast<std::size_t>(traits(dtype).bits) / 8;
  // Without the axes of 0, so that what their neighbours need is a number too.
  auto bytes = static_cast<std::int64_t>(width);
  bool fits = true;
  bool empty = false;
  for (int axis = 0; axis < rank; ++axis) {
    std::array<std::uint8_t, 4> size{};
    source.read(size.data(), size.size(), "IDX axis length");
    const std::uint32_t length = static_cast<std::uint32_t>(size[0]) << 24 |
                                 static_cast<std::uint32_t>(size[1]) << 16 |
                                 static_cast<std::uint32_t>(size[2]) << 8 | size[3];
    lengths.push_back(length);
    empty = empty || length == 0;
    fits = fits && !__builtin_mul_overflow(bytes, std::max(length, 1U), &bytes);
  }
  if (empty) bytes = 0;
  PARE_CHECK(
      fits && static_cast<std::uint64_t>(bytes) <= source.most_left(), corrupt_data, path,
      "expected [{}] elements of {} after the header, got a file that holds at most {} bytes",
      listed(lengths), dtype, source.most_left());
  const Shape shape{std::span<const std::int64_t>(lengths)};
  // gzip may truly hold a thousand times its size.
  const std::int64_t limit = std::max<std::int64_t>(options.max_bytes, 0);
  PARE_CHECK(bytes <= limit, corrupt_data, path,
             "expected at most {} bytes (IdxOptions::max_bytes), got {} of {}", limit, dtype,
             shape);
  Tensor array = Tensor::empty(shape, dtype);
  auto* const data = static_cast<std::byte*>(array.mutable_raw());
  source.read(data, array.bytes(), "elements");
  source.expect_end("the elements");
  swap_bytes(data, array.bytes(), width);
  return array;
}

TensorDataset read_idx_pictures(const std::string& pictures, const std::string& labels,
                                const IdxOptions& options) {
  const Tensor x = read_idx(pictures, options);
  PARE_CHECK(x.rank() == 3 && x.dtype() == DType::u8, corrupt_data, pictures,
             "expected pictures, u8 of three axes, got {} {}", x.dtype(), x.shape());
  const Tensor y = read_idx(labels, options);
  PARE_CHECK(y.rank() == 1 && y.dtype() == DType::u8, corrupt_data, labels,
             "expected labels, u8 of one axis, got {} {}", y.dtype(), y.shape());
  PARE_CHECK(x.dim(0) == y.dim(0), corrupt_data, labels,
             "expected {} labels, as '{}' has pictures, "
             "got {}",
             x.dim(0), pictures, y.dim(0));
  const Shape shape{x.dim(0), 1, x.dim(1), x.dim(2)};
  Tensor reshaped =
      Tensor::wrap(const_cast<void*>(x.raw()), shape, DType::u8, std::make_shared<Tensor>(x));
  return TensorDataset(reshaped, y.to(DType::i64));
}

TensorDataset read_mnist(const std::string& folder, bool train) {
  const std::string prefix = train ? "train" : "t10k";
  return read_idx_pictures(plain_or_gz(folder, prefix + "-images-idx3-ubyte"),
                           plain_or_gz(folder, prefix + "-labels-idx1-ubyte"));
}

}  // namespace pare::data
