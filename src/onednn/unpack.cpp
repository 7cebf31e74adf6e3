// Tensors in oneDNN's blocked layouts: an element's place is a sum over its axes.
#include "onednn/unpack.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "pare/core/dtype.h"

namespace pare::onednn {
namespace {

using Table = std::vector<std::int64_t>;

/// Per axis what each of its indices adds to an element's place; short axes first.
std::vector<Table> tables_of(const Layout& layout) {
  std::vector<std::size_t> axes(layout.dims.size());
  std::iota(axes.begin(), axes.end(), std::size_t{0});
  std::ranges::stable_sort(axes, {}, [&](std::size_t axis) { return layout.dims[axis]; });
  std::vector<Table> tables;
  for (const std::size_t axis : axes) {
    Table& table = tables.emplace_back();
    for (std::int64_t i = 0; i < layout.dims[axis]; ++i) {
      std::int64_t left = i;
      std::int64_t place = 0;
      std::int64_t step = 1;
      for (std::size_t b = layout.blocks.size(); b-- > 0; step *= layout.blocks[b]) {
        if (layout.axes[b] != static_cast<std::int64_t>(axis)) continue;
        place += left % layout.blocks[b] * step;
        left /= layout.blocks[b];
      }
      table.push_back(place + left * layout.strides[axis]);
    }
  }
  return tables;
}

template <class From, class To, class Convert>
void copy(const std::vector<Table>& from, const From* source, const std::vector<Table>& to,
          To* destination, std::size_t axis, const Convert& convert) {
  const Table& f = from[axis];
  const Table& t = to[axis];
  if (axis + 1 == from.size()) {
    for (std::size_t i = 0; i < f.size(); ++i) destination[t[i]] = convert(source[f[i]]);
    return;
  }
  for (std::size_t i = 0; i < f.size(); ++i)
    copy(from, source + f[i], to, destination + t[i], axis + 1, convert);
}

}  // namespace

bool unpack(const Desc& from, const void* source, const Desc& to, void* destination) {
  const auto here = layout_of(from);
  const auto there = layout_of(to);
  if (!here || !there || here->dims != there->dims || here->dims.empty()) return false;
  const auto f = tables_of(*here);
  const auto t = tables_of(*there);
  const auto as_it_is = [](auto v) { return v; };
  if (here->type == Type::s8 && there->type == Type::s8) {
    copy(f, static_cast<const std::int8_t*>(source), t, static_cast<std::int8_t*>(destination), 0,
         as_it_is);
    return true;
  }
  if (there->type != Type::f32) return false;
  auto* out = static_cast<float*>(destination);
  if (here->type == Type::f32) {
    copy(f, static_cast<const float*>(source), t, out, 0, as_it_is);
    return true;
  }
  if (here->type != Type::bf16) return false;
  copy(f, static_cast<const BFloat16*>(source), t, out, 0, [](BFloat16 v) { return to_float(v); });
  return true;
}

}  // namespace pare::onednn
