// Prints the cases of sequence_onnx_cases.h, operands and nodes, for make_golden_sequence_onnx.py.
#include "core/sequence_onnx_cases.h"

#include <cstdio>

int main() {
  using namespace pare;
  for (const test::OnnxCase& c : test::onnx_cases()) {
    std::printf("case %s\n", c.name.c_str());
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const Tensor& t = c.inputs[i];
      if (!t.defined()) continue;
      std::printf("tensor in%zu %s (", i, traits(t.dtype()).name);
      for (const std::int64_t d : t.shape().to_vector())
        std::printf("%lld ", static_cast<long long>(d));
      std::printf(")");
      for (const double v : t.to(DType::f64).to_vector<double>()) std::printf(" %.9g", v);
      std::printf("\n");
    }
    for (const std::string& line : test::nodes_of(c.call, c.inputs))
      std::printf("node %s\n", line.c_str());
  }
}
