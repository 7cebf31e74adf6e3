// Import of ops that move elements: reshape, transpose, concat, split, slice, pad, expand, ….
#include <algorithm>

#include "core/check.h"
#include "core/size_expression.h"
#include "io/onnx/import_bounds.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

/// Axes that an attribute names before opset 13 and an input from there on.
std::vector<std::int64_t> axes_attribute_or_input(NodeImport& node) {
  if (node.opset() < 13) return node.integers("axes");
  return node.has(1) ? node.integers(1) : std::vector<std::int64_t>{};
}

/// Where a computed 0 means no elements: pare's copies the input's size. A size that is the input's
/// own at its place may be copied, one other may be found; of several others, one is 0 only where
/// there are no elements at all.
void import_literal_reshape(NodeImport& node, int x) {
  const int target = node.value(1);
  const Shape from = shape_of(node, x);
  const auto sizes = node.graph().value(target).sizes;
  ReshapeAttributes attributes;
  int open = 0;
  for (std::size_t i = 0; sizes && i < sizes->size(); ++i) {
    const int axis = static_cast<int>(i);
    const std::string& text = (*sizes)[i];
    const SizeExpression size = SizeExpression::parse(text);
    const bool own = axis < from.rank() && size == SizeExpression::of(from, axis);
    if (text.empty() || (size == SizeExpression(0) && !own))
      node.refuse("allowzero with a shape that is not known");
    const bool plain = own || (size.is_number() && size != SizeExpression(-1));
    open += plain ? 0 : 1;
    attributes.shape.push_back(own ? 0 : plain ? size.constant() : -1);
  }
  if (!sizes) node.refuse("allowzero with a shape that is not known");
  node.output(0, open <= 1 ? call(node, kReshape, std::move(attributes), {x})
                           : call(node, kReshape, {x, target}));
}

void import_reshape(NodeImport& node) {
  const int x = node.value(0);
  const Shape from = shape_of(node, x);
  std::vector<std::int64_t> shape;
  if (node.opset() < 5) {
    node.ignore("consumed_inputs");
    shape = node.integers("shape");
  } else if (is_computed(node, 1)) {
    if (node.integer("allowzero", 0) != 0) return import_literal_reshape(node, x);
    node.output(0, call(node, kReshape, {x, node.value(1)}));
    return;
  } else {
    shape = node.integers(1);
  }
  const bool literal_zeros = node.integer("allowzero", 0) != 0;
  // A 0 that means no elements: pare's copies the input's size, −1 finds it.
  bool open = false;
  for (std::size_t i = 0; literal_zeros && i < shape.size(); ++i) {
    const int axis = static_cast<int>(i);
    if (shape[i] != 0 || (axis < from.rank() && !from.symbolic(axis) && from[axis] == 0)) continue;
    if (open || std::ranges::count(shape, -1) > 0)
      node.refuse("a second empty axis of another place than the input's");
    shape[i] = -1;
    open = true;
  }
  node.output(0, call(node, kReshape, ReshapeAttributes{shape}, {x}));
}

void import_transpose(NodeImport& node) {
  std::vector<std::int64_t> permutation = node.integers("perm");
  const int rank = node.shape(0).rank();
  if (permutation.empty())
    for (int a = rank - 1; a >= 0; --a) permutation.push_back(a);
  for (std::int64_t& axis : permutation) axis = axis_of(node, axis, rank);
  node.output(0, transpose(node, node.value(0), permutation));
}

void import_concat(NodeImport& node) {
  std::vector<int> inputs;
  for (int i = 0; i < node.inputs(); ++i) inputs.push_back(node.value(i));
  const std::int64_t axis = node.integer("axis", node.opset() < 4 ? 1 : 0);
  if (inputs.size() == 1) {
    axis_of(node, axis, node.shape(0).rank());
    node.output(0, inputs[0]);
    return;
  }
  node.output(0, call(node, kConcat, ConcatAttributes{axis}, std::move(inputs)));
}

