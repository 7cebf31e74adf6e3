// .npy and .npz files.
#include "pare/io/npy.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <set>

#include "core/check.h"
#include "core/little_endian.h"
#include "io/atomic_file.h"
#include "io/file_reader.h"
#include "io/npy_format.h"
#include "pare/core/context.h"

namespace pare::io {
namespace {

constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;
constexpr std::uint64_t kMostInflation = 1032;  // deflate codes at most 258 bytes in two bits

using little_endian::append;
using little_endian::number;

// A file in a zip archive (PKWARE's APPNOTE.TXT), as its central directory states it.
struct Entry {
  std::string name;
  std::uint64_t method = 0, sum = 0, packed = 0, size = 0, offset = 0;
};

class Zip {
 public:
  explicit Zip(const std::string& path) : file_(path) { read_directory(); }

  const std::vector<Entry>& entries() const { return entries_; }

  std::vector<unsigned char> read(const Entry& entry, const std::string& place,
                                  std::uint64_t limit) {
    PARE_CHECK(entry.method == 0 || entry.method == 8, unsupported, place,
               "expected an array stored or deflated, got zip's method {}", entry.method);
    PARE_CHECK(entry.size <= limit, corrupt_data, place,
               "expected at most {} bytes (NpyOptions::max_bytes), got {}", limit, entry.size);
    std::array<unsigned char, kLocalBytes> local{};
    check_room(entry.offset, local.size(), "a local header");
    file_.seek(entry.offset);
    file_.read(local.data(), local.size(), "a local header");
    PARE_CHECK(number(local.data(), 4) == kLocal, corrupt_data, place,
               "expected a zip header at byte {}, got another", entry.offset);
    const std::uint64_t begin =
        entry.offset + local.size() + number(local.data() + 26, 2) + number(local.data() + 28, 2);
    check_room(begin, entry.packed, "an array");
    const bool possible = entry.method == 0 ? entry.size == entry.packed
                                            : entry.size / kMostInflation <= entry.packed;
    PARE_CHECK(possible, corrupt_data, place, "expected {} bytes out of {}, which cannot be",
               entry.size, entry.packed);
    std::vector<unsigned char> packed(entry.packed);
    file_.seek(begin);
    file_.read(packed.data(), packed.size(), "an array");
    std::vector<unsigned char> out =
        entry.method == 0 ? std::move(packed) : inflated(packed, entry.size, place);
    uLong sum = 0;
    for (std::size_t at = 0; at < out.size(); at += 1U << 30) {
      sum = crc32(sum, out.data() + at,
                  static_cast<uInt>(std::min<std::size_t>(out.size() - at, 1U << 30)));
    }
    PARE_CHECK(sum == entry.sum, corrupt_data, place,
               "expected the check sum {:#010x}, got {:#010x}", entry.sum, sum);
    return out;
  }

 private:
  void check_room(std::uint64_t begin, std::uint64_t bytes, const char* what) const {
    PARE_CHECK(begin <= file_.size() && bytes <= file_.size() - begin, corrupt_data, file_.path(),
               "expected {} bytes of {} at byte {}, got a file of {}", bytes, what, begin,
               file_.size());
  }

  static std::vector<unsigned char> inflated(const std::vector<unsigned char>& packed,
                                             std::uint64_t size, const std::string& place) {
    PARE_CHECK(packed.size() <= kMost32 && size <= kMost32, unsupported, place,
               "expected at most 4 GiB of deflated data, got {}", size);
    std::vector<unsigned char> out(size);
    unsigned char none = 0;  // zlib wants an address, also for nothing
    z_stream stream{};
    PARE_CHECK(inflateInit2(&stream, -15) == Z_OK, internal, place, "expected zlib to start");
    stream.next_in = const_cast<unsigned char*>(packed.data());
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = out.empty() ? &none : out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = inflate(&stream, Z_FINISH);
    const bool whole = status == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    PARE_CHECK(whole, corrupt_data, place, "expected {} bytes of deflated data, got damaged data",
               size);
    return out;
  }

  void read_directory() {
    const std::string& path = file_.path();
    // The end record stands before a comment of at most 65535 bytes.
    const std::uint64_t tail = std::min<std::uint64_t>(file_.size(), kEndBytes + 65535);
    std::vector<unsigned char> last(tail);
    file_.seek(file_.size() - tail);
    file_.read(last.data(), tail, "a zip archive's end");
    std::size_t at = last.size() < kEndBytes ? 0 : last.size() - kEndBytes + 1;
    while (at > 0 && number(last.data() + at - 1, 4) != kEnd) --at;
    PARE_CHECK(at > 0, corrupt_data, path, "expected a zip archive (.npz), got another file");
    const unsigned char* const end = last.data() + at - 1;
    const std::uint64_t count = number(end + 10, 2), bytes = number(end + 12, 4),
                        offset = number(end + 16, 4);
    PARE_CHECK(count != 0xFFFF && offset != kMost32, unsupported, path,
               "expected an archive below 4 GiB with fewer than 65535 arrays, got a larger one");
    check_room(offset, bytes, "a zip directory");
    std::vector<unsigned char> directory(bytes);
    file_.seek(offset);
    file_.read(directory.data(), bytes, "a zip directory");
    std::size_t position = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::size_t left = directory.size() - position;
      const unsigned char* const p = directory.data() + position;
      PARE_CHECK(left >= kCentralBytes && number(p, 4) == kCentral, corrupt_data, path,
                 "expected {} arrays in the zip directory, got {}", count, i);
      const std::uint64_t name = number(p + 28, 2), extra = number(p + 30, 2),
                          comment = number(p + 32, 2);
      PARE_CHECK(left >= kCentralBytes + name + extra + comment, corrupt_data, path,
                 "expected {} arrays in the zip directory, got {}", count, i);
      Entry entry;
      entry.name.assign(reinterpret_cast<const char*>(p) + kCentralBytes, name);
      entry.method = number(p + 10, 2);
      entry.sum = number(p + 16, 4);
      entry.packed = number(p + 20, 4);
      entry.size = number(p + 24, 4);
      entry.offset = number(p + 42, 4);
      PARE_CHECK(entry.packed != kMost32 && entry.size != kMost32 && entry.offset != kMost32,
                 unsupported, path, "expected arrays below 4 GiB, got a larger one, '{}'",
                 entry.name);
      entries_.push_back(std::move(entry));
      position += kCentralBytes + name + extra + comment;
    }
  }

