// Quantized graphs as ONNX files, each beside all values that the interpreter computes in it:
// pare_quantize_peer_cases FOLDER. numerics_peer.py runs their nodes one by one in ONNX Runtime.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/layered_samples.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/io/npy.h"
#include "pare/io/onnx.h"
#include "pare/quantize/convert.h"
#include "pare/quantize/prepare.h"
#include "runtime/nets.h"

namespace pare::test {
namespace {

class Writer {
 public:
  explicit Writer(const std::string& folder) : folder_(folder), list_(folder_ / "list.txt") {}

  void write(Graph graph, const Tensors& inputs, const std::string& title, int opset = 0) {
    const std::string name = std::to_string(count_++);
    // The file gives values the names of the outputs that they are.
    std::vector<std::string> names;
    for (const int v : graph.outputs()) names.push_back(graph.value(v).name);
    graph.set_outputs(graph.outputs(), names);
    std::vector<nn::NamedTensor> values;
    const auto keep = [&](int value, const Tensor& tensor) {
      values.push_back({graph.value(value).name, tensor.to(MemoryFormat::row_major)});
    };
    for (std::size_t i = 0; i < inputs.size(); ++i) keep(graph.inputs()[i], inputs[i]);
    graph.run_visiting(inputs, keep);
    onnx::save(graph, folder_ / (name + ".onnx"), {.opset = opset});
    io::save_npz((folder_ / (name + ".npz")).string(), values);
    list_ << name << ' ' << title << '\n';
  }

  int count() const { return count_; }

