// Convolutions of bytes by F(2x2, 3x3): transforms in 16 bits, products in 32, on AVX2.
#include "core/byte_winograd.h"

#include <algorithm>
#include <cstring>

#include "core/byte_store.h"
#include "core/winograd_tiles.h"

namespace pare {

#if PARE_X86
namespace {

using namespace winograd;

constexpr std::int64_t kWide = 16;  // channels of a vector of 16 bits
// Below, the transforms cost more than the products saved: measured 1.2 of the plain sum's time for
// 16 channels, 0.9 for 32, 0.8 for 64.
constexpr std::int64_t kFewestChannels = 32;

// [a b c d] Bᵀ = [a - c, b + c, c - b, b - d]
PARE_AVX2_INLINE void times_b(__m256i (&v)[16], int at, int step) {
  const __m256i a = v[at];
  const __m256i b = v[at + step];
  const __m256i c = v[at + 2 * step];
  const __m256i d = v[at + 3 * step];
  v[at] = _mm256_sub_epi16(a, c);
  v[at + step] = _mm256_add_epi16(b, c);
  v[at + 2 * step] = _mm256_sub_epi16(c, b);
  v[at + 3 * step] = _mm256_sub_epi16(b, d);
}

PARE_AVX2 void transform_bytes(const Pictures& p, const std::uint8_t* x, std::int64_t first,
                               std::int64_t tiles, const std::uint8_t* outside, std::int16_t* to) {
  const std::int64_t stride = kRows * p.channels;
  Place place = place_of(first, p);
  for (std::int64_t t = 0; t < tiles; ++t, place.next(p)) {
    const Pixels<4, std::uint8_t> from(p, x, place, outside);
    std::int16_t* out = to + offset_of(t, p.channels);
    for (std::int64_t c = 0; c < p.channels; c += kWide) {
      __m256i v[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        v[i] =
            _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from.at[i] + c)));
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) times_b(v, i, 4);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) times_b(v, 4 * i, 1);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        _mm256_store_si256(reinterpret_cast<__m256i*>(out + i * stride + c), v[i]);
    }
  }
}

// Two channels of three tiles times those of 16 outputs: as assembly, because a compiler that
// schedules freely keeps temporaries in registers and the sums in memory, and computes each
// address.
#define PARE_ADD_PRODUCTS(tile, low, high) \
  "vpbroadcastd " tile                     \
  ", %[a]\n\t"                             \
  "vpmaddwd %[w0], %[a], %[b]\n\t"         \
  "vpmaddwd %[w1], %[a], %[a]\n\t"         \
  "vpaddd %[b], %[" low "], %[" low        \
  "]\n\t"                                  \
  "vpaddd %[a], %[" high "], %[" high "]\n\t"

struct Three {
  __m256i low[3], high[3];
};
PARE_AVX2_INLINE void add_products(Three& sums, const std::int16_t* tiles, std::int64_t stride,
                                   __m256i w0, __m256i w1) {
  __m256i a, b;
  asm(PARE_ADD_PRODUCTS("(%[at])", "l0", "h0")              //
      PARE_ADD_PRODUCTS("(%[at],%[stride],2)", "l1", "h1")  //
      PARE_ADD_PRODUCTS("(%[at],%[stride],4)", "l2", "h2")
      : [l0] "+x"(sums.low[0]), [l1] "+x"(sums.low[1]), [l2] "+x"(sums.low[2]),
        [h0] "+x"(sums.high[0]), [h1] "+x"(sums.high[1]), [h2] "+x"(sums.high[2]), [a] "=&x"(a),
        [b] "=&x"(b)
      : [at] "r"(tiles), [stride] "r"(stride), [w0] "x"(w0), [w1] "x"(w1)
      : "memory");
}
#undef PARE_ADD_PRODUCTS

