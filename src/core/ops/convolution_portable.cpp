// The portable convolution: patches gathered into a matrix, then a matrix product.
#include "core/ops/convolution_portable.h"

#include <algorithm>
#include <vector>

#include "core/multiversion.h"
#include "core/ops/gemm.h"
#include "pare/core/ops/reduction.h"
#include "pare/core/parallel.h"

namespace pare {
namespace {

/// The outputs [begin, end) along one axis whose tap lies inside the picture.
struct Span {
  std::int64_t begin, end;
};
Span inside(std::int64_t offset, std::int64_t stride, std::int64_t size, std::int64_t outputs) {
  // 0 <= o * stride + offset < size
  const std::int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const std::int64_t end = size <= offset ? 0 : (size - offset - 1) / stride + 1;
  return {std::min(begin, outputs), std::clamp(end, std::min(begin, outputs), outputs)};
}

/// One group of one picture between its memory and its matrix of patches. Row-major pictures have
/// matrices [taps (c, kz, ky, kx), pixels]; channels-last ones [pixels, taps (kz, ky, kx, c)].
class Patches {
 public:
  Patches(const ConvolutionSizes& sizes, bool channels_last)
      : s_(sizes), channels_last_(channels_last) {
    if (!s_.pointwise) columns_.resize(static_cast<std::size_t>(s_.taps * s_.pixels));
  }

  /// The matrix over the picture itself where it is one already, else gathered.
  MatrixView gather(const float* picture) {
    if (s_.pointwise) return {picture, channels_last_ ? s_.channels : s_.pixels};
    if (channels_last_) {
      std::fill(columns_.begin(), columns_.end(), 0.0F);
      each_pixel_tap([&](std::int64_t in, std::int64_t column, std::int64_t floats) {
        std::copy_n(picture + in, floats, columns_.data() + column);
      });
    } else {
      each_row([&](std::int64_t in, std::int64_t row, Span span) {
        float* out = columns_.data() + row;
        std::fill_n(out, span.begin, 0.0F);
        for (std::int64_t x = span.begin; x < span.end; ++x) out[x] = picture[in + x * s_.stride_x];
        std::fill(out + span.end, out + s_.out_width, 0.0F);
      });
    }
    return matrix();
  }
  /// Where the gradient of the patches is to be written, before `scatter`.
  float* buffer() { return columns_.data(); }
  std::int64_t stride() const { return channels_last_ ? s_.taps : s_.pixels; }
  /// Adds the matrix onto the picture.
  void scatter(float* picture) const {
    if (channels_last_) {
      each_pixel_tap([&](std::int64_t in, std::int64_t column, std::int64_t floats) {
        for (std::int64_t c = 0; c < floats; ++c)
          picture[in + c] += columns_[static_cast<std::size_t>(column + c)];
      });
    } else {
      each_row([&](std::int64_t in, std::int64_t row, Span span) {
        const float* from = columns_.data() + row;
        for (std::int64_t x = span.begin; x < span.end; ++x)
          picture[in + x * s_.stride_x] += from[x];
      });
    }
  }

 private:
  MatrixView matrix() const { return {columns_.data(), stride()}; }

