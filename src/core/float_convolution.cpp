// Convolutions in f32 of a plan: packing, padding, and the AVX2 loop for few channels.
#include "core/float_convolution.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/multiversion.h"
#include "core/winograd.h"
#include "pare/core/parallel.h"

#if PARE_X86
#include <immintrin.h>
#endif

namespace pare {

#if PARE_X86
namespace {

constexpr std::int64_t kOut = 16;  // output channels of a block: two vectors
// Up to here, which 64 channels under 3x3 need, the loop was measured to be ahead of oneDNN.
constexpr std::int64_t kMostWeightBytes = 40 << 10;

// Pixels that a pointwise convolution takes at once: it knows no rows.
constexpr std::int64_t kPointwiseRow = 96;

struct Row {
  const float* source;
  std::int64_t step;  // floats of the padded picture from an output's pixel to the next one's
  float* to;          // the block's first channel
  std::int64_t to_step;
  std::int64_t width;
};

// What a block reads: `taps` offsets into the padded picture, for each `channels` times 16 weights.
struct Block {
  const float* weights;
  const float* bias;
  const std::int64_t* offsets;
  std::int64_t taps, channels;
  bool residual;
  float low, high;
};

template <int kPixels>
PARE_AVX2_INLINE void pixels(const Row& row, std::int64_t x, const Block& block) {
  __m256 low[kPixels];
  __m256 high[kPixels];
#pragma GCC unroll 6
  for (int i = 0; i < kPixels; ++i) {
    low[i] = _mm256_load_ps(block.bias);
    high[i] = _mm256_load_ps(block.bias + 8);
  }
  const float* from = row.source + x * row.step;
  const float* w = block.weights;
  for (std::int64_t t = 0; t < block.taps; ++t) {
    const float* in = from + block.offsets[t];
    for (std::int64_t c = 0; c < block.channels; ++c, w += kOut) {
      const __m256 w0 = _mm256_load_ps(w);
      const __m256 w1 = _mm256_load_ps(w + 8);
#pragma GCC unroll 6
      for (int i = 0; i < kPixels; ++i) {
        const __m256 a = _mm256_broadcast_ss(in + i * row.step + c);
        low[i] = _mm256_fmadd_ps(a, w0, low[i]);
        high[i] = _mm256_fmadd_ps(a, w1, high[i]);
      }
    }
  }
  const __m256 least = _mm256_set1_ps(block.low);
  const __m256 most = _mm256_set1_ps(block.high);
#pragma GCC unroll 6
  for (int i = 0; i < kPixels; ++i) {
    float* to = row.to + (x + i) * row.to_step;
    __m256 y0 = low[i];
    __m256 y1 = high[i];
    if (block.residual) {
      y0 = _mm256_add_ps(y0, _mm256_loadu_ps(to));
      y1 = _mm256_add_ps(y1, _mm256_loadu_ps(to + 8));
    }
    // The second operand is what comes of a NaN, which so passes.
    _mm256_storeu_ps(to, _mm256_min_ps(most, _mm256_max_ps(least, y0)));
    _mm256_storeu_ps(to + 8, _mm256_min_ps(most, _mm256_max_ps(least, y1)));
  }
}

PARE_AVX2 void run_row(const Row& row, const Block& block) {
  std::int64_t x = 0;
  for (std::int64_t left = row.width; left > 0; left = row.width - x) {
    if (left == 6 || left >= 10) {
      pixels<6>(row, x, block);
      x += 6;
    } else if (left >= 4) {
      pixels<4>(row, x, block);
      x += 4;
    } else {
      if (left == 3) pixels<3>(row, x, block);
      if (left == 2) pixels<2>(row, x, block);
      if (left == 1) pixels<1>(row, x, block);
      x += left;
    }
  }
}

class Avx2FloatConvolution final : public FloatConvolution {
 public:
  explicit Avx2FloatConvolution(const FloatConvolutionSpec& spec)
      : spec_(spec),
        shape_(spec.weight.shape()),
        channels_(spec.weight.dim(1)),
        out_(spec.weight.dim(0)) {
    const auto& a = spec_.attributes;
    padded_height_ = spec_.height + a.padding[0] + a.padding[2];
    padded_width_ = spec_.width + a.padding[1] + a.padding[3];
    const std::int64_t kh = spec_.weight.dim(2);
    const std::int64_t kw = spec_.weight.dim(3);
    out_height_ = (padded_height_ - a.dilation[0] * (kh - 1) - 1) / a.stride[0] + 1;
    out_width_ = (padded_width_ - a.dilation[1] * (kw - 1) - 1) / a.stride[1] + 1;
    as_it_is_ = padded_height_ == spec_.height && padded_width_ == spec_.width;
    pointwise_ = as_it_is_ && kh * kw == 1 && a.stride[0] * a.stride[1] == 1;
    for (std::int64_t y = 0; y < kh; ++y)
      for (std::int64_t x = 0; x < kw; ++x)
        offsets_.push_back((y * a.dilation[0] * padded_width_ + x * a.dilation[1]) * channels_);
  }

