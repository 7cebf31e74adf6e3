// Mapped files: reading, and files that are cut while they are mapped.
#include "io/file_mapping.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "expect_error.h"
#include "temporary_folder.h"

namespace pare::io {
namespace {

class Mapped : public ::testing::Test {
 protected:
  Mapped() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), text_(3 * page_, ' ') {
    for (std::size_t i = 0; i < text_.size(); ++i) text_[i] = static_cast<char>('a' + i % 23);
    std::ofstream(path_, std::ios::binary) << text_;
  }
  std::string read(const FileMapping& file, std::size_t begin, std::size_t bytes) {
    std::string out(bytes, '?');
    file.read(begin, out.data(), bytes, "numbers");
    return out;
  }
  test::TemporaryFolder folder_;
  std::string path_ = folder_.path("data");
  std::size_t page_;
  std::string text_;
};

TEST_F(Mapped, IsReadAnywhere) {
  const FileMapping file(path_);
  EXPECT_EQ(file.size(), text_.size());
  EXPECT_EQ(read(file, 0, text_.size()), text_);
  EXPECT_EQ(read(file, page_ - 3, page_ + 7), text_.substr(page_ - 3, page_ + 7));
  EXPECT_EQ(read(file, text_.size(), 0), "");
}

TEST_F(Mapped, AnEmptyFileHasNothing) {
  std::ofstream(path_, std::ios::trunc).close();
  const FileMapping file(path_);
  EXPECT_EQ(file.size(), 0U);
  EXPECT_EQ(read(file, 0, 0), "");
}

// A load from the pages that are gone would raise SIGBUS.
TEST_F(Mapped, CutAfterwardsIsAnError) {
  const FileMapping file(path_);
  EXPECT_EQ(read(file, 2 * page_, 4), text_.substr(2 * page_, 4));
  std::filesystem::resize_file(path_, page_);
  EXPECT_EQ(read(file, 0, page_), text_.substr(0, page_));
  EXPECT_ERROR(read(file, 2 * page_, 4), io_error, "expected 4 bytes of numbers, got 0");
  EXPECT_ERROR(read(file, page_ - 10, 20), io_error, "expected 20 bytes of numbers, got 10");
  std::filesystem::resize_file(path_, 0);
  EXPECT_ERROR(read(file, 0, 1), io_error, "expected 1 bytes of numbers, got 0");
}

// What is left of the page is mapped, and reads as zeros.
TEST_F(Mapped, CutWithinAPageIsAnErrorToo) {
  const FileMapping file(path_);
  std::filesystem::resize_file(path_, 2 * page_ + 5);
  EXPECT_EQ(read(file, 2 * page_, 5), text_.substr(2 * page_, 5));
  EXPECT_ERROR(read(file, 2 * page_, 6), io_error, "expected 6 bytes of numbers, got 5");
  EXPECT_ERROR(read(file, 2 * page_ + 8, 2), io_error, "expected 2 bytes of numbers, got 0");
}

TEST_F(Mapped, MustBeARegularFile) {
  EXPECT_ERROR(FileMapping(folder_.path("none")), io_error, "got 'No such file");
  EXPECT_ERROR(FileMapping(folder_.path("")), io_error, "expected a regular file");
}

}  // namespace
}  // namespace pare::io
