// local_response_norm: each value by the squares of its neighbours in other channels; normalize.
#include <algorithm>
#include <vector>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/reduced.h"
#include "core/softmax_rows.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/feature_norm.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

const LocalResponseNormAttributes& attributes_of(const Call& call) {
  return call.attributes.as<LocalResponseNormAttributes>();
}

void infer_lrn(InferArgs& args) {
  const auto& attr = attributes_of(args.call);
  const char* where = "local_response_norm";
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, where, "expected a floating type, got {}",
             args.dtype(0));
  PARE_CHECK(args.shape(0).rank() >= 3, shape_mismatch, where,
             "expected x of shape [N, C, …] and rank 3 or more, got {}", args.shape(0));
  PARE_CHECK(attr.size >= 1 && attr.size <= 1 << 20, invalid_argument, where,
             "expected a size from 1 to 2^20, got {}", attr.size);
  args.output(0, args.shape(0), args.dtype(0));
  args.output(1, args.shape(0), computed_type(args.dtype(0)));
}

/// A power of base > 0.
template <class T> PARE_INLINE T power(T base, T exponent) {
  return rows::exponential(exponent * rows::logarithm(base));
}

/// [outer, C, inner] in memory; elements of one channel lie next to one another.
struct Planes {
  std::int64_t outer, channels, inner;
  explicit Planes(const Tensor& x) : channels(x.dim(1)) {
    const std::int64_t pixels = x.shape().elements(2, x.rank());
    outer = x.channels_last() ? x.dim(0) * pixels : x.dim(0);
    inner = x.channels_last() ? 1 : pixels;
  }
};

/// The channels whose squares channel c sums: [c − size / 2, c + (size − 1) / 2], cut at the ends;
/// `mirrored`: those that sum channel c's.
struct Window {
  std::int64_t before, after, channels;
  Window(std::int64_t size, std::int64_t count, bool mirrored)
      : before(mirrored ? (size - 1) / 2 : size / 2),
        after(mirrored ? size / 2 : (size - 1) / 2),
        channels(count) {}
  PARE_INLINE std::int64_t begin(std::int64_t c) const { return c > before ? c - before : 0; }
  PARE_INLINE std::int64_t end(std::int64_t c) const {
    return c + after + 1 < channels ? c + after + 1 : channels;
  }
};

/// sums[c] = Σ terms over the window of c, for `width` neighbours; a channel is `width` elements.
template <class T>
PARE_INLINE void window_sums(const T* terms, T* sums, std::int64_t width, Window window) {
  for (std::int64_t c = 0; c < window.channels; ++c) {
    T* __restrict to = sums + c * width;
    for (std::int64_t i = 0; i < width; ++i) to[i] = 0;
    for (std::int64_t k = window.begin(c); k < window.end(c); ++k) {
      const T* from = terms + k * width;
      for (std::int64_t i = 0; i < width; ++i) to[i] += from[i];
    }
  }
}
/// The same where a channel is a single element: vectors run along the channels.
template <class T> PARE_INLINE void window_sums_of_one(const T* terms, T* sums, Window window) {
  T* __restrict to = sums;
  for (std::int64_t c = 0; c < window.channels; ++c) to[c] = 0;
  for (std::int64_t offset = -window.before; offset <= window.after; ++offset) {
    const std::int64_t first = offset < 0 ? -offset : 0;
    const std::int64_t last = offset > 0 ? window.channels - offset : window.channels;
    for (std::int64_t c = first; c < last; ++c) to[c] += terms[c + offset];
  }
}

// Pixels that are worked on together.
constexpr std::int64_t kTile = 64;

