// Cases of ops that read or write where indices say.
#include <algorithm>

#include "ops/cases.h"

namespace pare::bench {
namespace {

constexpr std::int64_t kRows = 256, kColumns = 512;

/// f(element of x's matrix, the place's own element) for indices of kMatrix along an axis.
template <class F> void each_place(const std::int64_t* index, int axis, F f) {
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t c = 0; c < kColumns; ++c) {
      const std::int64_t i = r * kColumns + c;
      f(axis == 0 ? index[i] * kColumns + c : r * kColumns + index[i], i);
    }
}

}  // namespace

void add_indexing_cases(Cases& cases) {
  for (const int axis : {0, 1}) {
    const Input indices{axis == 0 ? "labels:256" : "labels:512", kMatrix};
    const std::string along = axis == 0 ? ", down" : "";
    cases.push_back({"gather_elements" + along,
                     {&kGatherElements, Attributes::of(GatherElementsAttributes{.axis = axis})},
                     {{"normal", kMatrix}, indices},
                     [axis](const Tensors& in, Tensor& out) {
                       const float* x = in[0].data<float>();
                       float* y = out.mutable_data<float>();
                       each_place(in[1].data<std::int64_t>(), axis,
                                  [&](std::int64_t from, std::int64_t i) { y[i] = x[from]; });
                     }});
    const auto scatter = [&](const char* name, const char* reduction, auto f) {
      cases.push_back({name + along,
                       {&kScatterElements, Attributes::of(ScatterElementsAttributes{
                                               .axis = axis, .reduction = reduction})},
                       {{"normal", kMatrix}, indices, {"normal", kMatrix}},
                       [axis, f](const Tensors& in, Tensor& out) {
                         const float* u = in[2].data<float>();
                         float* y = out.mutable_data<float>();
                         std::copy_n(in[0].data<float>(), kRows * kColumns, y);
                         each_place(in[1].data<std::int64_t>(), axis,
                                    [&](std::int64_t at, std::int64_t i) { f(y[at], u[i]); });
                       }});
    };
    scatter("scatter_elements", "none", [](float& y, float u) { y = u; });
    scatter("scatter_elements, add", "add", [](float& y, float u) { y += u; });
    scatter("scatter_elements, max", "max", [](float& y, float u) { y = std::max(y, u); });
  }
  cases.push_back({"gather_nd",
                   {&kGatherNd, Attributes::of(GatherNdAttributes{})},
                   {{"normal", {1000, 128}}, {"labels:1000", {1024, 1}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     const std::int64_t* index = in[1].data<std::int64_t>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t r = 0; r < 1024; ++r)
                       for (std::int64_t c = 0; c < 128; ++c) *y++ = x[index[r] * 128 + c];
                   }});
  cases.push_back({"scatter_nd",
                   {&kScatterNd, Attributes::of(ScatterNdAttributes{})},
                   {{"normal", {1000, 128}}, {"labels:1000", {512, 1}}, {"normal", {512, 128}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* u = in[2].data<float>();
                     const std::int64_t* index = in[1].data<std::int64_t>();
                     float* y = out.mutable_data<float>();
                     std::copy_n(in[0].data<float>(), 128000, y);
                     for (std::int64_t r = 0; r < 512; ++r)
                       for (std::int64_t c = 0; c < 128; ++c) y[index[r] * 128 + c] = *u++;
                   }});
  cases.push_back({"one_hot",
                   {&kOneHot, Attributes::of(OneHotAttributes{.depth = 100})},
                   {{"labels:100", {4096}}},
                   [](const Tensors& in, Tensor& out) {
                     const std::int64_t* index = in[0].data<std::int64_t>();
                     std::int64_t* y = out.mutable_data<std::int64_t>();
                     for (std::int64_t r = 0; r < 4096; ++r)
                       for (std::int64_t c = 0; c < 100; ++c) *y++ = c == index[r] ? 1 : 0;
                   }});
}

}  // namespace pare::bench
