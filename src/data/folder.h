// Folders: what lies in them, in an order that does not depend on the file system.
#pragma once

#include <string>
#include <vector>

namespace pare::data {

/// Paths of the regular files in a folder, sorted by name. Throws io_error.
std::vector<std::string> files_of(const std::string& folder);
/// Names of the folders in a folder, sorted; hidden ones are left out. Throws io_error.
std::vector<std::string> folders_of(const std::string& folder);

}  // namespace pare::data