/// Into parts of given sizes, or as many equal ones as there are outputs, the last smaller.
void import_split(NodeImport& node) {
  const int x = node.value(0);
  const int axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  const bool by_input = node.opset() >= 13;
  constexpr std::int64_t kMostParts = std::int64_t{1} << 16;
  const std::int64_t parts =
      within(node, node.integer("num_outputs", node.outputs()), 0, kMostParts);
  std::vector<std::int64_t> sizes;
  if (by_input ? node.has(1) : node.has("split"))
    sizes = by_input ? node.integers(1) : node.integers("split");
  const Shape shape = shape_of(node, x);
  if (sizes.empty()) {
    if (parts < 1 || parts < node.outputs())
      node.refuse(fmt::format("{} outputs of {} parts", node.outputs(), parts));
    if (parts == 1) {
      node.output(0, x);
      return;
    }
    const std::int64_t size = size_of(node, x, axis);
    const std::int64_t part = size / parts + static_cast<std::int64_t>(size % parts != 0);
    for (std::int64_t k = 0, left = size; k < parts; ++k, left -= sizes.back())
      sizes.push_back(std::min(left, part));
  }
  if (static_cast<int>(sizes.size()) < node.outputs())
    node.refuse(fmt::format("{} outputs of {} parts", node.outputs(), sizes.size()));
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 || __builtin_add_overflow(total, size, &total))
      node.refuse(fmt::format("a part of size {}", size));
  }
  if (!shape.symbolic(axis) && total != shape[axis])
    node.refuse(fmt::format("parts of {} in all, of an axis of {}", total, shape[axis]));
  std::int64_t start = 0;
  for (int k = 0; k < node.outputs(); ++k) {
    const std::int64_t size = sizes[static_cast<std::size_t>(k)];
    node.output(k, slice(node, x, axis, start, start + size));
    start += size;
  }
}

void import_slice(NodeImport& node) {
  const int x = node.value(0);
  const int rank = node.shape(0).rank();
  SliceAttributes attributes;
  if (node.opset() < 10) {
    attributes.axes = node.integers("axes");
    attributes.starts = node.integers("starts");
    attributes.ends = node.integers("ends");
  } else if (is_computed(node, 1) || is_computed(node, 2) || is_computed(node, 3) ||
             is_computed(node, 4)) {
    node.output(0, call_given(node, {&kSlice, Attributes::of(attributes)},
                              {x, node.value(1), node.value(2), given(node, 3), given(node, 4)}));
    return;
  } else {
    attributes.starts = node.integers(1);
    attributes.ends = node.integers(2);
    if (node.has(3)) attributes.axes = node.integers(3);
    if (node.has(4)) attributes.steps = node.integers(4);
  }
  if (attributes.axes.empty())
    for (std::size_t i = 0; i < attributes.starts.size(); ++i)
      attributes.axes.push_back(static_cast<std::int64_t>(i));
  if (attributes.steps.empty()) attributes.steps.assign(attributes.starts.size(), 1);
  for (std::int64_t& axis : attributes.axes) axis = axis_of(node, axis, rank);
  node.output(0, call(node, kSlice, std::move(attributes), {x}));
}

/// ONNX's pads, all before, then all after, of these axes, as one entry per axis of x.
struct Pads {
  std::vector<std::int64_t> before, after;
};
Pads pads_of(NodeImport& node, const std::vector<std::int64_t>& given, const std::vector<int>& axes,
             int rank) {
  if (given.size() != 2 * axes.size())
    node.refuse(fmt::format("{} pads for {} axes", given.size(), axes.size()));
  Pads pads{std::vector<std::int64_t>(static_cast<std::size_t>(rank), 0),
            std::vector<std::int64_t>(static_cast<std::size_t>(rank), 0)};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    pads.before[static_cast<std::size_t>(axes[i])] = given[i];
    pads.after[static_cast<std::size_t>(axes[i])] = given[i + axes.size()];
  }
  return pads;
}

const char* border_mode(NodeImport& node, const std::string& mode) {
  if (mode == "reflect") return "reflect";
  if (mode == "edge") return "replicate";
  if (mode == "wrap") return "circular";
  refuse(node, fmt::format("the mode '{}' is unknown", mode));
}

int pad_constant(NodeImport& node, int x, const Pads& pads, double value) {
  return call(node, kPad, PadAttributes{pads.before, pads.after, value}, {x});
}

