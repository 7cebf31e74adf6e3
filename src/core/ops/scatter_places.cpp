// Writing elements or blocks of a tensor at places, reduced with what is there; its gradient.
#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/scatter.h"
#include "core/ops/strided.h"

namespace pare {
namespace {

/// Some of the places.
struct PlaceList {
  const std::int64_t* begin;
  std::int64_t count, block;
};
PlaceList list_of(const Places& places) {
  return {places.begin.data<std::int64_t>(), places.begin.elements(), places.block};
}

/// f(element of the target, element of the blocks), in order.
template <class To, class From, class F>
void each_element(const PlaceList& places, To* target, From* blocks, F f) {
  if (places.block == 1) {
    for (std::int64_t i = 0; i < places.count; ++i) f(target[places.begin[i]], blocks[i]);
    return;
  }
  for (std::int64_t i = 0; i < places.count; ++i)
    for (std::int64_t k = 0; k < places.block; ++k)
      f(target[places.begin[i] + k], blocks[i * places.block + k]);
}

template <class T> void overwrite(const PlaceList& places, const void* updates, void* target) {
  const T* from = static_cast<const T*>(updates);
  T* to = static_cast<T*>(target);
  if (places.block < 8) {
    each_element(places, to, from, [](T& y, T u) { y = u; });
    return;
  }
  for (std::int64_t i = 0; i < places.count; ++i)
    std::memcpy(to + places.begin[i], from + i * places.block,
                static_cast<std::size_t>(places.block) * sizeof(T));
}

/// Sums and products of whole numbers wrap.
template <class T, class F> T wrapped(T a, T b, F f) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
  } else {
    return f(a, b);
  }
}

/// NaN is larger and smaller than everything. Selected, not branched over: which of two is larger
/// cannot be foretold.
template <class T> T larger(T a, T b) {
  const T most = a > b ? a : b;
  return a != a ? a : most;
}
template <class T> T smaller(T a, T b) {
  const T least = a < b ? a : b;
  return a != a ? a : least;
}

template <class T>
void reduce_into(const PlaceList& places, const T* updates, T* target, ScatterReduction reduction) {
  const auto each = [&](auto f) { each_element(places, target, updates, f); };
  switch (reduction) {
    case ScatterReduction::add:
      return each([](T& y, T u) { y = wrapped(y, u, [](auto a, auto b) { return a + b; }); });
    case ScatterReduction::mul:
      return each([](T& y, T u) { y = wrapped(y, u, [](auto a, auto b) { return a * b; }); });
    case ScatterReduction::max:
      return each([](T& y, T u) { y = larger(y, u); });
    case ScatterReduction::min:
      return each([](T& y, T u) { y = smaller(y, u); });
    case ScatterReduction::none:
      break;
  }
}

struct Gradients {
  const Tensor& x;
  const Tensor& updates;
  const Tensor& g;
  Tensor gx, gu;
};

/// From the last update to the first: it takes the gradient, for those before it there is none.
template <class T> void backward_overwrite(const Places& places, Gradients& d) {
  T* gx = d.gx.mutable_data<T>();
  T* gu = d.gu.mutable_data<T>();
  const auto* begin = places.begin.data<std::int64_t>();
  for (std::int64_t i = places.begin.elements(); i-- > 0;)
    for (std::int64_t k = 0; k < places.block; ++k) {
      gu[i * places.block + k] = gx[begin[i] + k];
      gx[begin[i] + k] = T(0);
    }
}

/// A factor's gradient is the product of the others, also where one of them is 0.
template <class T> struct Product {
  T others = T(1);  ///< of the factors that are not 0
  T zeros = T(0);   ///< how many are
  void take(T factor) {
    if (factor == T(0))
      zeros += T(1);
    else
      others *= factor;
  }
  T without(T factor) const {
    if (factor == T(0)) return zeros == T(1) ? others : T(0);
    return zeros == T(0) ? others / factor : T(0);
  }
};

template <class T> void backward_product(const Places& places, Gradients& d) {
  const T* x = d.x.data<T>();
  const T* u = d.updates.data<T>();
  const T* g = d.g.data<T>();
  T* gx = d.gx.mutable_data<T>();
  T* gu = d.gu.mutable_data<T>();
  std::vector<Product<T>> products(static_cast<std::size_t>(d.x.elements()));
  for (std::size_t i = 0; i < products.size(); ++i) products[i].take(x[i]);
  each_element(list_of(places), products.data(), u, [](Product<T>& p, T value) { p.take(value); });
  for (std::size_t i = 0; i < products.size(); ++i) gx[i] = g[i] * products[i].without(x[i]);
  const auto* begin = places.begin.data<std::int64_t>();
  for (std::int64_t i = 0; i < places.begin.elements(); ++i)
    for (std::int64_t k = 0; k < places.block; ++k) {
      const std::int64_t from = i * places.block + k;
      const std::int64_t at = begin[i] + k;
      gu[from] = g[at] * products[static_cast<std::size_t>(at)].without(u[from]);
    }
}

