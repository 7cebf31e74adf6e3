// Depthwise convolution of bytes: 16 channels of a pixel at once, the kernel's taps in pairs.
#include "core/byte_depthwise.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/aligned.h"
#include "core/byte_store.h"
#include "core/byte_taps.h"
#include "core/multiversion.h"
#include "pare/core/parallel.h"

namespace pare {

#if PARE_X86
namespace {

// More taps than any kernel of use has; their addresses lie on the stack.
constexpr std::int64_t kMostTaps = 256;

// A block's constants: for each pair of taps the weights of channels 0 to 3 and 8 to 11, then of
// the others, each beside the second tap's; then bias and multipliers by channel_at.
struct Block {
  const std::byte* pairs;
  const std::int32_t* bias;
  const float* multipliers;
};
constexpr std::int64_t kPairBytes = 64;

struct Pixels {
  const std::uint8_t* const* taps;  // of the first pixel
  std::int64_t first;               // channel
  std::int64_t step;                // bytes from a pixel's source to the next one's
  std::int64_t count;
  std::byte* to;
  std::int64_t to_step;
};

PARE_AVX2_INLINE __m256i widened_at(const std::uint8_t* x) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
}
PARE_AVX2_INLINE Pair weights_of(const Block& block, std::int64_t pair) {
  const auto* w = reinterpret_cast<const __m256i*>(block.pairs + pair * kPairBytes);
  return {_mm256_load_si256(w), _mm256_load_si256(w + 1)};
}
PARE_AVX2_INLINE void add_taps(Pair& sum, __m256i first, __m256i second, const Pair& weights) {
  const __m256i low = _mm256_unpacklo_epi16(first, second);
  const __m256i high = _mm256_unpackhi_epi16(first, second);
  sum.low = _mm256_add_epi32(sum.low, _mm256_madd_epi16(low, weights.low));
  sum.high = _mm256_add_epi32(sum.high, _mm256_madd_epi16(high, weights.high));
}

// kTaps: their number where the weights fit the registers, else 0 and they are read for each pixel.
template <int kTaps, class M>
PARE_AVX2 void run_pixels(const Pixels& row, const Block& block, std::int64_t number_of_taps,
                          const ByteEpilogue& e) {
  const Pair bias{_mm256_load_si256(reinterpret_cast<const __m256i*>(block.bias)),
                  _mm256_load_si256(reinterpret_cast<const __m256i*>(block.bias + 8))};
  const std::int64_t taps = kTaps > 0 ? kTaps : number_of_taps;
  constexpr int kKept = kTaps > 0 ? (kTaps + 1) / 2 : 1;
  Pair kept[kKept];
  for (int p = 0; p < kKept; ++p) kept[p] = weights_of(block, p);
  std::byte* to = row.to;
  std::int64_t at = row.first;
  for (std::int64_t i = 0; i < row.count; ++i, at += row.step, to += row.to_step) {
    Pair sum = bias;
    if constexpr (kTaps > 0) {
      for (int p = 0; p < kTaps / 2; ++p)
        add_taps(sum, widened_at(row.taps[2 * p] + at), widened_at(row.taps[2 * p + 1] + at),
                 kept[p]);
      if constexpr (kTaps % 2 != 0)
        add_taps(sum, widened_at(row.taps[kTaps - 1] + at), _mm256_setzero_si256(),
                 kept[kKept - 1]);
    } else {
      for (std::int64_t p = 0; p < taps / 2; ++p)
        add_taps(sum, widened_at(row.taps[2 * p] + at), widened_at(row.taps[2 * p + 1] + at),
                 weights_of(block, p));
      if (taps % 2 != 0)
        add_taps(sum, widened_at(row.taps[taps - 1] + at), _mm256_setzero_si256(),
                 weights_of(block, taps / 2));
    }
    store<M>(sum, block.multipliers, to, e);
  }
}

using PixelsFunction = void (*)(const Pixels&, const Block&, std::int64_t, const ByteEpilogue&);
template <int kTaps> PixelsFunction pixels_function(bool residual, bool clip) {
  if (residual)
    return clip ? run_pixels<kTaps, Mode<true, true>> : run_pixels<kTaps, Mode<true, false>>;
  return clip ? run_pixels<kTaps, Mode<false, true>> : run_pixels<kTaps, Mode<false, false>>;
}

class ByteDepthwise final : public ByteConvolution {
 public:
  explicit ByteDepthwise(const ByteConvolutionSpec& spec)
      : spec_(spec),
        channels_(spec.weight.dim(0)),
        kernel_height_(spec.weight.dim(2)),
        kernel_width_(spec.weight.dim(3)),
        blocks_((channels_ + kTapOut - 1) / kTapOut) {
    const auto& a = spec_.attributes;
    out_height_ =
        (spec_.height + a.padding[0] + a.padding[2] - a.dilation[0] * (kernel_height_ - 1) - 1) /
            a.stride[0] +
        1;
    out_width_ =
        (spec_.width + a.padding[1] + a.padding[3] - a.dilation[1] * (kernel_width_ - 1) - 1) /
            a.stride[1] +
        1;
    // Columns of the result whose taps all lie in the picture: [first_, last_).
    const std::int64_t reach = a.dilation[1] * (kernel_width_ - 1);
    first_ = std::min(out_width_, (a.padding[1] + a.stride[1] - 1) / a.stride[1]);
    const std::int64_t free = spec_.width - 1 - reach + a.padding[1];
    last_ = std::clamp(free < 0 ? 0 : free / a.stride[1] + 1, first_, out_width_);
    const bool nine = kernel_height_ * kernel_width_ == 9;
    const bool residual = spec_.epilogue.residual, clips = spec_.epilogue.clips;
    run_pixels_ = nine ? pixels_function<9>(residual, clips) : pixels_function<0>(residual, clips);
  }

