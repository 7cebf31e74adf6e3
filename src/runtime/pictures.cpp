// Convolutions of codes as convolutions of pictures: lines, some volumes, and transposed ones.
#include "runtime/pictures.h"

#include <algorithm>
#include <array>

#include "core/ops/convolution.h"
#include "core/ops/line_as_picture.h"
#include "core/strides.h"
#include "pare/core/ops.h"

namespace pare::runtime {
namespace {

// Phases have kernels of one size, filled up with zeros; above this they cost more than f32.
constexpr std::int64_t kMostZeros = 3;

// A kernel flat in depth goes over one picture after another; one that is nothing but deep, over
// pictures whose rows are the volume's layers. In channels-last memory both are the same numbers.
const char* as_layers(const Conv3dAttributes& a, const Shape& x, ConvolutionSpec& spec) {
  const Shape w = spec.weight.shape();
  const auto plain = [&](std::size_t axis) {
    return w[2 + static_cast<int>(axis)] == 1 && a.stride[axis] == 1 && a.padding[axis] == 0 &&
           a.padding[axis + 3] == 0;
  };
  spec.attributes.groups = a.groups;
  if (plain(0)) {
    spec.batch = x[0] * x[2];
    spec.height = x[3];
    spec.width = x[4];
    spec.attributes.stride = {a.stride[1], a.stride[2]};
    spec.attributes.padding = {a.padding[1], a.padding[2], a.padding[4], a.padding[5]};
    spec.attributes.dilation = {a.dilation[1], a.dilation[2]};
    spec.weight = reshape(spec.weight, {w[0], w[1], w[3], w[4]});
    return nullptr;
  }
  if (plain(1) && plain(2)) {
    spec.batch = x[0];
    spec.height = x[2];
    spec.width = x[3] * x[4];
    spec.attributes.stride = {a.stride[0], 1};
    spec.attributes.padding = {a.padding[0], 0, a.padding[3], 0};
    spec.attributes.dilation = {a.dilation[0], 1};
    spec.weight = reshape(spec.weight, {w[0], w[1], w[2], 1});
    return nullptr;
  }
  return "no int8 kernel over three axes at once";
}

Phases phases_of(const ConvTranspose2dAttributes& a, std::size_t axis, const Shape& x,
                 const Shape& y, const Shape& weight) {
  const int at = 2 + static_cast<int>(axis);
  return {.stride = a.stride[axis],
          .kernel = weight[at],
          .dilation = a.dilation[axis],
          .padding = a.padding[axis],
          .size = x[at],
          .out = y[at]};
}

// From weight [O, C/groups, kH, kW]: [groups · phases · O/groups, C/groups, …], place by place.
void split_phases(const Phases& py, const Phases& px, std::int64_t groups, ConvolutionSpec& spec) {
  const Shape w = spec.weight.shape();
  const std::int64_t of_group = w[0] / groups;
  const std::int64_t phases = py.stride * px.stride;
  const std::int64_t rows = py.reach() + 1;
  const std::int64_t columns = px.reach() + 1;
  const auto from = spec.weight.to_vector<std::int8_t>();
  std::vector<std::int8_t> to(static_cast<std::size_t>(w[0] * phases * w[1] * rows * columns), 0);
  const auto output = [&](std::int64_t o, std::int64_t phase) {
    return (o / of_group * phases + phase) * of_group + o % of_group;
  };
  std::size_t at = 0;
  for (std::int64_t o = 0; o < w[0]; ++o)
    for (std::int64_t c = 0; c < w[1]; ++c)
      for (std::int64_t ky = 0; ky < w[2]; ++ky)
        for (std::int64_t kx = 0; kx < w[3]; ++kx) {
          const std::int64_t phase = py.phase(ky) * px.stride + px.phase(kx);
          const std::int64_t place = py.place(ky) * columns + px.place(kx);
          to[static_cast<std::size_t>((output(o, phase) * w[1] + c) * rows * columns + place)] =
              from[at++];
        }
  spec.weight = Tensor::from(to, {w[0] * phases, w[1], rows, columns});
  const std::vector<float> scales = spec.weight_scales;
  const std::vector<std::int32_t> bias =
      spec.bias.defined() ? spec.bias.to_vector<std::int32_t>() : std::vector<std::int32_t>();
  std::vector<std::int32_t> biases(static_cast<std::size_t>(bias.empty() ? 0 : w[0] * phases));
  if (scales.size() > 1) spec.weight_scales.resize(static_cast<std::size_t>(w[0] * phases));
  for (std::int64_t o = 0; o < w[0]; ++o)
    for (std::int64_t phase = 0; phase < phases; ++phase) {
      const auto k = static_cast<std::size_t>(output(o, phase));
      const auto i = static_cast<std::size_t>(o);
      if (scales.size() > 1) spec.weight_scales[k] = scales[i];
      if (!bias.empty()) biases[k] = bias[bias.size() == 1 ? 0 : i];
    }
  if (!bias.empty()) spec.bias = Tensor::from(biases, {w[0] * phases});
}

const char* as_phases(const ConvTranspose2dAttributes& a, const Shape& x, const Shape& y,
                      ConvolutionSpec& spec, Interleaving& between) {
  const Phases py = phases_of(a, 0, x, y, spec.weight.shape());
  const Phases px = phases_of(a, 1, x, y, spec.weight.shape());
  for (const Phases& p : {py, px})
    if (p.padding_before() < 0 || p.padding_after() < 0)
      return "it crops more than its kernel reaches";
  const std::int64_t taps = py.stride * (py.reach() + 1) * px.stride * (px.reach() + 1);
  if (taps > kMostZeros * py.kernel * px.kernel) return "its int8 form is mostly zeros";
  const std::int64_t outputs = spec.weight.dim(0) * py.stride * px.stride;
  split_phases(py, px, a.groups, spec);
  spec.batch = x[0];
  spec.height = x[2];
  spec.width = x[3];
  spec.attributes = {
      .padding = {py.padding_before(), px.padding_before(), py.padding_after(), px.padding_after()},
      .groups = a.groups};
  if (py.stride * px.stride > 1)
    between = {{x[0], outputs, py.count(), px.count()}, py, px, a.groups};
  return nullptr;
}

}  // namespace

std::int64_t Phases::begin(std::int64_t phase) const {
  return stride * (first() + skipped(phase)) + phase - padding;
}

std::vector<CopyPiece> Interleaving::pieces(int from, const Shape& result) const {
  const Shape to = with_height(result);
  const Strides from_strides = strides_of(shape, MemoryFormat::channels_last);
  const Strides to_strides = strides_of(to, MemoryFormat::channels_last);
  const std::int64_t channels = to[1] / groups;
  std::vector<CopyPiece> out;
  for (std::int64_t ry = 0; ry < y.stride; ++ry)
    for (std::int64_t rx = 0; rx < x.stride; ++rx) {
      const std::int64_t rows = (y.out - y.begin(ry) + y.stride - 1) / y.stride;
      const std::int64_t columns = (x.out - x.begin(rx) + x.stride - 1) / x.stride;
      if (rows <= 0 || columns <= 0) continue;
      for (std::int64_t g = 0; g < groups; ++g) {
        CopyPiece piece{.from = from, .shape = {to[0], channels, rows, columns}};
        piece.from_begin = ((g * y.stride + ry) * x.stride + rx) * channels * from_strides[1] +
                           y.skipped(ry) * from_strides[2] + x.skipped(rx) * from_strides[3];
        piece.from_strides = from_strides;
        piece.to_begin = g * channels * to_strides[1] + y.begin(ry) * to_strides[2] +
                         x.begin(rx) * to_strides[3];
        piece.to_strides = to_strides;
        piece.to_strides[2] *= y.stride;
        piece.to_strides[3] *= x.stride;
        out.push_back(std::move(piece));
      }
    }
  return out;
}

const char* as_pictures(const Call& call, const Shape& x, const Shape& y, ConvolutionSpec& spec,
                        Interleaving& between) {
  if (call.op == &kConv3d) return as_layers(call.attributes.as<Conv3dAttributes>(), x, spec);
  if (call.op == &kConvTranspose3d) return "no int8 kernel over three axes at once";
  const Shape picture = with_height(x);
  spec.weight = with_height(spec.weight);
  if (is_picture_convolution(call.op)) {
    spec.batch = picture[0];
    spec.height = picture[2];
    spec.width = picture[3];
    spec.attributes = picture_attributes(call);
    return nullptr;
  }
  const auto attributes = call.op == &kConvTranspose1d
                              ? with_height(call.attributes.as<ConvTranspose1dAttributes>())
                              : call.attributes.as<ConvTranspose2dAttributes>();
  return as_phases(attributes, picture, with_height(y), spec, between);
}

Tensor outputs_first(const Tensor& weight, std::int64_t groups) {
  const Shape& w = weight.shape();
  const std::int64_t kernel = w.elements(2, w.rank());
  const Tensor flat = reshape(weight, {groups, w[0] / groups, w[1], kernel});
  Shape shape{groups * w[1], w[0] / groups};
  for (int a = 2; a < w.rank(); ++a) shape.append(w[a]);
  return reshape(transpose(flat, {0, 2, 1, 3}), shape.to_vector());
}

std::int64_t convolution_macs(const Call& call, const Shape& x, const Shape& y,
                              const Shape& weight) {
  const Shape& larger = is_conv_transpose(call.op) ? x : y;
  return larger.elements() * weight.elements() / std::max<std::int64_t>(1, weight[0]);
}

}  // namespace pare::runtime
