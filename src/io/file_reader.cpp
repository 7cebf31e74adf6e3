// Reading of regular files.
#include "io/file_reader.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/check.h"

namespace pare::io {

FileReader::FileReader(const std::string& path) : path_(path) {
  std::error_code error;
  PARE_CHECK(std::filesystem::is_regular_file(path, error), io_error, path_,
             "expected a regular file, got '{}'", error ? error.message() : "something else");
  size_ = std::filesystem::file_size(path, error);
  stream_.open(path, std::ios::binary);
  PARE_CHECK(!error && stream_.good(), io_error, path_,
             "expected a file that can be read, got '{}'", std::strerror(errno));
}

void FileReader::seek(std::uint64_t position) {
  stream_.clear();
  stream_.seekg(static_cast<std::streamoff>(position));
}

void FileReader::read(void* out, std::uint64_t bytes, const char* what) {
  stream_.read(static_cast<char*>(out), static_cast<std::streamsize>(bytes));
  PARE_CHECK(static_cast<std::uint64_t>(stream_.gcount()) == bytes, io_error, path_,
             "expected {} bytes of {}, got {}", bytes, what, stream_.gcount());
}

}  // namespace pare::io
