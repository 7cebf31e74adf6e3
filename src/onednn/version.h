// The version of the oneDNN that is linked.
#pragma once

#include <string>

namespace pare::onednn {

std::string version();

}  // namespace pare::onednn
