// How close quantized nets stay to their float ones, by recipe: real models, real data.
//
// usage: quantize DATA [ISA] [MODEL …] [recipe=NAME …]
//   DATA = ../shared/data; ISA: whose int8 instructions the integers are for ("avx512_vnni":
//   weights of full range), this CPU's without; MODEL: part of a name, all without;
//   recipe=NAME among them: that recipe (given again for more), all without
//
// The same splits as the peers' (ONNX Runtime, NNCF): of the photographs every fifth calibrates and
// the other 400 test; of CIFAR-10 the first 256 training records and all 5000 test records; of the
// keywords the first and the last 500. Test data chooses nothing.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pare/data/image.h"
#include "pare/data/readers.h"
#include "pare/pare.h"

namespace {

using pare::Graph;
using pare::Shape;
using pare::Tensor;
using pare::quantize::Observer;
using pare::quantize::QConfig;

struct Split {
  Tensor calibration, test;
  std::vector<std::int64_t> labels;  // of test
};

/// (x · scale − mean) / deviation of pictures u8 [N, 3, H, W], by channel.
struct Scaling {
  double scale = 1;
  float mean[3] = {0, 0, 0};
  float deviation[3] = {1, 1, 1};
};
constexpr Scaling kTorchvision{1.0 / 255, {0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};
constexpr Scaling kSigned{1 / 127.5, {1, 1, 1}, {1, 1, 1}};
constexpr Scaling kBytes{};

Tensor scaled(const Tensor& pictures, const Scaling& s) {
  const Shape channels{1, 3, 1, 1};
  const Tensor mean = Tensor::from(std::vector<float>(s.mean, s.mean + 3), channels);
  const Tensor deviation = Tensor::from(std::vector<float>(s.deviation, s.deviation + 3), channels);
  return (pictures.to(pare::DType::f32) * s.scale - mean) / deviation;
}

Split photographs(const std::string& data, const Scaling& scaling, std::int64_t label_offset) {
  const auto pictures = pare::data::read_numbered_images(data + "/imagenet_224");
  pare::Tensors calibration, test;
  Split split;
  for (std::int64_t i = 0; i < pictures.size(); ++i) {
    (i % 5 == 0 ? calibration : test).push_back(pictures.get(i).input);
    if (i % 5 != 0)
      split.labels.push_back(pictures.labels()[static_cast<std::size_t>(i)] + label_offset);
  }
  split.calibration = scaled(pare::stack(calibration), scaling);
  split.test = scaled(pare::stack(test), scaling);
  return split;
}

Split cifar(const std::string& data, const Scaling& scaling) {
  std::vector<std::string> train, test;
  for (const auto& entry : std::filesystem::directory_iterator(data + "/cifar10")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".bin")) continue;
    if (name.find("train") != std::string::npos) train.push_back(entry.path().string());
    if (name.find("test") != std::string::npos) test.push_back(entry.path().string());
  }
  std::sort(train.begin(), train.end());
  std::sort(test.begin(), test.end());
  const auto calibration = pare::data::read_cifar10(train).part(0, 256);
  const auto tested = pare::data::read_cifar10(test);
  return {scaled(calibration.inputs(), scaling), scaled(tested.inputs(), scaling),
          tested.labels().to_vector<std::int64_t>()};
}

template <class T> std::vector<T> read_numbers(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.empty())
    throw pare::Error(pare::ErrorCode::io_error, path + ": expected numbers, got none");
  return {reinterpret_cast<const T*>(bytes.data()),
          reinterpret_cast<const T*>(bytes.data() + bytes.size())};
}

Split keywords(const std::string& data) {
  const auto codes = read_numbers<std::int8_t>(data + "/kws_mfcc/x_int8_1000x490.bin");
  const auto classes = read_numbers<std::uint8_t>(data + "/kws_mfcc/y_u8_1000.bin");
  // The codes' scale and zero point, as the folder's README.txt has them.
  const Tensor all =
      (Tensor::from(codes, {1000, 1, 49, 10}).to(pare::DType::f32) - 83.0) * 0.5847029;
  return {pare::slice(all, 0, 0, 500),
          pare::slice(all, 0, 500, 1000),
          {classes.begin() + 500, classes.end()}};
}