  const char* name() const override { return "avx2_f32"; }
  std::size_t constant_bytes() const override {
    return static_cast<std::size_t>(out_ / kOut * block_floats()) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return as_it_is_ ? 0
                     : static_cast<std::size_t>(spec_.batch * padded_height_ * padded_width_ *
                                                channels_) *
                           sizeof(float);
  }

  void fill(std::byte* constants) override {
    const auto* w = spec_.weight.data<float>();
    const auto taps = static_cast<std::int64_t>(offsets_.size());
    for (std::int64_t o = 0; o < out_; ++o) {
      float* block = reinterpret_cast<float*>(constants) + o / kOut * block_floats();
      block[o % kOut] = spec_.bias.defined() ? spec_.bias.data<float>()[o] : 0;
      for (std::int64_t c = 0; c < channels_; ++c)
        for (std::int64_t t = 0; t < taps; ++t)
          block[kOut + (t * channels_ + c) * kOut + o % kOut] = w[(o * channels_ + c) * taps + t];
    }
    spec_.weight = {};
    spec_.bias = {};
  }

  Tensor weight(const std::byte* constants) const override {
    Tensor weight = Tensor::empty(shape_, DType::f32);
    auto* w = weight.mutable_data<float>();
    const auto taps = static_cast<std::int64_t>(offsets_.size());
    for (std::int64_t o = 0; o < out_; ++o) {
      const float* block = reinterpret_cast<const float*>(constants) + o / kOut * block_floats();
      for (std::int64_t c = 0; c < channels_; ++c)
        for (std::int64_t t = 0; t < taps; ++t)
          w[(o * channels_ + c) * taps + t] = block[kOut + (t * channels_ + c) * kOut + o % kOut];
    }
    return weight;
  }

  void run(const std::byte* constants, const float* source, float* destination,
           std::byte* scratch) const override {
    const float* from = source;
    if (!as_it_is_) {
      pad(source, reinterpret_cast<float*>(scratch));
      from = reinterpret_cast<const float*>(scratch);
    }
    const auto& a = spec_.attributes;
    const std::int64_t row = pointwise_ ? kPointwiseRow : out_width_;
    const std::int64_t pixels = spec_.batch * out_height_ * out_width_;
    const std::int64_t work = row * block_floats() * out_ / kOut;
    parallel_for(0, (pixels + row - 1) / row,
                 std::max<std::int64_t>(1, (1 << 18) / std::max<std::int64_t>(1, work)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t o = 0; o < out_; o += kOut) {
                     const float* base =
                         reinterpret_cast<const float*>(constants) + o / kOut * block_floats();
                     const Block block{base + kOut,     base,
                                       offsets_.data(), static_cast<std::int64_t>(offsets_.size()),
                                       channels_,       spec_.residual,
                                       spec_.low,       spec_.high};
                     for (std::int64_t r = begin; r < end; ++r) {
                       const std::int64_t first = r * row;  // pixel of the result
                       const std::int64_t y =
                           r / out_height_ * padded_height_ + r % out_height_ * a.stride[0];
                       const std::int64_t at = pointwise_ ? first : y * padded_width_;
                       run_row(
                           {from + at * channels_, a.stride[1] * channels_,
                            destination + first * out_ + o, out_, std::min(row, pixels - first)},
                           block);
                     }
                   }
                 });
  }

 private:
  std::int64_t block_floats() const {
    return kOut * (1 + channels_ * static_cast<std::int64_t>(offsets_.size()));
  }

  void pad(const float* source, float* padded) const {
    const auto& a = spec_.attributes;
    const std::int64_t row = padded_width_ * channels_;
    const std::int64_t left = a.padding[1] * channels_;
    const std::int64_t inside = spec_.width * channels_;
    parallel_for(0, spec_.batch * padded_height_,
                 std::max<std::int64_t>(1, (1 << 16) / std::max<std::int64_t>(1, row)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t r = begin; r < end; ++r) {
                     float* to = padded + r * row;
                     const std::int64_t y = r % padded_height_ - a.padding[0];
                     if (y < 0 || y >= spec_.height) {
                       std::fill_n(to, row, 0.0F);
                       continue;
                     }
                     std::fill_n(to, left, 0.0F);
                     std::memcpy(to + left,
                                 source + (r / padded_height_ * spec_.height + y) * inside,
                                 static_cast<std::size_t>(inside) * sizeof(float));
                     std::fill_n(to + left + inside, row - left - inside, 0.0F);
                   }
                 });
  }

