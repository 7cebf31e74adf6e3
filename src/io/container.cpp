// Reading and writing of the container of .pare files.
#include "io/container.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "core/check.h"
#include "core/little_endian.h"
#include "io/atomic_file.h"

namespace pare::io {
namespace {

using little_endian::append;
using little_endian::number;

constexpr std::string_view kMagic{"\x89pare\r\n\x1a", 8};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 32, kEntryBytes = 32, kNameBytes = 8;
constexpr std::uint32_t kRequired = 1;
constexpr std::size_t kBlock = 1 << 16;

std::uint32_t checksum(std::uint32_t sum, const void* data, std::uint64_t bytes) {
  const auto* at = static_cast<const Bytef*>(data);
  while (bytes > 0) {
    const std::uint64_t part = std::min<std::uint64_t>(bytes, 1U << 30);
    sum = static_cast<std::uint32_t>(crc32(sum, at, static_cast<uInt>(part)));
    at += part;
    bytes -= part;
  }
  return sum;
}

std::string padded_name(const std::string& name) {
  PARE_ASSERT(!name.empty() && name.size() <= kNameBytes);
  std::string text = name;
  text.resize(kNameBytes, '\0');
  return text;
}

std::string name_of(const FileSource& source, const unsigned char* text, std::uint64_t i) {
  std::string name(reinterpret_cast<const char*>(text), kNameBytes);
  const std::size_t end = std::min(name.find('\0'), name.size());
  const bool padded = name.find_first_not_of('\0', end) == std::string::npos;
  name.resize(end);
  const bool printable = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; });
  PARE_CHECK(padded && printable && !name.empty(), corrupt_data, source.name,
             "section {}: expected a name of letters, got other bytes", i);
  return name;
}

void check_zeros(const FileSource& source, std::uint64_t begin, std::uint64_t end) {
  std::array<unsigned char, kSectionAlignment> gap{};
  PARE_ASSERT(end - begin <= gap.size());
  source.read(begin, gap.data(), end - begin);
  for (std::uint64_t i = 0; i < end - begin; ++i)
    PARE_CHECK(gap[i] == 0, corrupt_data, source.name,
               "byte {}: expected 0 between two sections, got {:#04x}", begin + i, gap[i]);
}

}  // namespace

bool is_container(std::string_view start) { return start.starts_with(kMagic); }

std::string section_place(const FileSource& source, const Section& section) {
  return fmt::format("{}: section '{}'", source.name, section.name);
}

void write_container(const std::string& path, std::span<const SectionPieces> sections) {
  const std::uint64_t begin = kHeaderBytes + kEntryBytes * sections.size();
  std::string table;
  std::uint64_t end = begin;
  for (const SectionPieces& section : sections) {
    std::uint32_t sum = 0;
    std::uint64_t bytes = 0;
    for (const auto piece : section.pieces) {
      sum = checksum(sum, piece.data(), piece.size());
      bytes += piece.size();
    }
    table += padded_name(section.name);
    append(table, section.required ? kRequired : 0, 4);
    append(table, sum, 4);
    append(table, aligned(end), 8);
    append(table, bytes, 8);
    end = aligned(end) + bytes;
  }
  std::string header(kMagic);
  append(header, kVersion, 4);
  append(header, sections.size(), 4);
  append(header, end, 8);
  append(header, 0, 4);
  const std::uint32_t sum = checksum(0, header.data(), header.size());
  append(header, checksum(sum, table.data(), table.size()), 4);

  AtomicFile file(path);
  file.write(header.data(), header.size());
  file.write(table.data(), table.size());
  const std::string zeros(kSectionAlignment, '\0');
  std::uint64_t at = begin;
  for (const SectionPieces& section : sections) {
    file.write(zeros.data(), aligned(at) - at);
    at = aligned(at);
    for (const auto piece : section.pieces) {
      file.write(piece.data(), piece.size());
      at += piece.size();
    }
  }
  file.commit();
}

