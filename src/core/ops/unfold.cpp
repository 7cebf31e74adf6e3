// unfold and fold (im2col and col2im): pictures as the columns that a kernel sees, and back.
#include <algorithm>
#include <cstring>
#include <limits>

#include "core/broadcast.h"
#include "core/check.h"
#include "core/dtype_switch.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/strided.h"
#include "pare/core/ops/resample.h"

namespace pare {
namespace {

constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();
using Pair = std::array<std::int64_t, 2>;

/// Kernels at places of a picture: [height, width] each.
struct Windows {
  Pair picture, kernel, stride, dilation, padding;
  Pair places{};

  Windows(Pair size, const Pair& k, const Pair& s, const Pair& d, const Pair& p)
      : picture(size), kernel(k), stride(s), dilation(d), padding(p) {
    for (std::size_t i = 0; i < 2; ++i)
      places[i] = (picture[i] + 2 * padding[i] - reach(i)) / stride[i] + 1;
  }
  std::int64_t reach(std::size_t i) const { return dilation[i] * (kernel[i] - 1) + 1; }
  std::int64_t taps() const { return kernel[0] * kernel[1]; }
  std::int64_t columns() const { return places[0] * places[1]; }
};

template <class Attr> Windows windows_of(const Attr& a, Pair size) {
  return {size, a.kernel, a.stride, a.dilation, a.padding};
}

/// Numbers whose sums and products stay within 64 bits, and a kernel that fits the picture.
template <class Attr> void check_windows(const Attr& a, Pair size, const char* where) {
  const auto within = [](const Pair& pair, std::int64_t least, std::int64_t most) {
    return pair[0] >= least && pair[1] >= least && pair[0] <= most && pair[1] <= most;
  };
  PARE_CHECK(within(a.kernel, 1, kLimit) && within(a.stride, 1, kLimit) &&
                 within(a.dilation, 1, kLimit) && a.kernel[0] * a.kernel[1] <= kLimit,
             invalid_argument, where,
             "expected kernel, stride and dilation of 1 to 2^31, got [{}], [{}] and [{}]",
             listed(a.kernel), listed(a.stride), listed(a.dilation));
  PARE_CHECK(within(a.padding, 0, kLimit), invalid_argument, where,
             "expected padding of 0 to 2^31, got [{}]", listed(a.padding));
  for (std::size_t i = 0; i < 2; ++i)
    PARE_CHECK(size[i] <= kLimit && a.dilation[i] * (a.kernel[i] - 1) < size[i] + 2 * a.padding[i],
               shape_mismatch, where,
               "expected a kernel within the padded picture, got {} {} (dilation {}) over {}",
               i == 0 ? "height" : "width", a.kernel[i], a.dilation[i], size[i] + 2 * a.padding[i]);
}

void infer_unfold(InferArgs& args) {
  const Shape& x = args.shape(0);
  const auto& attr = args.call.attributes.as<UnfoldAttributes>();
  movable_bytes(args.dtype(0), "unfold");
  PARE_CHECK(x.rank() == 4, shape_mismatch, "unfold", "expected x [N, C, H, W], got {}", x);
  PARE_CHECK(!x.symbolic(1) && !x.symbolic(2) && !x.symbolic(3), unsupported, "unfold",
             "expected known channels, height and width, got x {}", x);
  check_windows(attr, {x[2], x[3]}, "unfold");
  const Windows w = windows_of(attr, {x[2], x[3]});
  std::int64_t rows = 0;
  PARE_CHECK(!__builtin_mul_overflow(x[1], w.taps(), &rows), invalid_argument, "unfold",
             "expected fewer than 2^63 rows, got x {} and {} taps", x, w.taps());
  Shape y;
  y.append(x, 0);
  y.append(rows);
  y.append(w.columns());
  args.output(0, y, args.dtype(0));
}

void infer_fold(InferArgs& args) {
  const Shape& x = args.shape(0);
  const auto& attr = args.call.attributes.as<FoldAttributes>();
  PARE_CHECK(is_floating(args.dtype(0)), dtype_mismatch, "fold", "expected a floating type, got {}",
             args.dtype(0));
  PARE_CHECK(attr.output[0] >= 1 && attr.output[1] >= 1, invalid_argument, "fold",
             "expected an output of 1 by 1 or more, got [{}]", listed(attr.output));
  check_windows(attr, attr.output, "fold");
  const Windows w = windows_of(attr, attr.output);
  const bool known = x.rank() == 3 && !x.symbolic(1) && !x.symbolic(2);
  PARE_CHECK(known && x[1] % w.taps() == 0 && x[2] == w.columns(), shape_mismatch, "fold",
             "expected x [N, C * {}, {}], got {}", w.taps(), w.columns(), x);
  Shape y;
  y.append(x, 0);
  y.append(x[1] / w.taps());
  y.append(attr.output[0]);
  y.append(attr.output[1]);
  args.output(0, y, args.dtype(0));
}

/// The places [begin, end) along an axis whose tap at `offset` lies inside the picture.
struct Inside {
  Inside(std::int64_t offset, std::int64_t stride, std::int64_t size, std::int64_t places) {
    begin = offset >= 0 ? 0 : std::min(places, (-offset + stride - 1) / stride);
    end = size <= offset ? begin : std::clamp((size - offset - 1) / stride + 1, begin, places);
  }
  std::int64_t begin, end;
};

/// For every row of the columns' matrix that belongs to one channel and one line of places:
/// visit(place in the matrix, place in the picture of column 0, columns inside).
template <class Visit> void each_line(const Windows& w, std::int64_t channel, const Visit& visit) {
  std::int64_t row = channel * w.taps() * w.columns();
  for (std::int64_t ky = 0; ky < w.kernel[0]; ++ky) {
    const std::int64_t dy = ky * w.dilation[0] - w.padding[0];
    for (std::int64_t kx = 0; kx < w.kernel[1]; ++kx) {
      const std::int64_t dx = kx * w.dilation[1] - w.padding[1];
      const Inside across(dx, w.stride[1], w.picture[1], w.places[1]);
      for (std::int64_t y = 0; y < w.places[0]; ++y, row += w.places[1]) {
        const std::int64_t iy = y * w.stride[0] + dy;
        Inside columns = across;
        if (iy < 0 || iy >= w.picture[0]) columns.end = columns.begin;
        visit(row, (channel * w.picture[0] + iy) * w.picture[1] + dx, columns);
      }
    }
  }
}

/// Channels of all pictures, on several threads.
template <class Body> void for_channels(const Windows& w, std::int64_t count, const Body& body) {
  const std::int64_t work = std::max<std::int64_t>(1, w.taps() * w.columns());
  parallel_for(0, count, std::max<std::int64_t>(1, kElementGrain / work),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t c = begin; c < end; ++c) body(c);
               });
}

