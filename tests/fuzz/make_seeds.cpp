// Writes what the fuzzers begin with: small good files, a folder for each reader.
// usage: pare_fuzz_seeds FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "pare/pare.h"

namespace {

using namespace pare;
namespace fs = std::filesystem;

struct Net : nn::Module {
  nn::Conv2d conv{{.in = 1, .out = 2, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d norm{{.features = 2}};
  nn::Linear fc{{.in = 27, .out = 2}};
  void members(nn::Members& m) override { m("conv", conv)("norm", norm)("fc", fc); }
  Tensor forward(const Tensor& x) override {
    return softmax(fc(flatten(concat({relu(norm(conv(x))), x}, 1))), 1);
  }
};

class Seeds {
 public:
  explicit Seeds(fs::path root) : root_(std::move(root)) {}
  std::string path(const std::string& reader, const std::string& name) const {
    fs::create_directories(root_ / reader);
    return (root_ / reader / name).string();
  }
  void write(const std::string& reader, const std::string& name, const std::string& text) const {
    std::ofstream(path(reader, name), std::ios::binary) << text;
  }

 private:
  fs::path root_;
};

// A chain of calls as their defaults have them.
Graph calls() {
  Graph graph;
  Shape symbolic;
  symbolic.append_symbol("n");
  symbolic.append(4);
  int y = graph.add_input("a", symbolic, DType::f32);
  for (const OpDef* op : {&kRelu, &kSoftmax, &kTanh}) {
    const Call call{op, op->defaults ? op->defaults() : Attributes()};
    y = graph.node(graph.add_node(op->name, call, {y})).outputs[0];
  }
  graph.set_outputs({y, graph.inputs()[0]});
  graph.metadata()["key"] = "value";
  return graph;
}

void write_models(const Seeds& seeds) {
  Generator generator(1);
  Net net;
  nn::initialize(net, generator);
  const Tensor x = generator.normal({2, 1, 3, 3});
  Graph prepared = quantize::prepare(trace(net, x));
  prepared(x);
  io::save_graph(prepared, seeds.path("pare_reader", "prepared"));
  io::save_graph(quantize::convert(prepared).graph, seeds.path("pare_reader", "int8"));
  io::save_graph(calls(), seeds.path("pare_reader", "calls"));
  prune::l1_unstructured(net.fc, "weight", 0.5);
  io::save(net, seeds.path("safetensors_reader", "masked"));
  io::save_graph(trace(net, x), seeds.path("pare_reader", "masked"));
}

void write_tensors(const Seeds& seeds) {
  const Tensor x = Generator(2).normal({2, 3});
  io::save_npy(seeds.path("npy_reader", "f32"), x);
  io::save_npy(seeds.path("npy_reader", "bool"), Tensor::zeros({3}, DType::boolean));
  io::save_npy(seeds.path("npy_reader", "scalar"), Tensor::scalar(1, DType::i64));
  const io::NamedTensor named[] = {{"a", x, false}, {"b", Tensor::zeros({2}, DType::u8), false}};
  io::save_npz(seeds.path("npz_reader", "two"), named);
  io::save_tensors(seeds.path("safetensors_reader", "two"), named, {{"key", "value"}});
  seeds.write("idx_reader", "u8", std::string("\0\0\x08\x02\0\0\0\x02\0\0\0\x02", 12) + "abcd");
  seeds.write("idx_reader", "f64", std::string("\0\0\x0e\x01\0\0\0\x01", 8) + "abcdefgh");
  seeds.write("cifar_reader", "one", std::string(1, '\3') + std::string(3072, 'x'));
}

#ifdef PARE_IMAGES
void write_pictures(const Seeds& seeds) {
  const Tensor picture = Tensor::full({3, 4, 5}, 100, DType::u8);
  data::write_png(seeds.path("picture_reader", "rgb"), picture);
  data::write_png(seeds.path("picture_reader", "grey"), Tensor::zeros({1, 3, 3}, DType::u8));
  // A GIF of one pixel.
  seeds.write(
      "picture_reader", "gif",
      std::string("GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", 35));
}
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: pare_fuzz_seeds FOLDER\n", stderr);
    return 2;
  }
  const Seeds seeds(argv[1]);
  write_models(seeds);
  write_tensors(seeds);
#ifdef PARE_IMAGES
  write_pictures(seeds);
#endif
  return 0;
}