// One element of `groups` groups of transformed tiles: to = a · b, where b lies in panels of 16
// outputs: [channel / 2][output][channel % 2].
PARE_AVX2 void byte_product(const std::int16_t* a, const std::int16_t* b, std::int32_t* to,
                            std::int64_t groups, std::int64_t channels, std::int64_t outputs) {
  for (std::int64_t o = 0; o < outputs; o += kColumns) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int16_t* in = a + g * kElements * kRows * channels;
      const std::int16_t* w = b + o * channels;
      Three first;
      Three last;
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i)
        first.low[i] = first.high[i] = last.low[i] = last.high[i] = _mm256_setzero_si256();
      for (std::int64_t c = 0; c < channels; c += 2, w += 2 * kColumns) {
        const __m256i w0 = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
        const __m256i w1 = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + kColumns));
        add_products(first, in + c, channels, w0, w1);
        add_products(last, in + 3 * channels + c, channels, w0, w1);
      }
      std::int32_t* out = to + g * kElements * kRows * outputs + o;
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        auto* row = reinterpret_cast<__m256i*>(out + i * outputs);
        auto* later = reinterpret_cast<__m256i*>(out + (3 + i) * outputs);
        _mm256_store_si256(row, first.low[i]);
        _mm256_store_si256(row + 1, first.high[i]);
        _mm256_store_si256(later, last.low[i]);
        _mm256_store_si256(later + 1, last.high[i]);
      }
    }
  }
}

// Aᵀ m A / 4 + bias of eight channels: the four pixels of a tile.
PARE_AVX2_INLINE void four_pixels(const std::int32_t* m, std::int64_t stride,
                                  const std::int32_t* bias, __m256i (&y)[4]) {
  __m256i upper[4];
  __m256i lower[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const auto at = [&](int i) PARE_AVX2 {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(m + (4 * i + j) * stride));
    };
    const __m256i b = at(1);
    const __m256i c = at(2);
    upper[j] = _mm256_add_epi32(_mm256_add_epi32(at(0), b), c);
    lower[j] = _mm256_sub_epi32(_mm256_sub_epi32(b, c), at(3));
  }
  const __m256i add = _mm256_load_si256(reinterpret_cast<const __m256i*>(bias));
  const auto finish = [&](__m256i sum)
                          PARE_AVX2 { return _mm256_add_epi32(_mm256_srai_epi32(sum, 2), add); };
  y[0] = finish(_mm256_add_epi32(_mm256_add_epi32(upper[0], upper[1]), upper[2]));
  y[1] = finish(_mm256_sub_epi32(_mm256_sub_epi32(upper[1], upper[2]), upper[3]));
  y[2] = finish(_mm256_add_epi32(_mm256_add_epi32(lower[0], lower[1]), lower[2]));
  y[3] = finish(_mm256_sub_epi32(_mm256_sub_epi32(lower[1], lower[2]), lower[3]));
}

// Bias and multipliers in the order of channel_at.
struct Channels {
  const std::int32_t* bias;
  const float* multipliers;
};

template <class M>
PARE_AVX2 void store_results(const Pictures& p, const std::int32_t* from, const Channels& channels,
                             const ByteEpilogue& e, std::int64_t first, std::int64_t tiles,
                             std::byte* y) {
  const std::int64_t stride = kRows * p.channels;
  const std::int64_t element = e.destination == DType::f32 ? 4 : 1;
  const std::int64_t pixel = p.channels * element;
  Place at = place_of(first, p);
  for (std::int64_t t = 0; t < tiles; ++t, at.next(p)) {
    const bool right = at.tx * 2 + 1 < p.width;
    const bool below = at.ty * 2 + 1 < p.height;
    const std::int32_t* in = from + offset_of(t, p.channels);
    std::byte* to = y + ((at.picture * p.height + at.ty * 2) * p.width + at.tx * 2) * pixel;
    for (std::int64_t o = 0; o < p.channels; o += kColumns) {
      __m256i low[4];
      __m256i high[4];
      four_pixels(in + o, stride, channels.bias + o, low);
      four_pixels(in + o + 8, stride, channels.bias + o + 8, high);
      const float* multipliers = channels.multipliers + o;
      std::byte* out = to + o * element;
      store<M>({low[0], high[0]}, multipliers, out, e);
      if (right) store<M>({low[1], high[1]}, multipliers, out + pixel, e);
      if (below) store<M>({low[2], high[2]}, multipliers, out + p.width * pixel, e);
      if (right && below) store<M>({low[3], high[3]}, multipliers, out + (p.width + 1) * pixel, e);
    }
  }
}