  const char* name() const override { return "avx2_u8s8_depthwise"; }
  std::size_t constant_bytes() const override {
    return static_cast<std::size_t>(blocks_) * block_bytes();
  }
  /// A row outside the picture.
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(std::max<std::int64_t>(1, spec_.width) * channels_);
  }

  void fill(std::byte* constants) override {
    const auto* w = spec_.weight.data<std::int8_t>();
    const std::int64_t taps = kernel_height_ * kernel_width_;
    for (std::int64_t b = 0; b < blocks_; ++b) {
      std::byte* base = constants + static_cast<std::size_t>(b) * block_bytes();
      std::memset(base, 0, block_bytes());
      const std::int64_t begin = first_channel(b);
      auto* lanes = reinterpret_cast<std::int16_t*>(base);
      auto* bias = reinterpret_cast<std::int32_t*>(base + bias_at());
      auto* multipliers = reinterpret_cast<float*>(base + bias_at() + 64);
      for (std::int64_t i = 0; i < kTapOut; ++i) {
        const std::int64_t c = begin + channel_at(i);
        std::int32_t sum = 0;
        for (std::int64_t t = 0; t < taps; ++t) {
          const std::int8_t weight = w[c * taps + t];
          lanes[t / 2 * (kPairBytes / 2) + 2 * i + t % 2] = weight;
          sum += weight;
        }
        const auto o = static_cast<std::size_t>(c);
        bias[i] = (spec_.bias.empty() ? 0 : spec_.bias[o]) - sum * spec_.source_zero;
        multipliers[i] = spec_.multipliers[o];
      }
    }
    spec_.weight = {};
  }

  Tensor weight(const std::byte* constants) const override {
    Tensor weight = Tensor::empty({channels_, 1, kernel_height_, kernel_width_}, DType::i8);
    auto* w = weight.mutable_data<std::int8_t>();
    const std::int64_t taps = kernel_height_ * kernel_width_;
    for (std::int64_t b = 0; b < blocks_; ++b) {
      const auto* lanes = reinterpret_cast<const std::int16_t*>(
          constants + static_cast<std::size_t>(b) * block_bytes());
      for (std::int64_t i = 0; i < kTapOut; ++i)
        for (std::int64_t t = 0; t < taps; ++t)
          w[(first_channel(b) + channel_at(i)) * taps + t] =
              static_cast<std::int8_t>(lanes[t / 2 * (kPairBytes / 2) + 2 * i + t % 2]);
    }
    return weight;
  }

