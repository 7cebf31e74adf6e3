// CodeMatrix: packing into panels of 16 outputs, and the ways of few and of many rows.
#include "core/code_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/aligned.h"
#include "core/check.h"
#include "core/code_loops.h"
#include "core/packed_codes.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

using namespace code_loops;

constexpr std::int64_t kMostFewRows = 8;
constexpr std::int64_t kBlockPanels = 4;  // that are floats at a time, so that rows are read rarely
constexpr std::int64_t kDepth = 256;

bool is_half_weight(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

std::uint32_t half_bits(const Tensor& weight, std::int64_t i) {
  return static_cast<const std::uint16_t*>(weight.raw())[i];
}

bool all_finite(const Tensor& half) {
  for (std::int64_t i = 0; i < half.elements(); ++i)
    if ((half_bits(half, i) & 0x7c00U) == 0x7c00U) return false;
  return true;
}

/// Calls way(Code{}, zeros) with the loops' form of a weight.
template <class Way> void with_form(DType dtype, bool has_zeros, const Way& way) {
  const auto codes = [&](auto code) {
    if (has_zeros)
      way(code, std::true_type{});
    else
      way(code, std::false_type{});
  };
  if (dtype == DType::bf16) return way(BrainFloats{}, std::false_type{});
  if (dtype == DType::f16) return way(Halves{}, std::false_type{});
  if (traits(dtype).bits == 8) return codes(Codes<8>{});
  if (traits(dtype).bits == 4) return codes(Codes<4>{});
  codes(Codes<2>{});
}

template <int W, class Code, bool Zeros>
PARE_INLINE void few_rows(const Panel& p, std::int64_t rows, const float* x, const Result& to) {
  int count = 0;
  for (std::int64_t r = 0; r < rows; r += count) {
    const float* from = x + r * p.in;
    float y[kFewRows * kLanes];
    count = rows - r >= 4 ? 4 : rows - r >= 2 ? 2 : 1;
    if (count == 4)
      multiply<W, Code, Zeros, 4>(p, from, p.in, y);
    else if (count == 2)
      multiply<W, Code, Zeros, 2>(p, from, p.in, y);
    else
      multiply<W, Code, Zeros, 1>(p, from, p.in, y);
    Result at = to;
    at.data += r * to.stride;
    store(y, count, at);
  }
}

template <int W>
PARE_INLINE void tile_rows(const float* x, std::int64_t stride, int count, const float* weights,
                           std::int64_t depth, const Result& to) {
  float y[kTileRows * kLanes];
  if (count == 1) tile<W, 1>(x, stride, weights, depth, y);
  if (count == 2) tile<W, 2>(x, stride, weights, depth, y);
  if (count == 3) tile<W, 3>(x, stride, weights, depth, y);
  if (count == 4) tile<W, 4>(x, stride, weights, depth, y);
  if (count == 5) tile<W, 5>(x, stride, weights, depth, y);
  if (count == 6) tile<W, 6>(x, stride, weights, depth, y);
  store(y, count, to);
}

/// body(std::integral_constant of the registers' width), compiled for the best instruction set.
template <class Body> void with_width(const Body& body) {
#if PARE_X86
  const Isa isa = isa_cap();
  if (isa >= Isa::avx512)
    return detail::run_avx512([=]()
                                  PARE_INLINE_LAMBDA { body(std::integral_constant<int, 16>{}); });
  if (isa >= Isa::avx2)
    return detail::run_avx2([=]() PARE_INLINE_LAMBDA { body(std::integral_constant<int, 8>{}); });
#endif
  body(std::integral_constant<int, 4>{});
}

}  // namespace

