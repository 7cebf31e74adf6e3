// ByteSource: a file from start to end, decompressed on the way where gzip made it.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pare::data {

class ByteSource {
 public:
  /// Throws io_error where the file cannot be read or is no regular file.
  explicit ByteSource(const std::string& path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  const std::string& path() const { return path_; }
  bool compressed() const { return compressed_; }
  /// Bytes read so far, decompressed.
  std::uint64_t position() const { return position_; }
  /// Bytes that can follow at most: exact for a plain file; gzip cannot make more of its bytes than
  /// this.
  std::uint64_t most_left() const;
  /// Fills `out`. Throws corrupt_data, saying how much of `what` there was, where the file is too
  /// short or its compression is damaged.
  void read(void* out, std::size_t count, const char* what);
  /// As many of `count` bytes as there are.
  std::size_t read_some(void* out, std::size_t count);
  /// Throws corrupt_data where anything follows.
  void expect_end(const char* after);

 private:
  std::size_t read_file(void* out, std::size_t count);
  std::size_t inflate_some(std::byte* out, std::size_t count);
  bool refill();

  std::string path_;
  int file_ = -1;
  std::uint64_t size_ = 0;      // of the file
  std::uint64_t position_ = 0;  // in what is read from it
  bool compressed_ = false;
  bool finished_ = false;  // the last gzip member has ended
  z_stream stream_{};
  std::vector<unsigned char> buffer_;
};

}  // namespace pare::data
