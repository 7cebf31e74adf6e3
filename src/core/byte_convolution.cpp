// Convolution of bytes: packing, padding, and the AVX2 loop.
#include "core/byte_convolution.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "core/aligned.h"
#include "core/byte_depthwise.h"
#include "core/byte_store.h"
#include "core/byte_sums.h"
#include "core/byte_taps.h"
#include "core/byte_winograd.h"
#include "core/multiversion.h"
#include "pare/core/parallel.h"

namespace pare {

#if PARE_X86
namespace {

PARE_AVX2 void copy_all(const std::uint8_t* from, std::uint16_t* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
}
void copy_all(const std::uint8_t* from, std::uint8_t* to, std::int64_t count) {
  std::memcpy(to, from, static_cast<std::size_t>(count));
}

// Pixels that a pointwise convolution takes at once: it knows no rows.
constexpr std::int64_t kPointwiseRow = 64;

struct Row {
  const std::uint8_t* source;
  std::int64_t step;     // bytes of the padded picture from an output's pixel to the next one's
  std::byte* to;         // this block's first channel
  std::int64_t to_step;  // bytes
  std::int64_t width;
  std::int64_t channels;  // of the block that there are
};

template <int kPixels, class Lane, class M>
PARE_AVX2_INLINE void pixels(const Row& row, std::int64_t x, const Packed& p,
                             const ByteEpilogue& e) {
  Pair sums[kPixels];
  sum_up<kPixels, Lane>(row.source + x * row.step, row.step, p, sums);
  for (int i = 0; i < kPixels; ++i) {
    std::byte* to = row.to + (x + i) * row.to_step;
    if (row.channels == kTapOut) {
      store<M>(sums[i], p.multipliers, to, e);
      continue;
    }
    alignas(32) std::byte all[kTapOut * sizeof(float)] = {};
    const std::size_t bytes =
        static_cast<std::size_t>(row.channels) * (e.destination == DType::f32 ? sizeof(float) : 1);
    if (M::residual) std::memcpy(all, to, bytes);
    store<M>(sums[i], p.multipliers, all, e);
    std::memcpy(to, all, bytes);
  }
}

template <class Lane, class M>
PARE_AVX2 void run_row(const Row& row, const Packed& p, const ByteEpilogue& e) {
  std::int64_t x = 0;
  for (; x + 4 <= row.width; x += 4) pixels<4, Lane, M>(row, x, p, e);
  if (x + 1 == row.width) pixels<1, Lane, M>(row, x, p, e);
  if (x + 2 == row.width) pixels<2, Lane, M>(row, x, p, e);
  if (x + 3 == row.width) pixels<3, Lane, M>(row, x, p, e);
}

using RowFunction = void (*)(const Row& row, const Packed& p, const ByteEpilogue& e);
template <class Lane> RowFunction row_function(bool residual, bool clip) {
  if (residual) return clip ? run_row<Lane, Mode<true, true>> : run_row<Lane, Mode<true, false>>;
  return clip ? run_row<Lane, Mode<false, true>> : run_row<Lane, Mode<false, false>>;
}

// Lane: what weights are multiplied as, std::int8_t or std::int16_t; the picture likewise.
template <class Lane> class Avx2ByteConvolution final : public ByteConvolution {
  using Source = std::make_unsigned_t<Lane>;
  static constexpr std::int64_t kIn = kTapIn<Lane>;
  static constexpr std::int64_t kBytes = sizeof(Lane);

 public:
  explicit Avx2ByteConvolution(const ByteConvolutionSpec& spec)
      : spec_(spec),
        shape_(spec.weight.shape()),
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
    as_it_is_ = kBytes == 1 && padded_channels_ == channels_ && padded_height_ == spec_.height &&
                padded_width_ == spec_.width;
    pointwise_ = kh * kw == 1 && a.stride[0] * a.stride[1] == 1 && padded_height_ == spec_.height &&
                 padded_width_ == spec_.width;
    orders_.resize(static_cast<std::size_t>((out_ + kTapOut - 1) / kTapOut));
  }

  /// False where the weights could saturate.
  bool order_taps() {
    for (std::size_t b = 0; b < orders_.size(); ++b) {
      TapBlock<Lane>& block = blocks_.emplace_back();
      block.taps = taps_of(static_cast<std::int64_t>(b));
      if constexpr (kBytes == 1)
        if (!pare::order_taps(block)) return false;
      for (const TapOf<Lane>& tap : block.taps) orders_[b].offsets.push_back(tap.offset);
      orders_[b].pairs = block.pairs;
    }
    taps_ = static_cast<std::int64_t>(orders_[0].offsets.size());
    return true;
  }

  const char* name() const override { return kBytes == 1 ? "avx2_u8s8" : "avx2_u8s8_wide"; }
  std::size_t constant_bytes() const override { return orders_.size() * block_bytes(); }
  std::size_t scratch_bytes() const override {
    return as_it_is_ ? 0
                     : static_cast<std::size_t>(spec_.batch * padded_height_ * padded_width_ *
                                                padded_channels_ * kBytes);
  }