  /// visit(place in the picture, place in the matrix, floats) with stretches that lie together in
  /// both: one tap's channels, or a whole row of taps.
  template <class Visit> void each_pixel_tap(const Visit& visit) const {
    const bool whole_rows = s_.groups == 1 && s_.dilation_x == 1;
    const std::int64_t step = whole_rows ? s_.kernel_width : 1;
    for (std::int64_t kz = 0; kz < s_.kernel_depth; ++kz)
      for (std::int64_t ky = 0; ky < s_.kernel_height; ++ky) {
        const std::int64_t dz = kz * s_.dilation_z - s_.pad_front;
        const std::int64_t dy = ky * s_.dilation_y - s_.pad_top;
        const Span planes = inside(dz, s_.stride_z, s_.depth, s_.out_depth);
        const Span rows = inside(dy, s_.stride_y, s_.height, s_.out_height);
        const std::int64_t tap = (kz * s_.kernel_height + ky) * s_.kernel_width;
        for (std::int64_t z = planes.begin; z < planes.end; ++z)
          for (std::int64_t y = rows.begin; y < rows.end; ++y) {
            const std::int64_t row = (z * s_.stride_z + dz) * s_.height + y * s_.stride_y + dy;
            const std::int64_t out = (z * s_.out_height + y) * s_.out_width;
            for (std::int64_t x = 0; x < s_.out_width; ++x)
              for (std::int64_t kx = 0; kx < s_.kernel_width; kx += step) {
                const std::int64_t ix = x * s_.stride_x + kx * s_.dilation_x - s_.pad_left;
                const std::int64_t first = std::max<std::int64_t>(0, -ix);
                const std::int64_t last = std::min(step, s_.width - ix);
                if (first >= last) continue;
                visit((row * s_.width + ix + first) * s_.channels,
                      (out + x) * s_.taps + (tap + kx + first) * s_.group_channels,
                      (last - first) * s_.group_channels);
              }
          }
      }
  }
  /// visit(place in the picture of output column 0, place in the matrix, columns inside); rows
  /// outside the picture have none.
  template <class Visit> void each_row(const Visit& visit) const {
    std::int64_t row = 0;
    for (std::int64_t c = 0; c < s_.group_channels; ++c)
      for (std::int64_t kz = 0; kz < s_.kernel_depth; ++kz)
        for (std::int64_t ky = 0; ky < s_.kernel_height; ++ky)
          for (std::int64_t kx = 0; kx < s_.kernel_width; ++kx) {
            const std::int64_t dx = kx * s_.dilation_x - s_.pad_left;
            const Span cols = inside(dx, s_.stride_x, s_.width, s_.out_width);
            for (std::int64_t z = 0; z < s_.out_depth; ++z)
              for (std::int64_t y = 0; y < s_.out_height; ++y, row += s_.out_width) {
                const std::int64_t iz = z * s_.stride_z + kz * s_.dilation_z - s_.pad_front;
                const std::int64_t iy = y * s_.stride_y + ky * s_.dilation_y - s_.pad_top;
                const bool in = iz >= 0 && iz < s_.depth && iy >= 0 && iy < s_.height;
                const std::int64_t from = ((c * s_.depth + iz) * s_.height + iy) * s_.width;
                visit((in ? from : c * s_.source_pixels) + dx, row, in ? cols : Span{0, 0});
              }
          }
  }

