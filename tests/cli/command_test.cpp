// What all sub-commands have in common: help, version, wrong usage, exit codes, Ctrl-C.
#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>
#include <string>

#include "cli/models.h"
#include "cli/run_command.h"

namespace pare::test {
namespace {

const std::vector<std::string> kCommands = {"inspect", "run",     "bench",  "evaluate",
                                            "compare", "convert", "dataset"};

TEST(CommandTest, HelpNamesEveryCommandAndEachHasAnExample) {
  const CommandResult all = pare({"--help"});
  EXPECT_EQ(all.code, 0);
  EXPECT_EQ(all.error, "");
  for (const std::string& command : kCommands) {
    EXPECT_NE(all.out.find("\n  " + command), std::string::npos) << all.out;
    const CommandResult one = pare({command, "--help"});
    EXPECT_EQ(one.code, 0);
    EXPECT_NE(one.out.find("Example:\n  pare " + command + " "), std::string::npos) << one.out;
    for (const char* option : {"--json", "--quiet", "--threads", "--seed"})
      EXPECT_NE(one.out.find(option), std::string::npos) << command << " " << option;
  }
}

TEST(CommandTest, HelpShowsDefaults) {
  const auto shows = [](const std::string& command, const std::string& option,
                        const std::string& value) {
    const std::string help = pare({command, "--help"}).out;
    // "--bits INT:INT in [2 - 8]=4", or " [4]" of later versions of the parser.
    const std::regex line("\n  (-o,)?" + option + " [^\n]*[=[]" + value + "\\]?[ \n]");
    EXPECT_TRUE(std::regex_search(help, line)) << option << " " << value << "\n" << help;
  };
  shows("quantize", "--activation-bits", "8");
  shows("quantize", "--group", "32");
  shows("quantize", "--damping", "0.01");
  shows("quantize", "--config", "x86");
  shows("quantize", "--float-macs", "1");
  shows("finetune", "--optimizer", "sgd");
  shows("finetune", "--momentum", "0.9");
  shows("bench", "--seconds", "5");
  shows("run", "--batch", "32");
  shows("dataset", "--layout", "nchw");
  shows("inspect", "--threads", "0");
}

TEST(CommandTest, AnUnknownInstructionSetIsAnError) {
  const char* const before = std::getenv("DNNL_MAX_CPU_ISA");
  const std::string kept = before ? before : "";
  ::setenv("DNNL_MAX_CPU_ISA", "AVX3", 1);
  expect_failure(1, {"--version"}, {"DNNL_MAX_CPU_ISA: expected one of", "AVX2", "got 'AVX3'"});
  ::setenv("DNNL_MAX_CPU_ISA", "avx2", 1);
  EXPECT_EQ(pare({"--version"}).code, 0);
  if (before)
    ::setenv("DNNL_MAX_CPU_ISA", kept.c_str(), 1);
  else
    ::unsetenv("DNNL_MAX_CPU_ISA");
}

TEST(CommandTest, VersionTellsPareOneDnnAndTheCpu) {
  const CommandResult result = pare({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.out.find("pare " + std::string(version())), std::string::npos) << result.out;
  const std::string onednn = onednn_version();
  EXPECT_NE(result.out.find("oneDNN " + (onednn.empty() ? "none" : onednn)), std::string::npos);
  EXPECT_NE(result.out.find(std::string("CPU ") + to_string(isa_cap())), std::string::npos);
}

TEST(CommandTest, WrongUsageIsTwoWithTheUsageLine) {
  const TemporaryFolder folder;
  const std::string model = folder.path("m.pare");
  io::save_graph(two_inputs(), model);
  expect_failure(2, {}, {"usage: pare COMMAND"});
  expect_failure(2, {"slim"}, {"slim"});
  for (const std::string& command : kCommands)
    expect_failure(2, {command}, {"usage: pare " + command});
  expect_failure(2, {"inspect", model, "--colour"}, {"--colour", "usage: pare inspect MODEL"});
  expect_failure(2, {"inspect", model, model}, {});
  expect_failure(2, {"run", model, "--input", "x.npy", "--output", "d", "--precision", "f16"},
                 {"--precision"});
  expect_failure(2, {"run", model, "--input", "c=x.npy", "--output", "d"},
                 {"'c=x.npy'", "a f32[n, 3]"});
  expect_failure(2, {"run", model, "--input", "x.npy", "--output", "d"}, {"name="});
  expect_failure(2, {"bench", model, "--threads", "-1"}, {"--threads"});
  expect_failure(2, {"bench", model, "--shape", "a=2,x"}, {"--shape", "2,x"});
  expect_failure(2, {"bench", model, "--shape", "a=2,4"}, {"--shape", "[n, 3]"});
  expect_failure(2, {"bench", model, "--shape", "a=2,3", "--shape", "b=4,3"}, {"--shape"});
  expect_failure(2, {"convert", model, folder.path("m.bin")}, {".pare or .onnx", "m.bin"});
  expect_failure(2, {"convert", model, folder.path("n.pare"), "--opset", "15"}, {"--opset"});
  expect_failure(2, {"convert", model, folder.path("n.onnx"), "--opset", "99"}, {"--opset"});
  EXPECT_EQ(folder.files(), 1);
}

TEST(CommandTest, FailuresAreOneAndNameTheFile) {
  const TemporaryFolder folder;
  io::save_graph(classifier(), folder.path("m.pare"));
  std::string damaged = folder.read("m.pare");
  damaged[damaged.size() - 9] = static_cast<char>(damaged[damaged.size() - 9] ^ 1);
  folder.write("damaged.pare", damaged);
  expect_failure(1, {"inspect", folder.path("none.pare")}, {"none.pare"});
  expect_failure(1, {"inspect", folder.path("damaged.pare")}, {"damaged.pare", "check sum"});
  expect_failure(1, {"convert", folder.path("damaged.pare"), folder.path("out.pare")},
                 {"damaged.pare"});
  expect_failure(1, {"convert", folder.path("m.pare"), folder.path("no/folder/out.pare")},
                 {"no/folder/out.pare"});
  EXPECT_EQ(folder.files(), 2);
}

TEST(CommandTest, ControlCEndsItCleanly) {
  const TemporaryFolder folder;
  io::save_graph(classifier(), folder.path("m.pare"));
  Command bench({"bench", folder.path("m.pare"), "--seconds", "3600", "--threads", "1", "--json"});
  bench.interrupt();
  const CommandResult result = bench.wait();
  EXPECT_EQ(result.code, 130) << result.error;
  EXPECT_EQ(result.out, "");
}

TEST(CommandTest, QuietSaysNothingOnStderr) {
  const TemporaryFolder folder;
  io::save_graph(classifier(), folder.path("m.pare"));
  const CommandResult loud =
      pare({"bench", folder.path("m.pare"), "--seconds", "0", "--precision", "bf16"});
  EXPECT_EQ(loud.code, 0);
  EXPECT_EQ(loud.error.empty(), has_bf16()) << loud.error;
  const CommandResult quiet =
      pare({"bench", folder.path("m.pare"), "--seconds", "0", "--precision", "bf16", "--quiet"});
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.error, "");
}

}  // namespace
}  // namespace pare::test
