// Windows over spatial axes: what the attributes of convolutions and pooling say in ONNX.
#include "io/onnx/import_spatial.h"

#include <algorithm>

#include "core/check.h"
#include "io/onnx/import_bounds.h"
#include "io/onnx/import_build.h"

namespace pare::onnx {
namespace {

/// Of a setting and of an axis: sums of their products stay far below 2^63.
constexpr std::int64_t kMostSetting = std::int64_t{1} << 20;
constexpr std::int64_t kLongest = std::int64_t{1} << 40;

std::vector<std::int64_t> list_or_ones(NodeImport& node, const char* name, std::size_t count) {
  std::vector<std::int64_t> values = node.integers(name);
  if (values.empty()) values.assign(count, 1);
  if (values.size() != count)
    node.refuse(fmt::format("{} {} for {} spatial axes", values.size(), name, count));
  for (const std::int64_t value : values)
    if (value < 1 || value > kMostSetting) node.refuse(fmt::format("{} of {}", name, value));
  return values;
}

}  // namespace

Windows windows_of(NodeImport& node, const Shape& x, const std::vector<std::int64_t>& kernel) {
  if (x.rank() < 3) node.refuse(fmt::format("spatial axes are expected, got {}", x));
  const auto count = static_cast<std::size_t>(x.rank() - 2);
  Windows w;
  w.kernel = node.integers("kernel_shape");
  if (w.kernel.empty()) w.kernel = kernel;
  if (w.kernel.size() != count || (!kernel.empty() && w.kernel != kernel))
    node.refuse(fmt::format("kernel_shape [{}] of x {} and a kernel [{}]", listed(w.kernel), x,
                            listed(kernel)));
  for (const std::int64_t size : w.kernel)
    if (size < 1 || size > kMostSetting) node.refuse(fmt::format("a kernel of {}", size));
  for (int a = 2; a < x.rank(); ++a)
    if (!x.symbolic(a)) within(node, x[a], 0, kLongest);
  w.stride = list_or_ones(node, "strides", count);
  w.dilation = list_or_ones(node, "dilations", count);
  const std::string automatic = node.string("auto_pad", "NOTSET");
  w.padding = node.integers("pads");
  if (automatic == "NOTSET" || automatic.empty()) {
    if (w.padding.empty()) w.padding.assign(2 * count, 0);
    if (w.padding.size() != 2 * count)
      node.refuse(fmt::format("{} pads for {} spatial axes", w.padding.size(), count));
    for (const std::int64_t pad : w.padding) within(node, pad, -kMostSetting, kMostSetting);
    return w;
  }
  w.padding.assign(2 * count, 0);
  if (automatic == "VALID") return w;
  if (automatic != "SAME_UPPER" && automatic != "SAME_LOWER")
    node.refuse(fmt::format("auto_pad '{}' is unknown", automatic));
  for (std::size_t i = 0; i < count; ++i) {
    const int axis = static_cast<int>(i) + 2;
    // Without a stride the size does not matter.
    std::int64_t total = w.reach(i) - 1;
    if (w.stride[i] > 1) {
      if (x.symbolic(axis))
        node.refuse(fmt::format("auto_pad needs a known size of axis {} of {}", axis, x));
      const std::int64_t outputs = (x[axis] + w.stride[i] - 1) / w.stride[i];
      total = std::max<std::int64_t>(0, (outputs - 1) * w.stride[i] + w.reach(i) - x[axis]);
    }
    const std::int64_t smaller = total / 2;
    w.padding[i] = automatic == "SAME_UPPER" ? smaller : total - smaller;
    w.padding[i + count] = total - w.padding[i];
  }
  return w;
}

}  // namespace pare::onnx
