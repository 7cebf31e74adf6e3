// WAV files: every format by hand and through writing, damaged ones, the real one where it is.
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "pare/core/generator.h"
#include "pare/data/audio.h"
#include "temporary_folder.h"

namespace pare::data {
namespace {

using test::bytes;
using test::expect_error;
using test::TemporaryFolder;

std::string word(std::uint64_t value, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFFU));
  return out;
}

std::string chunk(const std::string& name, const std::string& content) {
  return name + word(content.size(), 4) + content + std::string(content.size() % 2, '\0');
}

std::string format_of(unsigned codec, unsigned channels, unsigned bits, unsigned rate = 8000) {
  return word(codec, 2) + word(channels, 2) + word(rate, 4) + word(rate * channels * bits / 8, 4) +
         word(channels * bits / 8, 2) + word(bits, 2);
}

std::string riff(const std::string& chunks) {
  return "RIFF" + word(4 + chunks.size(), 4) + "WAVE" + chunks;
}

std::vector<float> values_of(const TemporaryFolder& folder, const std::string& content) {
  return read_wav(folder.write("x.wav", content)).samples.to_vector<float>();
}

TEST(WavTest, ReadsEverySampleFormat) {
  const TemporaryFolder folder;
  const auto read = [&](unsigned codec, unsigned bits, const std::string& data) {
    return values_of(folder, riff(chunk("fmt ", format_of(codec, 1, bits)) + chunk("data", data)));
  };
  EXPECT_EQ(read(1, 8, bytes({0, 128, 192})), (std::vector<float>{-1, 0, 0.5F}));
  EXPECT_EQ(read(1, 16, bytes({0, 128, 0, 64, 255, 255})),
            (std::vector<float>{-1, 0.5F, -0x1p-15F}));
  EXPECT_EQ(read(1, 24, bytes({0, 0, 128, 1, 0, 0})), (std::vector<float>{-1, 0x1p-23F}));
  EXPECT_EQ(read(1, 32, bytes({0, 0, 0, 128, 0, 0, 0, 32})), (std::vector<float>{-1, 0.25F}));
  EXPECT_EQ(read(3, 32, bytes({0, 0, 0xC0, 0x3F})), (std::vector<float>{1.5F}));
  EXPECT_EQ(read(3, 64, bytes({0, 0, 0, 0, 0, 0, 0xF8, 0xBF})), (std::vector<float>{-1.5F}));
}

TEST(WavTest, ReadsChannelsExtensibleFormsAndOtherChunks) {
  const TemporaryFolder folder;
  const std::string guid = bytes({1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113});
  const std::string extensible = word(0xFFFE, 2) + format_of(1, 2, 16, 44100).substr(2) +
                                 word(22, 2) + word(16, 2) + word(3, 4) + guid;
  const std::string content =
      riff(chunk("LIST", "odd") + chunk("fmt ", extensible) + chunk("fact", "1234") +
           chunk("data", bytes({0, 64, 0, 192, 0, 32, 0, 224})));
  const Audio audio = read_wav(folder.write("x.wav", content));
  EXPECT_EQ(audio.rate, 44100);
  EXPECT_EQ(audio.samples.shape(), Shape({2, 2}));
  EXPECT_EQ(audio.samples.to_vector<float>(), (std::vector<float>{0.5F, 0.25F, -0.5F, -0.25F}));
}

TEST(WavTest, AnOpenLengthReachesToTheEnd) {
  const TemporaryFolder folder;
  const std::string data = bytes({0, 64, 0, 192, 7});
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{0xFFFFFFFF}}) {
    const std::string content =
        riff(chunk("fmt ", format_of(1, 1, 16)) + "data" + word(length, 4) + data);
    EXPECT_EQ(values_of(folder, content), (std::vector<float>{0.5F, -0.5F}));
  }
}

TEST(WavTest, WhatIsWrittenIsReadAgain) {
  const TemporaryFolder folder;
  Generator generator(4);
  const Tensor samples = generator.uniform({3, 41}, -1, 0.99F);
  const auto expected = samples.to_vector<float>();
  for (const auto& [format, bound] :
       {std::pair{WavFormat::pcm8, 0x1p-7}, std::pair{WavFormat::pcm16, 0x1p-15},
        std::pair{WavFormat::pcm24, 0x1p-23}, std::pair{WavFormat::pcm32, 0x1p-23},
        std::pair{WavFormat::float32, 0.0}}) {
    write_wav(folder.path("x.wav"), {samples, 16000}, format);
    const Audio back = read_wav(folder.path("x.wav"));
    EXPECT_EQ(back.rate, 16000);
    ASSERT_EQ(back.samples.shape(), samples.shape());
    const auto got = back.samples.to_vector<float>();
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], bound / 2 * 1.01);
  }
  // One channel without its axis; what is too loud is clipped.
  write_wav(folder.path("y.wav"), {Tensor::from({2, -2, 0.5F}, {3}), 8000});
  EXPECT_EQ(read_wav(folder.path("y.wav")).samples.to_vector<float>(),
            (std::vector<float>{1 - 0x1p-15F, -1, 0.5F}));
}

