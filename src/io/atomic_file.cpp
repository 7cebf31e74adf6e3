// Writing a file whole or not at all.
#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/check.h"

namespace pare::io {
namespace {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(path) {
  std::error_code ignored;
  if (std::filesystem::is_symlink(path, ignored)) {
    const auto real = std::filesystem::weakly_canonical(path, ignored);
    if (!ignored) target_ = real.string();
  }
  struct stat old {};
  const bool replaces = ::stat(target_.c_str(), &old) == 0;
  PARE_CHECK(!replaces || S_ISREG(old.st_mode), io_error, path_,
             "expected a regular file or a new name to write to, got something else");
  // Names that a crashed or another process left are passed over.
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries && file_ < 0; ++i) {
    std::string name = fmt::format("{}.{}.{}.tmp", target_, ::getpid(), i);
    file_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ >= 0) temporary_ = std::move(name);
    if (file_ < 0 && errno != EEXIST) break;
  }
  if (file_ < 0) refuse("to create a file beside it");
  // Rights that the older file had stay; where they may not be set, the usual ones do.
  if (replaces) ::fchmod(file_, old.st_mode & 07777);
}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) ::close(file_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::refuse(const char* doing) const {
  fail(ErrorCode::io_error, path_, "expected {}, got '{}'", doing, std::strerror(errno));
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const auto* at = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ::ssize_t done = ::write(file_, at, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) refuse("to write");
    at += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

void AtomicFile::commit() {
  if (::fsync(file_) != 0) refuse("to flush to the disk");
  const int file = file_;
  file_ = -1;
  if (::close(file) != 0) refuse("to close");
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) refuse("to rename the finished file");
  temporary_.clear();
  // The new name is on the disk once its folder is; a folder that cannot be flushed loses nothing.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

}  // namespace pare::io
