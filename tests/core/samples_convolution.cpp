// Samples of convolutions over one and three axes, and of transposed convolutions.
#include "core/samples.h"
#include "pare/core/ops/convolution.h"

namespace pare::test {
namespace {

class Adder {
 public:
  Adder(Samples& samples, Generator& generator) : samples_(samples), generator_(generator) {}
  template <class T>
  void operator()(const char* name, const OpDef& op, const T& attributes,
                  const std::vector<Shape>& shapes) {
    for (const bool last : {false, true}) {
      Tensors inputs;
      for (const Shape& shape : shapes) inputs.push_back(generator_.normal(shape));
      if (last) inputs[0] = inputs[0].to(MemoryFormat::channels_last);
      samples_.push_back({name, {&op, Attributes::of(attributes)}, std::move(inputs)});
    }
  }

 private:
  Samples& samples_;
  Generator& generator_;
};

void add_lines(Adder& add) {
  using A = Conv1dAttributes;
  add("plain", kConv1d, A{}, {{2, 3, 6}, {4, 3, 3}});
  add("stride 2, padding, bias", kConv1d, A{.stride = {2}, .padding = {1, 2}},
      {{2, 3, 7}, {4, 3, 3}, {4}});
  add("dilation", kConv1d, A{.padding = {2, 0}, .dilation = {2}}, {{1, 2, 8}, {3, 2, 3}, {3}});
  add("groups", kConv1d, A{.padding = {1, 1}, .groups = 2}, {{2, 4, 5}, {6, 2, 3}, {6}});
  add("depthwise", kConv1d, A{.padding = {1, 1}, .groups = 3}, {{2, 3, 6}, {3, 1, 3}, {3}});
  add("pointwise", kConv1d, A{}, {{2, 4, 5}, {3, 4, 1}, {3}});
  add("no pictures", kConv1d, A{}, {{0, 3, 6}, {4, 3, 3}, {4}});
}

void add_volumes(Adder& add) {
  using A = Conv3dAttributes;
  add("plain", kConv3d, A{}, {{2, 2, 3, 4, 3}, {3, 2, 2, 2, 2}});
  add("stride, padding, bias", kConv3d,
      A{.stride = {1, 2, 2}, .padding = {1, 1, 0, 0, 1, 1}, .dilation = {1, 1, 2}},
      {{1, 2, 3, 4, 5}, {3, 2, 2, 3, 2}, {3}});
  add("groups", kConv3d, A{.padding = {1, 1, 1, 1, 1, 1}, .groups = 2},
      {{1, 4, 2, 3, 3}, {4, 2, 3, 3, 3}, {4}});
  add("depthwise", kConv3d, A{.padding = {0, 1, 1, 0, 1, 1}, .groups = 3},
      {{1, 3, 2, 3, 3}, {3, 1, 1, 3, 3}, {3}});
  add("pointwise", kConv3d, A{}, {{2, 3, 2, 2, 3}, {4, 3, 1, 1, 1}, {4}});
  add("no pictures", kConv3d, A{}, {{0, 2, 3, 3, 3}, {3, 2, 2, 2, 2}, {3}});
}

void add_transposed(Adder& add) {
  using L = ConvTranspose1dAttributes;
  add("plain", kConvTranspose1d, L{}, {{2, 3, 4}, {3, 2, 3}});
  add("stride, output padding, bias", kConvTranspose1d,
      L{.stride = {3}, .padding = {1, 0}, .output_padding = {2}}, {{2, 2, 4}, {2, 3, 3}, {3}});
  add("depthwise", kConvTranspose1d, L{.stride = {2}, .groups = 3}, {{2, 3, 4}, {3, 1, 2}, {3}});
  using P = ConvTranspose2dAttributes;
  add("plain", kConvTranspose2d, P{}, {{2, 3, 3, 4}, {3, 2, 2, 3}});
  add("stride 2, padding 1, output padding 1, bias", kConvTranspose2d,
      P{.stride = {2, 2}, .padding = {1, 1, 1, 1}, .output_padding = {1, 1}},
      {{2, 3, 3, 2}, {3, 4, 3, 3}, {4}});
  add("dilation, uneven padding", kConvTranspose2d,
      P{.stride = {1, 2}, .padding = {2, 0, 1, 1}, .output_padding = {0, 1}, .dilation = {2, 1}},
      {{1, 2, 3, 3}, {2, 3, 3, 2}, {3}});
  add("output padding that dilation allows", kConvTranspose2d,
      P{.output_padding = {1, 1}, .dilation = {2, 2}}, {{1, 2, 3, 3}, {2, 2, 2, 2}, {2}});
  add("groups", kConvTranspose2d, P{.padding = {1, 1, 1, 1}, .groups = 2},
      {{2, 4, 4, 4}, {4, 3, 3, 3}, {6}});
  add("depthwise", kConvTranspose2d, P{.stride = {2, 2}, .padding = {1, 1, 1, 1}, .groups = 3},
      {{1, 3, 4, 4}, {3, 1, 4, 4}, {3}});
  add("depthwise, two inputs a channel", kConvTranspose2d, P{.groups = 2},
      {{1, 4, 3, 3}, {4, 1, 2, 2}, {2}});
  add("pointwise", kConvTranspose2d, P{}, {{2, 3, 2, 3}, {3, 4, 1, 1}, {4}});
  add("no pictures", kConvTranspose2d, P{}, {{0, 3, 3, 3}, {3, 2, 2, 2}, {2}});
  using V = ConvTranspose3dAttributes;
  add("plain", kConvTranspose3d, V{}, {{1, 2, 2, 3, 2}, {2, 3, 2, 2, 2}});
  add("stride, padding, output padding, bias", kConvTranspose3d,
      V{.stride = {2, 1, 2}, .padding = {1, 1, 0, 1, 1, 0}, .output_padding = {1, 0, 1}},
      {{1, 2, 2, 3, 2}, {2, 3, 3, 3, 2}, {3}});
  add("groups", kConvTranspose3d, V{.groups = 2}, {{1, 4, 2, 2, 2}, {4, 2, 2, 1, 2}, {4}});
}

}  // namespace

void add_convolution_samples(Samples& samples, Generator& generator) {
  Adder add(samples, generator);
  add_lines(add);
  add_volumes(add);
  add_transposed(add);
}

}  // namespace pare::test
