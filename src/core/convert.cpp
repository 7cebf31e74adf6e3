// Copies between memory formats (blocked transposition) and between dtypes.
#include "core/convert.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/half.h"

namespace pare {
namespace {

/// An element of this many bytes, whatever its type.
template <std::size_t Bytes> struct Bits { unsigned char bytes[Bytes]; };

using V8 = std::uint32_t __attribute__((vector_size(32)));
// As standard attributes: after an alias's type clang drops the alignment.
using V8Unaligned [[gnu::vector_size(32), gnu::aligned(1), gnu::may_alias]] = std::uint32_t;

/// Eight by eight elements of four bytes: halves, then quarters, then eighths change places.
PARE_INLINE void transpose_8x8(const Bits<4>* from, std::int64_t from_stride, Bits<4>* to,
                               std::int64_t to_stride) {
  V8 a[8];
  V8 b[8];
  for (int i = 0; i < 8; ++i) a[i] = *reinterpret_cast<const V8Unaligned*>(from + i * from_stride);
  for (int i = 0; i < 4; ++i) {
    b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    b[i + 4] = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int h = 0; h < 8; h += 4) {
    for (int i = h; i < h + 2; ++i) {
      a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      a[i + 2] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 8; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; ++i) *reinterpret_cast<V8Unaligned*>(to + i * to_stride) = b[i];
}

/// to[c][r] = from[r][c] for rows [begin, end); a row of `to` has `rows` elements.
template <std::size_t Bytes>
PARE_INLINE void transpose_rows(const Bits<Bytes>* from, Bits<Bytes>* to, std::int64_t rows,
                                std::int64_t columns, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kTile = 32;
  for (std::int64_t r0 = begin; r0 < end; r0 += kTile) {
    const std::int64_t r1 = std::min(r0 + kTile, end);
    for (std::int64_t c0 = 0; c0 < columns; c0 += kTile) {
      const std::int64_t c1 = std::min(c0 + kTile, columns);
      std::int64_t r = r0;
      if constexpr (Bytes == 4) {
        for (; r + 8 <= r1; r += 8) {
          std::int64_t c = c0;
          for (; c + 8 <= c1; c += 8)
            transpose_8x8(from + r * columns + c, columns, to + c * rows + r, rows);
          for (; c < c1; ++c)
            for (std::int64_t k = r; k < r + 8; ++k) to[c * rows + k] = from[k * columns + c];
        }
      }
      for (std::int64_t c = c0; c < c1; ++c)
        for (std::int64_t k = r; k < r1; ++k) to[c * rows + k] = from[k * columns + c];
    }
  }
}

/// `count` matrices of rows × columns, each transposed.
template <std::size_t Bytes>
void transpose(const void* from, void* to, std::int64_t count, std::int64_t rows,
               std::int64_t columns) {
  const auto* source = static_cast<const Bits<Bytes>*>(from);
  auto* target = static_cast<Bits<Bytes>*>(to);
  const std::int64_t grain = kElementGrain / std::max<std::int64_t>(1, columns) + 1;
  parallel_for(0, count * rows, grain, [&](std::int64_t begin, std::int64_t end) {
    multiversion([=]() PARE_INLINE_LAMBDA {
      for (std::int64_t row = begin; row < end;) {
        const std::int64_t matrix = row / rows;
        const std::int64_t first = row - matrix * rows;
        const std::int64_t last = std::min(rows, first + (end - row));
        const std::int64_t offset = matrix * rows * columns;
        transpose_rows<Bytes>(source + offset, target + offset, rows, columns, first, last);
        row += last - first;
      }
    });
  });
}

/// What a value is converted through: nothing is lost on the way.
template <class T> auto through(T) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return float{};
  else if constexpr (std::is_integral_v<T> && sizeof(T) <= 4)
    return std::int32_t{};
  else
    return T{};
}

template <class T> PARE_INLINE auto read(T value) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return vec::widen(value);
  else
    return static_cast<decltype(through(T{}))>(value);
}

template <class To, class From> PARE_INLINE To written(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    return v != From{0};
  } else if constexpr (std::is_same_v<To, Half>) {
    return vec::narrow_to_half(static_cast<float>(v));
  } else if constexpr (std::is_same_v<To, BFloat16>) {
    return vec::narrow_to_bfloat16(static_cast<float>(v));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr auto kLow = static_cast<From>(std::numeric_limits<To>::lowest());
    constexpr auto kHigh = static_cast<From>(std::numeric_limits<To>::max());
    // Where the type's largest number has been rounded up to one that it does not hold.
    constexpr bool kBeyond = std::numeric_limits<To>::digits > std::numeric_limits<From>::digits;
    constexpr From kBelow =
        kBeyond ? kHigh * (1 - std::numeric_limits<From>::epsilon() / 2) : kHigh;
    const From number = v == v ? v : From{0};
    const From above = number < kLow ? kLow : number;
    // Converted whether or not it is used, so that there is no branch.
    const auto inside = static_cast<To>(above > kBelow ? kBelow : above);
    return number >= kHigh ? std::numeric_limits<To>::max() : inside;
  } else {
    return static_cast<To>(v);
  }
}