template <class T>
void gather_columns(const Windows& w, std::int64_t channels, const void* picture, void* matrix) {
  const T* x = static_cast<const T*>(picture);
  T* y = static_cast<T*>(matrix);
  for_channels(w, channels, [&](std::int64_t channel) {
    each_line(w, channel, [&](std::int64_t row, std::int64_t from, const Inside& in) {
      T* to = y + row;
      std::fill_n(to, in.begin, T(0));
      const std::int64_t step = w.stride[1];
      if (in.begin < in.end) {
        const T* source = x + (from + in.begin * step);
        const std::int64_t count = in.end - in.begin;
        if (step == 1) {
          std::memcpy(to + in.begin, source, static_cast<std::size_t>(count) * sizeof(T));
        } else {
          for (std::int64_t i = 0; i < count; ++i) to[in.begin + i] = source[i * step];
        }
      }
      std::fill(to + in.end, to + w.places[1], T(0));
    });
  });
}

template <class T>
void add_columns(const Windows& w, std::int64_t channels, const T* matrix, T* picture) {
  for_channels(w, channels, [&](std::int64_t channel) {
    const std::int64_t size = w.picture[0] * w.picture[1];
    std::fill_n(picture + channel * size, size, T(0));
    each_line(w, channel, [&](std::int64_t row, std::int64_t at, const Inside& in) {
      if (in.begin >= in.end) return;
      const std::int64_t step = w.stride[1];
      const std::int64_t count = in.end - in.begin;
      const T* __restrict from = matrix + row + in.begin;
      T* __restrict to = picture + (at + in.begin * step);
      if (step == 1) {
        for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
      } else {
        for (std::int64_t i = 0; i < count; ++i) to[i * step] += from[i];
      }
    });
  });
}

