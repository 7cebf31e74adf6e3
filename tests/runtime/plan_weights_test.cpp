// Plans that keep weights as codes or in 16 bits: the interpreter's numbers, the bytes, other
// sizes.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/code_matrix.h"
#include "core/packed_codes.h"
#include "expect_error.h"
#include "pare/core/context.h"
#include "pare/core/generator.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/graph/graph.h"
#include "pare/runtime/compile.h"
#include "runtime/weights.h"

namespace pare::runtime {
namespace {

Tensor random_codes(Generator& g, const Shape& shape, DType dtype) {
  const auto low = static_cast<std::int64_t>(traits(dtype).lowest);
  const auto high = static_cast<std::int64_t>(traits(dtype).highest);
  std::vector<std::int32_t> codes;
  for (std::int64_t i = 0; i < shape.elements(); ++i)
    codes.push_back(static_cast<std::int32_t>(
        low + static_cast<std::int64_t>(g.below(static_cast<std::uint64_t>(high - low + 1)))));
  return codes_of(codes, shape, dtype);
}

struct Stored {
  Tensor weight, scale, zero_point;
  DequantizeWeightAttributes attributes;
};

/// A weight of [rows, columns] with blocks along `axis`; 0: a scale for each of the other axis.
Stored stored(Generator& g, const Shape& shape, DType dtype, int axis, std::int64_t block) {
  Stored s;
  if (is_floating(dtype)) {
    s.weight = g.normal(shape).to(dtype);
    return s;
  }
  s.weight = random_codes(g, shape, dtype);
  Shape scales = shape;
  if (block > 0)
    scales.set(axis, (shape[axis] + block - 1) / block);
  else
    scales = {shape[1 - axis]};
  s.attributes = {block > 0 ? axis : 1 - axis, block};
  s.scale = g.uniform(scales, 0.01F, 0.05F);
  if (!traits(dtype).is_signed) s.zero_point = random_codes(g, scales, dtype);
  return s;
}

int add_stored(Graph& graph, const Stored& s) {
  const auto leaf = [&](const char* name, const Tensor& t) {
    return graph.add_leaf(Graph::Kind::constant, name, t);
  };
  if (is_floating(s.weight.dtype())) {
    const Call cast{&kCast, Attributes::of(CastAttributes{DType::f32})};
    return graph.node(graph.add_node("widen", cast, {leaf("w", s.weight)})).outputs[0];
  }
  std::vector<int> inputs{leaf("w", s.weight), leaf("scale", s.scale)};
  if (s.zero_point.defined()) inputs.push_back(leaf("zero", s.zero_point));
  const Call call{&kDequantizeWeight, Attributes::of(s.attributes)};
  return graph.node(graph.add_node("dequantize", call, std::move(inputs))).outputs[0];
}

Call call_of(const OpDef& op) { return {&op, op.defaults ? op.defaults() : Attributes()}; }

Tensor interpreted(Graph& graph, const Tensor& x) {
  ContextScope scope;
  scope->grad = scope->observing = scope->training = false;
  scope->threads = 1;
  return graph.run({x})[0];
}

/// Sums of `inner` products differ by their order alone.
void expect_sums(const Tensor& found, const Tensor& wanted, const std::string& what) {
  ASSERT_EQ(found.shape(), wanted.shape()) << what;
  const std::vector<float> a = found.to_vector<float>(), b = wanted.to_vector<float>();
  double most = 0;
  for (const float v : b) most = std::max(most, std::fabs(double{v}));
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a[i], b[i], 4e-6 * most + 1e-6) << what << " at " << i;
}

/// x · wᵀ + bias, summed in double.
Tensor product(const Tensor& x, const Tensor& w, const Tensor& bias) {
  Tensor y = Tensor::empty({x.dim(0), w.dim(0)});
  const std::int64_t in = w.dim(1), out = w.dim(0);
  for (std::int64_t r = 0; r < x.dim(0); ++r)
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = bias.data<float>()[o];
      for (std::int64_t k = 0; k < in; ++k)
        sum += double{x.data<float>()[r * in + k]} * w.data<float>()[o * in + k];
      y.mutable_data<float>()[r * out + o] = static_cast<float>(sum);
    }
  return y;
}

