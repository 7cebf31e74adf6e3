// Windows and facts that the pooling ops share, over one to three spatial axes.
#include "core/ops/pooling.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/ops/axis_name.h"
#include "core/size_expression.h"

namespace pare {
namespace {

// Sums and products of two of these stay within 64 bits; taps are counted in 32.
constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();

const char* layout(std::size_t spatial) {
  return spatial == 1 ? "[N, C, L]" : spatial == 2 ? "[N, C, H, W]" : "[N, C, D, H, W]";
}

template <std::size_t N>
void append_output_axis(Shape& y, const PoolAttributes<N>& attr, const Shape& x, int a,
                        const char* where) {
  const auto i = static_cast<std::size_t>(a);
  const char* name = axis_name(a, static_cast<int>(N));
  const std::int64_t padding = attr.padding[i] + attr.padding[i + N];
  const std::int64_t reach = (attr.kernel[i] - 1) * attr.dilation[i] + 1;
  if (x.symbolic(2 + a)) {
    const SizeExpression size = SizeExpression::of(x, 2 + a);
    const SizeExpression room = size + (padding - reach);
    if (!attr.ceil_mode) {
      (room.divided_down(attr.stride[i]) + 1).append_to(y);
      return;
    }
    // As below: no window begins beyond the picture and its first padding.
    const SizeExpression inside = (size + attr.padding[i]).divided_up(attr.stride[i]);
    min(room.divided_up(attr.stride[i]) + 1, inside).append_to(y);
    return;
  }
  const std::int64_t size = x[2 + a];
  const std::int64_t padded = size + padding;
  const std::int64_t stride = attr.stride[i];
  // PyTorch's ceil_mode: a further window that begins in the picture or its first padding, also
  // where it is the only one and larger than the padded picture.
  const std::int64_t room = padded - reach + (attr.ceil_mode ? stride - 1 : 0);
  PARE_CHECK(room >= 0, shape_mismatch, where,
             "expected a kernel no larger than the padded input, got {} {} over {} for x {}", name,
             reach, padded, x);
  std::int64_t outputs = room / stride + 1;
  if (attr.ceil_mode && (outputs - 1) * stride >= size + attr.padding[i]) --outputs;
  // Without dilation every window holds an element, since padding is at most half of it. With it
  // taps may step over the picture.
  for (std::int64_t o = 0; attr.dilation[i] > 1 && o < outputs; ++o) {
    const std::int64_t first = o * stride - attr.padding[i];
    const std::int64_t dilation = attr.dilation[i];
    const std::int64_t begin = first >= 0 ? 0 : (-first + dilation - 1) / dilation;
    PARE_CHECK(begin < attr.kernel[i] && first + begin * dilation < size, shape_mismatch, where,
               "expected an element in every window, got none in window {} along the {} of x {}", o,
               name, x);
  }
  y.append(outputs);
}

}  // namespace

template <std::size_t N>
Shape pool_shape(const PoolAttributes<N>& attr, const Shape& x, const char* where) {
  PARE_CHECK(x.rank() == static_cast<int>(N) + 2, shape_mismatch, where,
             "expected x of shape {}, got {}", layout(N), x);
  std::int64_t taps = 1;
  for (std::size_t i = 0; i < N; ++i) {
    PARE_CHECK(attr.kernel[i] >= 1 && attr.stride[i] >= 1 && attr.kernel[i] <= kLimit &&
                   attr.stride[i] <= kLimit,
               invalid_argument, where, "expected kernels and strides of 1 to {}, got {} and {}",
               kLimit, attr.kernel[i], attr.stride[i]);
    PARE_CHECK(attr.dilation[i] >= 1 && attr.dilation[i] <= kLimit, invalid_argument, where,
               "expected a dilation of 1 to {}, got {}", kLimit, attr.dilation[i]);
    const std::int64_t reach = (attr.kernel[i] - 1) * attr.dilation[i] + 1;
    for (const std::size_t side : {i, i + N})
      PARE_CHECK(attr.padding[side] >= 0 && attr.padding[side] <= reach / 2, invalid_argument,
                 where, "expected padding of at most half the kernel ({}), got {}", reach,
                 attr.padding[side]);
    taps *= attr.kernel[i];
    PARE_CHECK(taps <= kLimit, invalid_argument, where,
               "expected a kernel of at most {} taps, got {} along the {} and more before", kLimit,
               attr.kernel[i], axis_name(static_cast<int>(i), static_cast<int>(N)));
  }
  PARE_CHECK(attr.divisor_override >= 0, invalid_argument, where,
             "expected a divisor of 1 or more, or 0 for none, got {}", attr.divisor_override);
  // With padding a window could otherwise see no element at all.
  for (int a = 2; a < x.rank(); ++a)
    PARE_CHECK(x.symbolic(a) || x[a] >= 1, shape_mismatch, where,
               "expected pictures of one pixel or more, got x {}", x);
  Shape y;
  y.append(x, 0);
  y.append(x, 1);
  for (int a = 0; a < static_cast<int>(N); ++a) append_output_axis(y, attr, x, a, where);
  return y;
}
template Shape pool_shape(const Pool1dAttributes&, const Shape&, const char*);
template Shape pool_shape(const Pool2dAttributes&, const Shape&, const char*);
template Shape pool_shape(const Pool3dAttributes&, const Shape&, const char*);

Shape adaptive_pool_shape(const AdaptivePoolAttributes& attr, const Shape& x, const char* where) {
  PARE_CHECK(x.rank() >= 3 && x.rank() <= 5, shape_mismatch, where,
             "expected x of shape [N, C, …] with one to three spatial axes, got {}", x);
  PARE_CHECK(static_cast<int>(attr.output.size()) == x.rank() - 2, invalid_argument, where,
             "expected {} output sizes for x {}, got {}", x.rank() - 2, x, attr.output.size());
  Shape y;
  y.append(x, 0);
  y.append(x, 1);
  for (int a = 2; a < x.rank(); ++a) {
    const std::int64_t size = attr.output[static_cast<std::size_t>(a - 2)];
    PARE_CHECK((size >= 1 && size <= kLimit) || size == -1, invalid_argument, where,
               "expected output sizes of 1 or more, or -1 for the input's, got {}", size);
    PARE_CHECK(x.symbolic(a) || x[a] >= 1, shape_mismatch, where,
               "expected pictures of one pixel or more, got x {}", x);
    if (size == -1)
      y.append(x, a);
    else
      y.append(size);
  }
  return y;
}

std::vector<std::int64_t> even_kernel(const std::vector<std::int64_t>& output, const Shape& x) {
  std::vector<std::int64_t> kernel;
  for (int a = 2; a < x.rank(); ++a) {
    const std::int64_t size = output[static_cast<std::size_t>(a - 2)];
    if (size == -1) {
      kernel.push_back(1);
      continue;
    }
    if (x.symbolic(a) || x[a] % size != 0) return {};
    kernel.push_back(x[a] / size);
  }
  return kernel;
}

template <std::size_t N>
PoolSizes::PoolSizes(const PoolAttributes<N>& attr, const Shape& x, const Shape& y)
    : batch(x[0]), channels(x[1]) {
  count_padding = attr.count_include_pad;
  divisor_override = attr.divisor_override;
  std::int64_t after[3] = {0, 0, 0};
  PoolAxis* axes[] = {&depth, &height, &width};
  for (std::size_t i = 0; i < N; ++i) {
    const int a = 2 + static_cast<int>(i);
    *axes[3 - N + i] = {.size = x[a],
                        .outputs = y[a],
                        .kernel = attr.kernel[i],
                        .stride = attr.stride[i],
                        .dilation = attr.dilation[i],
                        .padding = attr.padding[i]};
    after[3 - N + i] = attr.padding[i + N];
  }
  make_windows(after[0], after[1], after[2]);
}
template PoolSizes::PoolSizes(const Pool1dAttributes&, const Shape&, const Shape&);
template PoolSizes::PoolSizes(const Pool2dAttributes&, const Shape&, const Shape&);
template PoolSizes::PoolSizes(const Pool3dAttributes&, const Shape&, const Shape&);

PoolSizes::PoolSizes(const Shape& x, const Shape& y) : batch(x[0]), channels(x[1]) {
  PoolAxis* axes[] = {&depth, &height, &width};
  const int spatial = x.rank() - 2;
  for (int a = 0; a < spatial; ++a) {
    PoolAxis& axis = *axes[3 - spatial + a];
    axis.size = x[2 + a];
    axis.outputs = y[2 + a];
    axis.regular = false;
  }
  for (PoolAxis* axis : axes)
    for (std::int64_t o = 0; o < axis->outputs; ++o) {
      const std::int64_t first = o * axis->size / axis->outputs;
      const std::int64_t past = ((o + 1) * axis->size + axis->outputs - 1) / axis->outputs;
      windows_.push_back({first, 0, past - first, past - first});
      axis->kernel = std::max(axis->kernel, past - first);
    }
}

void PoolSizes::make_windows(std::int64_t end_padding_z, std::int64_t end_padding_y,
                             std::int64_t end_padding_x) {
  windows_.reserve(static_cast<std::size_t>(depth.outputs + height.outputs + width.outputs));
  // How many taps from `first` on lie before `limit`.
  const auto taps_below = [](const PoolAxis& a, std::int64_t first, std::int64_t limit) {
    return std::clamp<std::int64_t>((limit - first + a.dilation - 1) / a.dilation, 0, a.kernel);
  };
  const auto add = [&](const PoolAxis& a, std::int64_t end_padding) {
    for (std::int64_t o = 0; o < a.outputs; ++o) {
      const std::int64_t first = o * a.stride - a.padding;
      windows_.push_back({first, first < 0 ? taps_below(a, first, 0) : 0,
                          taps_below(a, first, a.size),
                          taps_below(a, first, a.size + end_padding)});
    }
  };
  add(depth, end_padding_z);
  add(height, end_padding_y);
  add(width, end_padding_x);
}

bool PoolSizes::disjoint() const {
  for (const PoolAxis* a : {&depth, &height, &width})
    if (!a->regular || a->dilation != 1 || (a->outputs > 1 && a->stride < a->kernel)) return false;
  return true;
}

bool PoolSizes::tiles() const {
  for (const PoolAxis* a : {&depth, &height, &width})
    if (!a->regular || a->padding != 0 || a->dilation != 1 || a->stride != a->kernel ||
        a->outputs * a->kernel != a->size)
      return false;
  return true;
}

bool is_max_pool(const OpDef* op) {
  return op == &kMaxPool1d || op == &kMaxPool2d || op == &kMaxPool3d || op == &kAdaptiveMaxPool;
}

bool is_pool(const OpDef* op) {
  return is_max_pool(op) || op == &kAveragePool1d || op == &kAveragePool2d ||
         op == &kAveragePool3d || op == &kGlobalAveragePool || op == &kAdaptiveAveragePool;
}

std::optional<PoolCall> pool_sizes_of(const Call& call, const Shape& x, const Shape& y) {
  const OpDef* op = call.op;
  if (!is_pool(op) || x.symbolic() || y.symbolic()) return std::nullopt;
  const auto with = [&](const auto& attributes) {
    return PoolCall{is_max_pool(op), PoolSizes(attributes, x, y)};
  };
  if (op == &kMaxPool1d || op == &kAveragePool1d)
    return with(call.attributes.as<Pool1dAttributes>());
  if (op == &kMaxPool2d || op == &kAveragePool2d)
    return with(call.attributes.as<Pool2dAttributes>());
  if (op == &kMaxPool3d || op == &kAveragePool3d)
    return with(call.attributes.as<Pool3dAttributes>());
  return PoolCall{is_max_pool(op), PoolSizes(x, y)};
}

const char* pool_kernel_name(const Call& call) {
  if (call.op == &kGlobalAveragePool) return "global average pool";
  return is_max_pool(call.op) ? "max pool" : "average pool";
}

void link_channels(const Call&, ChannelLinks& links) { links.tie(in(0), 1, out(0), 1); }

}  // namespace pare