  void run(const std::byte* constants, const std::uint8_t* source, void* destination,
           std::byte* scratch) const override {
    std::memset(scratch, spec_.source_zero, scratch_bytes());
    const auto* outside = reinterpret_cast<const std::uint8_t*>(scratch);
    const std::int64_t work = out_width_ * channels_;
    parallel_for(0, spec_.batch * out_height_,
                 std::max<std::int64_t>(1, (1 << 14) / std::max<std::int64_t>(1, work)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t r = begin; r < end; ++r)
                     run_row(constants, source, static_cast<std::byte*>(destination), outside, r);
                 });
  }

 private:
  std::size_t bias_at() const {
    return static_cast<std::size_t>((kernel_height_ * kernel_width_ + 1) / 2 * kPairBytes);
  }
  std::size_t block_bytes() const { return bias_at() + 128; }
  // The last block begins earlier where fewer are left: it computes some channels once more.
  std::int64_t first_channel(std::int64_t block) const {
    return std::min(block * kTapOut, channels_ - kTapOut);
  }

  void run_row(const std::byte* constants, const std::uint8_t* source, std::byte* destination,
               const std::uint8_t* outside, std::int64_t row) const {
    const auto& a = spec_.attributes;
    const std::int64_t picture = row / out_height_ * spec_.height;
    const std::int64_t top = row % out_height_ * a.stride[0] - a.padding[0];
    std::array<const std::uint8_t*, kMostTaps> lines, taps;  // NOLINT: filled before they are read
    for (std::int64_t ky = 0; ky < kernel_height_; ++ky) {
      const std::int64_t y = top + ky * a.dilation[0];
      const bool inside = y >= 0 && y < spec_.height;
      lines[static_cast<std::size_t>(ky)] =
          inside ? source + (picture + y) * spec_.width * channels_ : outside;
    }
    const auto pixels = [&](std::int64_t x, std::int64_t count) {
      std::size_t t = 0;
      for (std::int64_t ky = 0; ky < kernel_height_; ++ky) {
        std::int64_t column = x * a.stride[1] - a.padding[1];
        for (std::int64_t kx = 0; kx < kernel_width_; ++kx, column += a.dilation[1])
          taps[t++] = column >= 0 && column < spec_.width
                          ? lines[static_cast<std::size_t>(ky)] + column * channels_
                          : outside;
      }
      run_blocks(constants, {taps.data(), 0, a.stride[1] * channels_, count, destination, 0},
                 row * out_width_ + x);
    };
    for (std::int64_t x = 0; x < first_; ++x) pixels(x, 1);
    if (last_ > first_) pixels(first_, last_ - first_);
    for (std::int64_t x = last_; x < out_width_; ++x) pixels(x, 1);
  }

  void run_blocks(const std::byte* constants, Pixels pixels, std::int64_t number) const {
    const std::int64_t element = spec_.epilogue.destination == DType::f32 ? 4 : 1;
    std::byte* const to = pixels.to + number * channels_ * element;
    pixels.to_step = channels_ * element;
    for (std::int64_t b = 0; b < blocks_; ++b) {
      const std::byte* base = constants + static_cast<std::size_t>(b) * block_bytes();
      pixels.first = first_channel(b);
      pixels.to = to + pixels.first * element;
      run_pixels_(pixels,
                  {base, reinterpret_cast<const std::int32_t*>(base + bias_at()),
                   reinterpret_cast<const float*>(base + bias_at() + 64)},
                  kernel_height_ * kernel_width_, spec_.epilogue);
    }
  }

  ByteConvolutionSpec spec_;
  std::int64_t channels_, kernel_height_, kernel_width_, blocks_;
  std::int64_t out_height_, out_width_, first_, last_;
  PixelsFunction run_pixels_;
};

}  // namespace
#endif

std::unique_ptr<ByteConvolution> make_byte_depthwise(
    [[maybe_unused]] const ByteConvolutionSpec& spec) {
#if PARE_X86
  const std::int64_t channels = spec.weight.dim(0);
  const bool depthwise = spec.attributes.groups == channels && spec.weight.dim(1) == 1;
  if (!depthwise || channels < kTapOut || spec.weight.dim(2) * spec.weight.dim(3) > kMostTaps ||
      (spec.epilogue.residual && channels % kTapOut != 0))
    return nullptr;
  return std::make_unique<ByteDepthwise>(spec);
#endif
  return nullptr;
}

}  // namespace pare