std::vector<Section> read_table(const FileSource& source) {
  std::array<unsigned char, kHeaderBytes> header{};
  const std::uint64_t first = std::min<std::uint64_t>(source.size, header.size());
  source.read(0, header.data(), first);
  const std::string_view start(reinterpret_cast<const char*>(header.data()), first);
  PARE_CHECK(is_container(start), corrupt_data, source.name,
             "expected a .pare file, which begins with its mark, got another kind of file of {} "
             "bytes",
             source.size);
  PARE_CHECK(first == header.size(), corrupt_data, source.name,
             "expected a header of {} bytes, got a file of {}", header.size(), source.size);
  const std::uint64_t version = number(header.data() + 8, 4), count = number(header.data() + 12, 4),
                      bytes = number(header.data() + 16, 8);
  PARE_CHECK(version <= kVersion, unsupported, source.name,
             "expected version {} of the format or an earlier one, got {}", kVersion, version);
  PARE_CHECK(bytes == source.size, corrupt_data, source.name,
             "expected the {} bytes that the header states, got {}", bytes, source.size);
  PARE_CHECK(count <= (source.size - kHeaderBytes) / kEntryBytes, corrupt_data, source.name,
             "expected a table of {} sections, got a file of {} bytes", count, source.size);
  std::vector<unsigned char> table(count * kEntryBytes);
  source.read(kHeaderBytes, table.data(), table.size());
  const std::uint32_t sum =
      checksum(checksum(0, header.data(), kHeaderBytes - 4), table.data(), table.size());
  const std::uint64_t stated = number(header.data() + 28, 4);
  PARE_CHECK(sum == stated && version > 0 && number(header.data() + 24, 4) == 0, corrupt_data,
             source.name, "table: expected the check sum {:#010x}, got {:#010x}", stated, sum);

  std::vector<Section> sections;
  std::set<std::string> names;
  std::uint64_t end = kHeaderBytes + table.size();
  for (std::uint64_t i = 0; i < count; ++i) {
    const unsigned char* const entry = table.data() + i * kEntryBytes;
    Section section{.name = name_of(source, entry, i)};
    const std::uint64_t flags = number(entry + 8, 4);
    section.required = (flags & kRequired) != 0;
    section.checksum = static_cast<std::uint32_t>(number(entry + 12, 4));
    section.offset = number(entry + 16, 8);
    section.bytes = number(entry + 24, 8);
    const std::string place = section_place(source, section);
    PARE_CHECK(names.insert(section.name).second, corrupt_data, place,
               "expected every section once, got it twice");
    PARE_CHECK((flags & ~kRequired) == 0, unsupported, place,
               "expected flags that this version knows, got {:#x}", flags);
    PARE_CHECK(section.offset == aligned(end) && section.offset <= source.size, corrupt_data, place,
               "expected it to begin at byte {}, got {}", aligned(end), section.offset);
    PARE_CHECK(section.bytes <= source.size - section.offset, corrupt_data, place,
               "expected at most {} bytes, got {}", source.size - section.offset, section.bytes);
    check_zeros(source, end, section.offset);
    end = section.offset + section.bytes;
    sections.push_back(std::move(section));
  }
  PARE_CHECK(end == source.size, corrupt_data, source.name,
             "expected the last section to end the file, got {} bytes behind it",
             source.size - end);
  return sections;
}

SectionReader::SectionReader(const FileSource& source, const Section& section)
    : source_(source), section_(section) {}

void SectionReader::read(void* out, std::uint64_t bytes) {
  PARE_CHECK(bytes <= left(), corrupt_data, section_place(source_, section_),
             "byte {}: expected {} bytes, got {}", position_, bytes, left());
  source_.read(section_.offset + position_, out, bytes);
  sum_ = checksum(sum_, out, bytes);
  position_ += bytes;
}

void SectionReader::read_zeros(std::uint64_t bytes) {
  std::array<unsigned char, kSectionAlignment> gap{};
  while (bytes > 0) {
    const std::uint64_t part = std::min<std::uint64_t>(bytes, gap.size());
    const std::uint64_t at = position_;
    read(gap.data(), part);
    const auto wrong = std::find_if(gap.begin(), gap.begin() + static_cast<std::ptrdiff_t>(part),
                                    [](unsigned char b) { return b != 0; });
    PARE_CHECK(wrong == gap.begin() + static_cast<std::ptrdiff_t>(part), corrupt_data,
               section_place(source_, section_), "byte {}: expected 0, got {:#04x}",
               at + static_cast<std::uint64_t>(wrong - gap.begin()), *wrong);
    bytes -= part;
  }
}

void SectionReader::skip(std::uint64_t bytes) {
  std::vector<unsigned char> block(std::min<std::uint64_t>(bytes, kBlock));
  while (bytes > 0) {
    const std::uint64_t part = std::min<std::uint64_t>(bytes, block.size());
    read(block.data(), part);
    bytes -= part;
  }
}

void SectionReader::finish() {
  const std::string place = section_place(source_, section_);
  PARE_CHECK(left() == 0, corrupt_data, place, "byte {}: expected its end, got {} more bytes",
             position_, left());
  PARE_CHECK(sum_ == section_.checksum, corrupt_data, place,
             "expected the check sum {:#010x}, got {:#010x}", section_.checksum, sum_);
}

}  // namespace pare::io