  FloatConvolutionSpec spec_;
  Shape shape_;  // of the weight
  std::int64_t channels_, out_;
  std::int64_t padded_height_, padded_width_, out_height_, out_width_;
  bool as_it_is_ = false;
  bool pointwise_ = false;  // every pixel of the result from the one at its place
  std::vector<std::int64_t> offsets_;
};

/// 3 by 3, stride 1: fewer products.
class WinogradFloatConvolution final : public FloatConvolution {
 public:
  explicit WinogradFloatConvolution(const FloatConvolutionSpec& spec)
      : spec_(spec), channels_(spec.weight.dim(1)), out_(spec.weight.dim(0)) {
    const Shape x{spec.batch, channels_, spec.height, spec.width};
    problem_ = winograd::problem_of(spec.attributes, x, out_, sizeof(float), sizeof(float));
    working_floats_ = max_threads() * (problem_.source_elements() + problem_.result_elements());
  }

  const char* name() const override { return "avx2_winograd_f32"; }
  std::size_t constant_bytes() const override {
    return static_cast<std::size_t>(filter_floats() + out_) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(working_floats_) * sizeof(float);
  }

  void fill(std::byte* constants) override {
    auto* to = reinterpret_cast<float*>(constants);
    winograd::transform_filters(spec_.weight.data<float>(),
                                winograd::strides_of(spec_.weight.shape(), MemoryFormat::row_major),
                                channels_, out_, false, to);
    if (spec_.bias.defined())
      std::copy_n(spec_.bias.data<float>(), out_, to + filter_floats());
    else
      std::fill_n(to + filter_floats(), out_, 0.0F);
    spec_.weight = {};
    spec_.bias = {};
  }

  Tensor weight(const std::byte* constants) const override {
    Tensor weight = Tensor::empty({out_, channels_, 3, 3}, DType::f32);
    winograd::restore_filters(reinterpret_cast<const float*>(constants), channels_, out_,
                              weight.mutable_data<float>());
    return weight;
  }
  // Filters that were given back, and transformed again, differ by their rounding.
  bool same(const std::byte* a, const std::byte* b) const override {
    const auto filters = static_cast<std::size_t>(filter_floats());
    if (std::memcmp(a, b, constant_bytes()) == 0) return true;
    if (std::memcmp(a + filters * 4, b + filters * 4, constant_bytes() - filters * 4) != 0)
      return false;
    const auto* x = reinterpret_cast<const float*>(a);
    const auto* y = reinterpret_cast<const float*>(b);
    float most = 0;
    for (std::size_t i = 0; i < filters; ++i)
      if (std::isfinite(x[i])) most = std::max(most, std::fabs(x[i]));
    // NaN and infinity of one filter spread over what comes of it.
    for (std::size_t i = 0; i < filters; ++i)
      if (std::isfinite(x[i]) && std::isfinite(y[i]) && std::fabs(x[i] - y[i]) > 0x1p-20F * most)
        return false;
    return true;
  }

  void run(const std::byte* constants, const float* source, float* destination,
           std::byte* scratch) const override {
    const auto* filters = reinterpret_cast<const float*>(constants);
    winograd::convolve(problem_, source, filters,
                       {.bias = filters + filter_floats(),
                        .residual = spec_.residual,
                        .low = spec_.low,
                        .high = spec_.high},
                       destination, reinterpret_cast<float*>(scratch));
  }

 private:
  std::int64_t filter_floats() const { return winograd::kElements * channels_ * out_; }

  FloatConvolutionSpec spec_;
  std::int64_t channels_, out_;
  winograd::Problem problem_{};
  std::int64_t working_floats_;
};

}  // namespace
#endif

bool FloatConvolution::same(const std::byte* a, const std::byte* b) const {
  return std::memcmp(a, b, constant_bytes()) == 0;
}

std::unique_ptr<FloatConvolution> FloatConvolution::make(
    [[maybe_unused]] const FloatConvolutionSpec& spec) {
#if PARE_X86
  if (winograd::applies(spec.attributes, spec.weight.shape()))
    return std::make_unique<WinogradFloatConvolution>(spec);
  const std::int64_t block = spec.weight.elements() / spec.weight.dim(0) * kOut;
  if (isa_cap() >= Isa::avx2 && isa_cap() < Isa::avx512 && spec.attributes.groups == 1 &&
      spec.weight.dim(0) % kOut == 0 &&
      block * static_cast<std::int64_t>(sizeof(float)) <= kMostWeightBytes)
    return std::make_unique<Avx2FloatConvolution>(spec);
#endif
  return nullptr;
}

}  // namespace pare