/// Amounts, axes or a value that are not known now.
void import_computed_pad(NodeImport& node, const std::string& mode) {
  const std::vector<int> inputs{node.value(0), node.value(1), given(node, 3)};
  if (mode != "constant") {
    PadBorderAttributes attributes;
    attributes.mode = border_mode(node, mode);
    node.output(0, call_given(node, {&kPadBorder, Attributes::of(attributes)}, inputs));
    return;
  }
  node.output(0, call_given(node, {&kPad, kPad.defaults()},
                            {inputs[0], inputs[1], inputs[2], given(node, 2)}));
}

void import_pad(NodeImport& node) {
  const int x = node.value(0);
  const int rank = node.shape(0).rank();
  const std::string mode = node.string("mode", "constant");
  double value = 0;
  std::vector<std::int64_t> given;
  std::vector<std::int64_t> named;
  for (int a = 0; a < rank; ++a) named.push_back(a);
  if (node.opset() < 11) {
    given = node.integers(node.opset() < 2 ? "paddings" : "pads");
    value = node.real("value", 0);
  } else if (is_computed(node, 1) || is_computed(node, 2) || is_computed(node, 3)) {
    import_computed_pad(node, mode);
    return;
  } else {
    given = node.integers(1);
    if (node.has(3)) named = node.integers(3);
    if (mode == "constant" && node.has(2)) {
      const std::vector<double> values = node.reals(2);
      if (values.size() != 1) node.refuse("one value to pad with is expected");
      value = values[0];
    }
  }
  const Pads pads = pads_of(node, given, axes_of(node, named, rank), rank);
  if (mode == "constant") {
    node.output(0, pad_constant(node, x, pads, value));
    return;
  }
  // Negative amounts crop first, as ONNX's reference does.
  Pads border = pads;
  Pads crop = pads;
  bool crops = false;
  for (auto* side : {&border.before, &border.after})
    for (std::int64_t& n : *side) n = std::max<std::int64_t>(n, 0);
  for (auto* side : {&crop.before, &crop.after})
    for (std::int64_t& n : *side) {
      n = std::min<std::int64_t>(n, 0);
      crops = crops || n < 0;
    }
  const int inner = crops ? pad_constant(node, x, crop, 0) : x;
  node.output(
      0, call(node, kPadBorder,
              PadBorderAttributes{border.before, border.after, border_mode(node, mode)}, {inner}));
}

/// NumPy's broadcasting: sizes of 1 keep the input's.
void import_expand(NodeImport& node) {
  const int x = node.value(0);
  if (is_computed(node, 1)) {
    node.output(0, call(node, kExpand, {x, node.value(1)}));
    return;
  }
  const Shape from = shape_of(node, x);
  std::vector<std::int64_t> shape = node.integers(1);
  const auto rank = static_cast<std::size_t>(from.rank());
  if (shape.size() < rank) shape.insert(shape.begin(), rank - shape.size(), 1);
  const std::size_t added = shape.size() - rank;
  bool changes = added > 0;
  for (std::size_t i = added; i < shape.size(); ++i) {
    const int axis = static_cast<int>(i - added);
    if (shape[i] == 1 || (!from.symbolic(axis) && from[axis] == shape[i])) shape[i] = -1;
    changes = changes || shape[i] != -1;
  }
  node.output(0, changes ? call(node, kExpand, ExpandAttributes{shape}, {x}) : x);
}

void import_tile(NodeImport& node) {
  const int x = node.value(0);
  std::vector<std::int64_t> repeats;
  if (node.opset() < 6) {
    const std::vector<std::int64_t> tiles = node.integers(1);
    const std::vector<std::int64_t> axis = node.integers(2);
    if (tiles.size() != 1 || axis.size() != 1) node.refuse("one axis is expected");
    const int rank = node.shape(0).rank();
    repeats.assign(static_cast<std::size_t>(rank), 1);
    repeats[static_cast<std::size_t>(axis_of(node, axis[0], rank))] = tiles[0];
  } else if (is_computed(node, 1)) {
    node.output(0, call(node, kTile, {x, node.value(1)}));
    return;
  } else {
    repeats = node.integers(1);
  }
  node.output(0, call(node, kTile, TileAttributes{repeats}, {x}));
}

