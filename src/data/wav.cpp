// WAV files: Microsoft's RIFF with a chunk "fmt " and a chunk "data".
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/little_endian.h"
#include "data/byte_source.h"
#include "data/folder.h"
#include "data/rows.h"
#include "pare/data/audio.h"

namespace pare::data {
namespace {

using Bytes = std::vector<unsigned char>;

constexpr unsigned kPcm = 1, kFloat = 3, kExtensible = 0xFFFE;
constexpr std::uint64_t kOpen = 0xFFFFFFFF;

using little_endian::append;
using little_endian::number;

struct Format {
  unsigned codec = 0;
  std::int64_t channels = 0, rate = 0;
  std::size_t bits = 0;
};

Format parse_format(const Bytes& chunk, const std::string& path) {
  PARE_CHECK(chunk.size() >= 16, corrupt_data, path,
             "expected a 'fmt ' chunk of at least 16 bytes, got {}", chunk.size());
  Format format;
  format.codec = static_cast<unsigned>(number(chunk.data(), 2));
  format.channels = static_cast<std::int64_t>(number(chunk.data() + 2, 2));
  format.rate = static_cast<std::int64_t>(number(chunk.data() + 4, 4));
  const std::uint64_t frame = number(chunk.data() + 12, 2);
  format.bits = number(chunk.data() + 14, 2);
  if (format.codec == kExtensible) {
    PARE_CHECK(chunk.size() >= 40, corrupt_data, path,
               "expected an extensible 'fmt ' chunk of 40 bytes, got {}", chunk.size());
    // The first two bytes of the sub-format's GUID are the codec.
    format.codec = static_cast<unsigned>(number(chunk.data() + 24, 2));
  }
  const std::size_t bits = format.bits;
  const bool whole = format.codec == kPcm && (bits == 8 || bits == 16 || bits == 24 || bits == 32);
  const bool floating = format.codec == kFloat && (bits == 32 || bits == 64);
  PARE_CHECK(
      whole || floating, unsupported, path,
      "expected PCM of 8, 16, 24 or 32 bits or floats of 32 or 64, got codec {} with {} bits",
      format.codec, bits);
  PARE_CHECK(format.channels > 0 && format.rate > 0, corrupt_data, path,
             "expected at least one channel and a rate above 0, got {} and {}", format.channels,
             format.rate);
  PARE_CHECK(frame == static_cast<std::uint64_t>(format.channels) * bits / 8, corrupt_data, path,
             "expected frames of {} bytes, got {}",
             static_cast<std::uint64_t>(format.channels) * bits / 8, frame);
  return format;
}

float sample(const unsigned char* p, const Format& format) {
  if (format.codec == kFloat) {
    if (format.bits == 32) return std::bit_cast<float>(static_cast<std::uint32_t>(number(p, 4)));
    return static_cast<float>(std::bit_cast<double>(number(p, 8)));
  }
  if (format.bits == 8) return static_cast<float>(int{p[0]} - 128) / 128.0F;
  // Shifted to the top, so that the sign is where it belongs.
  const std::uint64_t bits = number(p, format.bits / 8) << (32 - format.bits);
  return static_cast<float>(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits))) * 0x1p-31F;
}

}  // namespace

Audio read_wav(const std::string& path, const WavOptions& options) {
  ByteSource source(path);
  PARE_CHECK(!source.compressed(), corrupt_data, path, "expected a WAV file, got a gzip file");
  PARE_CHECK(source.most_left() <=
                 static_cast<std::uint64_t>(std::max<std::int64_t>(options.max_bytes, 0)),
             corrupt_data, path, "expected at most {} bytes (WavOptions::max_bytes), got {}",
             options.max_bytes, source.most_left());
  const auto is = [](const unsigned char* p, const char* name) {
    return std::memcmp(p, name, 4) == 0;
  };
  unsigned char head[12] = {};
  source.read(head, sizeof head, "a WAV file's start");
  PARE_CHECK(is(head, "RIFF") && is(head + 8, "WAVE"), corrupt_data, path,
             "expected a WAV file, which begins with 'RIFF' and 'WAVE', got another");
  Format format;
  while (true) {
    unsigned char chunk[8] = {};
    source.read(chunk, sizeof chunk, format.codec == 0 ? "the 'fmt ' chunk" : "the 'data' chunk");
    std::uint64_t length = number(chunk + 4, 4);
    const bool data = is(chunk, "data");
    const std::uint64_t left = source.most_left();
    if (data && (length == 0 || length == kOpen)) length = left;
    PARE_CHECK(length <= left, corrupt_data, path,
               "expected {} bytes of chunk '{:.4}' at byte {}, got {}", length,
               std::string_view(reinterpret_cast<const char*>(chunk), 4), source.position(), left);
    PARE_CHECK(!data || format.codec != 0, corrupt_data, path,
               "expected a 'fmt ' chunk before the 'data' chunk, got none");
    if (data) length -= length % (static_cast<std::uint64_t>(format.channels) * format.bits / 8);
    Bytes bytes(length);
    source.read(bytes.data(), bytes.size(), "a chunk");
    if (data) {
      const std::size_t width = format.bits / 8;
      const auto channels = static_cast<std::size_t>(format.channels);
      const std::size_t frames = bytes.size() / (channels * width);
      Audio audio{Tensor::empty({format.channels, static_cast<std::int64_t>(frames)}), format.rate};
      float* out = audio.samples.mutable_data<float>();
      for (std::size_t c = 0; c < channels; ++c) {
        const unsigned char* from = bytes.data() + c * width;
        for (std::size_t f = 0; f < frames; ++f, from += channels * width) {
          *out++ = sample(from, format);
        }
      }
      return audio;
    }
    if (is(chunk, "fmt ")) format = parse_format(bytes, path);
    // Chunks begin at even bytes.
    if (length % 2 == 1 && source.most_left() > 0) source.read(chunk, 1, "a chunk's padding");
  }
}

