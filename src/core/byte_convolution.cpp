// Convolution of bytes: packing, padding, and the AVX2 loop.
#include "core/byte_convolution.h"

#include <algorithm>
#include <cstring>

#include "core/multiversion.h"
#include "pare/core/parallel.h"

#if PARE_X86
#include <immintrin.h>
#endif

namespace pare {

#if PARE_X86
namespace {

constexpr std::int64_t kOut = 16;  // output channels of a block: two vectors of 8 sums
constexpr std::int64_t kIn = 4;    // neighbouring input channels that one broadcast brings

#define PARE_AVX2 __attribute__((target("avx2,fma")))
#define PARE_AVX2_INLINE __attribute__((target("avx2,fma"), always_inline)) inline

// Four input channels under one place of the kernel, for a block of output channels.
struct Tap {
  std::int32_t offset = 0;  // bytes from the pixel's first, in the padded picture
  std::int8_t weights[kOut][kIn] = {};
};

// What can be added in 16 bits: 255 · 128 < 2^15.
constexpr int kMostWeight = 128;

// Whether no sum of the taps' products, over neighbours and in any order, leaves 16 bits.
bool fits(const Tap* const* taps, std::size_t count) {
  for (std::int64_t o = 0; o < kOut; ++o)
    for (std::int64_t half = 0; half < kIn; half += 2) {
      int up = 0;
      int down = 0;
      for (std::size_t t = 0; t < count; ++t)
        for (std::int64_t i = half; i < half + 2; ++i) {
          const int w = taps[t]->weights[o][i];
          (w > 0 ? up : down) += w;
        }
      if (up > kMostWeight || -down > kMostWeight) return false;
    }
  return true;
}

// A block of output channels: first the taps that go in pairs, then the others.
struct Block {
  std::vector<Tap> taps;
  std::int64_t pairs = 0;
};

// False where a single tap saturates.
bool order(Block& block) {
  std::vector<const Tap*> left;
  for (const Tap& tap : block.taps) {
    const Tap* one = &tap;
    if (!fits(&one, 1)) return false;
    left.push_back(one);
  }
  std::vector<Tap> paired;
  std::vector<Tap> single;
  while (!left.empty()) {
    const Tap* pair[2] = {left.back(), nullptr};
    left.pop_back();
    bool found = false;
    for (std::size_t i = left.size(); i-- > 0 && !found;) {
      pair[1] = left[i];
      if (!fits(pair, 2)) continue;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
      found = true;
    }
    if (found)
      paired.insert(paired.end(), {*pair[0], *pair[1]});
    else
      single.push_back(*pair[0]);
  }
  block.pairs = static_cast<std::int64_t>(paired.size() / 2);
  block.taps = std::move(paired);
  block.taps.insert(block.taps.end(), single.begin(), single.end());
  return true;
}

// One block's constants, as the loop reads them.
struct Packed {
  const std::int32_t* offsets;
  const std::int8_t* weights;  // 64 bytes a tap
  const std::int32_t* bias;
  const float* multipliers;
  std::int64_t pairs, singles;
};

PARE_AVX2_INLINE __m256i spread(const std::uint8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}
PARE_AVX2_INLINE __m256i load(const std::int8_t* w) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
}
PARE_AVX2_INLINE __m256i widened(__m256i sums) {
  return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

// Sums of kPixels pixels, `step` bytes apart, and 16 channels.
template <int kPixels>
PARE_AVX2_INLINE void sum_up(const std::uint8_t* x, std::int64_t step, const Packed& p,
                             __m256i (&sums)[kPixels][2]) {
  for (int i = 0; i < kPixels; ++i) {
    sums[i][0] = _mm256_load_si256(reinterpret_cast<const __m256i*>(p.bias));
    sums[i][1] = _mm256_load_si256(reinterpret_cast<const __m256i*>(p.bias + 8));
  }
  const std::int32_t* offset = p.offsets;
  const std::int8_t* w = p.weights;
  for (std::int64_t k = 0; k < p.pairs; ++k, offset += 2, w += 128) {
    const __m256i w00 = load(w);
    const __m256i w01 = load(w + 32);
    const __m256i w10 = load(w + 64);
    const __m256i w11 = load(w + 96);
    const std::uint8_t* x0 = x + offset[0];
    const std::uint8_t* x1 = x + offset[1];
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i) {
      const __m256i a = spread(x0 + i * step);
      const __m256i b = spread(x1 + i * step);
      const __m256i low =
          _mm256_add_epi16(_mm256_maddubs_epi16(a, w00), _mm256_maddubs_epi16(b, w10));
      const __m256i high =
          _mm256_add_epi16(_mm256_maddubs_epi16(a, w01), _mm256_maddubs_epi16(b, w11));
      sums[i][0] = _mm256_add_epi32(sums[i][0], widened(low));
      sums[i][1] = _mm256_add_epi32(sums[i][1], widened(high));
    }
  }
  for (std::int64_t k = 0; k < p.singles; ++k, ++offset, w += 64) {
    const __m256i w0 = load(w);
    const __m256i w1 = load(w + 32);
    const std::uint8_t* x0 = x + *offset;
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i) {
      const __m256i a = spread(x0 + i * step);
      sums[i][0] = _mm256_add_epi32(sums[i][0], widened(_mm256_maddubs_epi16(a, w0)));
      sums[i][1] = _mm256_add_epi32(sums[i][1], widened(_mm256_maddubs_epi16(a, w1)));
    }
  }
}

