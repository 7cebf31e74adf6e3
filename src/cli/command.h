// A sub-command's options and what it prints.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/settings.h"

namespace pare::cli {

using Json = nlohmann::ordered_json;

/// A sub-command with the common options.
CLI::App* add_command(CLI::App& app, Settings& settings, const std::string& name,
                      const std::string& what, const std::string& example);

/// The text for people, or the document alone with --json.
void print(const Settings& settings, const std::string& text, const Json& document);

}  // namespace pare::cli