std::unique_ptr<CodeMatrix> CodeMatrix::make(const CodeMatrixSpec& spec) {
  const Tensor& weight = spec.weight;
  PARE_ASSERT(weight.rank() == 2 && !weight.channels_last());
  if (weight.elements() == 0) return nullptr;
  std::unique_ptr<CodeMatrix> made(new CodeMatrix());
  CodeMatrix& m = *made;
  m.spec_ = spec;
  m.shape_ = weight.shape();
  m.dtype_ = weight.dtype();
  m.out_ = weight.dim(spec.transposed ? 1 : 0);
  m.in_ = weight.dim(spec.transposed ? 0 : 1);
  m.bits_ = traits(m.dtype_).bits;
  m.group_ = m.in_;
  m.groups_ = 1;
  if (is_half_weight(m.dtype_)) {
    if (m.dtype_ == DType::f16 && !all_finite(weight)) return nullptr;
    m.groups_ = 0;
  } else {
    if (m.bits_ > 8 || is_floating(m.dtype_)) return nullptr;
    const int input_axis = spec.transposed ? 0 : 1;
    const std::int64_t axis = spec.attributes.axis + (spec.attributes.axis < 0 ? 2 : 0);
    m.scale_shape_ = spec.scale.shape();
    if (spec.attributes.block > 0) {
      if (axis != input_axis) return nullptr;
      m.group_ = std::min(spec.attributes.block, m.in_);
      m.groups_ = (m.in_ + m.group_ - 1) / m.group_;
    } else if (spec.scale.elements() == 1) {
      m.one_scale_ = true;
    } else if (axis == input_axis) {
      return nullptr;
    }
    const int half = traits(m.dtype_).is_signed ? 1 << (m.bits_ - 1) : 0;
    m.zero_ = static_cast<float>(half);
    if (spec.zero_point.defined()) {
      m.zero_dtype_ = spec.zero_point.dtype();
      const std::vector<std::int32_t> zeros = code_values(spec.zero_point);
      for (const std::int32_t z : zeros) {
        if (z + half < 0 || z + half >= 1 << m.bits_) return nullptr;
        m.has_zeros_ = m.has_zeros_ || z != zeros[0];
      }
      m.zero_ = static_cast<float>(zeros[0] + half);
    }
  }
  const std::int64_t in_a_word = 32 / m.bits_;
  const std::int64_t last = m.in_ - (std::max<std::int64_t>(m.groups_, 1) - 1) * m.group_;
  m.words_ = (std::max<std::int64_t>(m.groups_, 1) - 1) * ((m.group_ + in_a_word - 1) / in_a_word) +
             (last + in_a_word - 1) / in_a_word;
  constexpr std::size_t kScales = kLanes * sizeof(float);
  const auto groups = static_cast<std::size_t>(m.groups_);
  m.zeros_at_ = groups * kScales;
  m.words_at_ = m.zeros_at_ + (m.has_zeros_ ? aligned(groups * kLanes) : 0);
  m.panel_ = m.words_at_ + static_cast<std::size_t>(m.words_) * kScales;
  m.bias_at_ = static_cast<std::size_t>(m.panels()) * m.panel_;
  m.bias_bytes_ = spec.bias.defined() ? m.out_ * static_cast<std::int64_t>(sizeof(float)) : 0;
  return made;
}

const char* CodeMatrix::name() const {
  if (dtype_ == DType::f16) return "weights f16";
  if (dtype_ == DType::bf16) return "weights bf16";
  return bits_ == 8 ? "codes 8 bits" : bits_ == 4 ? "codes 4 bits" : "codes 2 bits";
}

std::size_t CodeMatrix::code_place(std::int64_t row, std::int64_t column, unsigned& shift) const {
  const std::int64_t in_a_word = 32 / bits_;
  const std::int64_t g = column / group_, k = column % group_;
  const std::int64_t word = g * ((group_ + in_a_word - 1) / in_a_word) + k / in_a_word;
  shift = static_cast<unsigned>(k % in_a_word * bits_);
  return static_cast<std::size_t>(row / kLanes) * panel_ + words_at_ +
         static_cast<std::size_t>(word * kLanes + row % kLanes) * sizeof(std::uint32_t);
}

void CodeMatrix::fill(std::byte* constants) {
  std::memset(constants, 0, constant_bytes());
  const bool halves = is_half_weight(dtype_);
  const int offset = !halves && traits(dtype_).is_signed ? 1 << (bits_ - 1) : 0;
  const std::vector<std::int32_t> codes =
      halves ? std::vector<std::int32_t>() : code_values(spec_.weight);
  for (std::int64_t r = 0; r < out_; ++r)
    for (std::int64_t c = 0; c < in_; ++c) {
      const std::int64_t at = spec_.transposed ? c * out_ + r : r * in_ + c;
      const std::uint32_t bits =
          halves ? half_bits(spec_.weight, at)
                 : static_cast<std::uint32_t>(codes[static_cast<std::size_t>(at)] + offset);
      unsigned shift = 0;
      std::byte* place = constants + code_place(r, c, shift);
      std::uint32_t word = 0;
      std::memcpy(&word, place, sizeof word);
      word |= bits << shift;
      std::memcpy(place, &word, sizeof word);
    }
  if (!halves) write_scales(constants);
  if (spec_.bias.defined())
    std::memcpy(constants + bias_at_, spec_.bias.data<float>(),
                static_cast<std::size_t>(bias_bytes_));
  spec_.weight = spec_.scale = spec_.zero_point = spec_.bias = {};
}

