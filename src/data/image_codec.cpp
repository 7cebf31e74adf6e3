// stb_image and stb_image_write behind checks that they leave out.
#include "data/image_codec.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/check.h"

#ifdef PARE_IMAGES
#include <zlib.h>

namespace {

// What the decoder may allocate at a time: a small file must not inflate to gigabytes.
thread_local std::size_t most_memory = 0;

void* limited_realloc(void* block, std::size_t bytes) {
  return bytes <= most_memory ? std::realloc(block, bytes) : nullptr;
}

}  // namespace

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_MALLOC(bytes) limited_realloc(nullptr, bytes)
#define STBI_REALLOC(block, bytes) limited_realloc(block, bytes)
#define STBI_FREE(block) std::free(block)
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace pare::data {
namespace {

// The bytes as stb reads them; notes whether it wanted more than there are, which stb itself takes
// for zeros.
struct Reader {
  std::span<const std::uint8_t> bytes;
  std::size_t position = 0;
  bool past_end = false;

  static int read(void* self, char* out, int count) {
    auto& r = *static_cast<Reader*>(self);
    const std::size_t got = std::min(static_cast<std::size_t>(count), r.bytes.size() - r.position);
    if (got > 0) std::memcpy(out, r.bytes.data() + r.position, got);
    r.position += got;
    r.past_end = r.past_end || got == 0;
    return static_cast<int>(got);
  }
  static void skip(void* self, int count) {
    auto& r = *static_cast<Reader*>(self);
    const auto left = static_cast<std::int64_t>(r.bytes.size() - r.position);
    r.past_end = r.past_end || count > left;
    const std::int64_t step =
        std::clamp<std::int64_t>(count, -static_cast<std::int64_t>(r.position), left);
    r.position = static_cast<std::size_t>(static_cast<std::int64_t>(r.position) + step);
  }
  static int ended(void* self) {
    const auto& r = *static_cast<Reader*>(self);
    return r.position == r.bytes.size() ? 1 : 0;
  }
};

std::uint32_t big_endian(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16 |
         static_cast<std::uint32_t>(p[2]) << 8 | p[3];
}

// stb reads past the check sums of a PNG file's chunks.
void check_png(std::span<const std::uint8_t> bytes, const std::string& name) {
  constexpr std::uint8_t kMagic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  if (bytes.size() < sizeof kMagic || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) return;
  for (std::size_t at = sizeof kMagic;;) {
    PARE_CHECK(bytes.size() - at >= 12, corrupt_data, name,
               "expected a PNG chunk at byte {}, got the end of the file", at);
    const std::uint8_t* const chunk = bytes.data() + at;
    const std::uint32_t length = big_endian(chunk);
    PARE_CHECK(length <= bytes.size() - at - 12, corrupt_data, name,
               "expected {} bytes of PNG chunk at byte {}, got {}", length, at,
               bytes.size() - at - 12);
    const std::uint32_t sum = big_endian(chunk + 8 + length);
    const auto found =
        static_cast<std::uint32_t>(crc32(0, chunk + 4, static_cast<uInt>(length + 4)));
    PARE_CHECK(found == sum, corrupt_data, name,
               "expected the check sum {:#010x} of the PNG chunk at byte {}, got {:#010x}", sum, at,
               found);
    if (std::memcmp(chunk + 4, "IEND", 4) == 0) return;
    at += 12 + std::size_t{length};
  }
}

// stb 2.27 writes past its tables where a JPEG file states more than 256 codes for one. This goes
// from marker to marker as stb does.
void check_jpeg(std::span<const std::uint8_t> bytes, const std::string& name) {
  if (bytes.empty() || bytes[0] != 0xFF) return;
  constexpr std::uint8_t kEnd = 0xD9, kTables = 0xC4;
  for (std::size_t at = 0; at + 4 <= bytes.size();) {
    const std::uint8_t marker = bytes[at + 1];
    const bool segment =
        bytes[at] == 0xFF && marker != 0xFF && marker > 1 && !(marker >= 0xD0 && marker <= kEnd);
    if (bytes[at] == 0xFF && marker == kEnd) return;
    if (!segment) {
      ++at;
      continue;
    }
    const std::size_t length = std::size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    const std::size_t end = std::min(at + 2 + length, bytes.size());
    // A table that the segment's end cuts off is read by stb nevertheless.
    for (std::size_t table = at + 4; marker == kTables && table < end;) {
      std::size_t codes = 0;
      for (std::size_t i = 1; i <= 16 && table + i < bytes.size(); ++i) codes += bytes[table + i];
      PARE_CHECK(
          codes <= 256 && table + 17 + codes <= end, corrupt_data, name,
          "expected at most 256 codes in the Huffman table at byte {}, and its segment's end "
          "at byte {} behind them, got {}",
          table, end, codes);
      table += 17 + codes;
    }
    if (length < 2) return;
    at = end;
  }
}

}  // namespace

Tensor decode_with_stb(std::span<const std::uint8_t> bytes, const std::string& name,
                       const ImageOptions& options) {
  const auto size = static_cast<int>(bytes.size());
  most_memory = 1 << 20;
  check_jpeg(bytes, name);
  int width = 0, height = 0, own = 0;
  const bool known = stbi_info_from_memory(bytes.data(), size, &width, &height, &own) != 0;
  PARE_CHECK(known, corrupt_data, name, "expected a JPEG, PNG, BMP or GIF file, got '{}'",
             stbi_failure_reason());
  const std::int64_t pixels = std::int64_t{width} * height;
  PARE_CHECK(width > 0 && height > 0 && pixels <= options.max_pixels, corrupt_data, name,
             "expected 1 to {} pixels (ImageOptions::max_pixels), got {} by {}", options.max_pixels,
             height, width);
  check_png(bytes, name);
  // Decoders hold at most 16 bytes per pixel in one block, and their buffers grow by doubling.
  most_memory = (std::size_t{1} << 20) + 32 * static_cast<std::size_t>(pixels) + 2 * bytes.size();
  Reader reader{bytes};
  constexpr stbi_io_callbacks kCallbacks{Reader::read, Reader::skip, Reader::ended};
  const std::unique_ptr<stbi_uc, decltype(&std::free)> data(
      stbi_load_from_callbacks(&kCallbacks, &reader, &width, &height, &own, options.channels),
      &std::free);
  PARE_CHECK(data != nullptr, corrupt_data, name, "expected a whole image file, got '{}'",
             stbi_failure_reason());
  PARE_CHECK(!reader.past_end, corrupt_data, name,
             "expected a whole image file, got its end after {} bytes", bytes.size());
  const int channels = options.channels == 0 ? own : options.channels;
  Tensor out = Tensor::empty({channels, height, width}, DType::u8);
  auto* plane = out.mutable_data<std::uint8_t>();
  const std::int64_t count = std::int64_t{width} * height;
  for (int c = 0; c < channels; ++c, plane += count) {
    const stbi_uc* from = data.get() + c;
    for (std::int64_t i = 0; i < count; ++i) plane[i] = from[i * channels];
  }
  return out;
}

std::vector<std::uint8_t> encode_png(const std::vector<std::uint8_t>& pixels, int height, int width,
                                     int channels) {
  int size = 0;
  const std::unique_ptr<unsigned char, decltype(&std::free)> data(
      stbi_write_png_to_mem(pixels.data(), width * channels, width, height, channels, &size),
      &std::free);
  if (!data) fail_out_of_memory("data::write_png", pixels.size());
  return std::vector<std::uint8_t>(data.get(), data.get() + size);
}

}  // namespace pare::data

#else

namespace pare::data {

Tensor decode_with_stb(std::span<const std::uint8_t>, const std::string& name,
                       const ImageOptions&) {
  fail(ErrorCode::unsupported, name, "expected a pare with PARE_IMAGES, got one without");
}
std::vector<std::uint8_t> encode_png(const std::vector<std::uint8_t>&, int, int, int) {
  fail(ErrorCode::unsupported, "data::write_png",
       "expected a pare with PARE_IMAGES, got one without");
}

}  // namespace pare::data

#endif