constexpr DType kTypes[] = {DType::i8, DType::u8, DType::i4,  DType::u4,
                            DType::i2, DType::u2, DType::f16, DType::bf16};

TEST(PlanWeights, MatrixIsTheDequantizedOneAndComesBack) {
  ContextScope scope;
  scope->threads = 1;
  Generator g(1);
  for (const DType dtype : kTypes)
    for (const auto& [out, in] : {std::pair<std::int64_t, std::int64_t>{19, 37}, {16, 64}, {1, 5}})
      for (const std::int64_t block : {0, 1, 5, 16, 32, 100})
        for (const bool transposed : {false, true}) {
          const Shape shape = transposed ? Shape{in, out} : Shape{out, in};
          const Stored s = stored(g, shape, dtype, transposed ? 0 : 1, block);
          const Tensor bias = g.normal({out});
          const auto matrix = CodeMatrix::make({.weight = s.weight,
                                                .transposed = transposed,
                                                .scale = s.scale,
                                                .zero_point = s.zero_point,
                                                .attributes = s.attributes,
                                                .bias = bias});
          const std::string what = std::string(traits(dtype).name) + " " + shape.to_string() +
                                   " by " + std::to_string(block);
          ASSERT_TRUE(matrix) << what;
          const auto constants = allocate_block(matrix->constant_bytes());
          matrix->fill(constants.get());
          const Tensor w = is_floating(dtype)
                               ? s.weight.to(DType::f32)
                               : dequantize_weight(s.weight, s.scale, s.zero_point, s.attributes);
          for (const std::int64_t rows : {1, 2, 3, 7, 9, 20}) {
            const Tensor x = g.normal({rows, in});
            Tensor y = Tensor::empty({rows, out});
            const auto scratch = allocate_block(matrix->scratch_bytes(rows));
            matrix->run(constants.get(), rows, x.data<float>(), y.mutable_data<float>(),
                        scratch.get());
            expect_sums(y, product(x, transposed ? transpose(w, {1, 0}) : w, bias),
                        what + " rows " + std::to_string(rows));
          }
          const Tensor given = matrix->given(constants.get(), 0);
          EXPECT_EQ(given.dtype(), dtype);
          if (is_floating(dtype)) {
            EXPECT_EQ(given.to(DType::f32).to_vector<float>(), w.to_vector<float>()) << what;
            continue;
          }
          EXPECT_EQ(code_values(given), code_values(s.weight)) << what;
          EXPECT_EQ(matrix->given(constants.get(), 1).to_vector<float>(),
                    s.scale.to_vector<float>());
          if (s.zero_point.defined()) {
            EXPECT_EQ(code_values(matrix->given(constants.get(), 2)), code_values(s.zero_point));
          }
        }
}

TEST(PlanWeights, OtherLayoutsOfScalesAreLeft) {
  Generator g(2);
  const Tensor weight = random_codes(g, {6, 8}, DType::i4);
  const auto made = [&](const Shape& scale, DequantizeWeightAttributes attributes) {
    return CodeMatrix::make(
               {.weight = weight, .scale = g.uniform(scale, 0.1F, 1), .attributes = attributes}) !=
           nullptr;
  };
  EXPECT_TRUE(made({6, 2}, {1, 4}));
  EXPECT_TRUE(made({6}, {0, 0}));
  EXPECT_TRUE(made({}, {-1, 0}));
  EXPECT_FALSE(made({3, 8}, {0, 2}));
  EXPECT_FALSE(made({8}, {1, 0}));
}

