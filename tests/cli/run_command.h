// Command: runs the built `pare` and takes what it says.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "temporary_folder.h"

namespace pare::test {

struct CommandResult {
  int code = -1;  ///< −1 where a signal ended it
  std::string out, error;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

/// A `pare` under way.
class Command {
 public:
  explicit Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), PARE_COMMAND);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const auto into = [&](int number, const std::string& file) {
      posix_spawn_file_actions_addopen(&actions, number, file.c_str(), O_WRONLY | O_CREAT, 0600);
    };
    const std::string out = folder_.path("out"), error = folder_.path("error");
    into(STDOUT_FILENO, out);
    into(STDERR_FILENO, error);
    const int failed =
        posix_spawn(&process_, PARE_COMMAND, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("cannot start " PARE_COMMAND);
  }

  CommandResult wait() {
    int status = 0;
    waitpid(process_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, folder_.read("out"),
            folder_.read("error")};
  }

  /// Presses Ctrl-C, once the process catches it.
  void interrupt() const {
    while (!catches_interrupt()) ::usleep(1000);
    ::kill(process_, SIGINT);
  }

 private:
  bool catches_interrupt() const {
    std::ifstream status("/proc/" + std::to_string(process_) + "/status");
    std::string line;
    while (std::getline(status, line))
      if (line.starts_with("SigCgt:"))
        return (std::stoull(line.substr(7), nullptr, 16) >> (SIGINT - 1) & 1) != 0;
    return true;  // it has ended
  }

  TemporaryFolder folder_;
  pid_t process_ = -1;
};

inline CommandResult pare(std::vector<std::string> arguments) {
  return Command(std::move(arguments)).wait();
}

/// That must succeed.
inline nlohmann::json pare_json(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const CommandResult result = pare(std::move(arguments));
  EXPECT_EQ(result.code, 0) << result.error;
  return result.code == 0 ? result.json() : nlohmann::json();
}

/// That must fail with this code, say these words on stderr and nothing on stdout.
inline void expect_failure(int code, const std::vector<std::string>& arguments,
                           std::initializer_list<std::string> words) {
  const CommandResult result = pare(arguments);
  EXPECT_EQ(result.code, code) << result.error;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.error.starts_with("pare: ")) << result.error;
  EXPECT_EQ(result.error.find("usage: pare") != std::string::npos, code == 2) << result.error;
  for (const std::string& word : words)
    EXPECT_NE(result.error.find(word), std::string::npos)
        << "expected '" << word << "' in: " << result.error;
}

}  // namespace pare::test
