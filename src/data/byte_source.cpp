// ByteSource: plain and gzip-compressed files behind one reading function.
#include "data/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace pare::data {
namespace {

// Deflate codes at most 258 bytes in two bits.
constexpr std::uint64_t kMostRatio = 1032;
constexpr std::size_t kBuffer = 1 << 16;
constexpr int kGzip = 15 + 16;

}  // namespace

ByteSource::ByteSource(const std::string& path) : path_(path) {
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  PARE_CHECK(file_ >= 0, io_error, path_, "expected a file that can be read, got '{}'",
             std::strerror(errno));
  struct stat facts {};
  const bool regular = ::fstat(file_, &facts) == 0 && S_ISREG(facts.st_mode);
  if (!regular) ::close(file_);
  PARE_CHECK(regular, io_error, path_, "expected a regular file, got something else");
  size_ = static_cast<std::uint64_t>(facts.st_size);

  unsigned char magic[2] = {};
  const bool gzip = ::pread(file_, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
  if (!gzip) return;
  if (inflateInit2(&stream_, kGzip) != Z_OK) {
    ::close(file_);
    fail(ErrorCode::internal, path_, "expected zlib to start, got an error");
  }
  compressed_ = true;
  buffer_.resize(kBuffer);
}

ByteSource::~ByteSource() {
  if (compressed_) inflateEnd(&stream_);
  ::close(file_);
}

std::uint64_t ByteSource::most_left() const {
  const std::uint64_t most = compressed_ ? size_ * kMostRatio : size_;
  return most - std::min(most, position_);
}

std::size_t ByteSource::read_file(void* out, std::size_t count) {
  std::size_t done = 0;
  while (done < count) {
    const ::ssize_t got = ::read(file_, static_cast<std::byte*>(out) + done, count - done);
    if (got < 0 && errno == EINTR) continue;
    PARE_CHECK(got >= 0, io_error, path_, "expected to read, got '{}'", std::strerror(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

bool ByteSource::refill() {
  if (stream_.avail_in > 0) return true;
  stream_.next_in = buffer_.data();
  stream_.avail_in = static_cast<uInt>(read_file(buffer_.data(), buffer_.size()));
  return stream_.avail_in > 0;
}

std::size_t ByteSource::inflate_some(std::byte* out, std::size_t count) {
  std::size_t done = 0;
  while (done < count && !finished_) {
    PARE_CHECK(refill(), corrupt_data, path_,
               "expected the end of the compressed data, got the end of the file after {} bytes",
               position_ + done);
    const std::size_t piece = std::min<std::size_t>(count - done, 1U << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(out + done);
    stream_.avail_out = static_cast<uInt>(piece);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    done += piece - stream_.avail_out;
    PARE_CHECK(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, corrupt_data,
               path_, "expected gzip data, got '{}' after {} bytes",
               stream_.msg ? stream_.msg : "damaged data", position_ + done);
    // A gzip file may have several members, one after another.
    if (status == Z_STREAM_END) {
      if (refill()) {
        inflateReset2(&stream_, kGzip);
      } else {
        finished_ = true;
      }
    }
  }
  return done;
}

std::size_t ByteSource::read_some(void* out, std::size_t count) {
  const std::size_t got =
      compressed_ ? inflate_some(static_cast<std::byte*>(out), count) : read_file(out, count);
  position_ += got;
  return got;
}

void ByteSource::read(void* out, std::size_t count, const char* what) {
  const std::uint64_t begin = position_;
  const std::size_t got = read_some(out, count);
  PARE_CHECK(got == count, corrupt_data, path_, "expected {} bytes of {} at byte {}, got {}", count,
             what, begin, got);
}

void ByteSource::expect_end(const char* after) {
  std::byte one{};
  const std::uint64_t end = position_;
  PARE_CHECK(read_some(&one, 1) == 0, corrupt_data, path_,
             "expected the end of the file after {} at byte {}, got more", after, end);
}

}  // namespace pare::data
