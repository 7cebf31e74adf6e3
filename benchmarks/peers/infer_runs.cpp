// Runs of the plans of .onnx and .pare files on demand for infer.py. Reads lines and answers each
// with one:
//   open <key> <file> <threads> <f32|bf16> <input.npy>…
//       compiles; "ok <milliseconds of load, compile, first run>" or "error <message>"
//   run <key> <count>   the seconds of every run
//   steps <key>         the plan's table, then a line "end"
//   version             the version of oneDNN inside; "none" without it
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;
using Clock = std::chrono::steady_clock;

struct Opened {
  Plan plan;
  Tensors inputs;
  Tensors outputs;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

void open(std::istringstream& line, std::map<std::string, Opened>& all) {
  std::string key, file, name, input;
  int threads = 1;
  line >> key >> file >> threads >> name;
  const Precision precision = name == "bf16" ? Precision::bf16 : Precision::f32;
  Tensors inputs;
  while (line >> input) inputs.push_back(io::load_npy(input));
  const auto start = Clock::now();
  Graph graph = file.ends_with(".pare") ? io::load_graph(file) : onnx::load(file);
  const Plan plan = compile(std::move(graph), {.threads = threads, .precision = precision});
  if (plan.precision() != precision) {
    std::printf("error no %s on this CPU\n", name.c_str());
    return;
  }
  Tensors outputs = plan.run(inputs);
  std::printf("ok %.3f\n", seconds_since(start) * 1e3);
  all.insert_or_assign(key, Opened{plan, std::move(inputs), std::move(outputs)});
}

void run(std::istringstream& line, std::map<std::string, Opened>& all) {
  std::string key;
  int count = 0;
  line >> key >> count;
  Opened& opened = all.at(key);
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    opened.plan.run(opened.inputs, opened.outputs);
    std::printf("%.9f ", seconds_since(start));
  }
  std::printf("\n");
}

}  // namespace

int main() {
  std::map<std::string, Opened> all;
  std::string text;
  while (std::getline(std::cin, text)) {
    std::istringstream line(text);
    std::string command, key;
    line >> command;
    try {
      if (command == "open") open(line, all);
      if (command == "run") run(line, all);
      if (command == "version") {
        const std::string onednn = onednn_version();
        std::printf("%s\n", onednn.empty() ? "none" : onednn.c_str());
      }
      if (command == "steps") {
        line >> key;
        std::printf("%send\n", all.at(key).plan.to_string().c_str());
      }
    } catch (const std::exception& error) {
      std::printf("error %s\n", one_line(error.what()).c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}