using StoreFunction = void (*)(const Pictures& p, const std::int32_t* from,
                               const Channels& channels, const ByteEpilogue& e, std::int64_t first,
                               std::int64_t tiles, std::byte* y);
StoreFunction store_function(bool residual, bool clip) {
  if (residual) return clip ? store_results<Mode<true, true>> : store_results<Mode<true, false>>;
  return clip ? store_results<Mode<false, true>> : store_results<Mode<false, false>>;
}

class ByteWinograd final : public ByteConvolution {
 public:
  explicit ByteWinograd(const ByteConvolutionSpec& spec)
      : spec_(spec), channels_(spec.weight.dim(1)), out_(spec.weight.dim(0)) {
    const Shape x{spec.batch, channels_, spec.height, spec.width};
    problem_ = problem_of(spec.attributes, x, out_, sizeof(std::int16_t), sizeof(std::int32_t));
    working_bytes_ = problem_.source_elements() * static_cast<std::int64_t>(sizeof(std::int16_t)) +
                     problem_.result_elements() * static_cast<std::int64_t>(sizeof(std::int32_t));
    threads_ = max_threads();
  }

  const char* name() const override { return "avx2_winograd_u8s8"; }
  std::size_t constant_bytes() const override {
    return outside_at() + static_cast<std::size_t>(channels_);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(threads_ * working_bytes_);
  }

