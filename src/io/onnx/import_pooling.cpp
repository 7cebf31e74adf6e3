// Import of pooling: MaxPool, AveragePool, LpPool and the global ones.
#include "io/onnx/import_pooling.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_spatial.h"

namespace pare::onnx {
namespace {

/// Beyond this many taps a pool is not written out as slices.
constexpr std::int64_t kMostTaps = 512;

struct Pool : Windows {
  bool ceil_mode = false;
  bool count_include_pad = false;

  Pool(NodeImport& node, const Shape& x) : Windows(windows_of(node, x, {})) {
    ceil_mode = node.integer("ceil_mode", 0) != 0;
  }
  bool dilated() const {
    return std::ranges::any_of(dilation, [](std::int64_t d) { return d != 1; });
  }
  /// pare's ops take padding of at most half a window.
  bool padded_little() const {
    for (std::size_t i = 0; i < 2 * axes(); ++i)
      if (padding[i] < 0 || padding[i] > reach(i % axes()) / 2) return false;
    return true;
  }
  /// A last window, rounded up, begins in the picture or before it.
  std::int64_t outputs(std::size_t i, std::int64_t size) const {
    const std::int64_t space = size + padding[i] + padding[i + axes()] - reach(i);
    if (space < 0) return ceil_mode && space > -stride[i] ? 1 : 0;
    std::int64_t count = space / stride[i] + 1;
    if (ceil_mode && space % stride[i] != 0 && count * stride[i] < size + padding[i]) ++count;
    return count;
  }
};

/// A pool written out: one strided slice of the padded input per tap.
class Taps {
 public:
  Taps(NodeImport& node, const Pool& pool, const Shape& x) : node_(node), pool_(pool) {
    std::int64_t taps = 1;
    for (std::size_t i = 0; i < pool.axes(); ++i) {
      const int axis = static_cast<int>(i) + 2;
      if (x.symbolic(axis))
        node.refuse(fmt::format("it needs a known size of axis {} of {}", axis, x));
      in_.push_back(x[axis]);
      out_.push_back(pool.outputs(i, x[axis]));
      if (out_.back() < 1) node.refuse(fmt::format("no window fits x {}", x));
      taps *= pool.kernel[i];
    }
    if (taps > kMostTaps)
      node.refuse(fmt::format("{} taps with these attributes, more than {}", taps, kMostTaps));
  }

  /// The input with its padding, and more where windows reach beyond it.
  int padded(int x, double value) const {
    PadAttributes attributes;
    attributes.before.assign(pool_.axes() + 2, 0);
    attributes.after.assign(pool_.axes() + 2, 0);
    attributes.value = value;
    for (std::size_t i = 0; i < pool_.axes(); ++i) {
      const std::int64_t end = (out_[i] - 1) * pool_.stride[i] + pool_.reach(i);
      attributes.before[i + 2] = pool_.padding[i];
      attributes.after[i + 2] = std::max<std::int64_t>(0, end - in_[i] - pool_.padding[i]);
    }
    return call(node_, kPad, std::move(attributes), {x});
  }

  /// What tap `number` sees at every place.
  int tap(int padded, std::int64_t number) const {
    SliceAttributes attributes;
    for (std::size_t i = pool_.axes(); i-- > 0;) {
      const std::int64_t start = number % pool_.kernel[i] * pool_.dilation[i];
      number /= pool_.kernel[i];
      attributes.axes.push_back(static_cast<std::int64_t>(i) + 2);
      attributes.starts.push_back(start);
      attributes.ends.push_back(start + (out_[i] - 1) * pool_.stride[i] + 1);
      attributes.steps.push_back(pool_.stride[i]);
    }
    return call(node_, kSlice, std::move(attributes), {padded});
  }
  std::int64_t count() const {
    std::int64_t taps = 1;
    for (const std::int64_t k : pool_.kernel) taps *= k;
    return taps;
  }

  int sum(int x) const {
    const int all = padded(x, 0);
    int y = tap(all, 0);
    for (std::int64_t t = 1; t < count(); ++t) y = call(node_, kAdd, {y, tap(all, t)});
    return y;
  }