// Eight values of what the destination holds.
PARE_AVX2_INLINE __m256 residual_at(const void* at, std::int64_t i, const ByteEpilogue& e) {
  if (e.destination == DType::f32) return _mm256_loadu_ps(static_cast<const float*>(at) + i);
  const auto* bytes = static_cast<const std::uint8_t*>(at) + i;
  const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
  const __m256i wide =
      e.residual_dtype == DType::u8 ? _mm256_cvtepu8_epi32(eight) : _mm256_cvtepi8_epi32(eight);
  return _mm256_sub_ps(_mm256_cvtepi32_ps(wide), _mm256_set1_ps(e.residual_zero));
}

PARE_AVX2_INLINE __m256 finished(__m256i sum, const float* multiplier, const void* at,
                                 std::int64_t i, const ByteEpilogue& e) {
  __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_load_ps(multiplier + i));
  if (e.residual) v = _mm256_fmadd_ps(residual_at(at, i, e), _mm256_set1_ps(e.residual_scale), v);
  v = _mm256_max_ps(v, _mm256_set1_ps(e.low));
  return _mm256_min_ps(v, _mm256_set1_ps(e.high));
}

// 16 values of one pixel.
PARE_AVX2_INLINE void store(const __m256i (&sum)[2], const Packed& p, void* at,
                            const ByteEpilogue& e) {
  const __m256 v0 = finished(sum[0], p.multipliers, at, 0, e);
  const __m256 v1 = finished(sum[1], p.multipliers, at, 8, e);
  if (e.destination == DType::f32) {
    _mm256_storeu_ps(static_cast<float*>(at), v0);
    _mm256_storeu_ps(static_cast<float*>(at) + 8, v1);
    return;
  }
  const __m256i zero = _mm256_set1_epi32(e.zero_point);
  const __m256i q0 = _mm256_add_epi32(_mm256_cvtps_epi32(v0), zero);
  const __m256i q1 = _mm256_add_epi32(_mm256_cvtps_epi32(v1), zero);
  // The pack works in halves of 128 bits: channels 0–3, 8–11, 4–7, 12–15.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(q0, q1), 0xD8);
  const __m128i low = _mm256_castsi256_si128(words);
  const __m128i high = _mm256_extracti128_si256(words, 1);
  const __m128i bytes =
      e.destination == DType::u8 ? _mm_packus_epi16(low, high) : _mm_packs_epi16(low, high);
  _mm_storeu_si128(static_cast<__m128i*>(at), bytes);
}

struct Row {
  const std::uint8_t* source;
  std::int64_t step;     // bytes of the padded picture from an output's pixel to the next one's
  std::byte* to;         // this block's first channel
  std::int64_t to_step;  // bytes
  std::int64_t width;
  std::int64_t channels;  // of the block that there are
};

template <int kPixels>
PARE_AVX2_INLINE void pixels(const Row& row, std::int64_t x, const Packed& p,
                             const ByteEpilogue& e) {
  __m256i sums[kPixels][2];
  sum_up<kPixels>(row.source + x * row.step, row.step, p, sums);
  for (int i = 0; i < kPixels; ++i) {
    std::byte* to = row.to + (x + i) * row.to_step;
    if (row.channels == kOut) {
      store(sums[i], p, to, e);
      continue;
    }
    alignas(32) std::byte all[kOut * sizeof(float)] = {};
    const std::size_t bytes =
        static_cast<std::size_t>(row.channels) * (e.destination == DType::f32 ? sizeof(float) : 1);
    if (e.residual) std::memcpy(all, to, bytes);
    store(sums[i], p, all, e);
    std::memcpy(to, all, bytes);
  }
}

