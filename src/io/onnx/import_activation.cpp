// Import of activations.
#include <cmath>

#include "core/check.h"
#include "core/dtype_switch.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

template <const OpDef& Op> void import_plain(NodeImport& node) {
  node.ignore("consumed_inputs");
  node.output(0, call(node, Op, {node.value(0)}));
}

/// Attributes are single precision in the file: 1 / 6 there is not 1.0 / 6.
bool is_near(double value, double wanted) { return std::abs(value - wanted) < 1e-6; }

void import_relu(NodeImport& node) {
  node.ignore("consumed_inputs");
  const int x = node.value(0);
  node.output(0, is_floating(dtype_of(node, x))
                     ? call(node, kRelu, {x})
                     : call(node, kMaximum, {x, number_like(node, 0, x)}));
}

void import_leaky_relu(NodeImport& node) {
  node.ignore("consumed_inputs");
  const double slope = node.real("alpha", 0.01F);
  node.output(0, call(node, kLeakyRelu, LeakyReluAttributes{slope}, {node.value(0)}));
}

void import_elu(NodeImport& node) {
  node.ignore("consumed_inputs");
  node.output(0, call(node, kElu, EluAttributes{node.real("alpha", 1)}, {node.value(0)}));
}

void import_celu(NodeImport& node) {
  node.output(0, call(node, kCelu, EluAttributes{node.real("alpha", 1)}, {node.value(0)}));
}

void import_selu(NodeImport& node) {
  node.ignore("consumed_inputs");
  constexpr double kAlpha = 1.67326319217681884765625;
  constexpr double kGamma = 1.05070102214813232421875;
  const bool old = node.opset() < 6;
  const double alpha = node.real("alpha", old ? 1.6732 : kAlpha);
  const double gamma = node.real("gamma", old ? 1.0507 : kGamma);
  const int x = node.value(0);
  if (is_near(alpha, kAlpha) && is_near(gamma, kGamma)) {
    node.output(0, call(node, kSelu, {x}));
    return;
  }
  const int y = call(node, kElu, EluAttributes{alpha}, {x});
  node.output(0, call(node, kMul, {y, number_like(node, gamma, y)}));
}

void import_hard_sigmoid(NodeImport& node) {
  node.ignore("consumed_inputs");
  const double alpha = node.real("alpha", 0.2F);
  const double beta = node.real("beta", 0.5);
  const int x = node.value(0);
  if (is_near(alpha, 1.0 / 6) && is_near(beta, 0.5)) {
    node.output(0, call(node, kHardsigmoid, {x}));
    return;
  }
  const int scaled = call(node, kMul, {x, number_like(node, alpha, x)});
  const int moved = call(node, kAdd, {scaled, number_like(node, beta, x)});
  node.output(0, call(node, kClamp, ClampAttributes{0, 1}, {moved}));
}

void import_thresholded_relu(NodeImport& node) {
  const int x = node.value(0);
  const double alpha = node.real("alpha", 1);
  const int above = call(node, kGreater, {x, number_like(node, alpha, x)});
  node.output(0, call(node, kWhere, {above, x, number_like(node, 0, x)}));
}

/// x + bias below −lambda, x − bias above it, 0 between.
void import_shrink(NodeImport& node) {
  const double lambda = node.real("lambd", 0.5);
  const double bias = node.real("bias", 0);
  const int x = node.value(0);
  const int low = call(node, kLess, {x, number_like(node, -lambda, x)});
  const int high = call(node, kGreater, {x, number_like(node, lambda, x)});
  const int raised = bias == 0 ? x : call(node, kAdd, {x, number_like(node, bias, x)});
  const int lowered = bias == 0 ? x : call(node, kSub, {x, number_like(node, bias, x)});
  const int upper = call(node, kWhere, {high, lowered, number_like(node, 0, x)});
  node.output(0, call(node, kWhere, {low, raised, upper}));
}

void import_gelu(NodeImport& node) {
  const std::string approximate = node.string("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    node.refuse(fmt::format("the approximation '{}' is unknown", approximate));
  node.output(0, call(node, kGelu, GeluAttributes{approximate}, {node.value(0)}));
}

/// x · sigmoid(alpha · x).
void sigmoid_weighted(NodeImport& node, double alpha) {
  const int x = node.value(0);
  if (alpha == 1) {
    node.output(0, call(node, kSilu, {x}));
    return;
  }
  const int scaled = call(node, kMul, {x, number_like(node, alpha, x)});
  node.output(0, call(node, kMul, {x, call(node, kSigmoid, {scaled})}));
}

void import_swish(NodeImport& node) { sigmoid_weighted(node, node.real("alpha", 1)); }
void import_quick_gelu(NodeImport& node) { sigmoid_weighted(node, node.real("alpha", 1.702F)); }

/// The slope broadcasts to x; before opset 7 one of rank 1 belongs to the channels.
void import_prelu(NodeImport& node) {
  node.ignore("consumed_inputs");
  const int x = node.value(0);
  int slope = node.value(1);
  const Shape shape = shape_of(node, slope);
  const int rank = node.shape(0).rank();
  if (node.opset() < 7 && shape.rank() == 1 && rank > 2) {
    std::vector<int> spatial;
    for (int a = 1; a < rank - 1; ++a) spatial.push_back(a);
    slope = unsqueeze(node, slope, spatial);
  }
  if (is_floating(dtype_of(node, x))) {
    node.output(0, call(node, kPrelu, {x, slope}));
    return;
  }
  const int zero = number_like(node, 0, x);
  const int below = call(node, kLess, {x, zero});
  node.output(0, call(node, kWhere, {below, call(node, kMul, {x, slope}), x}));
}

constexpr OpImport kImports[] = {
    {"Celu", "", import_celu},
    {"Elu", "", import_elu},
    {"Gelu", "", import_gelu},
    {"Gelu", "com.microsoft", import_gelu},
    {"HardSigmoid", "", import_hard_sigmoid},
    {"HardSwish", "", import_plain<kHardswish>},
    {"LeakyRelu", "", import_leaky_relu},
    {"Mish", "", import_plain<kMish>},
    {"PRelu", "", import_prelu},
    {"QuickGelu", "com.microsoft", import_quick_gelu},
    {"Relu", "", import_relu},
    {"Selu", "", import_selu},
    {"Shrink", "", import_shrink},
    {"Sigmoid", "", import_plain<kSigmoid>},
    {"Softplus", "", import_plain<kSoftplus>},
    {"Softsign", "", import_plain<kSoftsign>},
    {"Swish", "", import_swish},
    {"Tanh", "", import_plain<kTanh>},
    {"ThresholdedRelu", "", import_thresholded_relu},
};

}  // namespace

constinit const std::span<const OpImport> kActivationImports = kImports;

}  // namespace pare::onnx
