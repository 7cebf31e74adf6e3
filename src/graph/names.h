// Names in options: patterns that match, and suggestions where nothing does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pare {

/// Shell patterns: * any characters, ? one.
bool matches(std::string_view pattern, std::string_view name);

/// The (at most three) names nearest to `wish` by edits, as "'conv1', 'conv2'".
std::string nearest_names(std::string_view wish, const std::vector<std::string>& names);

}  // namespace pare
