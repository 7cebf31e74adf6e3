// The ONNX backend tests: each model is read, run by the interpreter and by a plan, and compared.
//
// conformance <folder of the unpacked data> [<part of a name>]: prints every test that is wrong or
// crashes, and the counts; fails below the numbers that must pass.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sanitizers.h"
#include "io/onnx/model_reader.h"
#include "io/onnx/tensor_data.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/io/onnx.h"
#include "pare/runtime/compile.h"

namespace {

namespace fs = std::filesystem;
using pare::Tensor;
using pare::Tensors;

/// What became of one way to run one test.
enum class Outcome : char {
  passed = 'p',
  refused = 'r',  ///< with an error that says what is not taken
  wrong = 'w',
  crashed = 'c',
  not_run = '-',  ///< the plan of a model that is refused
};

struct Result {
  Outcome outcome = Outcome::not_run;
  std::string reason;
};
struct Results {
  Result interpreter, plan;
};

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A field of a protobuf message that has a length.
std::string field(int number, const std::string& content) {
  std::string out(1, static_cast<char>((number << 3) | 2));
  std::size_t length = content.size();
  for (; length > 127; length >>= 7) out += static_cast<char>((length & 127U) | 128U);
  return out + static_cast<char>(length) + content;
}

/// A TensorProto in a file of its own, read as the initializer of a model.
Tensor read_tensor(const fs::path& path) {
  // Its own name, where it has one, comes later and counts.
  const std::string bytes = field(7, field(5, field(8, "tensor") + read_file(path)));
  const pare::onnx::ModelProto model = pare::onnx::read_model(
      path.string(), std::as_bytes(std::span(bytes)), std::make_shared<int>(0));
  return pare::onnx::to_tensor(model.graph.initializers.at(0), path.string(), nullptr).clone();
}

/// The files hold bf16 as u16 of the same bits.
Tensor in_type(const Tensor& tensor, pare::DType wanted) {
  if (tensor.dtype() != pare::DType::u16 || wanted != pare::DType::bf16) return tensor;
  Tensor same = Tensor::empty(tensor.shape(), wanted);
  std::memcpy(same.mutable_raw(), tensor.raw(), tensor.bytes());
  return same;
}

/// As onnx's own runner compares: |a − b| ≤ 1e-7 + 1e-3·|b|.
std::string difference(const Tensor& got, const Tensor& wanted) {
  if (got.dtype() != wanted.dtype())
    return fmt::format("{} in place of {}", pare::traits(got.dtype()).name,
                       pare::traits(wanted.dtype()).name);
  if (!(got.shape() == wanted.shape()))
    return fmt::format("{} in place of {}", got.shape().to_string(), wanted.shape().to_string());
  const auto a = got.to(pare::DType::f64).to_vector<double>();
  const auto b = wanted.to(pare::DType::f64).to_vector<double>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    if (!(std::abs(a[i] - b[i]) <= 1e-7 + 1e-3 * std::abs(b[i])))
      return fmt::format("element {}: {} in place of {}", i, a[i], b[i]);
  }
  return {};
}

struct Example {
  Tensors inputs, outputs;
};

struct Test {
  std::string group, name;
  fs::path model;
  /// May choose other outputs of the graph.
  std::function<std::vector<Example>(pare::Graph& graph)> examples;
};

using Run = std::function<Tensors(const Tensors&)>;

Result compare(const std::vector<Example>& examples, const Run& run) {
  for (const Example& example : examples) {
    const Tensors got = run(example.inputs);
    if (got.size() != example.outputs.size())
      return {Outcome::wrong,
              fmt::format("{} outputs in place of {}", got.size(), example.outputs.size())};
    for (std::size_t k = 0; k < got.size(); ++k) {
      const std::string text = difference(got[k], in_type(example.outputs[k], got[k].dtype()));
      if (!text.empty()) return {Outcome::wrong, fmt::format("output {}: {}", k, text)};
    }
  }
  return {Outcome::passed, {}};
}

/// An error that says `unsupported` is a refusal; every other is a wrong answer.
Result judged(const std::function<Result()>& body) {
  try {
    return body();
  } catch (const pare::Error& error) {
    const bool refused = error.code() == pare::ErrorCode::unsupported;
    return {refused ? Outcome::refused : Outcome::wrong, error.message()};
  } catch (const std::exception& error) {
    return {Outcome::crashed, error.what()};
  }
}