  void fill(std::byte* constants) override {
    const auto* w = spec_.weight.data<std::int8_t>();
    const std::int64_t per_channel = spec_.weight.elements() / out_;
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      std::byte* base = constants + b * block_bytes();
      const TapBlock<Lane>& block = blocks_[b];
      for (std::size_t t = 0; t < block.taps.size(); ++t)
        std::memcpy(base + t * 64, block.taps[t].weights, 64);
      std::int32_t bias[kTapOut] = {};
      float multipliers[kTapOut] = {};
      for (std::int64_t i = 0; i < kTapOut; ++i) {
        const std::int64_t o = static_cast<std::int64_t>(b) * kTapOut + channel_at(i);
        if (o >= out_) continue;
        std::int32_t sum = 0;
        for (std::int64_t k = 0; k < per_channel; ++k) sum += w[o * per_channel + k];
        const auto c = static_cast<std::size_t>(o);
        bias[i] = (spec_.bias.empty() ? 0 : spec_.bias[c]) - sum * spec_.source_zero;
        multipliers[i] = spec_.multipliers[c];
      }
      std::memcpy(base + bias_at(), bias, sizeof bias);
      std::memcpy(base + bias_at() + 64, multipliers, sizeof multipliers);
    }
    std::vector<TapBlock<Lane>>().swap(blocks_);
    spec_.weight = {};
  }

  Tensor weight(const std::byte* constants) const override {
    Tensor weight = Tensor::empty(shape_, DType::i8);
    auto* w = weight.mutable_data<std::int8_t>();
    const std::int64_t area = shape_[2] * shape_[3];
    // The pairs are in an order of their own.
    std::map<std::int32_t, TapPlace> places;
    for (const TapPlace& place : places_of_taps()) places[offset_of(place)] = place;
    for (std::size_t b = 0; b < orders_.size(); ++b) {
      const std::byte* base = constants + b * block_bytes();
      for (std::size_t t = 0; t < orders_[b].offsets.size(); ++t) {
        const auto* lanes = reinterpret_cast<const Lane*>(base + t * 64);
        const TapPlace at = places.at(orders_[b].offsets[t]);
        each_weight(static_cast<std::int64_t>(b), at.channel,
                    [&](std::int64_t place, std::int64_t i, std::int64_t o) {
                      w[(o * channels_ + at.channel + i) * area + at.y * shape_[3] + at.x] =
                          static_cast<std::int8_t>(lanes[place * kIn + i]);
                    });
      }
    }
    return weight;
  }

