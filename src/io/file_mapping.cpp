// Reading of mapped files.
#include "io/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "core/check.h"

namespace pare::io {
namespace {

constexpr std::uint64_t kMostAtOnce = std::uint64_t{1} << 30;

/// 0 at the end of what there is, −1 on an error.
ssize_t copy_from(const std::byte* from, int file, std::uint64_t begin, void* out,
                  std::size_t bytes) {
#if defined(__linux__)
  // A load from a page that the file has lost raises SIGBUS; the kernel's copy ends with an error.
  const iovec to{out, bytes};
  const iovec source{const_cast<std::byte*>(from), bytes};
  const ssize_t copied = process_vm_readv(getpid(), &to, 1, &source, 1, 0);
  if (copied >= 0) return copied;
  if (errno == EFAULT) return 0;
#endif
  // Where the call is not to be had, as in some containers.
  return pread(file, out, bytes, static_cast<off_t>(begin));
}

}  // namespace

FileMapping::FileMapping(const std::string& path) : path_(path) {
  struct stat facts {};
  // A pipe would block here until somebody writes.
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file_ < 0 || fstat(file_, &facts) != 0) {
    const int error = errno;
    if (file_ >= 0) close(file_);
    fail(ErrorCode::io_error, path_, "expected a file that can be read, got '{}'",
         std::strerror(error));
  }
  size_ = static_cast<std::uint64_t>(facts.st_size);
  const bool regular = S_ISREG(facts.st_mode);
  void* data = nullptr;
  if (regular && size_ > 0) data = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_, 0);
  if (!regular || data == MAP_FAILED) {
    const int error = errno;
    close(file_);
    fail(ErrorCode::io_error, path_, "expected a regular file that can be mapped, got '{}'",
         regular ? std::strerror(error) : "something else");
  }
  data_ = static_cast<const std::byte*>(data);
}

FileMapping::~FileMapping() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_);
  close(file_);
}

void FileMapping::read(std::uint64_t begin, void* out, std::uint64_t bytes,
                       const char* what) const {
  PARE_ASSERT(begin <= size_ && bytes <= size_ - begin);
  std::uint64_t done = 0;
  while (done < bytes) {
    const auto piece = static_cast<std::size_t>(std::min(kMostAtOnce, bytes - done));
    const ssize_t copied = copy_from(data_ + begin + done, file_, begin + done,
                                     static_cast<std::byte*>(out) + done, piece);
    PARE_CHECK(copied >= 0, io_error, path_, "expected {} bytes of {}, got '{}'", bytes, what,
               std::strerror(errno));
    if (copied == 0) break;
    done += static_cast<std::uint64_t>(copied);
  }
  // The rest of a cut file's last page reads as zeros.
  struct stat facts {};
  const std::uint64_t size =
      fstat(file_, &facts) == 0 ? static_cast<std::uint64_t>(facts.st_size) : 0;
  done = std::min(done, size > begin ? size - begin : 0);
  PARE_CHECK(done == bytes, io_error, path_, "expected {} bytes of {}, got {}", bytes, what, done);
}

}  // namespace pare::io
