// Whether a model gives what another runtime gave: pare_onnx_equals_peer <model.onnx> <case.npz>
// [tolerance] [written.onnx].
//
// The case has arrays in0, in1, … and out0, out1, … in the model's order. The interpreter and the
// plan must be as near to them as --tolerance says (2e-4 of the largest element by default).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/io/npy.h"
#include "pare/io/onnx.h"
#include "pare/runtime/compile.h"

namespace {

using pare::Tensor;
using pare::Tensors;

/// in0, in1, … as far as they go.
Tensors numbered(const std::map<std::string, Tensor>& arrays, const char* name) {
  Tensors tensors;
  for (int k = 0;; ++k) {
    const auto at = arrays.find(fmt::format("{}{}", name, k));
    if (at == arrays.end()) return tensors;
    tensors.push_back(at->second);
  }
}

/// The largest difference, by the largest element; below 1e-3 ONNX Runtime's sigmoid is inexact.
double distance(const Tensor& got, const Tensor& wanted) {
  if (!(got.shape() == wanted.shape())) return INFINITY;
  const auto a = got.to(pare::DType::f64).to_vector<double>();
  const auto b = wanted.to(pare::DType::f64).to_vector<double>();
  double largest = 1e-3;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    // NaN on one side is a difference.
    if (!(std::abs(a[i] - b[i]) <= worst) && a[i] != b[i]) worst = std::abs(a[i] - b[i]);
  }
  return worst / largest;
}

bool near(const char* way, const Tensors& got, const Tensors& wanted, double tolerance) {
  bool good = got.size() == wanted.size();
  for (std::size_t k = 0; good && k < got.size(); ++k) {
    const double d = distance(got[k], wanted[k]);
    std::printf("%-12s output %zu: %.2e of the largest element\n", way, k, d);
    good = d <= tolerance;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::printf("pare_onnx_equals_peer <model.onnx> <case.npz> [tolerance] [written.onnx]\n");
    return 2;
  }
  try {
    std::map<std::string, Tensor> arrays;
    for (const pare::io::NamedTensor& array : pare::io::load_npz(argv[2]))
      arrays.emplace(array.name, array.tensor);
    const Tensors inputs = numbered(arrays, "in");
    const Tensors wanted = numbered(arrays, "out");
    const double tolerance = argc > 3 ? std::atof(argv[3]) : 2e-4;
    pare::ContextScope scope;
    scope->grad = false;
    pare::Graph graph = pare::onnx::load(argv[1]);
    const bool interpreted = near("interpreter", graph.run(inputs), wanted, tolerance);
    const pare::Plan plan = pare::compile(graph);
    const bool planned = near("plan", plan.run(inputs), wanted, tolerance);
    bool again = true;
    if (argc > 4) {
      // In the words of its own ops, for the peer to run.
      pare::onnx::save(graph, argv[4]);
      pare::Graph written = pare::onnx::load(argv[4]);
      again = near("written", written.run(inputs), wanted, tolerance);
    }
    return interpreted && planned && again && !wanted.empty() ? 0 : 1;
  } catch (const pare::Error& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
