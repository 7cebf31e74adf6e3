// Cases of ops that arrange elements: tile, flip, roll, tril, borders, range.
#include <algorithm>

#include "ops/cases.h"

namespace pare::bench {
namespace {

/// y[r, c] = x[row(r), column(c)] of matrices with 512 columns in x.
template <class Row, class Column>
Loop picked(std::int64_t rows, std::int64_t columns, Row row, Column column) {
  return [=](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c) *y++ = x[row(r) * 512 + column(c)];
  };
}

/// Pictures of 32 by 32 with a border of 2.
template <class Place> Loop bordered(Place place) {
  return [=](const Tensors& in, Tensor& out) {
    const float* x = in[0].data<float>();
    float* y = out.mutable_data<float>();
    for (std::int64_t p = 0; p < 256; ++p)
      for (std::int64_t h = -2; h < 34; ++h)
        for (std::int64_t w = -2; w < 34; ++w) *y++ = x[p * 1024 + place(h) * 32 + place(w)];
  };
}

}  // namespace

void add_arrange_cases(Cases& cases) {
  cases.push_back({"tile",
                   {&kTile, Attributes::of(TileAttributes{.repeats = {2, 2}})},
                   {{"normal", kMatrix}},
                   picked(
                       512, 1024, [](auto r) { return r % 256; }, [](auto c) { return c % 512; })});
  cases.push_back({"flip",
                   {&kSlice, Attributes::of(SliceAttributes{
                                 .axes = {1}, .starts = {-1}, .ends = {-1000}, .steps = {-1}})},
                   {{"normal", kMatrix}},
                   picked(
                       256, 512, [](auto r) { return r; }, [](auto c) { return 511 - c; })});
  cases.push_back({"roll",
                   {&kRoll, Attributes::of(RollAttributes{.shifts = {3, -5}, .axes = {0, 1}})},
                   {{"normal", kMatrix}},
                   picked(
                       256, 512, [](auto r) { return (r + 253) % 256; },
                       [](auto c) { return (c + 5) % 512; })});
  cases.push_back({"trilu",
                   {&kTrilu, Attributes::of(TriluAttributes{})},
                   {{"normal", {512, 512}}},
                   [](const Tensors& in, Tensor& out) {
                     const float* x = in[0].data<float>();
                     float* y = out.mutable_data<float>();
                     for (std::int64_t r = 0; r < 512; ++r)
                       for (std::int64_t c = 0; c < 512; ++c, ++x) *y++ = c <= r ? *x : 0;
                   }});
  const auto border = [](const char* mode) {
    return Call{&kPadBorder, Attributes::of(PadBorderAttributes{
                                 .before = {0, 0, 2, 2}, .after = {0, 0, 2, 2}, .mode = mode})};
  };
  cases.push_back({"pad_border", border("reflect"), {{"normal", kImages}}, bordered([](auto i) {
                     return i < 0 ? -i : i > 31 ? 62 - i : i;
                   })});
  cases.push_back(
      {"pad_border, replicate", border("replicate"), {{"normal", kImages}}, bordered([](auto i) {
         return std::clamp<std::int64_t>(i, 0, 31);
       })});
  cases.push_back({"range",
                   {&kRange, {}},
                   {{"const:0"}, {"const:200000"}, {"const:1"}},
                   [](const Tensors&, Tensor& out) {
                     float* y = out.mutable_data<float>();
                     for (std::int64_t i = 0; i < 200000; ++i) y[i] = static_cast<float>(i);
                   },
                   {},
                   {}});
}

}  // namespace pare::bench
