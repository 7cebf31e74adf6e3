// FileMapping: a regular file read through mappings of its parts; it may be cut at any time.
#pragma once

#include <cstdint>
#include <string>

namespace pare::io {

class FileMapping {
 public:
  /// Throws io_error where the file cannot be read or is no regular file.
  explicit FileMapping(const std::string& path);
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;
  ~FileMapping();
  /// When it was opened.
  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  /// Copies what lies at `begin`, within size(). Throws io_error, saying how much of `what` there
  /// was, where the file has become shorter since: no signal arises.
  void read(std::uint64_t begin, void* out, std::uint64_t bytes, const char* what) const;

 private:
  std::string path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace pare::io
