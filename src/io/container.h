// The container of .pare files: named sections with checksums behind a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pare::io {

// Numbers are little-endian.
//   0  8 bytes   magic: 89 'p' 'a' 'r' 'e' 0d 0a 1a
//   8  u32       version, 1
//  12  u32       number of sections
//  16  u64       bytes of the file
//  24  u32       0
//  28  u32       CRC-32 (zlib's) of the 28 bytes before it and of the table
//  32  table     32 bytes per section:
//                8 bytes name, zeros behind it; u32 flags (1: not to be read without knowing this
//                section); u32 CRC-32 of its bytes; u64 offset; u64 bytes
// Sections lie in the table's order, each at the next multiple of 64; between them are zeros.

inline constexpr std::uint64_t kSectionAlignment = 64;

inline std::uint64_t aligned(std::uint64_t at) {
  return (at + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

/// Where a file's bytes come from.
struct FileSource {
  std::string name;  ///< for errors
  std::uint64_t size = 0;
  std::function<void(std::uint64_t at, void* out, std::uint64_t bytes)> read;
};

struct Section {
  std::string name;
  bool required = false;
  std::uint32_t checksum = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// A section to be written: the bytes of its pieces one after another.
struct SectionPieces {
  std::string name;  ///< at most 8 characters
  bool required = false;
  std::vector<std::span<const std::byte>> pieces;
};

/// Whether bytes at the start of a file are a container's.
bool is_container(std::string_view start);

/// Writes a file whole or not at all. Throws io_error.
void write_container(const std::string& path, std::span<const SectionPieces> sections);

/// The table, with everything but the sections' own bytes checked. Throws corrupt_data, and
/// unsupported for a later version of the format.
std::vector<Section> read_table(const FileSource& source);

/// Reads a section from start to end, checking its sum at the end.
class SectionReader {
 public:
  SectionReader(const FileSource& source, const Section& section);
  /// Throws corrupt_data where the section is shorter.
  void read(void* out, std::uint64_t bytes);
  /// Throws corrupt_data for anything but zeros.
  void read_zeros(std::uint64_t bytes);
  void skip(std::uint64_t bytes);
  std::uint64_t left() const { return section_.bytes - position_; }
  /// Throws corrupt_data where bytes are left or the checksum is another.
  void finish();

 private:
  const FileSource& source_;
  const Section& section_;
  std::uint64_t position_ = 0;
  std::uint32_t sum_ = 0;
};

/// What a section is called in an error.
std::string section_place(const FileSource& source, const Section& section);

}  // namespace pare::io
