// linear and matmul on matrix products, forward and backward, against loops in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "onednn/gradient_of.h"
#include "onednn/kernels.h"

namespace pare {
namespace {

Tensor random_tensor(const Shape& shape, std::uint32_t seed) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (float& v : values) {
    seed = seed * 1664525U + 1013904223U;
    v = static_cast<float>(seed >> 8) / static_cast<float>(1 << 23) - 1.0F;
  }
  return Tensor::from(values, shape);
}

using Doubles = std::vector<double>;

void expect_near(const Tensor& got, const Doubles& want, const std::string& what) {
  const auto values = got.to_vector<float>();
  ASSERT_EQ(values.size(), want.size()) << what;
  double largest = 1;
  for (const double v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(values[i], want[i], 2e-6 * largest) << what << ", element " << i;
}

TEST(OnednnLinear, EqualsLoops) {
  struct Case {
    Shape x;
    std::int64_t out;
    bool bias;
  };
  for (const Case& c :
       {Case{{10, 784}, 30, true}, Case{{10, 100}, 10, true}, Case{{64, 300}, 100, false},
        Case{{2, 3, 5, 7}, 4, true}, Case{{13}, 6, true}, Case{{1, 1}, 1, true}}) {
    SCOPED_TRACE(c.x.to_string());
    const std::int64_t in = c.x[-1];
    const std::int64_t rows = c.x.elements() / in;
    Shape ys;
    for (int a = 0; a + 1 < c.x.rank(); ++a) ys.append(c.x[a]);
    ys.append(c.out);
    const Tensor x = random_tensor(c.x, 1);
    const Tensor w = random_tensor({c.out, in}, 2);
    const Tensor b = c.bias ? random_tensor({c.out}, 3) : Tensor();
    const Tensor g = random_tensor(ys, 4);
    Doubles y, dx(static_cast<std::size_t>(c.x.elements()));
    Doubles dw(static_cast<std::size_t>(c.out * in)), db(static_cast<std::size_t>(c.out));
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t o = 0; o < c.out; ++o) {
        double sum = c.bias ? b.data<float>()[o] : 0;
        const double go = g.data<float>()[r * c.out + o];
        for (std::int64_t i = 0; i < in; ++i) {
          sum += static_cast<double>(x.data<float>()[r * in + i]) * w.data<float>()[o * in + i];
          dx[static_cast<std::size_t>(r * in + i)] += go * w.data<float>()[o * in + i];
          dw[static_cast<std::size_t>(o * in + i)] += go * x.data<float>()[r * in + i];
        }
        y.push_back(sum);
        db[static_cast<std::size_t>(o)] += go;
      }
    const Tensors inputs{x, w, b};
    Tensors outputs{Tensor::empty(ys)};
    ASSERT_TRUE(onednn::linear_forward({}, inputs, outputs, context()));
    expect_near(outputs[0], y, "output");
    test::GradientOf gradient({}, inputs, g);
    ASSERT_TRUE(onednn::linear_backward(gradient));
    expect_near(gradient.gradients[0], dx, "gradient of x");
    expect_near(gradient.gradients[1], dw, "gradient of the weight");
    if (c.bias) expect_near(gradient.gradients[2], db, "gradient of the bias");
  }
}

/// Index of the element of a broadcast operand's batch that batch index `i` of the result reads.
std::size_t operand_batch(const Shape& operand, const Shape& batch, std::size_t i) {
  std::size_t index = 0;
  std::size_t step = 1;
  for (int a = batch.rank() - 1; a >= 0; --a) {
    const auto size = static_cast<std::size_t>(batch[a]);
    const std::size_t at = i % size;
    i /= size;
    const int axis = operand.rank() - 2 - (batch.rank() - a);
    if (axis < 0 || operand.rank() <= 2) continue;
    if (operand[axis] > 1) index += at * step;
    step *= static_cast<std::size_t>(operand[axis]);
  }
  return index;
}

TEST(OnednnMatmul, EqualsLoopsWithBroadcastBatches) {
  struct Case {
    Shape a, b, batch;
  };
  for (const Case& c :
       {Case{{5, 7}, {7, 3}, {}}, Case{{4, 5, 7}, {4, 7, 3}, {4}}, Case{{4, 5, 7}, {7, 3}, {4}},
        Case{{5, 7}, {4, 7, 3}, {4}}, Case{{2, 1, 5, 7}, {3, 7, 2}, {2, 3}},
        Case{{1, 3, 5, 7}, {2, 1, 7, 2}, {2, 3}}, Case{{7}, {7, 3}, {}}, Case{{5, 7}, {7}, {}},
        Case{{2, 5, 7}, {7}, {2}}, Case{{7}, {7}, {}}}) {
    SCOPED_TRACE(c.a.to_string() + " · " + c.b.to_string());
    const auto m = static_cast<std::size_t>(c.a.rank() > 1 ? c.a[-2] : 1);
    const auto k = static_cast<std::size_t>(c.a[-1]);
    const auto n = static_cast<std::size_t>(c.b.rank() > 1 ? c.b[-1] : 1);
    Shape ys = c.batch;
    if (c.a.rank() > 1) ys.append(c.a[-2]);
    if (c.b.rank() > 1) ys.append(c.b[-1]);
    const Tensor a = random_tensor(c.a, 1);
    const Tensor b = random_tensor(c.b, 2);
    const Tensor g = random_tensor(ys, 3);
    const float* pa = a.data<float>();
    const float* pb = b.data<float>();
    const float* pg = g.data<float>();
    Doubles y(static_cast<std::size_t>(ys.elements()));
    Doubles da(static_cast<std::size_t>(c.a.elements()));
    Doubles db(static_cast<std::size_t>(c.b.elements()));
    for (std::size_t i = 0; i < static_cast<std::size_t>(c.batch.elements()); ++i)
      for (std::size_t r = 0; r < m; ++r)
        for (std::size_t col = 0; col < n; ++col)
          for (std::size_t t = 0; t < k; ++t) {
            const std::size_t ia = (operand_batch(c.a, c.batch, i) * m + r) * k + t;
            const std::size_t ib = (operand_batch(c.b, c.batch, i) * k + t) * n + col;
            const std::size_t iy = (i * m + r) * n + col;
            y[iy] += static_cast<double>(pa[ia]) * pb[ib];
            da[ia] += static_cast<double>(pg[iy]) * pb[ib];
            db[ib] += static_cast<double>(pg[iy]) * pa[ia];
          }
    const Tensors inputs{a, b};
    Tensors outputs{Tensor::empty(ys)};
    ASSERT_TRUE(onednn::matmul_forward({}, inputs, outputs, context()));
    expect_near(outputs[0], y, "product");
    test::GradientOf gradient({}, inputs, g);
    ASSERT_TRUE(onednn::matmul_backward(gradient));
    expect_near(gradient.gradients[0], da, "gradient of a");
    expect_near(gradient.gradients[1], db, "gradient of b");
  }
}

}  // namespace
}  // namespace pare