Results run_test(const Test& test) {
  pare::ContextScope scope;
  scope->threads = 1;
  scope->grad = false;
  std::optional<pare::Graph> graph;
  std::vector<Example> examples;
  Results results;
  results.interpreter = judged([&]() -> Result {
    graph = pare::onnx::load(test.model);
    return {Outcome::passed, {}};
  });
  if (!graph) return results;
  results.interpreter = judged([&] {
    examples = test.examples(*graph);
    for (Example& example : examples)
      for (std::size_t i = 0; i < std::min(example.inputs.size(), graph->inputs().size()); ++i)
        example.inputs[i] = in_type(example.inputs[i], graph->value(graph->inputs()[i]).dtype);
    return compare(examples, [&](const Tensors& inputs) { return graph->run(inputs); });
  });
  // What the interpreter refuses only while it runs was taken by the importer.
  if (results.interpreter.outcome == Outcome::refused) results.interpreter.outcome = Outcome::wrong;
  if (results.interpreter.outcome != Outcome::passed) return results;
  std::optional<pare::Plan> plan;
  results.plan = judged([&]() -> Result {
    plan = pare::compile(*graph, {.threads = 1});
    return {Outcome::passed, {}};
  });
  if (!plan) return results;
  results.plan = judged(
      [&] { return compare(examples, [&](const Tensors& inputs) { return plan->run(inputs); }); });
  return results;
}

void write_result(std::string& out, const Result& result) {
  out += static_cast<char>(result.outcome);
  out += result.reason;
  out += '\0';
}

Result read_result(const std::string& text, std::size_t& at) {
  if (at >= text.size()) return {Outcome::crashed, "the process ended"};
  const auto outcome = static_cast<Outcome>(text[at]);
  const std::size_t end = std::min(text.find('\0', at), text.size());
  std::string reason = text.substr(at + 1, end - at - 1);
  at = end + 1;
  return {outcome, std::move(reason)};
}

/// In a process of its own, so that a crash is one test's.
Results run_apart(const Test& test) {
  int ends[2];
  if (pipe(ends) != 0) return {{Outcome::crashed, "no pipe"}, {}};
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    alarm(PARE_SANITIZED ? 300 : 120);
    const Results results = run_test(test);
    std::string text;
    write_result(text, results.interpreter);
    write_result(text, results.plan);
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = write(ends[1], text.data() + at, text.size() - at);
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = read(ends[0], buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0 || child < 0)
    return {{Outcome::crashed, fmt::format("the process ended with status {}", status)}, {}};
  std::size_t at = 0;
  Results results;
  results.interpreter = read_result(text, at);
  results.plan = read_result(text, at);
  return results;
}

// --- finding the tests

/// input_0.pb, input_1.pb, … of a folder, as far as they go.
Tensors read_tensors(const fs::path& folder, const std::string& kind) {
  Tensors tensors;
  for (int k = 0;; ++k) {
    const fs::path path = folder / fmt::format("{}_{}.pb", kind, k);
    if (!fs::exists(path)) return tensors;
    tensors.push_back(read_tensor(path));
  }
}

/// Folders test_… with a model and folders of inputs and outputs.
std::vector<Test> tests_of(const fs::path& data, const std::string& group) {
  std::vector<Test> tests;
  for (const auto& entry : fs::directory_iterator(data / group)) {
    const fs::path folder = entry.path();
    if (!fs::exists(folder / "model.onnx")) continue;
    tests.push_back(
        {group, folder.filename().string(), folder / "model.onnx", [folder](pare::Graph&) {
           std::vector<Example> examples;
           for (int k = 0;; ++k) {
             const fs::path set = folder / fmt::format("test_data_set_{}", k);
             if (!fs::exists(set)) return examples;
             examples.push_back({read_tensors(set, "input"), read_tensors(set, "output")});
           }
         }});
  }
  return tests;
}

/// SqueezeNet of constant weights has 1000 equal scores of 9.5e9, where a unit in the last place is
/// 1024: whether softmax gives 0.001 or 0 and 1 is a matter of the order of sums. The scores
/// themselves, ONNX Runtime's, are compared in place of it.
void compare_scores(pare::Graph& graph, Tensors& wanted) {
  constexpr double kScore = 9.475688e9;
  const int softmax = graph.value(graph.outputs()[0]).producer;
  const int scores = graph.node(softmax).inputs[0];
  wanted = {Tensor::full(graph.value(scores).shape, kScore)};
  graph.set_outputs({scores});
  graph.compact();
}

/// Whole networks of constant weights; the input is 0, 1/n, 2/n, … as onnx's runner makes it.
std::vector<Test> light_models(const fs::path& data) {
  std::vector<Test> tests;
  for (const auto& entry : fs::directory_iterator(data / "light")) {
    const fs::path model = entry.path();
    if (model.extension() != ".onnx") continue;
    tests.push_back({"light", model.stem().string(), model, [model](pare::Graph& graph) {
                       Tensors inputs;
                       for (const int v : graph.inputs()) {
                         const pare::Shape& shape = graph.value(v).shape;
                         std::vector<float> values(static_cast<std::size_t>(shape.elements()));
                         for (std::size_t i = 0; i < values.size(); ++i)
                           values[i] = static_cast<float>(static_cast<double>(i) /
                                                          static_cast<double>(values.size()));
                         inputs.push_back(Tensor::from(values, shape));
                       }
                       fs::path output = model;
                       output.replace_extension();
                       output += "_output_0.pb";
                       Tensors wanted{read_tensor(output)};
                       if (model.stem() == "light_squeezenet") compare_scores(graph, wanted);
                       return std::vector<Example>{{std::move(inputs), std::move(wanted)}};
                     }});
  }
  return tests;
}

