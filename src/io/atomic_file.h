// AtomicFile: a file that replaces its predecessor only once it is whole on the disk.
#pragma once

#include <cstddef>
#include <string>

namespace pare::io {

/// Writes to a temporary name in the same folder; `commit` flushes it to the disk and renames it.
/// Without a commit the temporary file goes and whatever bore the name stays as it was.
class AtomicFile {
 public:
  /// Throws io_error.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws io_error (a full disk, a limit on file sizes).
  void write(const void* data, std::size_t bytes);
  /// Throws io_error.
  void commit();

 private:
  [[noreturn]] void refuse(const char* doing) const;

  std::string path_;       // as the caller gave it
  std::string target_;     // where a symbolic link leads
  std::string temporary_;  // empty when there is none
  int file_ = -1;
};

}  // namespace pare::io