PARE_AVX2 void run_row(const Row& row, const Packed& p, const ByteEpilogue& e) {
  std::int64_t x = 0;
  for (; x + 4 <= row.width; x += 4) pixels<4>(row, x, p, e);
  for (; x < row.width; ++x) pixels<1>(row, x, p, e);
}

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

class Avx2ByteConvolution final : public ByteConvolution {
 public:
  explicit Avx2ByteConvolution(const ByteConvolutionSpec& spec)
      : spec_(spec),
        channels_(spec.weight.dim(1)),
        out_(spec.weight.dim(0)),
        padded_channels_((channels_ + kIn - 1) / kIn * kIn) {
    const auto& a = spec_.attributes;
    padded_height_ = spec_.height + a.padding[0] + a.padding[2];
    padded_width_ = spec_.width + a.padding[1] + a.padding[3];
    const std::int64_t kh = spec_.weight.dim(2);
    const std::int64_t kw = spec_.weight.dim(3);
    out_height_ = (padded_height_ - a.dilation[0] * (kh - 1) - 1) / a.stride[0] + 1;
    out_width_ = (padded_width_ - a.dilation[1] * (kw - 1) - 1) / a.stride[1] + 1;
    as_it_is_ = padded_channels_ == channels_ && padded_height_ == spec_.height &&
                padded_width_ == spec_.width;
    blocks_.resize(static_cast<std::size_t>((out_ + kOut - 1) / kOut));
  }

