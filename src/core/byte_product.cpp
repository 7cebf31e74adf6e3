// Products of rows of u8 codes with packed weights of 8 bits: packing, and the walk over tiles.
#include "core/byte_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/byte_product_tiles.h"
#include "core/check.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

std::int64_t parts(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }

/// What two neighbours can add in 16 bits: at most 255 times the weights of one sign.
bool pairs_fit(const std::int8_t* w, std::int64_t columns, std::int64_t inner) {
  for (std::int64_t n = 0; n < columns; ++n, w += inner)
    for (std::int64_t k = 0; k < inner; k += 2) {
      const int a = w[k];
      const int b = k + 1 < inner ? w[k + 1] : 0;
      if (255 * (std::max(a, 0) + std::max(b, 0)) > 32767 ||
          255 * (std::min(a, 0) + std::min(b, 0)) < -32768)
        return false;
    }
  return true;
}

/// Panels, then the columns' sums of weights, scales and bias, each of as many as all panels have.
struct Layout {
  std::int64_t panels;
  std::int64_t panel_bytes;
  std::size_t sums, scales, bias, bytes;

  Layout(std::int64_t columns, std::int64_t inner)
      : panels(parts(columns, kPanelColumns)),
        panel_bytes(parts(inner, kPanelGroup) * kGroupBytes),
        sums(static_cast<std::size_t>(panels * panel_bytes)) {
    const auto numbers = static_cast<std::size_t>(panels * kPanelColumns) * 4;
    scales = sums + numbers;
    bias = scales + numbers;
    bytes = bias + numbers;
  }
};

/// Where weight [n, k] lies.
std::int64_t place(const Layout& layout, std::int64_t n, std::int64_t k) {
  return n / kPanelColumns * layout.panel_bytes + k / kPanelGroup * kGroupBytes +
         n % kPanelColumns * kPanelGroup + k % kPanelGroup;
}

}  // namespace

ByteProduct::ByteProduct(const Tensor& weight, const std::vector<float>& scales, const Tensor& bias)
    : inner_(weight.dim(1)),
      columns_(weight.dim(0)),
      weight_(weight),
      bias_(bias),
      scales_(scales) {
  PARE_ASSERT(weight.dtype() == DType::i8 && weight.rank() == 2);
  PARE_ASSERT(inner_ >= 1 && inner_ <= kMostInner);
  PARE_ASSERT(scales.size() == 1 || static_cast<std::int64_t>(scales.size()) == columns_);
  pairs_ = pairs_fit(weight.data<std::int8_t>(), columns_, inner_);
}

const char* ByteProduct::name() const { return byte_tiles(pairs_).name; }

std::size_t ByteProduct::constant_bytes() const { return Layout(columns_, inner_).bytes; }

void ByteProduct::fill(std::byte* constants) {
  const Layout layout(columns_, inner_);
  std::memset(constants, 0, layout.bytes);
  const auto* w = weight_.data<std::int8_t>();
  auto* packed = reinterpret_cast<std::int8_t*>(constants);
  auto* sums = reinterpret_cast<std::int32_t*>(constants + layout.sums);
  auto* scales = reinterpret_cast<float*>(constants + layout.scales);
  for (std::int64_t n = 0; n < columns_; ++n) {
    for (std::int64_t k = 0; k < inner_; ++k) {
      packed[place(layout, n, k)] = w[n * inner_ + k];
      sums[n] += w[n * inner_ + k];
    }
    scales[n] = scales_[scales_.size() == 1 ? 0 : static_cast<std::size_t>(n)];
  }
  if (bias_.defined())
    std::memcpy(constants + layout.bias, bias_.raw(),
                static_cast<std::size_t>(columns_) * sizeof(float));
  weight_ = bias_ = {};
  std::vector<float>().swap(scales_);
}

Tensor ByteProduct::weight(const std::byte* constants) const {
  const Layout layout(columns_, inner_);
  const auto* packed = reinterpret_cast<const std::int8_t*>(constants);
  Tensor weight = Tensor::empty({columns_, inner_}, DType::i8);
  auto* w = weight.mutable_data<std::int8_t>();
  for (std::int64_t n = 0; n < columns_; ++n)
    for (std::int64_t k = 0; k < inner_; ++k) *w++ = packed[place(layout, n, k)];
  return weight;
}

void ByteProduct::run(const std::byte* constants, std::int64_t rows, const std::uint8_t* codes,
                      const RowCode* row_codes, float* y, std::int64_t y_stride,
                      const ByteProductEpilogue& epilogue) const {
  const Layout layout(columns_, inner_);
  const ByteTiles& tiles = byte_tiles(pairs_);
  // Tiles of nearly equal size: a last one of a row would leave the units idle.
  const std::int64_t down = parts(rows, tiles.rows);
  const std::int64_t across = parts(layout.panels, tiles.panels);
  constexpr std::int64_t kGrain = 1 << 19;  // products that are worth a thread
  const std::int64_t work = std::min(rows, tiles.rows) * tiles.panels * kPanelColumns * inner_;
  parallel_for(0, down * across, kGrain / work + 1, [&](std::int64_t begin, std::int64_t end) {
    // All rows meet some panels before the next ones: those stay in the cache.
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t r = rows * (i % down) / down;
      const std::int64_t r_end = rows * (i % down + 1) / down;
      const std::int64_t p = layout.panels * (i / down) / across;
      const std::int64_t p_end = layout.panels * (i / down + 1) / across;
      const std::int64_t n = p * kPanelColumns;
      const ByteTile tile{codes + r * inner_,
                          row_codes + r,
                          inner_,
                          reinterpret_cast<const std::int8_t*>(constants) + p * layout.panel_bytes,
                          layout.panel_bytes,
                          reinterpret_cast<const std::int32_t*>(constants + layout.sums) + n,
                          reinterpret_cast<const float*>(constants + layout.scales) + n,
                          reinterpret_cast<const float*>(constants + layout.bias) + n,
                          y + r * y_stride + n,
                          y_stride,
                          std::min(p_end * kPanelColumns, columns_) - n,
                          epilogue.accumulate,
                          std::isfinite(epilogue.low) || std::isfinite(epilogue.high),
                          epilogue.low,
                          epilogue.high};
      tiles.run(tile, r_end - r, p_end - p);
    }
  });
}

}  // namespace pare