/// Tests of version 1.17 whose values are wrong, ONNX Runtime's being ours: the products wrap
/// around where the operator saturates, the pool counts elements beyond the padding, and bf16 is
/// cut off where it is to be rounded.
constexpr std::array<std::string_view, 8> kFaulty = {
    "test_qlinearmatmul_2D_int8_float16",
    "test_qlinearmatmul_2D_int8_float32",
    "test_qlinearmatmul_3D_int8_float16",
    "test_qlinearmatmul_3D_int8_float32",
    "test_cast_FLOAT_to_BFLOAT16",
    "test_castlike_FLOAT_to_BFLOAT16",
    "test_castlike_FLOAT_to_BFLOAT16_expanded",
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
};

struct Counts {
  std::map<Outcome, int> interpreter, plan;
};

/// At least so many of a group pass, through the interpreter and through the plan.
struct Bound {
  const char* group;
  int interpreter, plan;
};
constexpr std::array kBounds = {Bound{"node", 750, 600}, Bound{"pytorch", 110, 0},
                                Bound{"simple", 0, 0}, Bound{"light", 9, 9}};

int count(const std::map<Outcome, int>& counts, Outcome outcome) {
  const auto at = counts.find(outcome);
  return at == counts.end() ? 0 : at->second;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || !fs::exists(fs::path(argv[1]) / "node")) {
    // ctest takes 77 for a skipped test.
    std::printf("skipped: no ONNX backend tests (PARE_DATA_DIR)\n");
    return 77;
  }
  const fs::path data = argv[1];
  const std::string wanted = argc > 2 ? argv[2] : "";
  std::vector<Test> tests;
  for (const char* group : {"node", "pytorch-converted", "pytorch-operator", "simple"}) {
    std::vector<Test> more = tests_of(data, group);
    tests.insert(tests.end(), more.begin(), more.end());
  }
  std::vector<Test> light = light_models(data);
  tests.insert(tests.end(), light.begin(), light.end());
  std::ranges::sort(tests, {}, [](const Test& t) { return std::pair(t.group, t.name); });

  std::map<std::string, Counts> counts;
  for (const Test& test : tests) {
    if (test.name.find(wanted) == std::string::npos) continue;
    if (std::ranges::find(kFaulty, test.name) != kFaulty.end()) continue;
    const Results results = run_apart(test);
    Counts& group = counts[test.group.starts_with("pytorch") ? "pytorch" : test.group];
    ++group.interpreter[results.interpreter.outcome];
    ++group.plan[results.plan.outcome];
    const auto show = [&](const char* way, const Result& result) {
      const bool bad = result.outcome == Outcome::wrong || result.outcome == Outcome::crashed;
      if (bad || (!wanted.empty() && result.outcome != Outcome::not_run))
        std::printf("%c %s/%s (%s): %s\n", static_cast<char>(result.outcome), test.group.c_str(),
                    test.name.c_str(), way, result.reason.c_str());
    };
    show("interpreter", results.interpreter);
    show("plan", results.plan);
  }
  bool good = true;
  std::printf("%-10s %-12s %7s %8s %6s %8s\n", "", "", "passed", "refused", "wrong", "crashed");
  for (const auto& [group, of] : counts)
    for (const auto& [way, outcomes] :
         {std::pair{"interpreter", of.interpreter}, std::pair{"plan", of.plan}}) {
      std::printf("%-10s %-12s %7d %8d %6d %8d\n", group.c_str(), way,
                  count(outcomes, Outcome::passed), count(outcomes, Outcome::refused),
                  count(outcomes, Outcome::wrong), count(outcomes, Outcome::crashed));
      good = good && count(outcomes, Outcome::wrong) == 0 && count(outcomes, Outcome::crashed) == 0;
    }
  for (const Bound& bound : kBounds)
    if (wanted.empty() &&
        (count(counts[bound.group].interpreter, Outcome::passed) < bound.interpreter ||
         count(counts[bound.group].plan, Outcome::passed) < bound.plan)) {
      std::printf("%s: fewer than %d and %d passed\n", bound.group, bound.interpreter, bound.plan);
      good = false;
    }
  return good ? 0 : 1;
}
