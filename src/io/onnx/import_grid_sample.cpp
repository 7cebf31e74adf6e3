// Import of GridSample, gathers of the neighbours of computed places, weighted, and AffineGrid.
#include <cmath>

#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_product.h"

namespace pare::onnx {
namespace {

enum class Padding { zeros, border, reflection };
enum class Mode { nearest, linear, cubic };

/// One spatial axis: where the grid points lie along it, and the elements beside them.
class GridAxis {
 public:
  /// `places`, in −1 … 1 from edge to edge, [N, places…].
  GridAxis(NodeImport& node, int places, std::int64_t size, bool align_corners, Padding padding)
      : node_(node), size_(static_cast<double>(size)), padding_(padding) {
    const int moved = with(kAdd, places, 1);
    if (align_corners) {
      low_ = 0;
      high_ = size_ - 1;
      place_ = with(kMul, moved, (size_ - 1) / 2);
    } else {
      low_ = -0.5;
      high_ = size_ - 0.5;
      place_ = with(kSub, with(kMul, moved, size_ / 2), 0.5);
    }
    if (padding_ == Padding::reflection && high_ <= low_)
      node.refuse("reflection along an axis of size 1");
    place_ = bounded(place_);
  }
  int place() const { return place_; }
  int floor() const { return call(node_, kFloor, {place_}); }
  int rounded() const { return call(node_, kRound, {place_}); }

  /// The index of an element, a whole number in floats, inside the axis; `inside`, where zeros lie
  /// beyond it, is multiplied by 1 or 0.
  int index(int element, int& inside) const {
    const int clamped = call(node_, kClamp, ClampAttributes{0, size_ - 1}, {bounded(element)});
    if (padding_ == Padding::zeros) {
      const int hit =
          cast(node_, call(node_, kEqual, {clamped, element}), dtype_of(node_, element));
      inside = inside < 0 ? hit : call(node_, kMul, {inside, hit});
    }
    return cast(node_, clamped, DType::i64);
  }

  int with(const OpDef& op, int x, double value) const {
    return call(node_, op, {x, number_like(node_, value, x)});
  }

 private:
  int bounded(int x) const {
    if (padding_ == Padding::border) return call(node_, kClamp, ClampAttributes{0, size_ - 1}, {x});
    if (padding_ == Padding::zeros) return x;
    // There and back again, with a period of twice the range.
    const double range = high_ - low_;
    const int along = call(node_, kMod, ModAttributes{false},
                           {with(kSub, x, low_), number_like(node_, 2 * range, x)});
    const int back = call(node_, kSub, {number_like(node_, 2 * range, x), along});
    return with(kAdd, call(node_, kMinimum, {along, back}), low_);
  }