struct Model {
  const char* name;
  Split (*data)(const std::string& data);
};
const Model kModels[] = {
    {"mobilenetv2_1.0_224_imagenet_fp32",
     [](const std::string& data) { return photographs(data, kSigned, 1); }},
    {"squeezenet1.1_imagenet_fp32",
     [](const std::string& data) { return photographs(data, kTorchvision, 0); }},
    {"resnet20_cifar10", [](const std::string& data) { return cifar(data, kTorchvision); }},
    {"mlperf_tiny_resnet8_cifar10", [](const std::string& data) { return cifar(data, kBytes); }},
    {"mlperf_tiny_kws_dscnn", keywords},
};

struct Recipe {
  const char* name;
  Observer observer;
  bool rounded = false;  // codes and biases by what they do to each layer's output
  // Factors of channels between layers, with relu6 as relu.
  bool equalized = false;
  bool one_scale = false;  // for all channels of a weight
  bool smoothed = false;   // channels of activations, convolutions' too
  bool relaxed = false;    // rounded with AdaRound's own relaxation
  bool judged = false;     // smoothed or not, whatever is closer on the calibration data
};
const Recipe kRecipes[] = {
    {"default", Observer::histogram},
    {"rounded", Observer::histogram, true},
    {"smoothed", Observer::histogram, false, false, false, true},
    {"smoothed, rounded", Observer::histogram, true, false, false, true},
    // The one recipe for all models: of the two that round the one that is closer on the
    // calibration data.
    {.name = "best", .observer = Observer::histogram, .rounded = true, .judged = true},
    {.name = "best, relaxed",
     .observer = Observer::histogram,
     .rounded = true,
     .relaxed = true,
     .judged = true},
    {"min_max", Observer::min_max},
    {"percentile", Observer::percentile},
    {"entropy", Observer::entropy},
    {"mse", Observer::mse},
    {"mean_min_max", Observer::mean_min_max},
    {"equalized", Observer::histogram, false, true},
    {"one scale", Observer::histogram, false, false, true},
    {"one scale, eq.", Observer::histogram, false, true, true},
};

constexpr std::int64_t kBatch = 25;

/// Logits [N, classes] of all samples.
Tensor logits_of(const Graph& graph, const Tensor& x) {
  const pare::Plan plan = pare::compile(graph.share());
  const std::int64_t samples = x.dim(0);
  // Some files fix the batch.
  const Shape& shape = graph.value(graph.inputs().at(0)).shape;
  const std::int64_t batch = shape.symbolic(0) ? kBatch : shape[0];
  pare::Tensors parts;
  for (std::int64_t i = 0; i < samples; i += batch)
    parts.push_back(
        plan.run(pare::slice(x, 0, i, std::min(samples, i + batch))).to(pare::DType::f32));
  return pare::reshape(pare::concat(parts, 0), {samples, -1});
}

Graph quantized(const Graph& graph, const QConfig& config, const Recipe& recipe,
                const Tensor& calibration) {
  const Shape& shape = graph.value(graph.inputs().at(0)).shape;
  const std::int64_t batch = shape.symbolic(0) ? kBatch : shape[0];
  std::vector<pare::Tensors> batches;
  for (std::int64_t i = 0; i < calibration.dim(0); i += batch)
    batches.push_back({pare::slice(calibration, 0, i, std::min(calibration.dim(0), i + batch))});
  Graph given = graph.share();
  if (recipe.equalized) pare::quantize::equalize(given, {.relu6_as_relu = true});
  if (recipe.smoothed) pare::quantize::smooth(given, batches, {.steps = 10, .convolutions = true});
  Graph prepared = pare::quantize::prepare(given, config);
  for (const pare::Tensors& inputs : batches) prepared.run(inputs);
  pare::quantize::RoundingOptions rounding;
  if (recipe.relaxed) rounding.method = pare::quantize::RoundingMethod::adaround;
  if (recipe.rounded) prepared = pare::quantize::round_weights(prepared, batches, rounding).graph;
  return pare::quantize::convert(prepared).graph;
}

