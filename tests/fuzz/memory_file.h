// MemoryFile: bytes as a file without a disk, for readers that take a path.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "pare/core/error.h"

namespace pare::fuzz {

class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : file_(::memfd_create("fuzz", 0)) {
    std::size_t done = 0;
    while (file_ >= 0 && done < size) {
      const ::ssize_t part = ::write(file_, data + done, size - done);
      if (part <= 0) std::abort();
      done += static_cast<std::size_t>(part);
    }
    if (file_ < 0) std::abort();
  }
  ~MemoryFile() { ::close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

/// Runs a reader: an Error with a message is how damage has to end.
template <class Read> void expect_error_or_success(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    // What is ours to avoid is not the file's fault.
    if (error.code() == ErrorCode::internal || error.message().empty()) {
      ::write(STDERR_FILENO, error.what(), error.message().size());
      std::abort();
    }
  }
}

}  // namespace pare::fuzz