  NodeImport& node_;
  double size_, low_ = 0, high_ = 0;
  Padding padding_;
  int place_ = -1;
};

/// Keys's cubic with a = −0.75, of the distances t + 1, t, 1 − t and 2 − t.
int cubic_weight(NodeImport& node, int t, int tap) {
  constexpr double kA = -0.75;
  const auto with = [&](const OpDef& op, int x, double value) {
    return call(node, op, {x, number_like(node, value, x)});
  };
  const auto times = [&](int a, int b) { return call(node, kMul, {a, b}); };
  const bool right = tap > 1;
  const int from = right ? call(node, kSub, {number_like(node, 1, t), t}) : t;  // 1 − t
  if (tap == 1 || tap == 2) {
    const int inner = with(kSub, with(kMul, from, kA + 2), kA + 3);
    return with(kAdd, times(times(inner, from), from), 1);
  }
  const int d = with(kAdd, from, 1);
  const int inner = with(kSub, with(kMul, d, kA), 5 * kA);
  return with(kSub, times(with(kAdd, times(inner, d), 8 * kA), d), 4 * kA);
}

Mode mode_of(NodeImport& node) {
  const std::string mode = node.string("mode", node.opset() < 20 ? "bilinear" : "linear");
  if (mode == "nearest") return Mode::nearest;
  if (mode == "linear" || mode == "bilinear") return Mode::linear;
  if (mode == "cubic" || mode == "bicubic") return Mode::cubic;
  refuse(node, fmt::format("the mode '{}' is unknown", mode));
}

Padding padding_of(NodeImport& node) {
  const std::string padding = node.string("padding_mode", "zeros");
  if (padding == "zeros") return Padding::zeros;
  if (padding == "border") return Padding::border;
  if (padding == "reflection") return Padding::reflection;
  refuse(node, fmt::format("the padding_mode '{}' is unknown", padding));
}

/// x [N, C, spatial…] at the places of a grid [N, places…, D], whose last axis counts the spatial
/// ones from the last: [N, C, places…].
void import_grid_sample(NodeImport& node) {
  const Mode mode = mode_of(node);
  const Padding padding = padding_of(node);
  const bool align_corners = node.integer("align_corners", 0) != 0;
  const int x = as_float(node, node.value(0));
  const int grid = cast(node, node.value(1), dtype_of(node, x));
  const Shape shape = shape_of(node, x);
  const int spatial = shape.rank() - 2;
  const Shape places = shape_of(node, grid);
  if (spatial < 1 || spatial > 3 || places.rank() != shape.rank() ||
      !places.same_axis(places.rank() - 1, Shape{spatial}, 0))
    node.refuse(fmt::format("a grid {} for x {}", places, shape));
  if (mode == Mode::cubic && spatial != 2) node.refuse("cubic in other than two axes");
  const int last = places.rank() - 1;
  std::vector<GridAxis> axes;
  for (int a = 0; a < spatial; ++a) {
    const std::int64_t k = spatial - 1 - a;
    const int along = squeeze(node, slice(node, grid, last, k, k + 1), {last});
    axes.emplace_back(node, along, size_of(node, x, a + 2), align_corners, padding);
  }
  std::vector<std::int64_t> behind{0};  // channels last, so that a gather takes them together
  for (int a = 2; a < shape.rank(); ++a) behind.push_back(a);
  behind.push_back(1);
  const int pixels = transpose(node, x, behind);

  const int taps = mode == Mode::nearest ? 1 : mode == Mode::linear ? 2 : 4;
  std::vector<int> first;
  std::vector<int> fraction;
  for (const GridAxis& axis : axes) {
    first.push_back(mode == Mode::nearest ? axis.rounded() : axis.floor());
    fraction.push_back(mode == Mode::nearest ? -1 : call(node, kSub, {axis.place(), first.back()}));
  }
  int count = 1;
  for (int a = 0; a < spatial; ++a) count *= taps;
  int sum = -1;
  for (int k = 0; k < count; ++k) {
    int weight = -1;
    std::vector<int> indices;
    for (int a = spatial - 1, rest = k; a >= 0; --a, rest /= taps) {
      const auto i = static_cast<std::size_t>(a);
      const int tap = rest % taps;
      const int offset = mode == Mode::cubic ? tap - 1 : tap;
      const int element = offset == 0 ? first[i] : axes[i].with(kAdd, first[i], offset);
      const int index = axes[i].index(element, weight);
      indices.insert(indices.begin(), unsqueeze(node, index, {last}));
      if (mode == Mode::nearest) continue;
      const int here = mode == Mode::cubic ? cubic_weight(node, fraction[i], tap)
                       : tap == 1
                           ? fraction[i]
                           : call(node, kSub, {number_like(node, 1, fraction[i]), fraction[i]});
      weight = weight < 0 ? here : call(node, kMul, {weight, here});
    }
    const int at =
        indices.size() == 1 ? indices[0] : call(node, kConcat, ConcatAttributes{last}, indices);
    int value = call(node, kGatherNd, GatherNdAttributes{1}, {pixels, at});
    if (weight >= 0) value = call(node, kMul, {value, unsqueeze(node, weight, {last})});
    sum = sum < 0 ? value : call(node, kAdd, {sum, value});
  }
  std::vector<std::int64_t> front{0, last};
  for (int a = 1; a < last; ++a) front.push_back(a);
  node.output(0, cast(node, transpose(node, sum, front), node.dtype(0)));
}

/// The places of all pixels, with a 1 behind, times the matrices: [N, places, spatial + 1] of
/// theta's [N, spatial, spatial + 1].
void import_affine_grid(NodeImport& node) {
  const std::vector<std::int64_t> size = node.integers(1);
  const bool align_corners = node.integer("align_corners", 0) != 0;
  const Shape theta = node.shape(0);
  const auto spatial = static_cast<std::int64_t>(size.size()) - 2;
  if (spatial < 2 || spatial > 3 || theta.rank() != 3 || !theta.same_axis(1, Shape{spatial}, 0) ||
      !theta.same_axis(2, Shape{spatial + 1}, 0) || (!theta.symbolic(0) && theta[0] != size[0]))
    node.refuse(fmt::format("a theta {} for a size [{}]", theta, listed(size)));
  Shape whole;
  for (std::size_t a = 2; a < size.size(); ++a) {
    if (size[a] < 1) node.refuse(fmt::format("a size [{}]", listed(size)));
    whole.append(size[a]);
  }
  whole.append(spatial + 1);
  node.afford(whole);
  Tensor places = Tensor::ones({whole.elements() / (spatial + 1), spatial + 1}, DType::f32);
  auto* at = places.mutable_data<float>();
  for (std::int64_t p = 0; p < places.dim(0); ++p, at += spatial + 1)
    for (std::int64_t a = spatial, rest = p; a-- > 0; rest /= whole[static_cast<int>(a)]) {
      const auto length = static_cast<double>(whole[static_cast<int>(a)]);
      const auto index = static_cast<double>(rest % whole[static_cast<int>(a)]);
      const double place = !align_corners ? (2 * index + 1) / length - 1
                           : length > 1   ? 2 * index / (length - 1) - 1
                                          : 0;
      at[spatial - 1 - a] = static_cast<float>(place);
    }
  const int turned = transpose(node, node.value(0), {0, 2, 1});
  const int grid = matmul(node, cast(node, node.constant(places), dtype_of(node, turned)), turned);
  Shape shape;
  shape.append(theta, 0);
  for (int a = 0; a + 1 < whole.rank(); ++a) shape.append(whole[a]);
  shape.append(spatial);
  node.output(0, reshape(node, grid, shape));
}

constexpr OpImport kImports[] = {{"AffineGrid", "", import_affine_grid},
                                 {"GridSample", "", import_grid_sample}};

}  // namespace

constinit const std::span<const OpImport> kGridSampleImports = kImports;

}  // namespace pare::onnx