  FileReader file_;
  std::vector<Entry> entries_;
};

std::string array_place(const std::string& path, const std::string& name) {
  return fmt::format("{}: array '{}'", path, name);
}

}  // namespace

Tensor load_npy(const std::string& path) {
  FileReader file(path);
  return read_npy({path, file.size(),
                   [&](void* out, std::uint64_t bytes) { file.read(out, bytes, "an array"); }});
}

void save_npy(const std::string& path, const Tensor& tensor) {
  const NoGrad off;
  PARE_CHECK(tensor.defined(), invalid_argument, path, "expected a tensor, got an undefined one");
  const std::string header = npy_header(tensor, path);
  const Tensor plain = tensor.to(MemoryFormat::row_major);
  AtomicFile file(path);
  file.write(header.data(), header.size());
  file.write(plain.raw(), plain.bytes());
  file.commit();
}

std::vector<NamedTensor> load_npz(const std::string& path, const NpyOptions& options) {
  Zip zip(path);
  std::vector<NamedTensor> out;
  for (const Entry& entry : zip.entries()) {
    constexpr std::string_view ending = ".npy";
    std::string name = entry.name;
    PARE_CHECK(name.ends_with(ending), corrupt_data, path,
               "expected arrays, '<name>.npy', in the archive, got '{}'", name);
    name.resize(name.size() - ending.size());
    const std::string place = array_place(path, name);
    const auto limit = static_cast<std::uint64_t>(std::max<std::int64_t>(options.max_bytes, 0));
    const std::vector<unsigned char> bytes = zip.read(entry, place, limit);
    std::size_t at = 0;
    const NpySource source{place, bytes.size(), [&](void* to, std::uint64_t count) {
                             if (count > 0) std::memcpy(to, bytes.data() + at, count);
                             at += count;
                           }};
    out.push_back({std::move(name), read_npy(source), false});
  }
  return out;
}

void save_npz(const std::string& path, std::span<const NamedTensor> tensors) {
  const NoGrad off;
  PARE_CHECK(tensors.size() < 0xFFFF, unsupported, path, "expected fewer than 65535 arrays, got {}",
             tensors.size());
  std::set<std::string> names;
  std::uint64_t total = kEndBytes;
  for (const auto& [name, tensor, trainable] : tensors) {
    PARE_CHECK(!name.empty() && name.size() < 60000 && names.insert(name).second, invalid_argument,
               path, "expected names that differ and are not empty, got '{}'", name);
    PARE_CHECK(tensor.defined(), invalid_argument, array_place(path, name),
               "expected a tensor, got an undefined one");
    total += tensor.bytes() + npy_header(tensor, path).size() + 2 * name.size() + 100;
  }
  PARE_CHECK(total < kMost32, unsupported, path,
             "expected arrays below 4 GiB together, got {} bytes", total);
  AtomicFile file(path);
  std::string directory;
  std::uint64_t offset = 0;
  for (const auto& [name, tensor, trainable] : tensors) {
    const std::string header = npy_header(tensor, path);
    const Tensor plain = tensor.to(MemoryFormat::row_major);
    const std::uint64_t size = header.size() + plain.bytes();
    uLong sum =
        crc32(0, reinterpret_cast<const Bytef*>(header.data()), static_cast<uInt>(header.size()));
    sum = crc32(sum, static_cast<const Bytef*>(plain.raw()), static_cast<uInt>(plain.bytes()));
    const std::string full = name + ".npy";
    // Version 2.0, no flags, stored, 1980-01-01, then what local and central headers share.
    std::string facts;
    for (const unsigned v : {20U, 0U, 0U, 0U, 33U}) append(facts, v, 2);
    for (const std::uint64_t v : {std::uint64_t{sum}, size, size}) append(facts, v, 4);
    append(facts, full.size(), 2);
    append(facts, 0, 2);
    std::string local;
    append(local, kLocal, 4);
    local += facts + full;
    append(directory, kCentral, 4);
    append(directory, 20, 2);
    directory += facts;
    for (int i = 0; i < 3; ++i) append(directory, 0, 2);
    append(directory, 0, 4);
    append(directory, offset, 4);
    directory += full;
    file.write(local.data(), local.size());
    file.write(header.data(), header.size());
    file.write(plain.raw(), plain.bytes());
    offset += local.size() + size;
  }
  std::string end;
  append(end, kEnd, 4);
  append(end, 0, 4);
  append(end, tensors.size(), 2);
  append(end, tensors.size(), 2);
  append(end, directory.size(), 4);
  append(end, offset, 4);
  append(end, 0, 2);
  file.write(directory.data(), directory.size());
  file.write(end.data(), end.size());
  file.commit();
}

}  // namespace pare::io
