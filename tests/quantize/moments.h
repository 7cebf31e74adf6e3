// Second moments of made-up inputs, for the tests of rounding.
#pragma once

#include <cstdint>

#include "pare/core/generator.h"
#include "quantize/round_codes.h"

namespace pare::test {

/// Positive definite, with strongly related columns.
inline quantize::SquareMatrix random_moments(std::int64_t n, Generator& generator) {
  const auto x = generator.normal({3 * n, n}).to_vector<float>();
  quantize::SquareMatrix m(n);
  for (std::int64_t p = 0; p < 3 * n; ++p)
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t k = 0; k < n; ++k)
        m.row(i)[k] +=
            (x[static_cast<std::size_t>(p * n + i)] + 0.5 * x[static_cast<std::size_t>(p * n)]) *
            (x[static_cast<std::size_t>(p * n + k)] + 0.5 * x[static_cast<std::size_t>(p * n)]);
  return m;
}

}  // namespace pare::test
