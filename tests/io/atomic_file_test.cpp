// AtomicFile: whatever goes wrong while writing, the older file stays whole.
#include "io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "expect_error.h"
#include "pare/io/safetensors.h"
#include "temporary_folder.h"

namespace pare::io {
namespace {

using test::expect_error;
using test::TemporaryFolder;

// No file may grow beyond this within the scope: as good as a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*handler_)(int) = nullptr;
};

TEST(AtomicFileTest, AppearsWithTheCommitAlone) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder.path("a"));
    file.write("new", 3);
    EXPECT_FALSE(std::filesystem::exists(folder.path("a")));
    file.commit();
  }
  EXPECT_EQ(folder.read("a"), "new");
  {
    AtomicFile file(folder.path("a"));
    file.write("half", 4);
  }
  EXPECT_EQ(folder.read("a"), "new");
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFileTest, KeepsRightsAndFollowsLinks) {
  const TemporaryFolder folder;
  folder.write("real", "old");
  ASSERT_EQ(::chmod(folder.path("real").c_str(), 0640), 0);
  std::filesystem::create_symlink("real", folder.path("link"));
  AtomicFile file(folder.path("link"));
  file.write("new", 3);
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("link")));
  EXPECT_EQ(folder.read("real"), "new");
  struct stat facts {};
  ASSERT_EQ(::stat(folder.path("real").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0640U);
}

TEST(AtomicFileTest, AFullDiskLeavesTheOldFileWhole) {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> small{{"x", Tensor::ones({4}), false}};
  const std::vector<NamedTensor> large{{"x", Tensor::ones({100'000}), false}};
  save_tensors(folder.path("net"), small);
  {
    const FileSizeLimit limit(10'000);
    expect_error(ErrorCode::io_error, {"net", "expected to write", "too large"},
                 [&] { save_tensors(folder.path("net"), large); });
  }
  EXPECT_EQ(load_tensors(folder.path("net")).find("x")->elements(), 4);
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFileTest, PlacesThatCannotBeWrittenAreErrors) {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors{{"x", Tensor::ones({4}), false}};
  expect_error(ErrorCode::io_error, {"missing/net", "No such file or directory"},
               [&] { save_tensors(folder.path("missing/net"), tensors); });
  expect_error(ErrorCode::io_error, {"regular file"},
               [&] { save_tensors(folder.path(""), tensors); });
  expect_error(ErrorCode::io_error, {"/dev/full", "regular file"},
               [&] { save_tensors("/dev/full", tensors); });
  EXPECT_EQ(folder.files(), 0);
}

}  // namespace
}  // namespace pare::io
