// F(2x2, 3x3) in f32: the filters, and chunk after chunk of tiles.
#include "core/winograd.h"

#include <array>

#include "core/isa.h"

#if PARE_X86

namespace pare::winograd {
bool applies(const Conv2dAttributes& attributes, const Shape& weight) {
  // On CPUs with whole vectors of 512 bits oneDNN's own kernels have not been measured against
  // this.
  return isa_cap() >= Isa::avx2 && (isa_cap() < Isa::avx512 || halves_avx512()) &&
         tiles(attributes, weight) && weight[1] % 8 == 0;
}

FilterStrides strides_of(const Shape& weight, MemoryFormat format) {
  return format == MemoryFormat::channels_last ? FilterStrides{weight[1], 1, weight[1] * 9}
                                               : FilterStrides{1, 9, weight[1] * 9};
}

// In the panels that `product` reads: [element][output / 16][channel][16].
void transform_filters(const float* weight, FilterStrides s, std::int64_t channels,
                       std::int64_t outputs, bool turned, float* to) {
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < channels; ++c) {
      const float* g = weight + o * s.output + c * s.channel;
      float rows[4][3];
      for (int j = 0; j < 3; ++j) {
        const auto tap = [&](int i) { return g[(turned ? 8 - i * 3 - j : i * 3 + j) * s.tap]; };
        rows[0][j] = tap(0);
        rows[1][j] = 0.5F * (tap(0) + tap(1) + tap(2));
        rows[2][j] = 0.5F * (tap(0) - tap(1) + tap(2));
        rows[3][j] = tap(2);
      }
      float* out = to + o / kColumns * kColumns * channels + c * kColumns + o % kColumns;
      const std::int64_t element = channels * outputs;
      for (int i = 0; i < 4; ++i) {
        const float* r = rows[i];
        out[(4 * i) * element] = r[0];
        out[(4 * i + 1) * element] = 0.5F * (r[0] + r[1] + r[2]);
        out[(4 * i + 2) * element] = 0.5F * (r[0] - r[1] + r[2]);
        out[(4 * i + 3) * element] = r[2];
      }
    }
}

void restore_filters(const float* from, std::int64_t channels, std::int64_t outputs,
                     float* weight) {
  const std::int64_t element = channels * outputs;
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < channels; ++c) {
      const float* in = from + o / kColumns * kColumns * channels + c * kColumns + o % kColumns;
      float rows[4][3];
      for (int i = 0; i < 4; ++i) {
        rows[i][0] = in[(4 * i) * element];
        rows[i][1] = in[(4 * i + 1) * element] - in[(4 * i + 2) * element];
        rows[i][2] = in[(4 * i + 3) * element];
      }
      float* g = weight + (o * channels + c) * 9;
      for (int j = 0; j < 3; ++j) {
        g[j] = rows[0][j];
        g[3 + j] = rows[1][j] - rows[2][j];
        g[6 + j] = rows[3][j];
      }
    }
}

const float* zeros() {
  alignas(32) static constexpr std::array<float, kMostChannels> all{};
  return all.data();
}

void zero_rest(float* groups, std::int64_t tiles, std::int64_t channels) {
  if (tiles % kRows == 0) return;
  for (std::int64_t e = 0; e < kElements; ++e)
    std::fill_n(groups + offset_of(tiles, channels) + e * kRows * channels,
                (kRows - tiles % kRows) * channels, 0.0F);
}

void gather_tiles(const Problem& p, const float* x, std::int64_t first, std::int64_t tiles,
                  float* to) {
  transform_tiles(p.from, x, first, tiles, zeros(), to);
  zero_rest(to, tiles, p.from.channels);
}

void convolve(const Problem& p, const float* x, const float* filters, const Epilogue& epilogue,
              float* y, float* working) {
  const std::int64_t channels = p.from.channels;
  const std::int64_t outputs = p.to.channels;
  in_pieces(p, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
    float* source = working + piece * (p.source_elements() + p.result_elements());
    float* result = source + p.source_elements();
    for (std::int64_t first = begin; first < end; first += p.chunk) {
      const std::int64_t tiles = std::min(p.chunk, end - first);
      gather_tiles(p, x, first, tiles, source);
      for (std::int64_t e = 0; e < kElements; ++e)
        product(source + e * kRows * channels, filters + e * channels * outputs,
                result + e * kRows * outputs, (tiles + kRows - 1) / kRows, channels, outputs);
      transform_results(p.to, result, epilogue, first, tiles, y);
    }
  });
}

}  // namespace pare::winograd

#endif