void import_squeeze(NodeImport& node) {
  const int x = node.value(0);
  if (node.opset() >= 13 && is_computed(node, 1)) {
    node.output(0, call(node, kSqueeze, {x, node.value(1)}));
    return;
  }
  const Shape shape = shape_of(node, x);
  std::vector<int> axes = axes_of(node, axes_attribute_or_input(node), shape.rank());
  if (axes.empty())
    for (int a = 0; a < shape.rank(); ++a)
      if (size_of(node, x, a) == 1) axes.push_back(a);
  node.output(0, squeeze(node, x, axes));
}

void import_unsqueeze(NodeImport& node) {
  if (node.opset() >= 13 && is_computed(node, 1)) {
    node.output(0, call(node, kUnsqueeze, {node.value(0), node.value(1)}));
    return;
  }
  const std::vector<std::int64_t> given = axes_attribute_or_input(node);
  const int rank = node.shape(0).rank() + static_cast<int>(given.size());
  node.output(0, unsqueeze(node, node.value(0), axes_of(node, given, rank)));
}

/// The axes before `axis` are one, those from it on another.
void import_flatten(NodeImport& node) {
  const int x = node.value(0);
  const Shape shape = shape_of(node, x);
  std::int64_t axis = node.integer("axis", 1);
  if (axis < -shape.rank() || axis > shape.rank())
    node.refuse(fmt::format("axis {} is none of {} axes", axis, shape.rank()));
  if (axis < 0) axis += shape.rank();
  Shape matrix;
  append_product(node, matrix, shape, 0, static_cast<int>(axis));
  append_product(node, matrix, shape, static_cast<int>(axis), shape.rank());
  node.output(0, reshape(node, x, matrix));
}

void import_trilu(NodeImport& node) {
  TriluAttributes attributes;
  attributes.upper = node.integer("upper", 1) != 0;
  std::vector<int> inputs{node.value(0)};
  if (is_computed(node, 1)) {
    inputs.push_back(node.value(1));
  } else if (node.has(1)) {
    const std::vector<std::int64_t> k = node.integers(1);
    if (k.size() != 1) node.refuse("one diagonal is expected");
    attributes.diagonal = k[0];
  }
  node.output(0, call(node, kTrilu, attributes, std::move(inputs)));
}

/// Around the middle, cut where the axis is longer and filled with zeros where it is shorter; of an
/// odd number the larger half is behind.
void import_center_crop_pad(NodeImport& node) {
  const int x = node.value(0);
  const int rank = node.shape(0).rank();
  const std::vector<std::int64_t> sizes = node.integers(1);
  std::vector<std::int64_t> named = node.integers("axes");
  if (!node.has("axes"))
    for (int a = 0; a < rank; ++a) named.push_back(a);
  const std::vector<int> axes = axes_of(node, named, rank);
  if (sizes.size() != axes.size())
    node.refuse(fmt::format("{} sizes for {} axes", sizes.size(), axes.size()));
  std::vector<std::int64_t> pads(2 * axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    constexpr std::int64_t kLongest = std::int64_t{1} << 48;
    const std::int64_t change = within(node, sizes[i], 0, kLongest) - size_of(node, x, axes[i]);
    // Halves towards zero: before an axis the smaller part, of a cut and of a border.
    pads[i] = change / 2;
    pads[i + axes.size()] = change - change / 2;
  }
  node.output(0, pad_constant(node, x, pads_of(node, pads, axes, rank), 0));
}

constexpr OpImport kImports[] = {
    {"CenterCropPad", "", import_center_crop_pad},
    {"Concat", "", import_concat},
    {"Expand", "", import_expand},
    {"Flatten", "", import_flatten},
    {"Pad", "", import_pad},
    {"Reshape", "", import_reshape},
    {"Slice", "", import_slice},
    {"Split", "", import_split},
    {"Squeeze", "", import_squeeze},
    {"Tile", "", import_tile},
    {"Transpose", "", import_transpose},
    {"Trilu", "", import_trilu},
    {"Unsqueeze", "", import_unsqueeze},
};

}  // namespace

constinit const std::span<const OpImport> kMovementImports = kImports;

}  // namespace pare::onnx