  const ConvolutionSizes& s_;
  const bool channels_last_;
  std::vector<float> columns_;
};

/// Where group g of x, y and weight begins, in elements; the weights of a group lie together.
struct Offsets {
  Offsets(const ConvolutionSizes& s, bool channels_last, std::int64_t g)
      : x(g * s.group_channels * (channels_last ? 1 : s.source_pixels)),
        y(g * s.group_outputs * (channels_last ? 1 : s.pixels)),
        weight(g * s.group_outputs * s.taps) {}
  std::int64_t x, y, weight;
};

void sum_bias(const ConvolutionSizes& s, bool channels_last, const float* grad, float* sum) {
  if (channels_last) {
    for (std::int64_t p = 0; p < s.pixels; ++p)
      for (std::int64_t o = 0; o < s.outputs; ++o) sum[o] += grad[p * s.outputs + o];
  } else {
    for (std::int64_t o = 0; o < s.outputs; ++o) {
      float total = 0;
      for (std::int64_t p = 0; p < s.pixels; ++p) total += grad[o * s.pixels + p];
      sum[o] += total;
    }
  }
}

}  // namespace

void convolution_forward(const ConvolutionSizes& s, const Tensor& x, const Tensor& weight,
                         const Tensor& bias, Tensor& y) {
  const bool last = y.channels_last();
  const float* in = x.data<float>();
  const float* w = weight.data<float>();
  const float* b = bias.defined() ? bias.data<float>() : nullptr;
  float* out = y.mutable_data<float>();
  parallel_for(0, s.batch, 1, [&](std::int64_t begin, std::int64_t end) {
    Patches patches(s, last);
    for (std::int64_t n = begin; n < end; ++n) {
      float* picture = out + n * s.outputs * s.pixels;
      if (b && last) {
        for (std::int64_t p = 0; p < s.pixels; ++p)
          std::copy_n(b, s.outputs, picture + p * s.outputs);
      } else if (b) {
        for (std::int64_t o = 0; o < s.outputs; ++o)
          std::fill_n(picture + o * s.pixels, s.pixels, b[o]);
      }
      for (std::int64_t g = 0; g < s.groups; ++g) {
        const Offsets at(s, last, g);
        const MatrixView matrix = patches.gather(in + n * s.channels * s.source_pixels + at.x);
        if (last) {
          gemm(s.pixels, s.group_outputs, s.taps, matrix, {w + at.weight, s.taps, true},
               picture + at.y, s.outputs, b != nullptr);
        } else {
          gemm(s.group_outputs, s.pixels, s.taps, {w + at.weight, s.taps}, matrix, picture + at.y,
               s.pixels, b != nullptr);
        }
      }
    }
  });
}

void convolution_backward(const ConvolutionSizes& s, const Tensor& x, const Tensor& weight,
                          const Tensor& grad, Tensor& grad_x, Tensor& grad_weight,
                          Tensor& grad_bias) {
  const bool last = grad.channels_last();
  const float* g_all = grad.data<float>();
  const float* in = grad_weight.defined() ? x.data<float>() : nullptr;
  const float* w = grad_x.defined() ? weight.data<float>() : nullptr;
  float* gx_all = grad_x.defined() ? grad_x.mutable_data<float>() : nullptr;
  // A sum of its own for each piece of the batch, so that the result depends on no race.
  const std::int64_t pieces =
      std::max<std::int64_t>(1, std::min<std::int64_t>(s.batch, max_threads()));
  const std::int64_t weights = grad_weight.defined() ? s.outputs * s.taps : 0;
  const std::int64_t biases = grad_bias.defined() ? s.outputs : 0;
  std::vector<float> sums(static_cast<std::size_t>(pieces * (weights + biases)));
  parallel_for(0, pieces, 1, [&](std::int64_t first, std::int64_t past) {
    Patches patches(s, last);
    for (std::int64_t piece = first; piece < past; ++piece) {
      float* sum = sums.data() + piece * (weights + biases);
      for (std::int64_t n = piece * s.batch / pieces; n < (piece + 1) * s.batch / pieces; ++n) {
        const float* g_picture = g_all + n * s.outputs * s.pixels;
        const std::int64_t picture = n * s.channels * s.source_pixels;
        if (w) std::fill_n(gx_all + picture, s.channels * s.source_pixels, 0.0F);
        for (std::int64_t g = 0; g < s.groups; ++g) {
          const Offsets at(s, last, g);
          const MatrixView from{g_picture + at.y, last ? s.outputs : s.pixels};
          const MatrixView turned{from.data, from.stride, true};
          if (in) {
            const MatrixView matrix = patches.gather(in + picture + at.x);
            if (last) {
              gemm(s.group_outputs, s.taps, s.pixels, turned, matrix, sum + at.weight, s.taps,
                   true);
            } else {
              gemm(s.group_outputs, s.taps, s.pixels, from, {matrix.data, matrix.stride, true},
                   sum + at.weight, s.taps, true);
            }
          }
          if (!w) continue;
          float* gx = gx_all + picture + at.x;
          float* to = s.pointwise ? gx : patches.buffer();
          if (last) {
            gemm(s.pixels, s.taps, s.group_outputs, from, {w + at.weight, s.taps}, to,
                 s.pointwise ? s.channels : patches.stride(), false);
          } else {
            gemm(s.taps, s.pixels, s.group_outputs, {w + at.weight, s.taps, true}, from, to,
                 s.pixels, false);
          }
          if (!s.pointwise) patches.scatter(gx);
        }
        if (biases) sum_bias(s, last, g_picture, sum + weights);
      }
    }
  });
  const auto total = [&](std::int64_t from, std::int64_t count, float* to) {
    std::fill_n(to, count, 0.0F);
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const float* sum = sums.data() + piece * (weights + biases) + from;
      for (std::int64_t i = 0; i < count; ++i) to[i] += sum[i];
    }
  };
  if (weights) total(0, weights, grad_weight.mutable_data<float>());
  if (biases) total(weights, biases, grad_bias.mutable_data<float>());
}

void add_bias(const Tensor& x, const Tensor& bias, Tensor& y) {
  const bool last = y.channels_last();
  const std::int64_t channels = y.dim(1);
  const std::int64_t pixels = y.shape().elements(2, y.rank());
  const float* from = x.data<float>();
  const float* b = bias.defined() ? bias.data<float>() : nullptr;
  float* to = y.mutable_data<float>();
  const std::int64_t run = last ? channels : pixels;
  const std::int64_t runs = y.elements() / std::max<std::int64_t>(1, run);
  parallel_for(0, runs, 1 + 32768 / (run + 1), [&](std::int64_t begin, std::int64_t end) {
    multiversion([=]() PARE_INLINE_LAMBDA {
      for (std::int64_t r = begin; r < end; ++r) {
        const float* source = from + r * run;
        float* target = to + r * run;
        if (!b) {
          for (std::int64_t i = 0; i < run; ++i) target[i] = source[i];
        } else if (last) {
          for (std::int64_t i = 0; i < run; ++i) target[i] = source[i] + b[i];
        } else {
          const float all = b[r % channels];
          for (std::int64_t i = 0; i < run; ++i) target[i] = source[i] + all;
        }
      }
    });
  });
}

Tensor bias_gradient(const Tensor& gradient) {
  std::vector<std::int64_t> axes{0};
  for (int a = 2; a < gradient.rank(); ++a) axes.push_back(a);
  return sum(gradient, axes);
}

}  // namespace pare
