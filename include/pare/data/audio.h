// WAV files.
#pragma once

#include <cstdint>
#include <string>

#include "pare/core/export.h"
#include "pare/core/tensor.h"

namespace pare::data {

/// Sound: samples f32 [channels, frames] from −1 to 1, and how many frames make a second.
struct Audio {
  Tensor samples;
  std::int64_t rate = 0;
};

struct WavOptions {
  std::int64_t max_bytes = std::int64_t{1} << 31;  ///< longest file that is read
};

/// Reads a WAV file of 8, 16, 24 or 32 bits per sample (PCM) or of 32- or 64-bit floats, with any
/// number of channels, also in the extensible form. Whole numbers are divided by 2^(bits − 1), as
/// torchaudio does; floats are kept. Chunks it does not know are passed over; a data chunk whose
/// length was left open (0 or 0xFFFFFFFF by programs that stream) reaches to the file's end. Throws
/// io_error, corrupt_data, and unsupported for other codecs.
PARE_API Audio read_wav(const std::string& path, const WavOptions& options = {});

enum class WavFormat : std::uint8_t { pcm16, pcm8, pcm24, pcm32, float32 };

/// Writes samples f32 [channels, frames] (or [frames]) as a WAV file, rounded to the nearest and
/// clipped to [−1, 1]. Throws shape_mismatch, dtype_mismatch, invalid_argument for a rate outside
/// 1 … 2^31 − 1, a sample that is not finite, more than 65535 channels or 4 GiB, io_error.
PARE_API void write_wav(const std::string& path, const Audio& audio,
                        WavFormat format = WavFormat::pcm16);

}  // namespace pare::data
