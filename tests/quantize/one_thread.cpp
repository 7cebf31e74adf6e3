// The tests of this executable run on one thread: their tensors are small, and the threads of tests
// that run side by side would wait for one another longer than they work.
#include <gtest/gtest.h>

#include "pare/core/context.h"

namespace {

class OneThread : public testing::Environment {
  void SetUp() override { pare::context().threads = 1; }
};
[[maybe_unused]] const testing::Environment* const kOneThread =
    testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace
