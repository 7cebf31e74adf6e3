// Dynamic quantization: a character LSTM learns to tell the language of surnames, its weights
// become 8-bit integers, and both are compared on every tenth name, held out: size, accuracy, time
// of one name. No calibration: what the layers read is quantized as it comes. usage:
// dynamic_names_lstm [EPOCHS [OUT.onnx]]. Needs PARE_DATA_DIR with names/.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

constexpr std::int64_t kLength = 24;  // characters; longer names are few

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

// i64 [N, kLength], filled up with 0, and the classes.
struct Names {
  Tensor characters;
  std::vector<std::int64_t> classes;
};

Names names_of(const data::Dataset& set) {
  std::vector<data::Example> examples;
  Names names;
  for (std::int64_t i = 0; i < set.size(); ++i) {
    data::Example example = set.get(i);
    if (example.input.dim(0) > kLength) continue;
    names.classes.push_back(static_cast<std::int64_t>(example.label.item()));
    examples.push_back(std::move(example));
  }
  names.characters = data::collate(examples, data::Pad{.length = kLength}).x;
  return names;
}

double accuracy(const Plan& plan, const Names& names) {
  const auto found = argmax(plan.run(names.characters), 1).to_vector<std::int64_t>();
  double right = 0;
  for (std::size_t i = 0; i < found.size(); ++i) right += found[i] == names.classes[i] ? 1 : 0;
  return right / static_cast<double>(found.size());
}

// The median time of one name in milliseconds, of both plans in turns.
std::pair<double, double> times(const Plan& a, const Plan& b, const Names& names) {
  std::vector<double> of_a, of_b;
  const std::int64_t count = std::min<std::int64_t>(500, names.characters.dim(0));
  for (std::int64_t i = 0; i < count; ++i) {
    const Tensor name = slice(names.characters, 0, i, i + 1);
    for (auto [plan, list] : {std::pair{&a, &of_a}, std::pair{&b, &of_b}}) {
      const auto start = std::chrono::steady_clock::now();
      (void)plan->run(name);
      const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
      list->push_back(1e3 * passed.count());
    }
  }
  for (auto* list : {&of_a, &of_b})
    std::nth_element(list->begin(), list->begin() + count / 2, list->end());
  const auto middle = static_cast<std::size_t>(count / 2);
  return {of_a[middle], of_b[middle]};
}

int run(std::int64_t epochs, const std::string& out) {
  const std::string folder = data_folder() + "/names";
  if (!std::filesystem::exists(folder)) {
    std::printf("dynamic_names_lstm: skipped, there is no %s (PARE_DATA_DIR)\n", folder.c_str());
    return 0;
  }
  const data::LabelledLines lines = data::read_labelled_lines(folder, {.reserved = 1});
  Generator generator(1);
  const std::vector<std::int64_t> order = generator.permutation(lines.lines.size());
  const std::size_t held = order.size() / 10;
  data::Loader train_set(lines.lines.take(std::span(order).subspan(held)),
                         {.batch_size = 64, .shuffle = true, .pad = data::Pad{}});
  const Names test = names_of(lines.lines.take(std::span(order).first(held)));

  models::CharLSTM net({.vocabulary = lines.vocabulary.size(),
                        .classes = static_cast<std::int64_t>(lines.classes.size()),
                        .embedding = 64,
                        .hidden = 256});
  initialize(net, generator);
  optim::Adam adam(net.parameters(), {.lr = 2e-3});
  train::fit(net, train_set,
             {.epochs = epochs,
              .optimizer = &adam,
              .schedule = optim::CosineAnnealingLR{.T_max = epochs},
              .clip_norm = 5});

  net.eval();
  const Graph graph = trace(net, slice(test.characters, 0, 0, 2)).copy();
  const auto [int8, report] = quantize::dynamic(graph, {.ops = {"lstm", "linear", "embedding"}});
  std::printf("%s\n", to_string(report).c_str());

  const Plan before = compile(graph, {.threads = 1});
  const Plan after = compile(int8, {.threads = 1});
  const auto [slow, fast] = times(before, after, test);
  std::printf("%-6s %10s %9s %12s\n", "", "size", "accuracy", "us a name");
  const auto row = [&](const char* name, std::size_t bytes, const Plan& plan, double time) {
    std::printf("%-6s %7.0f kB %8.2f%% %12.1f\n", name, static_cast<double>(bytes) / 1e3,
                100 * accuracy(plan, test), 1e3 * time);
  };
  row("float", graph.bytes(), before, slow);
  row("int8", int8.bytes(), after, fast);
  onnx::save(int8, out);
  std::printf("int8 takes %.2f of the memory and %.2f of the time; wrote %s\n",
              static_cast<double>(int8.bytes()) / static_cast<double>(graph.bytes()), fast / slow,
              out.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoll(argv[1]) : 3, argc > 2 ? argv[2] : "dynamic_names_lstm.onnx");
  } catch (const Error& error) {
    std::fprintf(stderr, "dynamic_names_lstm: %s\n", error.what());
    return 1;
  }
}