  /// How many taps count at each place: [1, 1, places…].
  Tensor counts() const {
    Shape shape{1, 1};
    for (const std::int64_t n : out_) shape.append(n);
    node_.afford(shape);
    Tensor counts = Tensor::empty(shape);
    float* to = counts.mutable_data<float>();
    std::vector<std::int64_t> place(pool_.axes(), 0);
    for (std::int64_t k = 0; k < counts.elements(); ++k) {
      std::int64_t inside = 1;
      for (std::size_t i = 0; i < pool_.axes(); ++i) {
        const std::int64_t low = pool_.count_include_pad ? -pool_.padding[i] : 0;
        const std::int64_t high =
            in_[i] + (pool_.count_include_pad ? pool_.padding[i + pool_.axes()] : 0);
        std::int64_t along = 0;
        for (std::int64_t t = 0; t < pool_.kernel[i]; ++t) {
          const std::int64_t at =
              place[i] * pool_.stride[i] - pool_.padding[i] + t * pool_.dilation[i];
          along += static_cast<std::int64_t>(at >= low && at < high);
        }
        inside *= along;
      }
      to[k] = static_cast<float>(inside);
      for (std::size_t i = pool_.axes(); i-- > 0 && ++place[i] == out_[i];) place[i] = 0;
    }
    return counts;
  }

