// The contract's line on ONNX: the form of every op, written and read again, gives the same values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "core/ops/recurrent.h"
#include "core/packed_codes.h"
#include "core/samples.h"
#include "io/onnx/exporter.h"
#include "io/onnx/model_writer.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"
#include "pare/core/ops/dequantize_weight.h"
#include "pare/io/npy.h"
#include "pare/io/onnx.h"

namespace pare::test {
namespace {

/// The contract's samples, and those of coarse codes, which have no gradient to compare.
Samples onnx_samples() {
  Samples all = samples();
  const Tensor x = Generator(5).normal({3, 4});
  const Tensor scale = Tensor::from({0.02F, 0.03F, 0.5F, 0.04F}, {4});
  const Tensor zero = Tensor::from(std::vector<std::int32_t>{0, 120, 3, 128}, {4});
  all.push_back({"u8",
                 {&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{0, 255, 1})},
                 {x, scale, zero}});
  all.push_back({"s7",
                 {&kFakeQuantize, Attributes::of(FakeQuantizeAttributes{-63, 63, 1})},
                 {x, scale, Tensor::zeros({4}, DType::i32)}});
  return all;
}

/// A graph of one call, with its inputs; state stays inside.
struct OneCall {
  Graph graph;
  Tensors inputs;
};

OneCall graph_with(const Sample& s, bool constants) {
  OneCall made;
  std::vector<int> values;
  const OpDef& op = *s.call.op;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const Tensor& x = s.inputs[i];
    const bool state = std::any_of(op.state.begin(), op.state.end(), [&](const StatePair& p) {
      return p.input == static_cast<int>(i);
    });
    const std::string name = "x" + std::to_string(i);
    if (!x.defined()) {
      values.push_back(-1);
    } else if (state || constants || traits(x.dtype()).bits < 8) {
      values.push_back(made.graph.add_leaf(state ? Graph::Kind::buffer : Graph::Kind::constant,
                                           name, x.clone()));
    } else {
      values.push_back(made.graph.add_input(name, x.shape(), x.dtype()));
      made.inputs.push_back(x);
    }
  }
  const int node = made.graph.add_node("y", s.call, values);
  made.graph.set_outputs(made.graph.node(node).outputs);
  return made;
}

OneCall graph_of(const Sample& s) {
  try {
    return graph_with(s, false);
  } catch (const Error&) {
    return graph_with(s, true);  // it must know them in advance (range)
  }
}

Tensors run(Graph& graph, const Tensors& inputs) {
  ContextScope scope;
  scope->training = scope->observing = scope->grad = false;
  scope->threads = 1;
  return graph.run(inputs);
}

/// The file's bytes; empty with the reason where the form cannot say this call.
std::string written(const Graph& graph, std::string& reason) {
  try {
    return onnx::write_model(onnx::export_graph(graph, 0, "sample"));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    reason = error.message();
    return {};
  }
}

void expect_close(const Tensor& a, const Tensor& b, double tolerance) {
  ASSERT_EQ(a.shape(), b.shape());
  ASSERT_EQ(a.dtype(), b.dtype());
  const auto x = a.detach().to(DType::f64).to_vector<double>();
  const auto y = b.detach().to(DType::f64).to_vector<double>();
  double largest = 1e-30;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (std::isfinite(x[i])) largest = std::max(largest, std::fabs(x[i]));
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    ASSERT_LE(std::fabs(x[i] - y[i]), tolerance * largest)
        << "at " << i << ": " << x[i] << ", " << y[i];
  }
}

/// Whether rows are rounded that the form in ONNX does not have: what a projection multiplies,
/// since the form joins it with the weight of the steps.
bool loses_rounding(const Sample& s) {
  return quantizes_dynamically(s.call) && s.inputs.size() > kWeightHr &&
         s.inputs[kWeightHr].defined();
}

double tolerance_of(DType dtype) {
  if (dtype == DType::f16) return 2e-3;
  if (dtype == DType::bf16) return 2e-2;
  return is_floating(dtype) ? 2e-5 : 0;
}