  void fill(std::byte* constants) override {
    fill_filters(reinterpret_cast<std::int16_t*>(constants));
    auto* bias = reinterpret_cast<std::int32_t*>(constants + bias_at());
    auto* multipliers = reinterpret_cast<float*>(constants + multipliers_at());
    const auto* w = spec_.weight.data<std::int8_t>();
    for (std::int64_t i = 0; i < out_; ++i) {
      const std::int64_t o = output_at(i);
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < channels_ * 9; ++k) sum += w[o * channels_ * 9 + k];
      const auto c = static_cast<std::size_t>(o);
      bias[i] = (spec_.bias.empty() ? 0 : spec_.bias[c]) - sum * spec_.source_zero;
      multipliers[i] = spec_.multipliers[c];
    }
    std::memset(constants + outside_at(), spec_.source_zero, static_cast<std::size_t>(channels_));
    spec_.weight = {};
  }

  Tensor weight(const std::byte* constants) const override {
    const auto* from = reinterpret_cast<const std::int16_t*>(constants);
    Tensor weight = Tensor::empty({out_, channels_, 3, 3}, DType::i8);
    auto* w = weight.mutable_data<std::int8_t>();
    const auto restore = [](const auto& t, auto& g) {
      g[0] = t[0] / 2;
      g[1] = (t[1] - t[2]) / 2;
      g[2] = t[3] / 2;
    };
    for (std::int64_t i = 0; i < out_; ++i)
      for (std::int64_t c = 0; c < channels_; ++c) {
        int rows[4][3];
        for (int y = 0; y < 4; ++y) {
          int elements[4];
          for (int x = 0; x < 4; ++x) elements[x] = from[filter_at(4 * y + x, i, c)];
          restore(elements, rows[y]);
        }
        std::int8_t* filter = w + (output_at(i) * channels_ + c) * 9;
        for (int x = 0; x < 3; ++x) {
          const int column[4] = {rows[0][x], rows[1][x], rows[2][x], rows[3][x]};
          int g[3];
          restore(column, g);
          for (int y = 0; y < 3; ++y) filter[3 * y + x] = static_cast<std::int8_t>(g[y]);
        }
      }
    return weight;
  }

  void run(const std::byte* constants, const std::uint8_t* source, void* destination,
           std::byte* scratch) const override {
    const auto* filters = reinterpret_cast<const std::int16_t*>(constants);
    const auto* outside = reinterpret_cast<const std::uint8_t*>(constants + outside_at());
    const Channels channels{reinterpret_cast<const std::int32_t*>(constants + bias_at()),
                            reinterpret_cast<const float*>(constants + multipliers_at())};
    const StoreFunction store = store_function(spec_.epilogue.residual, spec_.epilogue.clips);
    in_pieces(problem_, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      std::byte* working = scratch + piece * working_bytes_;
      auto* result = reinterpret_cast<std::int32_t*>(working);
      auto* tiles_of_source = reinterpret_cast<std::int16_t*>(result + problem_.result_elements());
      for (std::int64_t first = begin; first < end; first += problem_.chunk) {
        const std::int64_t tiles = std::min(problem_.chunk, end - first);
        // What the last group lacks is left as it is: its results are not read.
        transform_bytes(problem_.from, source, first, tiles, outside, tiles_of_source);
        for (std::int64_t e = 0; e < kElements; ++e)
          byte_product(tiles_of_source + e * kRows * channels_, filters + e * channels_ * out_,
                       result + e * kRows * out_, (tiles + kRows - 1) / kRows, channels_, out_);
        store(problem_.to, result, channels, spec_.epilogue, first, tiles,
              static_cast<std::byte*>(destination));
      }
    });
  }

 private:
  std::size_t bias_at() const {
    return static_cast<std::size_t>(kElements * channels_ * out_) * sizeof(std::int16_t);
  }
  std::size_t multipliers_at() const { return bias_at() + static_cast<std::size_t>(out_) * 4; }
  std::size_t outside_at() const { return multipliers_at() + static_cast<std::size_t>(out_) * 4; }

  /// The output whose filters stand at place i.
  static std::int64_t output_at(std::int64_t i) {
    return i / kTapOut * kTapOut + channel_at(i % kTapOut);
  }
  std::int64_t filter_at(std::int64_t element, std::int64_t i, std::int64_t c) const {
    return element * channels_ * out_ + i / kColumns * kColumns * channels_ +
           (c / 2 * kColumns + i % kColumns) * 2 + c % 2;
  }

  // 2G g (2G)ᵀ in the panels that byte_product reads, outputs in the order of channel_at.
  void fill_filters(std::int16_t* to) const {
    const auto* w = spec_.weight.data<std::int8_t>();
    const auto transform = [](const auto& g, auto& t) {
      t[0] = 2 * g[0];
      t[1] = g[0] + g[1] + g[2];
      t[2] = g[0] - g[1] + g[2];
      t[3] = 2 * g[2];
    };
    for (std::int64_t i = 0; i < out_; ++i) {
      const std::int64_t o = output_at(i);
      for (std::int64_t c = 0; c < channels_; ++c) {
        const std::int8_t* filter = w + (o * channels_ + c) * 9;
        int columns[3][4];
        for (int x = 0; x < 3; ++x) {
          const int column[3] = {filter[x], filter[3 + x], filter[6 + x]};
          transform(column, columns[x]);
        }
        for (int y = 0; y < 4; ++y) {
          const int row[3] = {columns[0][y], columns[1][y], columns[2][y]};
          int elements[4];
          transform(row, elements);
          for (int x = 0; x < 4; ++x)
            to[filter_at(4 * y + x, i, c)] = static_cast<std::int16_t>(elements[x]);
        }
      }
    }
  }

  ByteConvolutionSpec spec_;
  std::int64_t channels_, out_;
  Problem problem_{};
  std::int64_t working_bytes_ = 0;
  std::int64_t threads_ = 1;
};

}  // namespace
#endif

std::unique_ptr<ByteConvolution> make_byte_winograd(
    [[maybe_unused]] const ByteConvolutionSpec& spec) {
#if PARE_X86
  const std::int64_t channels = spec.weight.dim(1);
  if (tiles(spec.attributes, spec.weight.shape()) && channels % kWide == 0 &&
      channels >= kFewestChannels)
    return std::make_unique<ByteWinograd>(spec);
#endif
  return nullptr;
}

}  // namespace pare