 private:
  NodeImport& node_;
  const Pool& pool_;
  std::vector<std::int64_t> in_, out_;
};

template <std::size_t N> int pooled(NodeImport& node, const OpDef& op, const Pool& pool, int x) {
  PoolAttributes<N> attributes;
  attributes.kernel = to_array<N>(pool.kernel);
  attributes.stride = to_array<N>(pool.stride);
  attributes.padding = to_array<2 * N>(pool.padding);
  attributes.dilation = to_array<N>(pool.dilation);
  attributes.ceil_mode = pool.ceil_mode;
  attributes.count_include_pad = pool.count_include_pad;
  return call(node, op, attributes, {x});
}

int max_pooled(NodeImport& node, const Pool& pool, int x) {
  if (pool.axes() == 1) return pooled<1>(node, kMaxPool1d, pool, x);
  if (pool.axes() == 2) return pooled<2>(node, kMaxPool2d, pool, x);
  return pooled<3>(node, kMaxPool3d, pool, x);
}
int average_pooled(NodeImport& node, const Pool& pool, int x) {
  if (pool.axes() == 1) return pooled<1>(node, kAveragePool1d, pool, x);
  if (pool.axes() == 2) return pooled<2>(node, kAveragePool2d, pool, x);
  return pooled<3>(node, kAveragePool3d, pool, x);
}

bool is_half_type(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

/// Where each element of x [N, C, …] lies, counted in its order, or with the first spatial axis
/// innermost.
Tensor places_of(NodeImport& node, const Shape& x, bool column_major) {
  if (x.symbolic()) node.refuse(fmt::format("Indices need known sizes, got {}", x));
  node.afford(x);
  Tensor places = Tensor::empty(x, DType::i64);
  auto* to = places.mutable_data<std::int64_t>();
  const std::int64_t pixels = x.elements(2, x.rank());
  std::vector<std::int64_t> at(static_cast<std::size_t>(x.rank() - 2), 0);
  for (std::int64_t k = 0; k < x.elements(); ++k) {
    to[k] = k;
    if (!column_major) continue;
    std::int64_t place = 0;
    for (std::size_t i = at.size(); i-- > 0;) place = place * x[static_cast<int>(i) + 2] + at[i];
    to[k] = k / pixels * pixels + place;
    for (std::size_t i = at.size(); i-- > 0 && ++at[i] == x[static_cast<int>(i) + 2];) at[i] = 0;
  }
  return places;
}

void import_max_pool(NodeImport& node) {
  const int given = node.value(0);
  const DType dtype = dtype_of(node, given);
  const int x = is_half_type(dtype) ? cast(node, given, DType::f32) : given;
  const Shape shape = shape_of(node, x);
  const Pool pool(node, shape);
  const bool indices = node.outputs() > 1;
  const bool column_major = node.integer("storage_order", 0) != 0;
  const DType computed = dtype_of(node, x);
  const bool known_type = computed == DType::f32 || computed == DType::i8 || computed == DType::u8;
  if (!indices && known_type && pool.padded_little() && pool.axes() <= 3) {
    node.output(0, cast(node, max_pooled(node, pool, x), dtype));
    return;
  }
  const DTypeTraits& facts = traits(computed);
  const double lowest = facts.floating ? -std::numeric_limits<double>::infinity() : facts.lowest;
  const Taps taps(node, pool, shape);
  const int all = taps.padded(x, lowest);
  int best = taps.tap(all, 0);
  if (!indices) {
    for (std::int64_t t = 1; t < taps.count(); ++t)
      best = call(node, kMaximum, {best, taps.tap(all, t)});
    node.output(0, cast(node, best, dtype));
    return;
  }
  const int places = taps.padded(node.constant(places_of(node, shape, column_major)), 0);
  int place = taps.tap(places, 0);
  for (std::int64_t t = 1; t < taps.count(); ++t) {
    const int other = taps.tap(all, t);
    const int larger = call(node, kGreater, {other, best});
    place = call(node, kWhere, {larger, taps.tap(places, t), place});
    best = call(node, kWhere, {larger, other, best});
  }
  node.output(0, cast(node, best, dtype));
  node.output(1, place);
}

/// The mean of every window of a float.
int average(NodeImport& node, const Pool& pool, int x) {
  if (dtype_of(node, x) == DType::f32 && !pool.dilated() && pool.padded_little() &&
      pool.axes() <= 3)
    return average_pooled(node, pool, x);
  const Taps taps(node, pool, shape_of(node, x));
  const int sum = taps.sum(x);
  const int counts = node.constant(taps.counts().to(dtype_of(node, x)));
  return call(node, kDiv, {sum, counts});
}

void import_average_pool(NodeImport& node) {
  const int x = node.value(0);
  const DType dtype = dtype_of(node, x);
  node.output(0, cast(node, average_pool(node, as_float(node, x)), dtype));
}

/// (Σ|x|^p)^(1/p) over every window.
void import_lp_pool(NodeImport& node) {
  const int given = node.value(0);
  const DType dtype = dtype_of(node, given);
  const int x = as_float(node, given);
  const double p = node.opset() < 2 ? node.real("p", 2) : static_cast<double>(node.integer("p", 2));
  if (p < 1) node.refuse(fmt::format("p = {}", p));
  Pool pool(node, shape_of(node, x));
  pool.count_include_pad = true;  // zeros add nothing
  const int size = call(node, kAbs, {x});
  const int powers = p == 1   ? size
                     : p == 2 ? call(node, kSquare, {x})
                              : call(node, kPow, {size, number_like(node, p, x)});
  int sum = -1;
  std::int64_t window = 1;
  for (const std::int64_t k : pool.kernel) window *= k;
  // Windows that are cut off at the end have fewer taps than the mean is multiplied with.
  if (pool.ceil_mode || dtype_of(node, x) != DType::f32 || pool.dilated() ||
      !pool.padded_little() || pool.axes() > 3) {
    sum = Taps(node, pool, shape_of(node, x)).sum(powers);
  } else {
    const int mean = average_pooled(node, pool, powers);
    sum = call(node, kMul, {mean, number_like(node, static_cast<double>(window), x)});
  }
  const int y = p == 1   ? sum
                : p == 2 ? call(node, kSqrt, {sum})
                         : call(node, kPow, {sum, number_like(node, 1 / p, x)});
  node.output(0, cast(node, y, dtype));
}

std::vector<std::int64_t> spatial_axes(NodeImport& node) {
  const int rank = node.shape(0).rank();
  if (rank < 3) node.refuse(fmt::format("spatial axes are expected, got {}", node.shape(0)));
  std::vector<std::int64_t> axes;
  for (int a = 2; a < rank; ++a) axes.push_back(a);
  return axes;
}

void import_global_average(NodeImport& node) {
  const int x = node.value(0);
  const std::vector<std::int64_t> axes = spatial_axes(node);
  if (dtype_of(node, x) == DType::f32 && axes.size() <= 3)
    node.output(0, call(node, kGlobalAveragePool, {x}));
  else
    node.output(0, call(node, kMean, ReduceAttributes{axes, true}, {x}));
}
void import_global_max(NodeImport& node) {
  node.output(0, call(node, kMax, ReduceAttributes{spatial_axes(node), true}, {node.value(0)}));
}
void import_global_lp(NodeImport& node) {
  const double p = node.opset() < 2 ? node.real("p", 2) : static_cast<double>(node.integer("p", 2));
  NormAttributes attributes{spatial_axes(node), p, true};
  node.output(0, call(node, kNorm, attributes, {node.value(0)}));
}

constexpr OpImport kImports[] = {
    {"AveragePool", "", import_average_pool}, {"GlobalAveragePool", "", import_global_average},
    {"GlobalLpPool", "", import_global_lp},   {"GlobalMaxPool", "", import_global_max},
    {"LpPool", "", import_lp_pool},           {"MaxPool", "", import_max_pool},
};

}  // namespace

int average_pool(NodeImport& node, int x) {
  Pool pool(node, shape_of(node, x));
  pool.count_include_pad = node.integer("count_include_pad", 0) != 0;
  return average(node, pool, x);
}

constinit const std::span<const OpImport> kPoolingImports = kImports;

}  // namespace pare::onnx
