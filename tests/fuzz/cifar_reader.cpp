// Fuzzing of binary files of CIFAR-10.
#include "pare/data/readers.h"

#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const pare::fuzz::MemoryFile file(data, size);
  pare::fuzz::expect_error_or_success([&] { pare::data::read_cifar10({file.path()}); });
  return 0;
}