/// Calls tile(offset of the first element, pixels in it, buffers of 2 · C · width) for all.
template <class T, class Tile> void for_tiles(const Planes& d, Tile tile) {
  if (d.channels * d.inner == 0) return;
  const std::int64_t grain = kElementGrain / 8 / (d.channels * d.inner) + 1;
  parallel_for(0, d.outer, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> room(static_cast<std::size_t>(2 * d.channels * std::min(kTile, d.inner)));
    T* const buffer = room.data();
    multiversion_for<T>([=]() PARE_INLINE_LAMBDA {
      for (std::int64_t o = begin; o < end; ++o)
        for (std::int64_t i = 0; i < d.inner; i += kTile)
          tile(o * d.channels * d.inner + i, std::min(kTile, d.inner - i), buffer);
    });
  });
}

template <class T> PARE_INLINE void sums_of(const T* terms, T* sums, std::int64_t width, Window w) {
  if (width == 1)
    window_sums_of_one(terms, sums, w);
  else
    window_sums(terms, sums, width, w);
}

void forward_lrn(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                 const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& attr = attributes_of(call);
  const Planes d(inputs[0]);
  const Window window(attr.size, d.channels, false);
  visit_float(inputs[0].dtype(), "local_response_norm", [&](auto type) {
    using T = decltype(type);
    const T* x = inputs[0].data<T>();
    T* y = outputs[0].mutable_data<T>();
    T* scale = outputs[1].mutable_data<T>();
    const auto alpha = static_cast<T>(attr.alpha / static_cast<double>(attr.size));
    const auto k = static_cast<T>(attr.k);
    const auto exponent = static_cast<T>(-attr.beta);
    for_tiles<T>(d, [=](std::int64_t at, std::int64_t width, T* buffer) PARE_INLINE_LAMBDA {
      T* const sums = buffer + d.channels * width;
      for (std::int64_t c = 0; c < d.channels; ++c)
        for (std::int64_t i = 0; i < width; ++i) {
          const T v = x[at + c * d.inner + i];
          buffer[c * width + i] = v * v;
        }
      sums_of(static_cast<const T*>(buffer), sums, width, window);
      for (std::int64_t c = 0; c < d.channels; ++c) {
        const T* from = x + at + c * d.inner;
        const T* sum = sums + c * width;
        T* __restrict s = scale + at + c * d.inner;
        T* __restrict out = y + at + c * d.inner;
        for (std::int64_t i = 0; i < width; ++i) {
          s[i] = k + alpha * sum[i];
          out[i] = from[i] * power(s[i], exponent);
        }
      }
    });
  });
}

/// dx = g · s^−β − 2αβ / size · x · Σ g · x · s^(−β−1), over the channels that see this one.
void backward_lrn(BackwardArgs& args) {
  const auto& attr = attributes_of(args.call());
  const DType given = args.input_dtype(0);
  const Tensor scales = args.output(1);
  const Tensor values = in_format(in_dtype(args.input(0), scales.dtype()), scales.format());
  const Tensor grad = in_format(in_dtype(args.grad_output(0), scales.dtype()), scales.format());
  Tensor dx = Tensor::empty(scales.shape(), scales.dtype(), scales.format());
  const Planes d(scales);
  const Window window(attr.size, d.channels, true);
  visit_float(scales.dtype(), "local_response_norm", [&](auto type) {
    using T = decltype(type);
    const T* x = values.data<T>();
    const T* g = grad.data<T>();
    const T* s = scales.data<T>();
    T* out = dx.mutable_data<T>();
    const auto factor =
        static_cast<T>(-2 * attr.alpha * attr.beta / static_cast<double>(attr.size));
    const auto exponent = static_cast<T>(-attr.beta);
    for_tiles<T>(d, [=](std::int64_t at, std::int64_t width, T* buffer) PARE_INLINE_LAMBDA {
      T* const sums = buffer + d.channels * width;
      for (std::int64_t c = 0; c < d.channels; ++c) {
        const std::int64_t row = at + c * d.inner;
        const T* xr = x + row;
        const T* gr = g + row;
        const T* sr = s + row;
        T* __restrict to = out + row;
        T* __restrict term = buffer + c * width;
        for (std::int64_t i = 0; i < width; ++i) {
          to[i] = gr[i] * power(sr[i], exponent);
          term[i] = to[i] * xr[i] / sr[i];
        }
      }
      sums_of(static_cast<const T*>(buffer), sums, width, window);
      for (std::int64_t c = 0; c < d.channels; ++c) {
        const T* xr = x + at + c * d.inner;
        const T* sum = sums + c * width;
        T* __restrict to = out + at + c * d.inner;
        for (std::int64_t i = 0; i < width; ++i) to[i] += factor * xr[i] * sum[i];
      }
    });
  });
  args.set(0, in_dtype(dx, given));
}

