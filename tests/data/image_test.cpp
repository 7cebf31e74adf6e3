// Image files: every format against PIL's pixels, damaged files, data sets of folders and lists.
#include "pare/data/image.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/golden_image.h"
#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/data/loader.h"
#include "temporary_folder.h"

namespace pare::data {
namespace {

using test::expect_error;
using test::TemporaryFolder;
using Bytes = std::vector<std::uint8_t>;

class ImageTest : public testing::Test {
 protected:
  void SetUp() override {
#ifndef PARE_IMAGES
    GTEST_SKIP() << "built without PARE_IMAGES";
#endif
  }
};

const golden::ImageCase& named(const std::string& name) {
  for (const golden::ImageCase& image : golden::images()) {
    if (image.name == name) return image;
  }
  throw std::runtime_error("no golden image " + name);
}

std::string text_of(const Bytes& bytes) { return std::string(bytes.begin(), bytes.end()); }

TEST_F(ImageTest, ReadsEveryFormatAsPilDoes) {
  const TemporaryFolder folder;
  for (const golden::ImageCase& image : golden::images()) {
    SCOPED_TRACE(image.name);
    const Tensor got = read_image(folder.write(image.name, text_of(image.file)),
                                  {.channels = static_cast<int>(image.shape[0])});
    ASSERT_EQ(got.shape(), Shape({image.shape[0], image.shape[1], image.shape[2]}));
    const Bytes pixels = got.to_vector<std::uint8_t>();
    // Decoders of JPEG round differently, and widen halved colours by other filters.
    const bool jpeg = image.name.ends_with(".jpg");
    const int bound = !jpeg ? 0 : (image.name == "half.jpg" ? 12 : 3);
    int worst = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      worst = std::max(worst, std::abs(int{pixels[i]} - int{image.pixels[i]}));
    }
    EXPECT_LE(worst, bound);
  }
}

TEST_F(ImageTest, GivesTheChannelsAskedFor) {
  const Bytes& grey = named("grey.png").file;
  const Bytes& alpha = named("alpha.png").file;
  EXPECT_EQ(decode_image(grey, "grey").dim(0), 3);
  EXPECT_EQ(decode_image(grey, "grey", {.channels = 0}).dim(0), 1);
  EXPECT_EQ(decode_image(alpha, "alpha", {.channels = 0}).dim(0), 4);
  EXPECT_EQ(decode_image(alpha, "alpha", {.channels = 1}).dim(0), 1);
  EXPECT_ERROR(decode_image(grey, "grey", {.channels = 2}), invalid_argument, "got 2");
}

TEST_F(ImageTest, WritesPng) {
  const TemporaryFolder folder;
  Generator generator(3);
  for (int channels = 1; channels <= 4; ++channels) {
    Bytes pixels;
    for (int i = 0; i < channels * 5 * 7; ++i) {
      pixels.push_back(static_cast<std::uint8_t>(generator.below(256)));
    }
    const Tensor picture = Tensor::from(pixels, {channels, 5, 7});
    write_png(folder.path("x.png"), picture);
    const Tensor back = read_image(folder.path("x.png"), {.channels = 0});
    EXPECT_EQ(back.shape(), picture.shape());
    EXPECT_EQ(back.to_vector<std::uint8_t>(), pixels);
    write_png(folder.path("y.png"), picture.to(MemoryFormat::channels_last));
    EXPECT_EQ(folder.read("x.png"), folder.read("y.png"));
  }
  const Tensor floats = Tensor::zeros({3, 2, 2});
  EXPECT_ERROR(write_png(folder.path("z.png"), floats), dtype_mismatch, "u8", "f32");
  EXPECT_ERROR(write_png(folder.path("z.png"), Tensor::zeros({5, 2, 2}, DType::u8)), shape_mismatch,
               "[5, 2, 2]");
  EXPECT_ERROR(write_png(folder.path("z.png"), Tensor::zeros({1, 0, 2}, DType::u8)), shape_mismatch,
               "[1, 0, 2]");
  EXPECT_ERROR(write_png(folder.path("no/z.png"), Tensor::zeros({1, 2, 2}, DType::u8)), io_error,
               "z.png");
}

TEST_F(ImageTest, FilesThatAreCutOffAreErrors) {
  for (const golden::ImageCase& image : golden::images()) {
    SCOPED_TRACE(image.name);
    int refused = 0;
    const std::size_t step = image.file.size() / 60 + 1;
    // A GIF's last byte and what may stand behind the last pixel decide nothing.
    const std::size_t needed = image.file.size() - (image.name.ends_with(".gif") ? 2 : 1);
    for (std::size_t size = 0; size <= needed; size += step) {
      const std::string message =
          test::error_of([&] { decode_image(std::span(image.file).first(size), "cut.img"); });
      EXPECT_NE(message, "no error") << size << " of " << image.file.size();
      EXPECT_NE(message.find("cut.img"), std::string::npos) << message;
      ++refused;
    }
    EXPECT_GT(refused, 20);
  }
}

TEST_F(ImageTest, DamagedFilesGiveAnErrorOrAPicture) {
  Generator generator(11);
  for (const golden::ImageCase& image : golden::images()) {
    SCOPED_TRACE(image.name);
    for (int k = 0; k < 60; ++k) {
      Bytes bytes = image.file;
      for (int flips = 0; flips < 1 + k % 4; ++flips) {
        bytes[generator.below(bytes.size())] ^= static_cast<std::uint8_t>(1 + generator.below(255));
      }
      try {
        const Tensor picture = decode_image(bytes, "x", {.max_pixels = 1 << 16});
        EXPECT_GT(picture.elements(), 0);
        EXPECT_FALSE(image.name == "rgb.png" && bytes != image.file &&
                     picture.to_vector<std::uint8_t>() != image.pixels)
            << "a check sum was passed over";
      } catch (const Error& error) {
        EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(ErrorCode::corrupt_data));
      }
    }
  }
}

