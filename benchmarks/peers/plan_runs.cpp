// Runs of ResNet-20's Plan at batch 1 on demand for plan.py: reads lines "f32|int8 <runs>" and
// answers each with the seconds of every run. With --steps it prints both plans' tables instead.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;

const Shape kPicture{1, 3, 32, 32};

// Random weights and running statistics: latency does not depend on them.
Graph network() {
  models::ResNetCifar net = models::resnet20();
  Generator generator(0);
  initialize(net, generator);
  return trace(net, generator.normal(kPicture)).copy();
}

Graph quantized(const Graph& graph) {
  Graph prepared = quantize::prepare(graph, quantize::QConfig::x86());
  Generator generator(1);
  const NoGrad no_grad;
  for (int i = 0; i < 16; ++i) prepared(generator.normal(kPicture));
  return quantize::convert(prepared).graph;
}

void answer(const Plan& plan, const Tensor& picture, int runs) {
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    (void)plan.run(picture);
    const std::chrono::duration<double> t = std::chrono::steady_clock::now() - start;
    std::printf("%.9f ", t.count());
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const Graph graph = network();
  const Plan f32 = compile(graph, {.threads = 1});
  const Plan int8 = compile(quantized(graph), {.threads = 1});
  if (argc > 1 && std::string(argv[1]) == "--steps") {
    std::printf("%s\n%s\n", f32.to_string().c_str(), int8.to_string().c_str());
    return 0;
  }
  const Tensor picture = Generator(2).normal(kPicture);
  std::string name;
  int runs = 0;
  while (std::cin >> name >> runs) answer(name == "int8" ? int8 : f32, picture, runs);
  return 0;
}
