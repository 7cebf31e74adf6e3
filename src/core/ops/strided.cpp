// Copies between strided blocks: what all movement ops are made of.
#include "core/ops/strided.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

struct Axis {
  std::int64_t size, to, from;
};

/// The axes from outermost to innermost by the target's strides, joined where they run on.
struct Walk {
  Walk(const Shape& sizes, const Strides& to, const Strides& from) {
    for (int a = 0; a < sizes.rank(); ++a) {
      if (sizes[a] == 1) continue;
      Axis axis{sizes[a], to[static_cast<std::size_t>(a)], from[static_cast<std::size_t>(a)]};
      // The target is walked forwards: rows whose target is dense have loops of their own.
      if (axis.to < 0) {
        to_offset += (axis.size - 1) * axis.to;
        from_offset += (axis.size - 1) * axis.from;
        axis.to = -axis.to;
        axis.from = -axis.from;
      }
      axes[static_cast<std::size_t>(count++)] = axis;
    }
    std::stable_sort(axes.begin(), axes.begin() + count,
                     [](const Axis& a, const Axis& b) { return a.to > b.to; });
    int kept = 0;
    for (int a = 1; a < count; ++a) {
      Axis& outer = axes[static_cast<std::size_t>(kept)];
      const Axis& inner = axes[static_cast<std::size_t>(a)];
      if (outer.to == inner.size * inner.to && outer.from == inner.size * inner.from) {
        outer = {outer.size * inner.size, inner.to, inner.from};
      } else {
        axes[static_cast<std::size_t>(++kept)] = inner;
      }
    }
    count = count == 0 ? 0 : kept + 1;
    if (count == 0) axes[static_cast<std::size_t>(count++)] = {1, 1, 1};
  }
  const Axis& inner() const { return axes[static_cast<std::size_t>(count - 1)]; }

  std::array<Axis, Shape::kMaxRank> axes{};
  int count = 0;
  std::int64_t to_offset = 0, from_offset = 0;  ///< of the first elements
};

template <class T> void copy_row(T* to, const T* from, const Axis& axis) {
  if (axis.to == 1 && axis.from == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(axis.size) * sizeof(T));
  } else if (axis.to == 1 && axis.from == 0) {
    std::fill_n(to, axis.size, *from);
  } else if (axis.to == 1 && axis.from == -1) {
    // Known steps become vector code.
    for (std::int64_t i = 0; i < axis.size; ++i) to[i] = from[-i];
  } else if (axis.to == 1 && axis.from == 2) {
    for (std::int64_t i = 0; i < axis.size; ++i) to[i] = from[i * 2];
  } else if (axis.to == 1) {
    for (std::int64_t i = 0; i < axis.size; ++i) to[i] = from[i * axis.from];
  } else {
    for (std::int64_t i = 0; i < axis.size; ++i) to[i * axis.to] = from[i * axis.from];
  }
}

template <class T>
void copy_rows(const Walk& walk, T* to, const T* from, std::int64_t begin, std::int64_t end) {
  const int outer = walk.count - 1;
  std::array<std::int64_t, Shape::kMaxRank> index{};
  std::int64_t rest = begin;
  for (int a = outer - 1; a >= 0; --a) {
    const auto i = static_cast<std::size_t>(a);
    index[i] = rest % walk.axes[i].size;
    rest /= walk.axes[i].size;
    to += index[i] * walk.axes[i].to;
    from += index[i] * walk.axes[i].from;
  }
  for (std::int64_t row = begin; row < end; ++row) {
    copy_row(to, from, walk.inner());
    for (int a = outer - 1; a >= 0; --a) {
      const auto i = static_cast<std::size_t>(a);
      const Axis& axis = walk.axes[i];
      to += axis.to;
      from += axis.from;
      if (++index[i] < axis.size) break;
      to -= axis.size * axis.to;
      from -= axis.size * axis.from;
      index[i] = 0;
    }
  }
}

/// A transposition of two axes tile by tile: neither side is walked in long leaps.
template <class T> void copy_tiles(const Axis& rows, const Axis& columns, T* to, const T* from) {
  constexpr std::int64_t kTile = 16;
  for (std::int64_t r = 0; r < rows.size; r += kTile)
    for (std::int64_t c = 0; c < columns.size; c += kTile) {
      const std::int64_t last_r = std::min(rows.size, r + kTile);
      const std::int64_t last_c = std::min(columns.size, c + kTile);
      for (std::int64_t i = r; i < last_r; ++i)
        for (std::int64_t j = c; j < last_c; ++j)
          to[i * rows.to + j * columns.to] = from[i * rows.from + j * columns.from];
    }
}

template <class T>
void copy(const Shape& sizes, const Walk& walk, void* target, const void* source) {
  T* to = static_cast<T*>(target) + walk.to_offset;
  const T* from = static_cast<const T*>(source) + walk.from_offset;
  const std::int64_t elements = sizes.elements();
  constexpr std::int64_t kGrain = 16384;  // elements for one thread
  const Axis& inner = walk.inner();
  if (walk.count == 1) {
    parallel_for(0, inner.size, kGrain, [&](std::int64_t begin, std::int64_t end) {
      copy_row(to + begin * inner.to, from + begin * inner.from,
               {end - begin, inner.to, inner.from});
    });
    return;
  }
  const Axis& next = walk.axes[static_cast<std::size_t>(walk.count - 2)];
  if (walk.count <= 3 && next.from == 1 && inner.from > 1 && next.size > 4 && inner.size > 4) {
    const Axis outer = walk.count == 3 ? walk.axes[0] : Axis{1, 0, 0};
    const std::int64_t bands = (next.size + 15) / 16;
    const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (16 * inner.size));
    parallel_for(0, outer.size * bands, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t o = i / bands;
        const std::int64_t row = i % bands * 16;
        copy_tiles({std::min<std::int64_t>(16, next.size - row), next.to, next.from}, inner,
                   to + o * outer.to + row * next.to, from + o * outer.from + row * next.from);
      }
    });
    return;
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / inner.size);
  parallel_for(0, elements / inner.size, grain, [&](std::int64_t begin, std::int64_t end) {
    copy_rows(walk, to, from, begin, end);
  });
}

}  // namespace

void copy_strided(const Shape& sizes, std::size_t element_bytes, StridedTarget to,
                  StridedSource from) {
  if (sizes.elements() == 0) return;
  const Walk walk(sizes, to.strides, from.strides);
  switch (element_bytes) {
    case 1:
      return copy<std::uint8_t>(sizes, walk, to.data, from.data);
    case 2:
      return copy<std::uint16_t>(sizes, walk, to.data, from.data);
    case 4:
      return copy<std::uint32_t>(sizes, walk, to.data, from.data);
    default:
      PARE_ASSERT(element_bytes == 8);
      return copy<std::uint64_t>(sizes, walk, to.data, from.data);
  }
}

std::size_t movable_bytes(DType dtype, const char* where) {
  PARE_CHECK(traits(dtype).bits >= 8, unsupported, where,
             "expected elements of whole bytes, got packed {}", dtype);
  return static_cast<std::size_t>(traits(dtype).bits / 8);
}

}  // namespace pare