  bool order_taps() {
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      blocks_[b].taps = taps_of(static_cast<std::int64_t>(b) * kOut);
      if (!order(blocks_[b])) return false;
    }
    taps_ = static_cast<std::int64_t>(blocks_[0].taps.size());
    return true;
  }

  std::size_t constant_bytes() const override { return blocks_.size() * block_bytes(); }
  std::size_t scratch_bytes() const override {
    return as_it_is_ ? 0
                     : static_cast<std::size_t>(spec_.batch * padded_height_ * padded_width_ *
                                                padded_channels_);
  }

  void fill(std::byte* constants) override {
    const auto* w = spec_.weight.data<std::int8_t>();
    const std::int64_t per_channel = spec_.weight.elements() / out_;
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      std::byte* base = constants + b * block_bytes();
      Block& block = blocks_[b];
      for (std::size_t t = 0; t < block.taps.size(); ++t) {
        std::memcpy(base + t * 64, block.taps[t].weights, 64);
        std::memcpy(base + offsets_at() + t * 4, &block.taps[t].offset, 4);
      }
      std::int32_t bias[kOut] = {};
      float multipliers[kOut] = {};
      for (std::int64_t i = 0; i < kOut; ++i) {
        const std::int64_t o = static_cast<std::int64_t>(b) * kOut + i;
        if (o >= out_) break;
        std::int32_t sum = 0;
        for (std::int64_t k = 0; k < per_channel; ++k) sum += w[o * per_channel + k];
        const auto c = static_cast<std::size_t>(o);
        bias[i] = (spec_.bias.empty() ? 0 : spec_.bias[c]) - sum * spec_.source_zero;
        multipliers[i] = spec_.multipliers[c];
      }
      std::memcpy(base + bias_at(), bias, sizeof bias);
      std::memcpy(base + bias_at() + 64, multipliers, sizeof multipliers);
      block.taps = {};
    }
    spec_.weight = {};
  }

  void run(const std::byte* constants, const std::uint8_t* source, void* destination,
           std::byte* scratch) const override {
    const std::uint8_t* from = source;
    if (!as_it_is_) {
      pad(source, reinterpret_cast<std::uint8_t*>(scratch));
      from = reinterpret_cast<const std::uint8_t*>(scratch);
    }
    const auto& a = spec_.attributes;
    const std::int64_t element = spec_.epilogue.destination == DType::f32 ? 4 : 1;
    const std::int64_t work = out_width_ * taps_ * static_cast<std::int64_t>(blocks_.size());
    parallel_for(
        0, spec_.batch * out_height_, std::max<std::int64_t>(1, 4096 / work),
        [&](std::int64_t begin, std::int64_t end) {
          for (std::size_t b = 0; b < blocks_.size(); ++b) {
            const Packed packed = packed_at(constants, b);
            const std::int64_t o = static_cast<std::int64_t>(b) * kOut;
            for (std::int64_t r = begin; r < end; ++r) {
              const std::int64_t n = r / out_height_;
              const std::int64_t y = r % out_height_ * a.stride[0];
              const Row row{
                  from + (n * padded_height_ + y) * padded_width_ * padded_channels_,
                  a.stride[1] * padded_channels_,
                  static_cast<std::byte*>(destination) + (r * out_width_ * out_ + o) * element,
                  out_ * element,
                  out_width_,
                  std::min(kOut, out_ - o)};
              run_row(row, packed, spec_.epilogue);
            }
          }
        });
  }

 private:
  std::size_t offsets_at() const { return static_cast<std::size_t>(taps_) * 64; }
  std::size_t bias_at() const {
    return offsets_at() + aligned(static_cast<std::size_t>(taps_) * 4);
  }
  std::size_t block_bytes() const { return bias_at() + 128; }

  Packed packed_at(const std::byte* constants, std::size_t b) const {
    const std::byte* base = constants + b * block_bytes();
    return {reinterpret_cast<const std::int32_t*>(base + offsets_at()),
            reinterpret_cast<const std::int8_t*>(base),
            reinterpret_cast<const std::int32_t*>(base + bias_at()),
            reinterpret_cast<const float*>(base + bias_at() + 64),
            blocks_[b].pairs,
            taps_ - 2 * blocks_[b].pairs};
  }

  std::vector<Tap> taps_of(std::int64_t first) const {
    const auto* w = spec_.weight.data<std::int8_t>();
    const std::int64_t kh = spec_.weight.dim(2);
    const std::int64_t kw = spec_.weight.dim(3);
    const auto& dilation = spec_.attributes.dilation;
    std::vector<Tap> taps;
    for (std::int64_t y = 0; y < kh; ++y)
      for (std::int64_t x = 0; x < kw; ++x)
        for (std::int64_t c = 0; c < channels_; c += kIn) {
          Tap tap;
          tap.offset = static_cast<std::int32_t>(
              (y * dilation[0] * padded_width_ + x * dilation[1]) * padded_channels_ + c);
          for (std::int64_t o = 0; o < std::min(kOut, out_ - first); ++o)
            for (std::int64_t i = 0; i < std::min(kIn, channels_ - c); ++i)
              tap.weights[o][i] = w[(((first + o) * channels_ + c + i) * kh + y) * kw + x];
          taps.push_back(tap);
        }
    return taps;
  }

  void pad(const std::uint8_t* source, std::uint8_t* padded) const {
    const auto& a = spec_.attributes;
    const std::int64_t row = padded_width_ * padded_channels_;
    parallel_for(0, spec_.batch * padded_height_, std::max<std::int64_t>(1, (1 << 16) / row),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t r = begin; r < end; ++r) {
                     std::uint8_t* to = padded + r * row;
                     const std::int64_t y = r % padded_height_ - a.padding[0];
                     if (y < 0 || y >= spec_.height) {
                       std::memset(to, spec_.source_zero, static_cast<std::size_t>(row));
                       continue;
                     }
                     const std::uint8_t* from =
                         source + (r / padded_height_ * spec_.height + y) * spec_.width * channels_;
                     const std::int64_t left = a.padding[1] * padded_channels_;
                     const std::int64_t inside = spec_.width * padded_channels_;
                     std::memset(to, spec_.source_zero, static_cast<std::size_t>(left));
                     copy_pixels(from, to + left);
                     std::memset(to + left + inside, spec_.source_zero,
                                 static_cast<std::size_t>(row - left - inside));
                   }
                 });
  }

  // What fills the last channels meets weights of zero.
  void copy_pixels(const std::uint8_t* from, std::uint8_t* to) const {
    if (channels_ == padded_channels_) {
      std::memcpy(to, from, static_cast<std::size_t>(spec_.width * channels_));
      return;
    }
    for (std::int64_t x = 0; x < spec_.width; ++x, from += channels_, to += padded_channels_) {
      std::memset(to + padded_channels_ - kIn, 0, kIn);
      for (std::int64_t c = 0; c < channels_; ++c) to[c] = from[c];
    }
  }

  ByteConvolutionSpec spec_;
  std::int64_t channels_, out_, padded_channels_;
  std::int64_t padded_height_, padded_width_, out_height_, out_width_;
  std::int64_t taps_ = 0;
  bool as_it_is_ = false;
  std::vector<Block> blocks_;
};

}  // namespace
#endif

std::unique_ptr<ByteConvolution> ByteConvolution::make(
    [[maybe_unused]] const ByteConvolutionSpec& spec) {
#if PARE_X86
  if (isa_cap() != Isa::avx2 || spec.attributes.groups != 1) return nullptr;
  auto convolution = std::make_unique<Avx2ByteConvolution>(spec);
  if (convolution->order_taps()) return convolution;
#endif
  return nullptr;
}

}  // namespace pare