  void run(const std::byte* constants, const std::uint8_t* source, void* destination,
           std::byte* scratch) const override {
    const std::uint8_t* from = source;
    if (!as_it_is_) {
      pad(source, reinterpret_cast<Source*>(scratch));
      from = reinterpret_cast<const std::uint8_t*>(scratch);
    }
    const auto& a = spec_.attributes;
    const std::int64_t element = spec_.epilogue.destination == DType::f32 ? 4 : 1;
    const RowFunction run = row_function<Lane>(spec_.epilogue.residual, spec_.epilogue.clips);
    const std::int64_t row = pointwise_ ? kPointwiseRow : out_width_;
    const std::int64_t pixels = spec_.batch * out_height_ * out_width_;
    const std::int64_t work = row * taps_ * static_cast<std::int64_t>(orders_.size());
    parallel_for(
        0, (pixels + row - 1) / row,
        std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, work)),
        [&](std::int64_t begin, std::int64_t end) {
          for (std::size_t b = 0; b < orders_.size(); ++b) {
            const Packed packed = packed_at(constants, b);
            const std::int64_t o = static_cast<std::int64_t>(b) * kTapOut;
            for (std::int64_t r = begin; r < end; ++r) {
              const std::int64_t first = r * row;  // pixel of the result
              const std::int64_t y = r % out_height_ * a.stride[0];
              const std::int64_t at =
                  pointwise_ ? first : (r / out_height_ * padded_height_ + y) * padded_width_;
              run({from + at * padded_channels_ * kBytes, a.stride[1] * padded_channels_ * kBytes,
                   static_cast<std::byte*>(destination) + (first * out_ + o) * element,
                   out_ * element, std::min(row, pixels - first), std::min(kTapOut, out_ - o)},
                  packed, spec_.epilogue);
            }
          }
        });
  }

 private:
  std::size_t bias_at() const { return static_cast<std::size_t>(taps_) * 64; }
  std::size_t block_bytes() const { return bias_at() + 128; }

  Packed packed_at(const std::byte* constants, std::size_t b) const {
    const std::byte* base = constants + b * block_bytes();
    const Order& order = orders_[b];
    return {order.offsets.data(),
            reinterpret_cast<const std::int8_t*>(base),
            reinterpret_cast<const std::int32_t*>(base + bias_at()),
            reinterpret_cast<const float*>(base + bias_at() + 64),
            order.pairs,
            taps_ - 2 * order.pairs};
  }

  struct TapPlace {
    std::int64_t y = 0, x = 0, channel = 0;
  };
  std::vector<TapPlace> places_of_taps() const {
    std::vector<TapPlace> places;
    for (std::int64_t y = 0; y < shape_[2]; ++y)
      for (std::int64_t x = 0; x < shape_[3]; ++x)
        for (std::int64_t c = 0; c < channels_; c += kIn) places.push_back({y, x, c});
    return places;
  }
  std::int32_t offset_of(const TapPlace& at) const {
    const auto& dilation = spec_.attributes.dilation;
    return static_cast<std::int32_t>(
        ((at.y * dilation[0] * padded_width_ + at.x * dilation[1]) * padded_channels_ +
         at.channel) *
        kBytes);
  }
  /// The weights of one tap from `channel` on: where each stands in the tap, and its output.
  template <class Visit>
  void each_weight(std::int64_t block, std::int64_t channel, Visit&& visit) const {
    for (std::int64_t place = 0; place < kTapOut; ++place) {
      const std::int64_t o = block * kTapOut + channel_at(place);
      for (std::int64_t i = 0; o < out_ && i < std::min(kIn, channels_ - channel); ++i)
        visit(place, i, o);
    }
  }

  std::vector<TapOf<Lane>> taps_of(std::int64_t block) const {
    const auto* w = spec_.weight.data<std::int8_t>();
    const std::int64_t area = shape_[2] * shape_[3];
    std::vector<TapOf<Lane>> taps;
    for (const TapPlace& at : places_of_taps()) {
      TapOf<Lane> tap;
      tap.offset = offset_of(at);
      each_weight(block, at.channel, [&](std::int64_t place, std::int64_t i, std::int64_t o) {
        tap.weights[place][i] =
            w[(o * channels_ + at.channel + i) * area + at.y * shape_[3] + at.x];
      });
      taps.push_back(tap);
    }
    return taps;
  }

  void pad(const std::uint8_t* source, Source* padded) const {
    const auto& a = spec_.attributes;
    const std::int64_t row = padded_width_ * padded_channels_;
    const auto zero = static_cast<Source>(spec_.source_zero);
    parallel_for(0, spec_.batch * padded_height_,
                 std::max<std::int64_t>(1, (1 << 16) / std::max<std::int64_t>(1, row)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t r = begin; r < end; ++r) {
                     Source* to = padded + r * row;
                     const std::int64_t y = r % padded_height_ - a.padding[0];
                     if (y < 0 || y >= spec_.height) {
                       std::fill_n(to, row, zero);
                       continue;
                     }
                     const std::uint8_t* from =
                         source + (r / padded_height_ * spec_.height + y) * spec_.width * channels_;
                     const std::int64_t left = a.padding[1] * padded_channels_;
                     const std::int64_t inside = spec_.width * padded_channels_;
                     std::fill_n(to, left, zero);
                     copy_pixels(from, to + left);
                     std::fill_n(to + left + inside, row - left - inside, zero);
                   }
                 });
  }

  // What fills the last channels meets weights of zero.
  void copy_pixels(const std::uint8_t* from, Source* to) const {
    if (channels_ == padded_channels_) {
      copy_all(from, to, spec_.width * channels_);
      return;
    }
    for (std::int64_t x = 0; x < spec_.width; ++x, from += channels_, to += padded_channels_) {
      std::fill_n(to + padded_channels_ - kIn, kIn, Source{0});
      for (std::int64_t c = 0; c < channels_; ++c) to[c] = from[c];
    }
  }

  ByteConvolutionSpec spec_;
  Shape shape_;  // of the weight
  std::int64_t channels_, out_, padded_channels_;
  std::int64_t padded_height_, padded_width_, out_height_, out_width_;
  std::int64_t taps_ = 0;
  bool as_it_is_ = false;
  bool pointwise_ = false;  // every pixel of the result from the one at its place
  // Of a block's taps: apart from the constants, which so are the same for pictures of every width.
  struct Order {
    std::vector<std::int32_t> offsets;
    std::int64_t pairs = 0;
  };
  std::vector<Order> orders_;
  std::vector<TapBlock<Lane>> blocks_;  // until they are filled
};

}  // namespace
#endif

std::unique_ptr<ByteConvolution> ByteConvolution::make(
    [[maybe_unused]] const ByteConvolutionSpec& spec) {
#if PARE_X86
  if (isa_cap() != Isa::avx2) return nullptr;
  if (spec.attributes.groups != 1) return make_byte_depthwise(spec);
  if (auto winograd = make_byte_winograd(spec)) return winograd;
  auto bytes = std::make_unique<Avx2ByteConvolution<std::int8_t>>(spec);
  if (bytes->order_taps()) return bytes;
  auto wide = std::make_unique<Avx2ByteConvolution<std::int16_t>>(spec);
  wide->order_taps();
  return wide;
#endif
  return nullptr;
}

}  // namespace pare