/// Block by block through the intermediate type, so that pairs of types need no loop each.
template <class From> void convert_from(const Tensor& from, Tensor& to) {
  using Middle = decltype(through(From{}));
  const auto* source = static_cast<const From*>(from.raw());
  void* target = to.mutable_raw();
  const DType dtype = to.dtype();
  parallel_for(0, to.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    constexpr bool kAsItIs = std::is_same_v<From, Middle>;
    constexpr std::int64_t kBlock = kAsItIs ? 1 << 16 : 512;
    Middle block[kAsItIs ? 1 : kBlock];
    for (std::int64_t i = begin; i < end; i += kBlock) {
      const std::int64_t n = std::min(kBlock, end - i);
      const From* in = source + i;
      const Middle* middle = block;
      if constexpr (kAsItIs) {
        middle = in;
      } else {
        Middle* const to_block = block;
        multiversion_for<Middle>([=]() PARE_INLINE_LAMBDA {
          for (std::int64_t k = 0; k < n; ++k) to_block[k] = read(in[k]);
        });
      }
      visit_any(dtype, "cast", [&](auto type) {
        using To = decltype(type);
        To* out = static_cast<To*>(target) + i;
        multiversion_for<Middle>([=]() PARE_INLINE_LAMBDA {
          for (std::int64_t k = 0; k < n; ++k) out[k] = written<To>(middle[k]);
        });
      });
    }
  });
}

}  // namespace

void convert_format(const Tensor& from, Tensor& to) {
  if (from.elements() == 0) return;
  if (from.format() == to.format()) {
    std::memcpy(to.mutable_raw(), from.raw(), to.bytes());
    return;
  }
  const std::int64_t batch = from.shape()[0];
  const std::int64_t channels = from.shape()[1];
  const std::int64_t inside = from.shape().elements(2, from.rank());
  const std::int64_t rows = from.channels_last() ? inside : channels;
  const std::int64_t columns = from.channels_last() ? channels : inside;
  const int bits = traits(from.dtype()).bits;
  switch (bits) {
    case 8:
      return transpose<1>(from.raw(), to.mutable_raw(), batch, rows, columns);
    case 16:
      return transpose<2>(from.raw(), to.mutable_raw(), batch, rows, columns);
    case 32:
      return transpose<4>(from.raw(), to.mutable_raw(), batch, rows, columns);
    case 64:
      return transpose<8>(from.raw(), to.mutable_raw(), batch, rows, columns);
    default:
      fail(ErrorCode::unsupported, "to(MemoryFormat)", "expected an unpacked dtype, got {}",
           from.dtype());
  }
}

void convert_dtype(const Tensor& from, Tensor& to) {
  if (from.format() != to.format()) {
    Tensor same_order = Tensor::empty(from.shape(), to.dtype(), from.format());
    convert_dtype(from, same_order);
    return convert_format(same_order, to);
  }
  if (from.dtype() == to.dtype()) return convert_format(from, to);
  visit_any(from.dtype(), "cast", [&](auto type) { convert_from<decltype(type)>(from, to); });
}

}  // namespace pare
