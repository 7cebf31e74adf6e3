// Batch: examples put together; collation of sequences of different lengths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/dataset.h"

namespace pare::data {

/// N examples: x [N, …] and y [N, …] (undefined where the data set has no labels). Takes part in
/// structured bindings as `[x, y]`; `lengths` is asked for by name.
struct Batch {
  Tensor x;
  Tensor y;
  /// i64 [N], the steps of each example that are not padding; undefined where nothing was padded.
  Tensor lengths = {};

  template <std::size_t I> const Tensor& get() const& {
    static_assert(I < 2);
    if constexpr (I == 0) return x;
    if constexpr (I == 1) return y;
  }
  template <std::size_t I> Tensor& get() & {
    static_assert(I < 2);
    if constexpr (I == 0) return x;
    if constexpr (I == 1) return y;
  }
  template <std::size_t I> Tensor get() && {
    static_assert(I < 2);
    if constexpr (I == 0) return std::move(x);
    if constexpr (I == 1) return std::move(y);
  }
};

/// How sequences of different lengths become one batch.
struct Pad {
  double value = 0;           ///< what stands behind the end of an input
  double label_value = -100;  ///< and of labels that have a value per step; cross_entropy skips it
  std::int64_t length = 0;    ///< steps of every batch; 0: the batch's longest
};

/// Examples [T_n, …], equal in all axes but the first, as x [N, T, …] filled up with Pad::value,
/// lengths i64 [N], and y: labels of rank 0 as [N], labels with a value per step [T_n, …] as
/// [N, T, …], others as [N, …]. Throws shape_mismatch and dtype_mismatch where examples differ,
/// out_of_range for one longer than Pad::length, invalid_argument for no example.
PARE_API Batch collate(std::span<const Example> examples, const Pad& pad = {});

}  // namespace pare::data

template <> struct std::tuple_size<pare::data::Batch> : std::integral_constant<std::size_t, 2> {};
template <std::size_t I> struct std::tuple_element<I, pare::data::Batch> {
  using type = pare::Tensor;
};