/// f(element of the blocks, element of the target), by number.
template <class F> void each_number(const PlaceList& places, F f) {
  if (places.block == 1) {
    for (std::int64_t i = 0; i < places.count; ++i) f(i, places.begin[i]);
    return;
  }
  for (std::int64_t i = 0; i < places.count; ++i)
    for (std::int64_t k = 0; k < places.block; ++k) f(i * places.block + k, places.begin[i] + k);
}

/// The value or 0 without a branch: whether one is the extreme cannot be foretold.
template <class T> T only_if(bool keep, T value) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  return std::bit_cast<T>(std::bit_cast<Bits>(value) & (Bits{0} - Bits{keep}));
}

/// Those that are the extreme share its gradient evenly.
template <class T>
void backward_extreme(const Places& places, Gradients& d, ScatterReduction reduction) {
  const PlaceList list = list_of(places);
  Tensor extreme = d.x.clone();
  Tensor shares = Tensor::empty(d.x.shape(), d.x.dtype());
  T* y = extreme.mutable_data<T>();
  T* share = shares.mutable_data<T>();
  const T* x = d.x.data<T>();
  const T* u = d.updates.data<T>();
  reduce_into(list, u, y, reduction);
  const std::int64_t count = d.x.elements();
  for (std::int64_t i = 0; i < count; ++i) share[i] = only_if(x[i] == y[i], T(1));
  each_number(list, [&](std::int64_t from, std::int64_t at) {
    share[at] += only_if(u[from] == y[at], T(1));
  });
  const T* g = d.g.data<T>();
  T* gx = d.gx.mutable_data<T>();
  T* gu = d.gu.mutable_data<T>();
  for (std::int64_t i = 0; i < count; ++i) {
    const T each = g[i] / std::max(share[i], T(1));  // none of them where y is NaN
    share[i] = each;
    gx[i] = only_if(x[i] == y[i], each);
  }
  each_number(list, [&](std::int64_t from, std::int64_t at) {
    gu[from] = only_if(u[from] == y[at], share[at]);
  });
}

}  // namespace

ScatterReduction reduction_of(const std::string& name, const char* where) {
  if (name == "none") return ScatterReduction::none;
  if (name == "add") return ScatterReduction::add;
  if (name == "mul") return ScatterReduction::mul;
  if (name == "max") return ScatterReduction::max;
  PARE_CHECK(name == "min", invalid_argument, where,
             "expected reduction none, add, mul, max or min, got '{}'", name);
  return ScatterReduction::min;
}

namespace {

/// Updates of a row-major tensor of y's dtype, from its element `first` on.
void write_list(const PlaceList& places, const Tensor& updates, std::int64_t first, Tensor& y,
                ScatterReduction reduction) {
  if (reduction != ScatterReduction::none) {
    visit_arithmetic(y.dtype(), "scatter", [&](auto type) {
      using T = decltype(type);
      reduce_into(places, updates.data<T>() + first, static_cast<T*>(y.mutable_raw()), reduction);
    });
    return;
  }
  const std::size_t bytes = movable_bytes(y.dtype(), "scatter");
  const auto* from =
      static_cast<const std::byte*>(updates.raw()) + static_cast<std::size_t>(first) * bytes;
  switch (bytes) {
    case 1:
      return overwrite<std::uint8_t>(places, from, y.mutable_raw());
    case 2:
      return overwrite<std::uint16_t>(places, from, y.mutable_raw());
    case 4:
      return overwrite<std::uint32_t>(places, from, y.mutable_raw());
    default:
      return overwrite<std::uint64_t>(places, from, y.mutable_raw());
  }
}

}  // namespace

void write_places(const Places& places, const Tensor& updates, Tensor& y,
                  ScatterReduction reduction) {
  if (updates.elements() > 0) write_list(list_of(places), updates, 0, y, reduction);
}

void write_elements(const ElementPlaces& places, const Tensor& updates, Tensor& y,
                    ScatterReduction reduction) {
  places.each(0, places.rows(),
              [&](std::int64_t first, std::int64_t count, const std::int64_t* at) {
                write_list({at, count, 1}, updates, first, y, reduction);
              });
}

void backward_places(BackwardArgs& args, const Places& places, ScatterReduction reduction) {
  const DType own = args.input_dtype(0);
  const DType dtype = is_half(own) ? DType::f32 : own;
  const auto plain = [&](const Tensor& t) {
    return in_format(in_dtype(t, dtype), MemoryFormat::row_major);
  };
  const Tensor x = plain(args.input(0));
  const Tensor updates = plain(args.input(2));
  const Tensor g = plain(args.grad_output(0));
  Gradients d{x, updates, g, g.clone(), Tensor::empty(updates.shape(), dtype)};
  visit_float(dtype, args.call().op->name, [&](auto type) {
    using T = decltype(type);
    switch (reduction) {
      case ScatterReduction::none:
        return backward_overwrite<T>(places, d);
      case ScatterReduction::add:
        return read_places(places, g, d.gu);
      case ScatterReduction::mul:
        return backward_product<T>(places, d);
      case ScatterReduction::max:
      case ScatterReduction::min:
        return backward_extreme<T>(places, d, reduction);
    }
  });
  args.set(0, in_dtype(d.gx, own));
  args.set(2, in_dtype(d.gu, own));
}

}  // namespace pare