/// Both tensors row-major.
void unfold_into(const Windows& w, const Tensor& x, Tensor& y) {
  if (y.elements() == 0) return;
  const std::int64_t channels = x.dim(0) * x.dim(1);
  switch (movable_bytes(x.dtype(), "unfold")) {
    case 1:
      return gather_columns<std::uint8_t>(w, channels, x.raw(), y.mutable_raw());
    case 2:
      return gather_columns<std::uint16_t>(w, channels, x.raw(), y.mutable_raw());
    case 4:
      return gather_columns<std::uint32_t>(w, channels, x.raw(), y.mutable_raw());
    default:
      return gather_columns<std::uint64_t>(w, channels, x.raw(), y.mutable_raw());
  }
}
void fold_into(const Windows& w, const Tensor& x, Tensor& y) {
  visit_float(y.dtype(), "fold", [&](auto type) {
    using T = decltype(type);
    add_columns<T>(w, y.dim(0) * y.dim(1), x.data<T>(), y.mutable_data<T>());
  });
}

void forward_unfold(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                    const Context&) {
  const Tensor& x = inputs[0];
  unfold_into(windows_of(call.attributes.as<UnfoldAttributes>(), {x.dim(2), x.dim(3)}), x,
              outputs[0]);
}

void forward_fold(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                  const Context& context) {
  if (is_half(inputs[0].dtype())) return forward_through_float(call, inputs, outputs, context);
  const auto& attr = call.attributes.as<FoldAttributes>();
  fold_into(windows_of(attr, attr.output), inputs[0], outputs[0]);
}

void backward_unfold(BackwardArgs& args) {
  const Shape& shape = args.input_shape(0);
  const DType own = args.input_dtype(0);
  const DType dtype = is_half(own) ? DType::f32 : own;
  const Tensor g = in_format(in_dtype(args.grad_output(0), dtype), MemoryFormat::row_major);
  Tensor gx = Tensor::empty(shape, dtype);
  fold_into(windows_of(args.call().attributes.as<UnfoldAttributes>(), {shape[2], shape[3]}), g, gx);
  args.set(0, in_dtype(gx, own));
}

void backward_fold(BackwardArgs& args) {
  const auto& attr = args.call().attributes.as<FoldAttributes>();
  const Tensor g = in_format(args.grad_output(0), MemoryFormat::row_major);
  Tensor gx = Tensor::empty(args.input_shape(0), g.dtype());
  unfold_into(windows_of(attr, attr.output), g, gx);
  args.set(0, std::move(gx));
}

/// A channel goes with the rows of all its taps.
void link_columns(ChannelLinks& links, Operand picture, Operand columns, std::int64_t taps) {
  for (std::int64_t c = 0; c < links.shape(picture)[1]; ++c)
    for (std::int64_t k = 0; k < taps; ++k) links.tie_at(columns, 1, c * taps + k, picture, 1, c);
}
void link_unfold(const Call& call, ChannelLinks& links) {
  const Pair& kernel = call.attributes.as<UnfoldAttributes>().kernel;
  link_columns(links, in(0), out(0), kernel[0] * kernel[1]);
}
void link_fold(const Call& call, ChannelLinks& links) {
  const Pair& kernel = call.attributes.as<FoldAttributes>().kernel;
  link_columns(links, out(0), in(0), kernel[0] * kernel[1]);
}

