// Import of ops between resolutions: Resize, Upsample, DepthToSpace, SpaceToDepth, Col2Im.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_spatial.h"

namespace pare::onnx {
namespace {

/// What goes between axes that stay: scales of 1, sizes of −1.
template <class T>
std::vector<T> on_all_axes(NodeImport& node, const std::vector<T>& given,
                           const std::vector<int>& axes, int rank, T unchanged) {
  if (given.size() != axes.size())
    node.refuse(fmt::format("{} scales or sizes for {} axes", given.size(), axes.size()));
  std::vector<T> all(static_cast<std::size_t>(rank), unchanged);
  for (std::size_t i = 0; i < axes.size(); ++i) all[static_cast<std::size_t>(axes[i])] = given[i];
  return all;
}

/// Sizes of one proportion: the smallest ratio of all axes, or the largest.
void keep_aspect(NodeImport& node, int x, const std::string& policy, const std::vector<int>& axes,
                 std::vector<std::int64_t>& sizes) {
  double ratio = 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double here =
        static_cast<double>(sizes[i]) / static_cast<double>(size_of(node, x, axes[i]));
    const bool take = policy == "not_larger" ? here < ratio : here > ratio;
    if (i == 0 || take) ratio = here;
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double size = std::floor(ratio * static_cast<double>(size_of(node, x, axes[i])) + 0.5);
    if (!(size >= 0 && size <= 0x1p40)) node.refuse(fmt::format("a size of {}", size));
    sizes[i] = static_cast<std::int64_t>(size);
  }
}

/// Half types are interpolated by the op itself; integers as f32, then truncated.
int resized(NodeImport& node, int x, ResizeAttributes attributes) {
  const DType dtype = dtype_of(node, x);
  const bool whole = attributes.mode != "nearest" && !is_floating(dtype);
  const int y = call(node, kResize, std::move(attributes), {whole ? cast(node, x, DType::f32) : x});
  return cast(node, y, dtype);
}

void import_resize(NodeImport& node) {
  const int x = node.value(0);
  const int rank = node.shape(0).rank();
  ResizeAttributes attributes;
  attributes.mode = node.string("mode", "nearest");
  if (node.opset() < 11) {
    attributes.coordinates = "asymmetric";
    attributes.nearest = "floor";
    attributes.scales = node.reals(1);
    node.output(0, resized(node, x, attributes));
    return;
  }
  attributes.coordinates = node.string("coordinate_transformation_mode", "half_pixel");
  attributes.nearest = node.string("nearest_mode", "round_prefer_floor");
  attributes.cubic_coefficient = node.real("cubic_coeff_a", -0.75);
  attributes.exclude_outside = node.integer("exclude_outside", 0) != 0;
  attributes.antialias = node.integer("antialias", 0) != 0;
  node.ignore("extrapolation_value");
  if (attributes.coordinates == "tf_crop_and_resize" ||
      attributes.coordinates == "tf_half_pixel_for_nn")
    node.refuse(fmt::format("coordinate_transformation_mode '{}'", attributes.coordinates));
  const std::string policy = node.string("keep_aspect_ratio_policy", "stretch");
  std::vector<std::int64_t> named = node.integers("axes");
  if (is_computed(node, 2) || is_computed(node, 3)) {
    // An empty tensor stands for one left out.
    const bool by_sizes = node.has(3) && node.shape(3) != Shape{0};
    // ONNX's corners lie by the size before it is rounded, which the result's shape does not tell.
    if (!by_sizes && attributes.coordinates == "align_corners")
      node.refuse("align_corners with scales that are computed");
    attributes.policy = policy;
    attributes.axes = named;
    node.output(0, call_given(node, {&kResize, Attributes::of(attributes)},
                              {x, by_sizes ? node.value(3) : -1, by_sizes ? -1 : node.value(2)}));
    return;
  }
  if (named.empty())
    for (int a = 0; a < rank; ++a) named.push_back(a);
  const std::vector<int> axes = axes_of(node, named, rank);
  // An empty tensor stands for one left out.
  const auto given = [&](int i) {
    return node.has(i) &&
           !(node.shape(i).rank() == 1 && !node.shape(i).symbolic(0) && node.shape(i)[0] == 0);
  };
  if (given(3)) {
    std::vector<std::int64_t> sizes = node.integers(3);
    if (sizes.size() != axes.size())
      node.refuse(fmt::format("{} sizes for {} axes", sizes.size(), axes.size()));
    if (policy != "stretch") keep_aspect(node, x, policy, axes, sizes);
    attributes.sizes = on_all_axes<std::int64_t>(node, sizes, axes, rank, -1);
  } else {
    attributes.scales = on_all_axes<double>(node, node.reals(2), axes, rank, 1);
  }
  node.output(0, resized(node, x, attributes));
}

void import_upsample(NodeImport& node) {
  const std::string mode = node.string("mode", "nearest");
  ResizeAttributes attributes;
  attributes.mode = mode == "bilinear" ? "linear" : mode;
  attributes.coordinates = "asymmetric";
  attributes.nearest = "floor";
  if (node.opset() < 7) {
    attributes.scales = {1, 1, node.real("height_scale", 1), node.real("width_scale", 1)};
  } else if (node.opset() < 9) {
    attributes.scales = node.reals("scales");
  } else {
    attributes.scales = node.reals(1);
  }
  node.output(0, resized(node, node.value(0), attributes));
}

void import_depth_to_space(NodeImport& node) {
  const DepthSpaceAttributes attributes{node.integer("blocksize", 1), node.string("mode", "DCR")};
  node.output(0, call(node, kDepthToSpace, attributes, {node.value(0)}));
}
void import_space_to_depth(NodeImport& node) {
  const DepthSpaceAttributes attributes{node.integer("blocksize", 1), node.string("mode", "DCR")};
  node.output(0, call(node, kSpaceToDepth, attributes, {node.value(0)}));
}

/// Blocks of a picture summed where they lie over one another.
void import_col2im(NodeImport& node) {
  const std::vector<std::int64_t> image = node.integers(1);
  const std::vector<std::int64_t> block = node.integers(2);
  if (image.size() != 2 || block.size() != 2)
    node.refuse(fmt::format("{} spatial axes, not two", image.size()));
  const auto pair = [&](const char* name, std::int64_t fallback) {
    std::vector<std::int64_t> values = node.integers(name);
    if (values.empty()) values.assign(2, fallback);
    if (values.size() != 2) node.refuse(fmt::format("{} {}", values.size(), name));
    return to_array<2>(values);
  };
  FoldAttributes attributes;
  attributes.output = to_array<2>(image);
  attributes.kernel = to_array<2>(block);
  attributes.stride = pair("strides", 1);
  attributes.dilation = pair("dilations", 1);
  std::vector<std::int64_t> pads = node.integers("pads");
  if (pads.empty()) pads.assign(4, 0);
  if (pads.size() != 4 || pads[0] != pads[2] || pads[1] != pads[3])
    node.refuse("pads that differ before and after");
  attributes.padding = {pads[0], pads[1]};
  node.output(0, call(node, kFold, attributes, {node.value(0)}));
}

constexpr OpImport kImports[] = {
    {"Col2Im", "", import_col2im},     {"DepthToSpace", "", import_depth_to_space},
    {"Resize", "", import_resize},     {"SpaceToDepth", "", import_space_to_depth},
    {"Upsample", "", import_upsample},
};

}  // namespace

constinit const std::span<const OpImport> kResampleImports = kImports;

}  // namespace pare::onnx