struct NBits {
  std::string name;
  OneCall made;
  Tensor codes, scale, zero_point;
  bool fits = true;  ///< MatMulNBits says it
};

/// Products of x [3, 70] with stored weights.
std::vector<NBits> stored_products() {
  Generator g(21);
  std::vector<NBits> all;
  const auto draw = [&](const Shape& shape, DType dtype) {
    std::vector<std::int32_t> codes;
    const auto low = static_cast<std::int32_t>(traits(dtype).lowest);
    for (std::int64_t i = 0; i < shape.elements(); ++i)
      codes.push_back(low + static_cast<std::int32_t>(g.below(1U << traits(dtype).bits)));
    return codes_of(codes, shape, dtype);
  };
  for (const DType dtype : {DType::i8, DType::u8, DType::i4, DType::u4, DType::i2, DType::u2})
    for (const std::int64_t block : {0, 8, 16, 32, 48, 256})
      for (const bool turned : {false, true}) {
        NBits one;
        one.name = std::string(traits(dtype).name) + " blocks of " + std::to_string(block) +
                   (turned ? ", matmul" : ", linear");
        one.fits = block != 8 && block != 48;
        const int axis = turned ? 0 : 1;
        one.codes = draw(turned ? Shape{70, 10} : Shape{10, 70}, dtype);
        Shape scales = one.codes.shape();
        scales.set(axis, block > 0 ? (70 + block - 1) / block : 1);
        if (block == 0) scales = {10};
        one.scale = g.uniform(scales, 0.01F, 0.05F);
        if (!traits(dtype).is_signed) one.zero_point = draw(scales, dtype);
        Graph& graph = one.made.graph;
        one.made.inputs = {g.normal({3, 70})};
        const int x = graph.add_input("x", {3, 70}, DType::f32);
        const auto leaf = [&](const char* name, const Tensor& t) {
          return graph.add_leaf(Graph::Kind::constant, name, t);
        };
        std::vector<int> stored{leaf("codes", one.codes), leaf("scale", one.scale)};
        if (one.zero_point.defined()) stored.push_back(leaf("zero", one.zero_point));
        const DequantizeWeightAttributes a{block > 0 ? axis : 1 - axis, block};
        const int w =
            graph.node(graph.add_node("w", {&kDequantizeWeight, Attributes::of(a)}, stored))
                .outputs[0];
        std::vector<int> factors{x, w};
        if (!turned) factors.push_back(leaf("bias", g.normal({10})));
        const OpDef& op = turned ? kMatmul : kLinear;
        const int y =
            graph.add_node("y", {&op, op.defaults ? op.defaults() : Attributes()}, factors);
        graph.set_outputs(graph.node(y).outputs);
        graph.compact();
        all.push_back(std::move(one));
      }
  return all;
}

// Codes and scales of a file with MatMulNBits are those that went in, by output and block.
TEST(OnnxContract, MatMulNBitsRoundTrips) {
  for (NBits& one : stored_products()) {
    SCOPED_TRACE(one.name);
    const onnx::ModelProto model = onnx::export_graph(one.made.graph, 0, "sample", true);
    const bool has = std::ranges::any_of(
        model.graph.nodes, [](const onnx::NodeProto& n) { return n.op_type == "MatMulNBits"; });
    ASSERT_EQ(has, one.fits);
    if (!has) continue;
    EXPECT_EQ(model.graph.nodes.size(), 1U);
    EXPECT_EQ(model.opsets.at("com.microsoft"), 1);
    EXPECT_EQ(model.opsets.at(""), 13);
    const std::string bytes = onnx::write_model(model);
    Graph back = onnx::parse(std::as_bytes(std::span(bytes)));
    const Tensors wanted = run(one.made.graph, one.made.inputs);
    expect_close(wanted[0], run(back, one.made.inputs)[0], 2e-6);
    int stored = 0;
    for (const Graph::Node& node : back.nodes()) {
      if (node.call.op != &kDequantizeWeight) continue;
      ++stored;
      const Tensor& codes = back.value(node.inputs[0]).tensor;
      EXPECT_EQ(codes.dtype(), one.codes.dtype());
      if (codes.shape() == one.codes.shape()) {
        EXPECT_EQ(code_values(codes), code_values(one.codes));
      } else {
        EXPECT_EQ(code_values(codes)[1], code_values(one.codes)[10]);
      }
    }
    EXPECT_EQ(stored, 1);
  }
}

