// Folders, listed in an order that does not depend on the file system, and files written whole.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace pare::data {

/// Paths of the regular files in a folder, sorted by name. Throws io_error.
std::vector<std::string> files_of(const std::string& folder);
/// Names of the folders in a folder, sorted; hidden ones are left out. Throws io_error.
std::vector<std::string> folders_of(const std::string& folder);
/// Writes a file; one that could not be written whole is removed. Throws io_error.
void write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace pare::data
