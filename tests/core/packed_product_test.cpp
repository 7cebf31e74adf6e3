// packed_product against loops in double precision, at every edge of its blocks.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/ops/packed_matrix.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"

namespace pare {
namespace {

struct Product {
  std::int64_t rows, columns, inner;
};

/// c = a · b + start, or a · b; strides are longer than rows, and what lies between stays.
void expect_product(const Product& p, bool transposed, bool accumulate) {
  SCOPED_TRACE(std::to_string(p.rows) + " x " + std::to_string(p.columns) + " x " +
               std::to_string(p.inner) + (transposed ? ", transposed" : "") +
               (accumulate ? ", accumulated" : ""));
  Generator generator(4);
  const std::int64_t a_rows = transposed ? p.inner : p.rows;
  const std::int64_t a_stride = (transposed ? p.rows : p.inner) + 3;
  const std::int64_t b_stride = p.columns + 5;
  const std::int64_t c_stride = p.columns + 2;
  const Tensor a = generator.normal({a_rows, a_stride});
  const Tensor b = generator.normal({p.inner, b_stride});
  const Tensor start = generator.normal({p.rows, c_stride});
  Tensor c = start.clone();
  packed_product(p.rows, p.columns, p.inner, {a.data<float>(), a_stride, transposed},
                 {b.data<float>(), b_stride}, c.mutable_data<float>(), c_stride, accumulate);
  for (std::int64_t i = 0; i < p.rows; ++i)
    for (std::int64_t j = 0; j < c_stride; ++j) {
      const float before = start.data<float>()[i * c_stride + j];
      const float found = c.data<float>()[i * c_stride + j];
      if (j >= p.columns) {
        ASSERT_EQ(found, before) << i << ", " << j;
        continue;
      }
      double sum = accumulate ? static_cast<double>(before) : 0;
      for (std::int64_t k = 0; k < p.inner; ++k)
        sum +=
            static_cast<double>(a.data<float>()[transposed ? k * a_stride + i : i * a_stride + k]) *
            static_cast<double>(b.data<float>()[k * b_stride + j]);
      ASSERT_NEAR(found, sum, 1e-4) << i << ", " << j;
    }
}

TEST(PackedProduct, EqualsLoops) {
  if (!PackedMatrix::available()) GTEST_SKIP() << "made for AVX2";
  for (const int threads : {1, 2}) {
    ContextScope scope;
    scope->threads = threads;
    for (const Product& p :
         {Product{1, 1, 1}, Product{5, 15, 3}, Product{6, 16, 256}, Product{7, 17, 257},
          Product{8, 16, 9}, Product{13, 33, 20}, Product{47, 130, 31}, Product{49, 128, 300},
          Product{100, 20, 64}, Product{20, 260, 64}, Product{96, 144, 512}})
      for (const bool transposed : {false, true})
        for (const bool accumulate : {false, true}) expect_product(p, transposed, accumulate);
  }
}

TEST(PackedProduct, ThreadsDoNotChangeIt) {
  if (!PackedMatrix::available()) GTEST_SKIP() << "made for AVX2";
  Generator generator(5);
  const Tensor a = generator.normal({512, 200});
  const Tensor b = generator.normal({512, 96});
  const auto product = [&](int threads) {
    ContextScope scope;
    scope->threads = threads;
    Tensor c = Tensor::empty({200, 96});
    packed_product(200, 96, 512, {a.data<float>(), 200, true}, {b.data<float>(), 96},
                   c.mutable_data<float>(), 96, false);
    return c.to_vector<float>();
  };
  EXPECT_EQ(product(1), product(2));
  EXPECT_EQ(product(1), product(3));
}

}  // namespace
}  // namespace pare