TEST(WavTest, DamagedFilesAreErrors) {
  const TemporaryFolder folder;
  const auto expect = [&](ErrorCode code, const std::string& content,
                          std::initializer_list<std::string> words) {
    const std::string path = folder.write("bad.wav", content);
    expect_error(code, {"bad.wav"}, [&] { read_wav(path); });
    expect_error(code, words, [&] { read_wav(path); });
  };
  const std::string good =
      riff(chunk("fmt ", format_of(1, 1, 16)) + chunk("data", bytes({1, 2, 3, 4})));
  constexpr ErrorCode corrupt = ErrorCode::corrupt_data, unsupported = ErrorCode::unsupported;
  for (std::size_t size = 0; size < good.size(); ++size) {
    expect(corrupt, good.substr(0, size), {"expected"});
  }
  expect(corrupt, "RIFX" + good.substr(4), {"'RIFF'"});
  expect(corrupt, riff(chunk("fmt ", "short")), {"16 bytes", "got 5"});
  expect(corrupt, riff(chunk("data", "1234")), {"before the 'data' chunk"});
  expect(corrupt, riff(chunk("fmt ", format_of(1, 1, 16))), {"'data' chunk", "got 0"});
  expect(corrupt, riff(chunk("fmt ", format_of(1, 0, 16)) + chunk("data", "")), {"channel"});
  expect(corrupt, riff(chunk("fmt ", format_of(1, 1, 16, 0)) + chunk("data", "")), {"rate"});
  expect(corrupt, riff(chunk("fmt ", format_of(0xFFFE, 1, 16)) + chunk("data", "")), {"40 bytes"});
  std::string frame = format_of(1, 2, 16);
  frame[12] = 3;
  expect(corrupt, riff(chunk("fmt ", frame)), {"frames of 4 bytes", "got 3"});
  expect(unsupported, riff(chunk("fmt ", format_of(6, 1, 8))), {"codec 6 with 8 bits"});
  expect(unsupported, riff(chunk("fmt ", format_of(1, 1, 12))), {"codec 1 with 12 bits"});
  const std::string path = folder.write("x.wav", good);
  EXPECT_ERROR(read_wav(path, {.max_bytes = 20}), corrupt_data, "WavOptions::max_bytes");
  EXPECT_ERROR(read_wav(folder.path("none.wav")), io_error, "none.wav");
}

TEST(WavTest, MistakesInWritingAreNamed) {
  const TemporaryFolder folder;
  const std::string path = folder.path("x.wav");
  const Tensor good = Tensor::zeros({2, 4});
  EXPECT_ERROR(write_wav(path, {Tensor(), 8000}), shape_mismatch, "samples", "none");
  EXPECT_ERROR(write_wav(path, {Tensor::zeros({1, 2, 3}), 8000}), shape_mismatch, "[1, 2, 3]");
  EXPECT_ERROR(write_wav(path, {good.to(DType::f64), 8000}), dtype_mismatch, "f64");
  EXPECT_ERROR(write_wav(path, {good, 0}), invalid_argument, "rate", "got 0");
  EXPECT_ERROR(write_wav(path, {Tensor::zeros({0, 4}), 8000}), invalid_argument, "channels");
  EXPECT_ERROR(write_wav(path, {Tensor::zeros({40000, 1}), 8000}), invalid_argument, "65535");
  EXPECT_ERROR(write_wav(path, {Tensor::from({0, NAN}, {2}), 8000}), invalid_argument, "finite",
               "frame 1");
  EXPECT_ERROR(write_wav(folder.path("no/x.wav"), {good, 8000}), io_error, "x.wav");
}

TEST(WavTest, ReadsSpeech) {
  const std::string folder = test::data_folder();
  if (folder.empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
  const Audio speech = read_wav(folder + "/speech/speech_16k_60s.wav");
  EXPECT_EQ(speech.rate, 16000);
  EXPECT_EQ(speech.samples.shape(), Shape({1, 960000}));
}

}  // namespace
}  // namespace pare::data