TEST(PlanWeights, LinearAndMatmulRunOnCodesWithTheirBytes) {
  Generator g(3);
  for (const DType dtype : kTypes)
    for (const OpDef* op : {&kLinear, &kMatmul})
      for (const bool turned : {false, true})
        for (const std::int64_t rows : {1, 12}) {
          const bool columns_first = (op == &kMatmul) != turned;
          const Shape shape = columns_first ? Shape{96, 64} : Shape{64, 96};
          const Stored s = stored(g, shape, dtype, columns_first ? 0 : 1, 32);
          Graph graph;
          const int x = graph.add_input("x", {rows, 96}, DType::f32);
          int w = add_stored(graph, s);
          if (turned) {
            const Call call{&kTranspose, Attributes::of(TransposeAttributes{{1, 0}})};
            w = graph.node(graph.add_node("turn", call, {w})).outputs[0];
          }
          std::vector<int> inputs{x, w};
          if (op == &kLinear)
            inputs.push_back(graph.add_leaf(Graph::Kind::parameter, "b", g.normal({64})));
          const int y = graph.node(graph.add_node("fc", call_of(*op), inputs)).outputs[0];
          const int other = graph.add_leaf(Graph::Kind::parameter, "r", g.normal({rows, 64}));
          const int sum = graph.node(graph.add_node("sum", call_of(kAdd), {y, other})).outputs[0];
          graph.set_outputs({graph.node(graph.add_node("relu", call_of(kRelu), {sum})).outputs[0]});
          graph.compact();
          const Plan plan = compile(graph.copy(), {.threads = 1});
          const std::string what = std::string(traits(dtype).name) + " " + op->name;
          const Tensor input = g.normal({rows, 96});
          expect_sums(plan.run(input), interpreted(graph, input), what);
          std::string kernels;
          for (const PlanStep& step : plan.steps()) kernels += step.kernel + ", ";
          EXPECT_NE(kernels.find(is_floating(dtype) ? "weights " : "codes "), std::string::npos)
              << what << ": " << kernels;
          const std::size_t bytes = s.weight.bytes() + (s.scale.defined() ? s.scale.bytes() : 0) +
                                    (s.zero_point.defined() ? 64 * 4 : 0) + 64 * sizeof(float);
          EXPECT_LE(plan.memory().weights, bytes + 1024) << what;
        }
}

TEST(PlanWeights, RowsOfTablesComeFromTheCodes) {
  Generator g(5);
  for (const DType dtype : kTypes)
    for (const bool gather : {false, true})
      for (const std::int64_t block : {0, 7, 16}) {
        Graph graph;
        const int ids = graph.add_input("ids", {2, 5}, gather ? DType::i32 : DType::i64);
        const Stored s = stored(g, {21, 37}, dtype, 1, block);
        const int w = add_stored(graph, s);
        const OpDef& op = gather ? kGather : kEmbedding;
        const std::vector<int> inputs = gather ? std::vector{w, ids} : std::vector{ids, w};
        graph.set_outputs({graph.node(graph.add_node("rows", call_of(op), inputs)).outputs[0]});
        graph.compact();
        const Plan plan = compile(graph.copy(), {.threads = 1});
        Tensor numbers = g.uniform({2, 5}, 0, 20.99F).to(gather ? DType::i32 : DType::i64);
        if (gather) numbers.mutable_data<std::int32_t>()[3] = -1;
        EXPECT_EQ(plan.run(numbers).to_vector<float>(),
                  interpreted(graph, numbers).to_vector<float>());
        EXPECT_LE(plan.memory().weights + plan.memory().constants,
                  32 * 37 * sizeof(float) / 2 + 6000);
        const Tensor beyond = Tensor::full({2, 5}, 21).to(numbers.dtype());
        test::expect_error(ErrorCode::out_of_range, {"rows", "20, got 21"},
                           [&] { plan.run(beyond); });
      }
}

TEST(PlanWeights, OtherSizesTakeTheCodesOutOfThePackedForm) {
  Generator g(4);
  for (const DType dtype : kTypes) {
    Graph graph;
    Shape batch;
    batch.append_symbol("batch");
    batch.append(96);
    const int x = graph.add_input("x", batch, DType::f32);
    const Stored s = stored(g, {64, 96}, dtype, 1, 16);
    const int w = add_stored(graph, s);
    graph.set_outputs({graph.node(graph.add_node("fc", call_of(kLinear), {x, w})).outputs[0]});
    graph.compact();
    const Plan plan = compile(graph.copy(), {.threads = 1});
    // Nothing of the graph's own is kept beside the packed form.
    EXPECT_EQ(plan.memory().constants, 0U) << traits(dtype).name;
    for (const std::int64_t rows : {1, 3, 30}) {
      const Tensor input = g.normal({rows, 96});
      expect_sums(plan.run(input), interpreted(graph, input), traits(dtype).name);
    }
  }
}

}  // namespace
}  // namespace pare::runtime