 private:
  std::filesystem::path folder_;
  std::ofstream list_;
  int count_ = 0;
};

/// Every op that has a sample and integers, in the forms that QConfig gives.
void write_samples(Writer& writer) {
  quantize::QConfig symmetric = quantize::QConfig::x86(Isa::avx512_vnni);
  symmetric.activation_dtype = DType::i8;
  symmetric.symmetric_activations = true;
  symmetric.full_weight_range = true;
  quantize::QConfig narrow = quantize::QConfig::portable();
  narrow.weight_qmax = narrow.depthwise_weight_qmax = 7;
  narrow.activation_bits = 5;
  narrow.weight_granularity = quantize::Granularity::per_tensor;
  narrow.even_zero_points = false;
  quantize::QConfig grouped = quantize::QConfig::portable();
  grouped.weight_granularity = quantize::Granularity::per_group;
  grouped.weight_group_size = 2;
  quantize::QConfig two = quantize::QConfig::portable();
  two.weight_qmax = two.depthwise_weight_qmax = 1;
  struct Case {
    const char* name;
    quantize::QConfig config;
    int opset;  // 0: the lowest; others pack codes of weights
  };
  const Case cases[] = {{"x86", quantize::QConfig::x86(Isa::avx512_vnni), 0},
                        {"portable", quantize::QConfig::portable(), 0},
                        {"symmetric i8", symmetric, 0},
                        {"4 and 5 bits", narrow, 0},
                        {"4 and 5 bits, packed", narrow, 21},
                        {"2 bits, packed in 4", two, 21},
                        {"2 bits, packed", two, 25},
                        {"by group", grouped, 0}};
  for (const Sample& s : samples()) {
    if (s.call.op->quantization.kind == QuantizationFact::Kind::none || s.training) continue;
    if (!suits_layers(s)) continue;
    for (auto [name, config, opset] : cases) {
      if (opset != 0 && s.call.op->quantization.weight_input < 0) continue;
      config.quantize_outputs = true;
      config.observer = quantize::Observer::min_max;
      Tensors inputs;
      const Graph graph = between_layers(s, true, inputs);
      try {
        Graph prepared = quantize::prepare(graph, config);
        prepared.run(inputs);
        writer.write(quantize::convert(prepared).graph, inputs,
                     fmt::format("{} [{}]", label(s), name), opset);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::unsupported) throw;  // no groups, or no form in ONNX
      }
    }
  }
}

/// Ties and their neighbours, what saturates, and the ends of the floats.
Tensor adversarial(float scale) {
  std::vector<float> values;
  for (int i = -300; i <= 300; ++i) {
    const float tie = (static_cast<float>(i) + 0.5F) * scale;
    values.insert(values.end(), {tie, std::nextafter(tie, 1e38F), std::nextafter(tie, -1e38F)});
  }
  const float tiny = std::numeric_limits<float>::denorm_min();
  values.insert(values.end(), {0.0F, -0.0F, tiny, -tiny, 3e38F, -3e38F, INFINITY, -INFINITY});
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

void write_codes(Writer& writer) {
  for (const DType dtype : {DType::u8, DType::i8, DType::u16, DType::i16}) {
    const auto lowest = static_cast<std::int64_t>(traits(dtype).lowest);
    const auto highest = static_cast<std::int64_t>(traits(dtype).highest);
    for (const std::int64_t zero : {lowest, (lowest + highest) / 2, highest})
      for (const float scale : {0.0173F, 0.1F, 1.0F, 0x1p-23F, 1e-38F, 1e-44F, 1e20F, 3e38F}) {
        Builder b;
        const Tensor x = adversarial(scale);
        const int s = b.number(scale), z = b.number(static_cast<double>(zero), DType::i32);
        const int q = b.call(kQuantizeLinear, {b.input("x", x.shape()), s, z},
                             Attributes::of(QuantizeAttributes{dtype, -1, lowest, highest}));
        const int y = b.call(kDequantizeLinear, {q, s, z}, Attributes::of(DequantizeAttributes{}));
        writer.write(b.finish({y}), {x},
                     fmt::format("{}, scale {}, zero point {}", traits(dtype).name, scale, zero));
      }
  }
}

/// Layers whose zero points stand at the ends and whose scales are huge or tiny.
void write_layers(Writer& writer) {
  std::uint64_t seed = 1;
  for (const DType dtype : {DType::u8, DType::i8})
    for (const int zero :
         dtype == DType::u8 ? std::vector{0, 1, 128, 255} : std::vector{-128, 0, 127})
      for (const double unit : {1.0, 1e-30, 1e25})
        for (const bool dense : {false, true}) {
          Builder b;
          const double scale = 0.05 * unit;
          const Shape shape = dense ? Shape{5, 12} : Shape{2, 4, 7, 6};
          Tensor x = Generator(++seed).normal(shape, 0, static_cast<float>(6 * unit));
          const int q = b.quantize(b.input("x", shape), scale, zero, dtype);
          const int w = b.weight(dense ? Shape{6, 12} : Shape{6, 2, 3, 3}, 127, ++seed);
          const std::vector<int> operands{b.dequantize(q, scale, zero), w, b.bias(scale, ++seed)};
          const int y = dense
                            ? b.call(kLinear, operands)
                            : b.call(kConv2d, operands,
                                     Attributes::of(Conv2dAttributes{
                                         .stride = {2, 1}, .padding = {1, 1, 1, 1}, .groups = 2}));
          const double out = 0.11 * unit;
          const int codes = b.quantize(y, out, zero, dtype);
          writer.write(
              b.finish({b.dequantize(codes, out, zero)}), {x},
              fmt::format("{} layer, {}, unit {}, zero point {}", dense ? "dense" : "convolution",
                          traits(dtype).name, unit, zero));
        }
}

}  // namespace
}  // namespace pare::test

int main(int argc, char** argv) {
  if (argc != 2) {
    std::printf("pare_quantize_peer_cases FOLDER\n");
    return 2;
  }
  try {
    pare::ContextScope scope;
    scope->grad = false;
    scope->threads = 1;
    pare::test::Writer writer(argv[1]);
    pare::test::write_codes(writer);
    pare::test::write_layers(writer);
    pare::test::write_samples(writer);
    std::printf("%d graphs\n", writer.count());
    return 0;
  } catch (const pare::Error& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