TEST_F(ImageTest, MistakesAreNamed) {
  const TemporaryFolder folder;
  const Bytes& png = named("rgb.png").file;
  EXPECT_ERROR(read_image(folder.path("none.png")), io_error, "none.png");
  EXPECT_ERROR(read_image(folder.write("bad.png", "rubbish")), corrupt_data, "bad.png", "JPEG");
  EXPECT_ERROR(decode_image({}, "empty"), corrupt_data, "empty");
  EXPECT_ERROR(decode_image(png, "x", {.max_pixels = 251}), corrupt_data, "max_pixels", "14 by 18");
  EXPECT_ERROR(decode_image(png, "x", {.max_bytes = 10}), corrupt_data, "max_bytes");
  const std::string path = folder.write("x.png", text_of(png));
  EXPECT_ERROR(read_image(path, {.max_bytes = 10}), corrupt_data, "x.png", "max_bytes");
  Bytes flipped = png;
  flipped[flipped.size() - 20] ^= 1;
  EXPECT_ERROR(decode_image(flipped, "x"), corrupt_data, "check sum");
  // A Huffman table with more codes than bytes have values.
  Bytes tables = named("rgb.jpg").file;
  const Bytes marker{0xFF, 0xC4};
  const auto table = std::search(tables.begin(), tables.end(), marker.begin(), marker.end());
  ASSERT_NE(table, tables.end());
  table[5 + 15] = 255, table[5 + 14] = 255;
  EXPECT_ERROR(decode_image(tables, "x"), corrupt_data, "256 codes");
  // A header that speaks of 16384 by 16384 pixels.
  Bytes huge = png;
  huge[18] = 0x40, huge[19] = 0, huge[22] = 0x40, huge[23] = 0;
  EXPECT_ERROR(decode_image(huge, "x"), corrupt_data, "max_pixels", "16384 by 16384");
}