double sqnr_db(const Tensor& wanted, const Tensor& found) {
  pare::DifferenceMeter meter;
  meter.add(wanted, found);
  return meter.result("").sqnr_db;
}

Graph judged(const Graph& graph, const QConfig& config, Recipe recipe, const Tensor& calibration) {
  const Tensor wanted = logits_of(graph, calibration);
  Graph plain = quantized(graph, config, recipe, calibration);
  recipe.smoothed = true;
  Graph smoothed = quantized(graph, config, recipe, calibration);
  const bool better = sqnr_db(wanted, logits_of(smoothed, calibration)) >
                      sqnr_db(wanted, logits_of(plain, calibration));
  return better ? std::move(smoothed) : std::move(plain);
}

double share_of_equal(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::size_t same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b.at(i) ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(a.size());
}

void measure(const Model& model, const std::string& data, pare::Isa isa,
             const std::vector<std::string>& recipes) {
  const Graph graph = pare::onnx::load(data + "/models/" + model.name + ".onnx");
  const Split split = model.data(data);
  const Tensor reference = logits_of(graph, split.test);
  const auto classes = pare::argmax(reference, 1).to_vector<std::int64_t>();
  fmt::print("{:<36} {:<18} {:>8.4f}\n", model.name, "float",
             share_of_equal(classes, split.labels));
  for (const Recipe& recipe : kRecipes) {
    if (!recipes.empty() && std::find(recipes.begin(), recipes.end(), recipe.name) == recipes.end())
      continue;
    QConfig config = QConfig::x86(isa);
    config.observer = recipe.observer;
    if (recipe.one_scale) config.weight_granularity = pare::quantize::Granularity::per_tensor;
    const auto begin = std::chrono::steady_clock::now();
    const Graph result = recipe.judged ? judged(graph, config, recipe, split.calibration)
                                       : quantized(graph, config, recipe, split.calibration);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const Tensor logits = logits_of(result, split.test);
    const auto found = pare::argmax(logits, 1).to_vector<std::int64_t>();
    fmt::print("{:<36} {:<18} {:>8.4f} {:>10.4f} {:>8.2f} {:>8.1f}\n", model.name, recipe.name,
               share_of_equal(found, split.labels), share_of_equal(found, classes),
               sqnr_db(reference, logits), seconds.count());
    std::fflush(stdout);
  }
}

pare::Isa isa_of(const std::string& name) {
  using pare::Isa;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx2_vnni, Isa::avx512, Isa::avx512_vnni,
                        Isa::avx512_bf16, Isa::avx512_amx})
    if (name == pare::to_string(isa)) return isa;
  return pare::isa_cap();
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) {
    fmt::print(stderr, "usage: {} DATA [ISA] [MODEL ...] [recipe=NAME ...]\n", argv[0]);
    return 2;
  }
  const std::string data = words[0];
  words.erase(words.begin());
  pare::Isa isa = pare::isa_cap();
  if (!words.empty() && pare::to_string(isa_of(words[0])) == words[0]) {
    isa = isa_of(words[0]);
    words.erase(words.begin());
  }
  std::vector<std::string> recipes;
  std::erase_if(words, [&](const std::string& word) {
    const bool recipe = word.starts_with("recipe=");
    if (recipe) recipes.push_back(word.substr(7));
    return recipe;
  });
  try {
    const pare::NoGrad no_grad;
    fmt::print("weights for {}\n{:<36} {:<18} {:>8} {:>10} {:>8} {:>8}\n", pare::to_string(isa),
               "model", "recipe", "top-1", "same class", "SQNR dB", "seconds");
    for (const Model& model : kModels) {
      const std::string name = model.name;
      const bool wanted =
          words.empty() || std::any_of(words.begin(), words.end(), [&](const std::string& word) {
            return name.find(word) != std::string::npos;
          });
      if (wanted) measure(model, data, isa, recipes);
    }
  } catch (const pare::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
