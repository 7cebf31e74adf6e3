// FileReader: a regular file read from start to end, or from a place on.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace pare::io {

class FileReader {
 public:
  /// Throws io_error where the file cannot be read or is no regular file.
  explicit FileReader(const std::string& path);
  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  void seek(std::uint64_t position);
  /// Throws io_error, saying how much of `what` there was, where the file is shorter.
  void read(void* out, std::uint64_t bytes, const char* what);

 private:
  std::string path_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
};

}  // namespace pare::io