TEST_F(ImageTest, AFolderPerClassIsADataSet) {
  const TemporaryFolder folder;
  for (const char* name : {"cat", "ant", ".hidden"}) {
    std::filesystem::create_directory(folder.path(name));
  }
  folder.write("cat/b.PNG", text_of(named("rgb.png").file));
  folder.write("cat/a.jpg", text_of(named("rgb.jpg").file));
  folder.write("cat/notes.txt", "no picture");
  folder.write("ant/z.bmp", text_of(named("rgb.bmp").file));
  folder.write(".hidden/z.bmp", text_of(named("rgb.bmp").file));
  const ImageDataset set = read_image_folder(folder.path(""));
  EXPECT_EQ(set.classes(), (std::vector<std::string>{"ant", "cat"}));
  EXPECT_EQ(set.labels(), (std::vector<std::int64_t>{0, 1, 1}));
  ASSERT_EQ(set.size(), 3);
  EXPECT_TRUE(set.files()[1].ends_with("a.jpg"));
  EXPECT_EQ(set.get(2).input.to_vector<std::uint8_t>(), named("rgb.png").pixels);
  EXPECT_EQ(set.get(2).label.rank(), 0);
  Loader loader(set, {.batch_size = 3, .workers = 2});
  for (const auto& [x, y] : loader) {
    EXPECT_EQ(x.shape(), Shape({3, 3, 14, 18}));
    EXPECT_EQ(y.to_vector<std::int64_t>(), set.labels());
  }
  EXPECT_ERROR(set.get(3), out_of_range, "0 … 2", "got 3");
  EXPECT_ERROR(read_image_folder(folder.path("none")), io_error, "none");
  EXPECT_ERROR(read_image_folder(folder.path("cat")), corrupt_data, "at least one picture");
}

TEST_F(ImageTest, NamesAndListsGiveClassesToo) {
  const TemporaryFolder folder;
  const std::string png = text_of(named("rgb.png").file);
  folder.write("0017_n01.png", png);
  folder.write("3_n02.png", png);
  const ImageDataset numbered = read_numbered_images(folder.path(""));
  EXPECT_EQ(numbered.labels(), (std::vector<std::int64_t>{17, 3}));
  EXPECT_TRUE(numbered.classes().empty());
  const ImageDataset listed =
      read_image_list(folder.write("list.txt", "# comment\n3_n02.png 5\r\n\n0017_n01.png\t0\n"));
  EXPECT_EQ(listed.labels(), (std::vector<std::int64_t>{5, 0}));
  EXPECT_EQ(listed.get(0).input.shape(), Shape({3, 14, 18}));
  EXPECT_ERROR(read_image_list(folder.write("bad.txt", "a.png 1\nb.png x\n")), corrupt_data,
               "bad.txt", "line 2", "b.png x");
  EXPECT_ERROR(read_image_list(folder.write("bad.txt", "# nothing\n")), corrupt_data, "got none");
  folder.write("cat.png", png);
  EXPECT_ERROR(read_numbered_images(folder.path("")), corrupt_data, "cat.png", "number of a class");
  const ImageDataset any = read_images(folder.path(""));
  EXPECT_EQ(any.size(), numbered.size() + 1);
  EXPECT_TRUE(any.labels().empty());
  EXPECT_FALSE(any.get(0).label.defined());
  EXPECT_ERROR(ImageDataset({"a"}, {1, 2}), invalid_argument, "2 and 1");
  EXPECT_ERROR(ImageDataset({"a"}, {1}, {"one"}), invalid_argument, "0 on to 0", "got 1");
  EXPECT_FALSE(ImageDataset({folder.path("cat.png")}).get(0).label.defined());
}

TEST_F(ImageTest, ReadsThePhotographs) {
  const std::string folder = test::data_folder();
  if (folder.empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
  const ImageDataset set = read_numbered_images(folder + "/imagenet_224");
  EXPECT_EQ(set.size(), 500);
  EXPECT_EQ(set.labels()[3], 6);
  EXPECT_EQ(set.get(3).input.shape(), Shape({3, 224, 224}));
}

}  // namespace
}  // namespace pare::data
