// A test of a command on the small classifier, in a folder of its own.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "cli/models.h"
#include "cli/run_command.h"

namespace pare::test {

class ClassifierTest : public testing::Test {
 protected:
  std::string save(const std::string& name, const Tensor& tensor) const {
    io::save_npy(folder_.path(name), tensor);
    return folder_.path(name);
  }
  void SetUp() override { io::save_graph(classifier(), model_); }

  TemporaryFolder folder_;
  const std::string model_ = folder_.path("m.pare");
};

}  // namespace pare::test
