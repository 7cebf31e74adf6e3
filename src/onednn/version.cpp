// oneDNN's version as it says itself.
#include "onednn/version.h"

#include <fmt/format.h>

#include "onednn/api.h"

namespace pare::onednn {

std::string version() {
  const dnnl_version_t& v = *dnnl_version();
  return fmt::format("{}.{}.{}", v.major, v.minor, v.patch);
}

}  // namespace pare::onednn
