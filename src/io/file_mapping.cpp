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

/// A part of a file, as memory; null where it cannot be had.
class Part {
 public:
  Part(int file, std::uint64_t begin, std::size_t bytes) {
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    before_ = begin % page;
    bytes_ = before_ + bytes;
    void* memory =
        mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, static_cast<off_t>(begin - before_));
    if (memory != MAP_FAILED) memory_ = static_cast<std::byte*>(memory);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ~Part() {
    if (memory_) munmap(memory_, bytes_);
  }
  std::byte* begin() const { return memory_ ? memory_ + before_ : nullptr; }

 private:
  std::byte* memory_ = nullptr;
  std::size_t before_ = 0;
  std::size_t bytes_ = 0;
};

/// How much was copied: 0 at the end of what there is, −1 on an error.
ssize_t copy_from(int file, std::uint64_t begin, void* out, std::size_t bytes) {
#if defined(__linux__)
  // A load from a page that the file has lost raises SIGBUS; the kernel's copy ends with an error.
  if (const Part part(file, begin, bytes); part.begin()) {
    const iovec to{out, bytes};
    const iovec from{part.begin(), bytes};
    const ssize_t copied = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
    if (copied > 0) return copied;
  }
#endif
  // Says why; and where that call is not to be had, as in some containers, it reads.
  return pread(file, out, bytes, static_cast<off_t>(begin));
}

}  // namespace

FileMapping::FileMapping(const std::string& path) : path_(path) {
  struct stat facts {};
  // A pipe would block here until somebody writes.
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const int error = file_ < 0 || fstat(file_, &facts) != 0 ? errno : 0;
  if (error != 0 || !S_ISREG(facts.st_mode)) {
    if (file_ >= 0) close(file_);
    fail(ErrorCode::io_error, path_, "expected a regular file that can be read, got '{}'",
         error != 0 ? std::strerror(error) : "something else");
  }
  size_ = static_cast<std::uint64_t>(facts.st_size);
}

FileMapping::~FileMapping() { close(file_); }

void FileMapping::read(std::uint64_t begin, void* out, std::uint64_t bytes,
                       const char* what) const {
  PARE_ASSERT(begin <= size_ && bytes <= size_ - begin);
  std::uint64_t done = 0;
  while (done < bytes) {
    const auto piece = static_cast<std::size_t>(std::min(kMostAtOnce, bytes - done));
    const ssize_t copied =
        copy_from(file_, begin + done, static_cast<std::byte*>(out) + done, piece);
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