void write_wav(const std::string& path, const Audio& audio, WavFormat format) {
  constexpr const char* where = "data::write_wav";
  const Tensor& given = audio.samples;
  PARE_CHECK(given.defined() && (given.rank() == 1 || given.rank() == 2), shape_mismatch, where,
             "expected samples [channels, frames] or [frames], got {}", describe(given));
  PARE_CHECK(given.dtype() == DType::f32, dtype_mismatch, where, "expected f32 samples, got {}",
             given.dtype());
  const std::int64_t channels = given.rank() == 2 ? given.dim(0) : 1, frames = given.dim(-1);
  PARE_CHECK(channels >= 1 && channels <= 65535, invalid_argument, where,
             "expected 1 to 65535 channels, got {}", channels);
  PARE_CHECK(audio.rate >= 1 && audio.rate < (std::int64_t{1} << 31), invalid_argument, where,
             "expected a rate of 1 … 2^31 − 1, got {}", audio.rate);
  const std::int64_t width =
      format == WavFormat::pcm8
          ? 1
          : (format == WavFormat::pcm16 ? 2 : (format == WavFormat::pcm24 ? 3 : 4));
  PARE_CHECK(frames <= 0xFFFFFF00 / (channels * width), invalid_argument, where,
             "expected less than 4 GiB, got {} frames of {} bytes", frames, channels * width);
  PARE_CHECK(channels * width <= 65535, invalid_argument, where,
             "expected frames of at most 65535 bytes, got {}", channels * width);
  const std::vector<float> values = given.to_vector<float>();
  const auto bytes = static_cast<std::uint64_t>(frames * channels * width);
  const bool floating = format == WavFormat::float32;
  std::string out = "RIFF";
  append(out, 36 + bytes + bytes % 2, 4);
  out += "WAVEfmt ";
  append(out, 16, 4);
  append(out, floating ? kFloat : kPcm, 2);
  append(out, static_cast<std::uint64_t>(channels), 2);
  append(out, static_cast<std::uint64_t>(audio.rate), 4);
  append(out, static_cast<std::uint64_t>(audio.rate * channels * width), 4);
  append(out, static_cast<std::uint64_t>(channels * width), 2);
  append(out, static_cast<std::uint64_t>(8 * width), 2);
  out += "data";
  append(out, bytes, 4);
  out.reserve(out.size() + bytes + 1);
  const double scale = std::ldexp(1.0, static_cast<int>(8 * width) - 1);
  for (std::int64_t f = 0; f < frames; ++f) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float v = values[static_cast<std::size_t>(c * frames + f)];
      PARE_CHECK(std::isfinite(v), invalid_argument, where,
                 "expected finite samples, got {} at channel {}, frame {}", v, c, f);
      if (floating) {
        append(out, std::bit_cast<std::uint32_t>(v), 4);
        continue;
      }
      const double level =
          std::clamp(std::nearbyint(static_cast<double>(v) * scale), -scale, scale - 1);
      const auto code = static_cast<std::int64_t>(level) + (width == 1 ? 128 : 0);
      append(out, static_cast<std::uint64_t>(code), static_cast<std::size_t>(width));
    }
  }
  if (bytes % 2 == 1) out.push_back('\0');
  write_file(path, {reinterpret_cast<const std::byte*>(out.data()), out.size()});
}

}  // namespace pare::data