void CodeMatrix::write_scales(std::byte* constants) const {
  const int offset = traits(dtype_).is_signed ? 1 << (bits_ - 1) : 0;
  const std::vector<float> scales = spec_.scale.to_vector<float>();
  std::vector<std::int32_t> zeros;
  if (has_zeros_) zeros = code_values(spec_.zero_point);
  for (std::int64_t r = 0; r < out_; ++r)
    for (std::int64_t g = 0; g < groups_; ++g) {
      const auto from = static_cast<std::size_t>(one_scale_         ? 0
                                                 : spec_.transposed ? g * out_ + r
                                                                    : r * groups_ + g);
      std::byte* panel = constants + static_cast<std::size_t>(r / kLanes) * panel_;
      const auto lane = static_cast<std::size_t>(g * kLanes + r % kLanes);
      std::memcpy(panel + lane * sizeof(float), &scales[from], sizeof(float));
      if (has_zeros_) panel[zeros_at_ + lane] = static_cast<std::byte>(zeros[from] + offset);
    }
}

void CodeMatrix::row(const std::byte* constants, std::int64_t output, float* to) const {
  const std::byte* panel = constants + static_cast<std::size_t>(output / kLanes) * panel_;
  const std::int64_t lane = output % kLanes, in_a_word = 32 / bits_;
  const auto* word = reinterpret_cast<const std::uint32_t*>(panel + words_at_) + lane;
  const std::uint32_t mask = (1U << bits_) - 1U;
  for (std::int64_t g = 0, first = 0; first < in_; ++g, first += group_) {
    const std::int64_t end = std::min(in_, first + group_);
    const std::int64_t at = g * kLanes + lane;
    float scale = 1, zero = zero_;
    if (groups_ > 0) scale = reinterpret_cast<const float*>(panel)[at];
    if (has_zeros_)
      zero =
          static_cast<float>(std::to_integer<int>(panel[zeros_at_ + static_cast<std::size_t>(at)]));
    for (std::int64_t k = first; k < end; word += kLanes)
      for (std::int64_t j = 0; j < in_a_word && k < end; ++j, ++k) {
        const std::uint32_t bits = *word >> static_cast<unsigned>(j * bits_) & mask;
        const auto half = static_cast<std::uint16_t>(bits);
        to[k] = dtype_ == DType::bf16  ? to_float(BFloat16{half})
                : dtype_ == DType::f16 ? to_float(Half{half})
                                       : (static_cast<float>(bits) - zero) * scale;
      }
  }
}

Tensor CodeMatrix::given(const std::byte* constants, int i) const {
  const bool halves = is_half_weight(dtype_);
  const int offset = !halves && traits(dtype_).is_signed ? 1 << (bits_ - 1) : 0;
  if (i == 0) {
    std::vector<std::int32_t> codes(static_cast<std::size_t>(out_ * in_));
    for (std::int64_t r = 0; r < out_; ++r)
      for (std::int64_t c = 0; c < in_; ++c) {
        unsigned shift = 0;
        std::uint32_t word = 0;
        std::memcpy(&word, constants + code_place(r, c, shift), sizeof word);
        const std::uint32_t bits = word >> shift & ((1U << bits_) - 1U);
        codes[static_cast<std::size_t>(spec_.transposed ? c * out_ + r : r * in_ + c)] =
            static_cast<std::int32_t>(bits) - offset;
      }
    if (!halves) return codes_of(codes, shape_, dtype_);
    Tensor weight = Tensor::empty(shape_, dtype_);
    auto* to = static_cast<std::uint16_t*>(weight.mutable_raw());
    for (const std::int32_t bits : codes) *to++ = static_cast<std::uint16_t>(bits);
    return weight;
  }
  if (halves) return {};
  std::vector<float> scales(static_cast<std::size_t>(scale_shape_.elements()));
  std::vector<std::int32_t> zeros(scales.size(), static_cast<std::int32_t>(zero_) - offset);
  for (std::int64_t r = 0; r < (one_scale_ ? 1 : out_); ++r)
    for (std::int64_t g = 0; g < groups_; ++g) {
      const std::byte* panel = constants + static_cast<std::size_t>(r / kLanes) * panel_;
      const auto lane = static_cast<std::size_t>(g * kLanes + r % kLanes);
      const auto to = static_cast<std::size_t>(spec_.transposed ? g * out_ + r : r * groups_ + g);
      std::memcpy(&scales[to], panel + lane * sizeof(float), sizeof(float));
      if (has_zeros_) zeros[to] = std::to_integer<std::int32_t>(panel[zeros_at_ + lane]) - offset;
    }
  if (i == 1) return Tensor::from(scales, scale_shape_);
  return zero_dtype_ == DType::i32 ? Tensor::from(zeros, scale_shape_)
                                   : codes_of(zeros, scale_shape_, zero_dtype_);
}

