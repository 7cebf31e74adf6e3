// Uses the installed library as an application does.
#include <pare/pare.h>

#include <cstdio>

int main() {
  const auto version = pare::version();
  // A shadowed variable and an old-style cast: warnings of pare's own build, not of its users'.
  for (unsigned i = 0; i < 1; ++i) {
    const auto version = pare::version();
    std::printf("pare %.*s\n", (int)version.size(), version.data());
  }
  return version.empty() ? 1 : 0;
}
