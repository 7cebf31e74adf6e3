// Samples of matrix products and convolutions.
#include "core/samples.h"
#include "pare/core/ops/contraction.h"

namespace pare::test {

void add_contraction_samples(Samples& samples, Generator& generator) {
  const auto add = [&](const char* name, const OpDef& op, std::vector<Shape> shapes) {
    Tensors inputs;
    for (const Shape& shape : shapes) inputs.push_back(generator.normal(shape));
    samples.push_back({name, {&op, {}}, std::move(inputs)});
  };
  add("matrices", kMatmul, {{3, 4}, {4, 5}});
  add("vectors", kMatmul, {{4}, {4}});
  add("row by matrix", kMatmul, {{4}, {4, 3}});
  add("matrix by column", kMatmul, {{3, 4}, {4}});
  add("many by one", kMatmul, {{2, 3, 4}, {4, 5}});
  add("batches broadcast", kMatmul, {{2, 1, 3, 4}, {3, 4, 2}});
  add("one by many", kMatmul, {{3, 4}, {2, 4, 2}});

  add("plain", kLinear, {{3, 4}, {5, 4}});
  add("bias", kLinear, {{3, 4}, {5, 4}, {5}});
  add("three axes", kLinear, {{2, 3, 4}, {5, 4}, {5}});
  add("a vector", kLinear, {{4}, {5, 4}, {5}});

  add("no rows", kMatmul, {{0, 4}, {4, 5}});
  add("nothing to sum", kMatmul, {{3, 0}, {0, 5}});
  add("no columns", kMatmul, {{3, 4}, {4, 0}});
  add("no matrices", kMatmul, {{0, 3, 4}, {4, 5}});
  add("no rows", kLinear, {{0, 4}, {5, 4}, {5}});
  add("nothing to sum", kLinear, {{3, 0}, {5, 0}, {5}});
  add("no outputs", kLinear, {{3, 4}, {0, 4}, {0}});

  const auto add_conv = [&](const char* name, const Conv2dAttributes& attributes,
                            std::vector<Shape> shapes, bool channels_last) {
    Tensors inputs;
    for (const Shape& shape : shapes) inputs.push_back(generator.normal(shape));
    if (channels_last) inputs[0] = inputs[0].to(MemoryFormat::channels_last);
    samples.push_back({name, {&kConv2d, Attributes::of(attributes)}, std::move(inputs)});
  };
  for (const bool last : {false, true}) {
    add_conv("plain", {}, {{2, 3, 5, 6}, {4, 3, 3, 2}}, last);
    add_conv("stride 2, padding 1, bias", {.stride = {2, 2}, .padding = {1, 1, 1, 1}},
             {{2, 3, 6, 5}, {4, 3, 3, 3}, {4}}, last);
    add_conv("dilation, uneven padding", {.padding = {2, 0, 1, 3}, .dilation = {2, 1}},
             {{1, 2, 5, 4}, {3, 2, 3, 3}, {3}}, last);
    add_conv("groups", {.padding = {1, 1, 1, 1}, .groups = 2}, {{2, 4, 4, 4}, {6, 2, 3, 3}, {6}},
             last);
    add_conv("depthwise", {.padding = {1, 1, 1, 1}, .groups = 3}, {{2, 3, 4, 4}, {3, 1, 3, 3}},
             last);
    add_conv("depthwise, two outputs a channel, stride 2",
             {.stride = {2, 2}, .padding = {1, 1, 1, 1}, .groups = 3},
             {{1, 3, 5, 5}, {6, 1, 3, 3}, {6}}, last);
    add_conv("pointwise", {}, {{2, 4, 3, 3}, {5, 4, 1, 1}, {5}}, last);
    add_conv("pointwise, stride 2", {.stride = {2, 2}}, {{2, 4, 5, 4}, {3, 4, 1, 1}}, last);
    add_conv("no pictures", {.padding = {1, 1, 1, 1}}, {{0, 3, 4, 4}, {4, 3, 3, 3}, {4}}, last);
    add_conv("no pictures, depthwise", {.groups = 3}, {{0, 3, 4, 4}, {3, 1, 3, 3}, {3}}, last);
    add_conv("no channels", {.padding = {1, 1, 1, 1}}, {{2, 0, 4, 4}, {4, 0, 3, 3}, {4}}, last);
    add_conv("no outputs", {.padding = {1, 1, 1, 1}}, {{2, 3, 4, 4}, {0, 3, 3, 3}, {0}}, last);
    add_conv("padding alone", {.padding = {2, 2, 1, 1}}, {{2, 3, 0, 4}, {4, 3, 3, 3}, {4}}, last);
  }
}

}  // namespace pare::test
