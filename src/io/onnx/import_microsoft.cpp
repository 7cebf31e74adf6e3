// Import of float ops of com.microsoft that ONNX Runtime's optimizer writes.
#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_convolution.h"
#include "io/onnx/import_families.h"
#include "io/onnx/import_product.h"

namespace pare::onnx {
namespace {

/// The activation of a fused op, by ONNX's name, with its parameters.
int activated(NodeImport& node, int x, const std::string& name, const std::vector<double>& values) {
  const auto value = [&](std::size_t i, double fallback) {
    return i < values.size() ? values[i] : fallback;
  };
  if (name.empty()) return x;
  if (name == "Relu") return call(node, kRelu, {x});
  if (name == "Sigmoid") return call(node, kSigmoid, {x});
  if (name == "Tanh") return call(node, kTanh, {x});
  if (name == "LeakyRelu") return call(node, kLeakyRelu, LeakyReluAttributes{value(0, 0.01F)}, {x});
  if (name == "Clip") {
    const ClampAttributes bounds{value(0, ClampAttributes{}.min), value(1, ClampAttributes{}.max)};
    return call(node, kClamp, bounds, {x});
  }
  if (name == "HardSigmoid") {
    const int scaled = call(node, kMul, {x, number_like(node, value(0, 0.2F), x)});
    const int moved = call(node, kAdd, {scaled, number_like(node, value(1, 0.5), x)});
    return call(node, kClamp, ClampAttributes{0, 1}, {moved});
  }
  refuse(node, fmt::format("the activation '{}' is unknown", name));
}

/// A convolution, plus a tensor of the result's shape, activated.
void import_fused_conv(NodeImport& node) {
  std::vector<int> inputs{node.value(0), node.value(1)};
  if (node.has(2)) inputs.push_back(node.value(2));
  int y = convolution(node, std::move(inputs));
  if (node.has(3)) y = call(node, kAdd, {y, node.value(3)});
  node.output(0,
              activated(node, y, node.string("activation", ""), node.reals("activation_params")));
}

/// alpha · A·B, each with its last two axes exchanged where asked for.
void import_fused_matmul(NodeImport& node) {
  expect_integer(node, "transBatchA", 0, 0);
  expect_integer(node, "transBatchB", 0, 0);
  const double alpha = node.real("alpha", 1);
  const auto factor = [&](int i, const char* exchanged) {
    const int x = node.value(i);
    const int rank = shape_of(node, x).rank();
    if (node.integer(exchanged, 0) == 0 || rank < 2) return x;
    std::vector<std::int64_t> permutation;
    for (int a = 0; a < rank; ++a) permutation.push_back(a);
    std::swap(permutation[permutation.size() - 2], permutation.back());
    return transpose(node, x, permutation);
  };
  const int a = factor(0, "transA");
  const int y = matmul(node, a, factor(1, "transB"));
  node.output(0, alpha == 1 ? y : call(node, kMul, {y, number_like(node, alpha, y)}));
}

/// gelu(x + bias), exact or by tanh.
void biased_gelu(NodeImport& node, const char* approximate) {
  int x = node.value(0);
  if (node.has(1)) x = call(node, kAdd, {x, node.value(1)});
  node.output(0, call(node, kGelu, GeluAttributes{approximate}, {x}));
}
void import_bias_gelu(NodeImport& node) { biased_gelu(node, "none"); }
void import_fast_gelu(NodeImport& node) { biased_gelu(node, "tanh"); }

constexpr OpImport kImports[] = {
    {"BiasGelu", "com.microsoft", import_bias_gelu},
    {"FastGelu", "com.microsoft", import_fast_gelu},
    {"FusedConv", "com.microsoft", import_fused_conv},
    {"FusedMatMul", "com.microsoft", import_fused_matmul},
};

}  // namespace

constinit const std::span<const OpImport> kMicrosoftImports = kImports;

}  // namespace pare::onnx
