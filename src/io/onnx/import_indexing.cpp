// Import of ops that read or write where other tensors say.
#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

void import_gather(NodeImport& node) {
  const std::int64_t axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  node.output(0, call(node, kGather, GatherAttributes{axis}, {node.value(0), node.value(1)}));
}

void import_gather_elements(NodeImport& node) {
  const std::int64_t axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  node.output(0, call(node, kGatherElements, GatherElementsAttributes{axis},
                      {node.value(0), node.value(1)}));
}

void import_gather_nd(NodeImport& node) {
  const GatherNdAttributes attributes{node.integer("batch_dims", 0)};
  node.output(0, call(node, kGatherNd, attributes, {node.value(0), node.value(1)}));
}

void import_scatter_elements(NodeImport& node) {
  ScatterElementsAttributes attributes;
  attributes.axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  attributes.reduction = node.string("reduction", "none");
  node.output(
      0, call(node, kScatterElements, attributes, {node.value(0), node.value(1), node.value(2)}));
}

void import_scatter_nd(NodeImport& node) {
  const ScatterNdAttributes attributes{node.string("reduction", "none")};
  node.output(0, call(node, kScatterNd, attributes, {node.value(0), node.value(1), node.value(2)}));
}

/// By comparison with 0 … depth − 1: indices outside give a row of `off` values, as ONNX has it.
void import_one_hot(NodeImport& node) {
  if (is_computed(node, 1)) {
    OneHotAttributes attributes;
    attributes.axis = node.integer("axis", -1);
    node.output(0, call(node, kOneHot, attributes,
                        {cast(node, node.value(0), DType::i64),
                         cast(node, node.value(1), DType::i64), node.value(2)}));
    return;
  }
  const std::vector<double> depths = node.reals(1);
  if (depths.size() != 1 || !(depths[0] >= 1 && depths[0] < 0x1p53))
    node.refuse("one depth above 0 is expected");
  const auto depth = static_cast<std::int64_t>(depths[0]);
  node.afford(Shape{depth});
  const int indices = cast(node, node.value(0), DType::i64);
  const int rank = shape_of(node, indices).rank() + 1;
  const int axis = axis_of(node, node.integer("axis", -1), rank);
  const int values = node.value(2);
  if (shape_of(node, values) != Shape{2}) node.refuse("two values are expected");
  const int negative = call(node, kLess, {indices, number(node, 0, DType::i64)});
  const int wrapped =
      call(node, kAdd, {indices, number(node, static_cast<double>(depth), DType::i64)});
  const int places = unsqueeze(node, call(node, kWhere, {negative, wrapped, indices}), {axis});
  std::vector<std::int64_t> classes;
  for (std::int64_t k = 0; k < depth; ++k) classes.push_back(k);
  Shape along;
  for (int a = 0; a < rank; ++a) along.append(a == axis ? depth : 1);
  const int hit = call(node, kEqual, {places, node.constant(Tensor::from(classes, along))});
  const auto value = [&](std::int64_t i) {
    return reshape(node, slice(node, values, 0, i, i + 1), Shape{});
  };
  node.output(0, call(node, kWhere, {hit, value(1), value(0)}));
}

/// The first `length` elements of each sequence the other way round: gathered along the time axis.
void import_reverse_sequence(NodeImport& node) {
  const int x = node.value(0);
  const Shape shape = shape_of(node, x);
  const std::int64_t batch_axis = node.integer("batch_axis", 1);
  const std::int64_t time_axis = node.integer("time_axis", 0);
  if (batch_axis + time_axis != 1 || batch_axis * time_axis != 0 || shape.rank() < 2)
    node.refuse(fmt::format("batch_axis {} and time_axis {} of {}", batch_axis, time_axis, shape));
  const std::int64_t steps = size_of(node, x, static_cast<int>(time_axis));
  node.afford(Shape{steps});
  std::vector<std::int64_t> counted;
  for (std::int64_t t = 0; t < steps; ++t) counted.push_back(t);
  const bool time_first = time_axis == 0;
  // time [T, 1] or [1, T], lengths [1, N] or [N, 1]
  const int time =
      node.constant(Tensor::from(counted, time_first ? Shape{steps, 1} : Shape{1, steps}));
  const int lengths = unsqueeze(node, cast(node, node.value(1), DType::i64), {time_first ? 0 : 1});
  const int one = number(node, 1, DType::i64);
  const int mirrored = call(node, kSub, {call(node, kSub, {lengths, one}), time});
  const int inside = call(node, kLess, {time, lengths});
  int places = call(node, kWhere, {inside, mirrored, time});
  std::vector<int> trailing;
  std::vector<std::int64_t> whole(static_cast<std::size_t>(shape.rank()), -1);
  for (int a = 2; a < shape.rank(); ++a) {
    trailing.push_back(a);
    whole[static_cast<std::size_t>(a)] = size_of(node, x, a);
  }
  if (!trailing.empty())
    places = call(node, kExpand, ExpandAttributes{whole}, {unsqueeze(node, places, trailing)});
  node.output(0, call(node, kGatherElements, GatherElementsAttributes{time_axis}, {x, places}));
}

void import_nonzero(NodeImport& node) { node.output(0, call(node, kNonZero, {node.value(0)})); }

void import_compress(NodeImport& node) {
  CompressAttributes attributes;
  attributes.flat = !node.has("axis");
  if (!attributes.flat)
    attributes.axis = axis_of(node, node.integer("axis", 0), node.shape(0).rank());
  node.output(0, call(node, kCompress, attributes, {node.value(0), node.value(1)}));
}

constexpr OpImport kImports[] = {
    {"Compress", "", import_compress},
    {"Gather", "", import_gather},
    {"GatherElements", "", import_gather_elements},
    {"GatherND", "", import_gather_nd},
    {"NonZero", "", import_nonzero},
    {"OneHot", "", import_one_hot},
    {"ReverseSequence", "", import_reverse_sequence},
    {"Scatter", "", import_scatter_elements},
    {"ScatterElements", "", import_scatter_elements},
    {"ScatterND", "", import_scatter_nd},
};

}  // namespace

constinit const std::span<const OpImport> kIndexingImports = kImports;

}  // namespace pare::onnx