namespace {

/// Blocks of the input begin with a word.
std::int64_t depth_of(std::int64_t in, std::int64_t group) {
  if (group >= in || group % kLanes == 0) return std::min(kDepth, in);
  return std::max<std::int64_t>(1, kDepth / group) * group;
}

}  // namespace

std::size_t CodeMatrix::scratch_bytes(std::int64_t rows) const {
  if (rows <= kMostFewRows) return 0;
  return static_cast<std::size_t>(max_threads()) * kBlockPanels * kLanes *
         static_cast<std::size_t>(depth_of(in_, group_)) * sizeof(float);
}

void CodeMatrix::run(const std::byte* constants, std::int64_t rows, const float* x, float* y,
                     std::byte* scratch) const {
  const auto* bias =
      bias_bytes_ > 0 ? reinterpret_cast<const float*>(constants + bias_at_) : nullptr;
  const auto panel_at = [=, this](std::int64_t p) PARE_INLINE_LAMBDA {
    const std::byte* at = constants + static_cast<std::size_t>(p) * panel_;
    const std::int64_t in_a_word = 32 / bits_;
    return Panel{reinterpret_cast<const float*>(at),
                 reinterpret_cast<const std::uint8_t*>(at + zeros_at_),
                 reinterpret_cast<const std::uint32_t*>(at + words_at_),
                 zero_,
                 in_,
                 group_,
                 (group_ + in_a_word - 1) / in_a_word};
  };
  const auto result_at = [=, this](std::int64_t p) PARE_INLINE_LAMBDA {
    return Result{y + p * kLanes,
                  out_,
                  std::min(kLanes, out_ - p * kLanes),
                  bias ? bias + p * kLanes : nullptr,
                  spec_.residual,
                  std::isfinite(spec_.low) || std::isfinite(spec_.high),
                  spec_.low,
                  spec_.high};
  };
  constexpr std::int64_t kGrain = 1 << 17;  // products that are worth a thread
  const std::int64_t in = in_, depth = depth_of(in_, group_);
  with_form(dtype_, has_zeros_, [&](auto code, auto zeros) {
    using Code = decltype(code);
    constexpr bool kZeros = decltype(zeros)::value;
    if (rows <= kMostFewRows) {
      parallel_for(0, panels(), kGrain / (rows * in * kLanes) + 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     with_width([=](auto width) PARE_INLINE_LAMBDA {
                       for (std::int64_t p = begin; p < end; ++p)
                         few_rows<width.value, Code, kZeros>(panel_at(p), rows, x, result_at(p));
                     });
                   });
      return;
    }
    const std::int64_t threads = max_threads(), all = panels();
    parallel_for(0, threads, 1, [&](std::int64_t first, std::int64_t last) {
      auto* block = reinterpret_cast<float*>(scratch) + first * kBlockPanels * kLanes * depth;
      const std::int64_t begin = all * first / threads, end = all * last / threads;
      with_width([=](auto width) PARE_INLINE_LAMBDA {
        for (std::int64_t p = begin; p < end; p += kBlockPanels)
          for (std::int64_t k = 0; k < in; k += depth) {
            const std::int64_t now = std::min(depth, in - k);
            const std::int64_t count = std::min(kBlockPanels, end - p);
            for (std::int64_t i = 0; i < count; ++i)
              unpack<width.value, Code, kZeros>(panel_at(p + i), k, k + now,
                                                block + i * kLanes * depth);
            for (std::int64_t r = 0; r < rows; r += kTileRows)
              for (std::int64_t i = 0; i < count; ++i) {
                Result to = result_at(p + i);
                to.data += r * to.stride;
                if (k > 0) to.bias = nullptr;
                to.add = to.add || k > 0;
                to.clip = to.clip && k + now == in;
                tile_rows<width.value>(
                    x + r * in + k, in,
                    static_cast<int>(std::min<std::int64_t>(kTileRows, rows - r)),
                    block + i * kLanes * depth, now, to);
              }
          }
      });
    });
  });
}

}  // namespace pare