TEST(OnnxContract, EveryFormRoundTrips) {
  std::set<std::string> good;
  std::map<std::string, std::string> refused;
  const Samples all = onnx_samples();
  for (const Sample& s : all) {
    if (!s.call.op->onnx.op_type || s.training || loses_rounding(s)) continue;
    SCOPED_TRACE(label(s));
    OneCall made = graph_of(s);
    std::string reason;
    const std::string bytes = written(made.graph, reason);
    if (bytes.empty()) {
      refused[s.call.op->name] = reason;
      continue;
    }
    const Tensors expected = run(made.graph, made.inputs);
    try {
      Graph back = onnx::parse(std::as_bytes(std::span(bytes)));
      ASSERT_EQ(back.inputs().size(), made.inputs.size());
      const Tensors found = run(back, made.inputs);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t o = 0; o < found.size(); ++o)
        expect_close(expected[o], found[o], tolerance_of(expected[o].dtype()));
      good.insert(s.call.op->name);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  for (const OpDef* op : all_ops())
    if (op->onnx.op_type && op->onnx.opset <= 21) {
      EXPECT_TRUE(good.contains(op->name)) << op->name << ": " << refused[op->name];
    }
}

// Writes every sample with its inputs and results for check_onnx_peer.py.
TEST(OnnxContract, WriteForPeers) {
  const char* path = std::getenv("PARE_ONNX_PEER");
  if (!path) GTEST_SKIP() << "set PARE_ONNX_PEER to a folder for check_onnx_peer.py";
  const std::filesystem::path folder(path);
  std::ofstream list(folder / "list.txt");
  int number = 0;
  const Samples all = onnx_samples();
  for (const Sample& s : all) {
    if (!s.call.op->onnx.op_type || s.training) continue;
    if (quantizes_dynamically(s.call)) continue;  // ONNX's layers multiply rows as they are
    OneCall made = graph_of(s);
    // Types that NumPy has not stay inside of the file.
    const auto plain = [](const Tensor& t) { return t.dtype() != DType::bf16; };
    if (!std::all_of(made.inputs.begin(), made.inputs.end(), plain)) continue;
    // ONNX Runtime does not come back from a convolution of no channels.
    if (s.inputs.size() > 1 && s.inputs[1].defined() && s.inputs[1].elements() == 0) continue;
    std::string reason;
    const std::string bytes = written(made.graph, reason);
    if (bytes.empty()) continue;
    const Tensors results = run(made.graph, made.inputs);
    if (!std::all_of(results.begin(), results.end(), plain)) continue;
    const std::string name = std::to_string(number++);
    std::ofstream(folder / (name + ".onnx"), std::ios::binary) << bytes;
    std::vector<nn::NamedTensor> tensors;
    for (std::size_t i = 0; i < made.inputs.size(); ++i)
      tensors.push_back({"in" + std::to_string(i), made.inputs[i]});
    for (std::size_t o = 0; o < results.size(); ++o)
      tensors.push_back({"out" + std::to_string(o), results[o]});
    io::save_npz((folder / (name + ".npz")).string(), tensors);
    list << name << ' ' << label(s) << '\n';
  }
  for (NBits& one : stored_products()) {
    if (!one.fits) continue;
    const std::string name = std::to_string(number++);
    std::ofstream(folder / (name + ".onnx"), std::ios::binary)
        << onnx::write_model(onnx::export_graph(one.made.graph, 0, "sample", true));
    const Tensors results = run(one.made.graph, one.made.inputs);
    const std::vector<nn::NamedTensor> tensors{{"in0", one.made.inputs[0]}, {"out0", results[0]}};
    io::save_npz((folder / (name + ".npz")).string(), tensors);
    list << name << " MatMulNBits, " << one.name << '\n';
  }
}

}  // namespace
}  // namespace pare::test