/// ONNX has no such op: the taps of rows are gathered, then those of columns.
void emit_unfold(const Call& call, OnnxEmitter& emitter) {
  const auto& attr = call.attributes.as<UnfoldAttributes>();
  const Shape& x = emitter.input_shape(0);
  const Windows w = windows_of(attr, {x[2], x[3]});
  const auto list = [&](const std::vector<std::int64_t>& values) {
    return onnx_integers(emitter, values);
  };
  std::string value = emitter.input(0);
  if (w.padding[0] > 0 || w.padding[1] > 0) {
    const std::string padded = emitter.temporary();
    emitter.node(
        "Pad", {value, list({0, 0, w.padding[0], w.padding[1], 0, 0, w.padding[0], w.padding[1]})},
        {padded});
    value = padded;
  }
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    std::vector<std::int64_t> indices;
    for (std::int64_t k = 0; k < w.kernel[i]; ++k)
      for (std::int64_t p = 0; p < w.places[i]; ++p)
        indices.push_back(k * w.dilation[i] + p * w.stride[i]);
    const std::string gathered = emitter.temporary();
    emitter
        .node("Gather",
              {value, emitter.constant(Tensor::from(indices, {w.kernel[i], w.places[i]}))},
              {gathered})
        .attribute("axis", i == 0 ? std::int64_t{2} : std::int64_t{4});
    value = gathered;
  }
  const std::string ordered = emitter.temporary();
  const std::int64_t order[] = {0, 1, 2, 4, 3, 5};
  emitter.node("Transpose", {value}, {ordered})
      .attribute("perm", std::span<const std::int64_t>(order));
  emitter.node("Reshape", {ordered, list({0, x[1] * w.taps(), w.columns()})}, {emitter.output(0)});
}

void emit_fold(const Call& call, OnnxEmitter& emitter) {
  const auto& a = call.attributes.as<FoldAttributes>();
  const auto pair = [&](const Pair& values) {
    return onnx_integers(emitter, {values.begin(), values.end()});
  };
  const std::int64_t pads[] = {a.padding[0], a.padding[1], a.padding[0], a.padding[1]};
  emitter.node("Col2Im", {emitter.input(0), pair(a.output), pair(a.kernel)}, {emitter.output(0)})
      .attribute("dilations", a.dilation)
      .attribute("pads", std::span<const std::int64_t>(pads))
      .attribute("strides", a.stride);
}

}  // namespace

constinit const OpDef kUnfold = {
    .name = "unfold",
    .infer = infer_unfold,
    .forward = forward_unfold,
    .backward = backward_unfold,
    .defaults = [] { return Attributes::of(UnfoldAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_unfold},
    .quantization = {.kind = QuantizationFact::Kind::same_as_input},
    .onnx = {.op_type = "Gather", .opset = 13, .emit = emit_unfold},
};
constinit const OpDef kFold = {
    .name = "fold",
    .infer = infer_fold,
    .forward = forward_fold,
    .backward = backward_fold,
    .defaults = [] { return Attributes::of(FoldAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_fold},
    .quantization = {.kind = QuantizationFact::Kind::own_range},
    .onnx = {.op_type = "Col2Im", .opset = 18, .emit = emit_fold},
};

Tensor unfold(const Tensor& x, const UnfoldAttributes& attributes) {
  return apply({&kUnfold, Attributes::of(attributes)}, detail::Borrowed(x));
}
Tensor fold(const Tensor& x, const FoldAttributes& attributes) {
  return apply({&kFold, Attributes::of(attributes)}, detail::Borrowed(x));
}

}  // namespace pare
