// Cases of ops that move elements.
#include <algorithm>

#include "ops/cases.h"

namespace pare::bench {

void add_movement_cases(Cases& cases) {
  const Loop copy = each([](float x) { return x; });
  cases.push_back({"reshape",
                   {&kReshape, Attributes::of(ReshapeAttributes{.shape = {512, 256}})},
                   {{"normal", kMatrix}},
                   copy});
  cases.push_back({"transpose",
                   {&kTranspose, Attributes::of(TransposeAttributes{.permutation = {1, 0}})},
                   {{"normal", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t r = 0; r < 512; ++r)
                       for (std::int64_t c = 0; c < 256; ++c) y[r * 256 + c] = x[c * 512 + r];
                   }});
  cases.push_back({"transpose, heads",
                   {&kTranspose, Attributes::of(TransposeAttributes{.permutation = {0, 2, 1, 3}})},
                   {{"normal", {8, 64, 8, 32}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t n = 0; n < 8; ++n)
                       for (std::int64_t h = 0; h < 8; ++h)
                         for (std::int64_t t = 0; t < 64; ++t)
                           for (std::int64_t d = 0; d < 32; ++d)
                             *y++ = x[((n * 64 + t) * 8 + h) * 32 + d];
                   }});
  cases.push_back({"concat",
                   {&kConcat, Attributes::of(ConcatAttributes{.axis = 1})},
                   {{"normal", kMatrix}, {"normal", kMatrix}},
                   [](const Tensors& in, Tensor& out) {
                     const float* a = in[0].data<float>();
                     const float* b = in[1].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t r = 0; r < 256; ++r)
                       for (std::int64_t c = 0; c < 1024; ++c)
                         *y++ = c < 512 ? a[r * 512 + c] : b[r * 512 + c - 512];
                   }});
  cases.push_back(
      {"slice",
       {&kSlice, Attributes::of(SliceAttributes{
                     .axes = {2, 3}, .starts = {0, 0}, .ends = {64, 64}, .steps = {2, 2}})},
       {{"normal", {8, 32, 64, 64}}},
       [](const Tensors& in, Tensor& out) {
         const float* x = in[0].data<float>();
         float* y = out.mutable_data<float>();
         for (std::int64_t p = 0; p < 256; ++p)
           for (std::int64_t h = 0; h < 32; ++h)
             for (std::int64_t w = 0; w < 32; ++w) *y++ = x[p * 4096 + h * 128 + w * 2];
       }});
  cases.push_back(
      {"pad",
       {&kPad, Attributes::of(PadAttributes{.before = {0, 0, 1, 1}, .after = {0, 0, 1, 1}})},
       {{"normal", kImages}},
       [](const Tensors& in, Tensor& out) {
         const float* x = in[0].data<float>();
         float* y = out.mutable_data<float>();
         for (std::int64_t p = 0; p < 256; ++p)
           for (std::int64_t h = -1; h < 33; ++h)
             for (std::int64_t w = -1; w < 33; ++w)
               *y++ = h < 0 || h > 31 || w < 0 || w > 31 ? 0 : x[p * 1024 + h * 32 + w];
       }});
  cases.push_back({"expand",
                   {&kExpand, Attributes::of(ExpandAttributes{.shape = {256, 512}})},
                   {{"normal", {256, 1}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < 256 * 512; ++i) y[i] = x[i / 512];
                   }});
  cases.push_back({"gather",
                   {&kGather, Attributes::of(GatherAttributes{.axis = 0})},
                   {{"normal", {1000, 128}}, {"labels:1000", {1024}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const std::int64_t* index = in[1].data<std::int64_t>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t r = 0; r < 1024; ++r)
                       for (std::int64_t c = 0; c < 128; ++c) *y++ = x[index[r] * 128 + c];
                   }});
}

}  // namespace pare::bench
