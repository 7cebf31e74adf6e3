// Samples of the ops between resolutions: resize, depth and space, unfold and fold.
#include "core/samples.h"
#include "pare/core/ops/resample.h"

namespace pare::test {
namespace {

Tensor last(const Tensor& x) { return x.to(MemoryFormat::channels_last); }

void add_resize(Samples& samples, Generator& generator) {
  const auto add = [&](const std::string& name, ResizeAttributes attributes, const Tensor& x) {
    samples.push_back({name, {&kResize, Attributes::of(std::move(attributes))}, {x}});
  };
  const Tensor picture = generator.normal({2, 3, 4, 5});
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    for (const char* coordinates : {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
                                    "align_corners", "asymmetric"}) {
      const std::string name = std::string(mode) + ", " + coordinates;
      const ResizeAttributes sizes{
          .mode = mode, .sizes = {-1, -1, 7, 3}, .coordinates = coordinates};
      add(name + ", sizes", sizes, picture);
      add(name + ", sizes, channels-last", sizes, last(picture));
      add(name + ", scales", {.mode = mode, .scales = {1, 1, 0.6, 2.3}, .coordinates = coordinates},
          picture);
    }
    add(std::string(mode) + ", one element", {.mode = mode, .sizes = {2, 3, 1, 1}}, picture);
    add(std::string(mode) + ", channels", {.mode = mode, .sizes = {2, 5, -1, -1}}, last(picture));
    add(std::string(mode) + ", signal", {.mode = mode, .scales = {1, 1, 1.5}},
        generator.normal({2, 3, 6}));
    add(std::string(mode) + ", volume", {.mode = mode, .scales = {1, 1, 2, 2, 0.5}},
        last(generator.normal({1, 2, 2, 3, 4})));
    add(std::string(mode) + ", vector", {.mode = mode, .sizes = {9}}, generator.normal({4}));
    add(std::string(mode) + ", unchanged", {.mode = mode, .sizes = {-1, 5}},
        generator.normal({3, 5}));
    add(std::string(mode) + ", empty", {.mode = mode, .sizes = {-1, 2, 8}},
        generator.normal({0, 3, 5}));
    add(std::string(mode) + ", f64", {.mode = mode, .sizes = {-1, 8}},
        generator.normal({3, 5}).to(DType::f64));
    add(std::string(mode) + ", bf16", {.mode = mode, .sizes = {-1, 8}},
        generator.normal({3, 5}).to(DType::bf16));
    if (std::string(mode) == "nearest") continue;
    add(std::string(mode) + ", antialias",
        {.mode = mode, .sizes = {-1, -1, 2, 7}, .antialias = true}, picture);
  }
  for (const char* rounding : {"round_prefer_ceil", "floor", "ceil"})
    add(rounding, {.sizes = {-1, -1, 8, 2}, .nearest = rounding}, picture);
  add("cubic, exclude_outside",
      {.mode = "cubic",
       .sizes = {-1, -1, 9, 3},
       .cubic_coefficient = -0.5,
       .exclude_outside = true},
      picture);
  add("nearest, u8", {.sizes = {5}}, Tensor::from(std::vector<std::uint8_t>{1, 2, 3}, {3}));
}

void add_depth_space(Samples& samples, Generator& generator) {
  for (const char* order : {"DCR", "CRD"}) {
    const auto add = [&](const char* name, const OpDef& op, std::int64_t block, const Tensor& x) {
      samples.push_back({std::string(name) + ", " + order,
                         {&op, Attributes::of(DepthSpaceAttributes{block, order})},
                         {x}});
    };
    const Tensor deep = generator.normal({2, 8, 2, 3});
    const Tensor wide = generator.normal({2, 2, 4, 6});
    add("block 2", kDepthToSpace, 2, deep);
    add("block 2, channels-last", kDepthToSpace, 2, last(deep));
    add("block 3", kDepthToSpace, 3, generator.normal({1, 18, 2, 1}));
    add("block 1", kDepthToSpace, 1, deep);
    add("f64", kDepthToSpace, 2, deep.to(DType::f64));
    add("f16", kDepthToSpace, 2, deep.to(DType::f16));
    add("empty", kDepthToSpace, 2, generator.normal({0, 8, 2, 3}));
    add("no rows", kDepthToSpace, 2, generator.normal({2, 8, 0, 3}));
    add("block 2", kSpaceToDepth, 2, wide);
    add("block 2, channels-last", kSpaceToDepth, 2, last(wide));
    add("block 3", kSpaceToDepth, 3, generator.normal({1, 2, 3, 6}));
    add("f64", kSpaceToDepth, 2, wide.to(DType::f64));
    add("i8", kSpaceToDepth, 2, Tensor::ones({1, 2, 2, 2}, DType::i8));
    add("empty", kSpaceToDepth, 2, generator.normal({0, 2, 4, 6}));
  }
}

void add_unfold(Samples& samples, Generator& generator) {
  const auto unfold = [&](const char* name, UnfoldAttributes attributes, const Tensor& x) {
    samples.push_back({name, {&kUnfold, Attributes::of(attributes)}, {x}});
  };
  const Tensor picture = generator.normal({2, 3, 5, 6});
  unfold("3 by 3", {.kernel = {3, 3}}, picture);
  unfold("channels-last", {.kernel = {3, 3}}, last(picture));
  unfold("padding", {.kernel = {3, 2}, .padding = {1, 2}}, picture);
  unfold("stride, dilation",
         {.kernel = {2, 2}, .stride = {2, 3}, .dilation = {2, 1}, .padding = {1, 1}}, picture);
  unfold("padding beyond the picture", {.kernel = {2, 2}, .stride = {3, 3}, .padding = {4, 5}},
         picture);
  unfold("pixels", {}, picture);
  unfold("f64", {.kernel = {2, 2}}, picture.to(DType::f64));
  unfold("bf16", {.kernel = {2, 2}}, picture.to(DType::bf16));
  unfold("empty", {.kernel = {2, 2}}, generator.normal({0, 3, 5, 6}));
  unfold("i32", {.kernel = {2, 2}}, Tensor::ones({1, 1, 3, 3}, DType::i32));

  const auto fold = [&](const char* name, FoldAttributes attributes, const Tensor& x) {
    samples.push_back({name, {&kFold, Attributes::of(attributes)}, {x}});
  };
  fold("2 by 2", {.output = {3, 4}, .kernel = {2, 2}}, generator.normal({2, 8, 6}));
  fold("channels-last", {.output = {3, 4}, .kernel = {2, 2}}, last(generator.normal({2, 8, 6})));
  fold(
      "stride, dilation, padding",
      {.output = {5, 6}, .kernel = {2, 2}, .stride = {2, 3}, .dilation = {2, 1}, .padding = {1, 1}},
      generator.normal({2, 12, 9}));
  fold("gaps", {.output = {5, 5}, .kernel = {1, 1}, .stride = {2, 2}}, generator.normal({1, 2, 9}));
  fold("f64", {.output = {3, 3}, .kernel = {2, 2}}, generator.normal({1, 4, 4}).to(DType::f64));
  fold("f16", {.output = {3, 3}, .kernel = {2, 2}}, generator.normal({1, 4, 4}).to(DType::f16));
  fold("empty", {.output = {3, 3}, .kernel = {2, 2}}, generator.normal({0, 4, 4}));
}

}  // namespace

void add_resample_samples(Samples& samples, Generator& generator) {
  add_resize(samples, generator);
  add_depth_space(samples, generator);
  add_unfold(samples, generator);
}

}  // namespace pare::test
