// Listing of folders and writing of files.
#include "data/folder.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/check.h"

namespace pare::data {
namespace {

namespace fs = std::filesystem;

template <class Take> void each_entry(const std::string& folder, Take&& take) {
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  while (!error && entry != fs::directory_iterator()) {
    take(*entry);
    entry.increment(error);
  }
  PARE_CHECK(!error, io_error, folder, "expected a folder that can be read, got '{}'",
             error.message());
}

}  // namespace

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> files;
  each_entry(folder, [&](const fs::directory_entry& entry) {
    std::error_code ignored;
    if (entry.is_regular_file(ignored)) files.push_back(entry.path().string());
  });
  std::ranges::sort(files);
  return files;
}

std::vector<std::string> folders_of(const std::string& folder) {
  std::vector<std::string> folders;
  each_entry(folder, [&](const fs::directory_entry& entry) {
    std::error_code ignored;
    const std::string name = entry.path().filename().string();
    if (entry.is_directory(ignored) && !name.starts_with('.')) folders.push_back(name);
  });
  std::ranges::sort(folders);
  return folders;
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  PARE_CHECK(file != nullptr, io_error, path, "expected a file that can be written, got '{}'",
             std::strerror(errno));
  bool good = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int problem = good ? 0 : errno;
  good = std::fclose(file) == 0 && good;
  if (good) return;
  const int reason = problem != 0 ? problem : errno;
  std::remove(path.c_str());
  fail(ErrorCode::io_error, path, "expected to write {} bytes, got '{}'", bytes.size(),
       std::strerror(reason));
}

}  // namespace pare::data