/// ONNX's window of an even size is one channel further on, and ONNX Runtime knows pictures of f32
/// alone: else slices of the squares are summed.
void emit_lrn(const Call& call, OnnxEmitter& e) {
  const auto& attr = attributes_of(call);
  if (attr.size % 2 == 1 && e.input_shape(0).rank() == 4 && e.input_dtype(0) == DType::f32) {
    e.node("LRN", {e.input(0)}, {e.output(0)})
        .attribute("alpha", attr.alpha)
        .attribute("beta", attr.beta)
        .attribute("bias", attr.k)
        .attribute("size", attr.size);
    return;
  }
  const Shape& x = e.input_shape(0);
  const DType dtype = e.input_dtype(0);
  PARE_CHECK(!x.symbolic(1), unsupported, "local_response_norm",
             "expected a known number of channels for ONNX, got x {}", x);
  const auto numbers = [&](const std::vector<std::int64_t>& v) { return onnx_integers(e, v); };
  std::vector<std::int64_t> pads(static_cast<std::size_t>(2 * x.rank()), 0);
  pads[1] = attr.size / 2;
  pads[static_cast<std::size_t>(x.rank() + 1)] = (attr.size - 1) / 2;
  const std::string square = e.temporary();
  const std::string padded = e.temporary();
  e.node("Mul", {e.input(0), e.input(0)}, {square});
  e.node("Pad", {square, numbers(pads)}, {padded});
  std::vector<std::string> terms;
  for (std::int64_t k = 0; k < attr.size; ++k) {
    terms.push_back(e.temporary());
    e.node("Slice", {padded, numbers({k}), numbers({k + x[1]}), numbers({1})}, {terms.back()});
  }
  const std::string sum = e.temporary();
  const std::string part = e.temporary();
  const std::string base = e.temporary();
  const std::string root = e.temporary();
  const auto number = [&](double v) { return e.constant(Tensor::scalar(v, dtype)); };
  e.node("Sum", terms, {sum});
  e.node("Mul", {sum, number(attr.alpha / static_cast<double>(attr.size))}, {part});
  e.node("Add", {part, number(attr.k)}, {base});
  e.node("Pow", {base, number(attr.beta)}, {root});
  e.node("Div", {e.input(0), root}, {e.output(0)});
}

}  // namespace

constinit const OpDef kLocalResponseNorm = {
    .name = "local_response_norm",
    .hidden_outputs = 1,
    .format = FormatRule::keep,
    .infer = infer_lrn,
    .forward = forward_lrn,
    .backward = backward_lrn,
    .saves_inputs = 1,
    .saves_outputs = 0b10,
    .defaults = [] { return Attributes::of(LocalResponseNormAttributes{}); },
    // Without a channel its neighbours move together.
    .channels = {.kind = ChannelFact::Kind::elementwise, .statistics = true},
    .onnx = {.op_type = "LRN", .emit = emit_lrn},
};

Tensor local_response_norm(const Tensor& x, const LocalResponseNormAttributes& attributes) {
  return apply({&kLocalResponseNorm, Attributes::of(attributes)}, detail::Borrowed(x));
}

Tensor normalize(const Tensor& x, const NormalizeOptions& options) {
  const Tensor length = norm(x, {.axes = {options.axis}, .p = options.p, .keepdim = true});
  return x / maximum(length, Tensor::scalar(options.eps, length.dtype()));
}

}  // namespace pare
