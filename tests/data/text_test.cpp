// Text: vocabularies, windows, lines with labels, and the real files where they are.
#include "pare/data/text.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/gzip.h"
#include "expect_error.h"
#include "pare/data/loader.h"
#include "temporary_folder.h"

namespace pare::data {
namespace {

using test::bytes;
using test::TemporaryFolder;
using Ints = std::vector<std::int64_t>;

TEST(VocabularyTest, NumbersCharactersInTheirOrder) {
  const Vocabulary vocabulary("banaña €\U0001F600");
  EXPECT_EQ(vocabulary.characters(), U" abnñ€\U0001F600");
  EXPECT_EQ(vocabulary.size(), 7);
  const Ints ids = vocabulary.encode("ña€\U0001F600 b");
  EXPECT_EQ(ids, (Ints{4, 1, 5, 6, 0, 2}));
  EXPECT_EQ(vocabulary.decode(ids), "ña€\U0001F600 b");
  const Vocabulary shifted("ab", 2);
  EXPECT_EQ(shifted.size(), 4);
  EXPECT_EQ(shifted.encode("ba"), (Ints{3, 2}));
  EXPECT_EQ(shifted.decode(Ints{0, 3, 1, 2}), "ba");
}

TEST(VocabularyTest, MistakesAreNamed) {
  const Vocabulary vocabulary("ab");
  EXPECT_ERROR(vocabulary.encode("abc"), out_of_range, "'c' (U+0063)");
  EXPECT_ERROR(vocabulary.decode(Ints{2}), out_of_range, "0 … 1", "got 2");
  EXPECT_ERROR(vocabulary.decode(Ints{-1}), out_of_range, "got -1");
  EXPECT_ERROR(Vocabulary("a", -1), invalid_argument, "reserved", "-1");
  // A lone continuation, a long form, a surrogate, beyond the last code point, a cut one.
  EXPECT_ERROR(Vocabulary("a" + bytes({0x80})), corrupt_data, "UTF-8", "0x80 at byte 1");
  EXPECT_ERROR(Vocabulary(bytes({0xC0, 0x80})), corrupt_data, "0xc0 at byte 0");
  EXPECT_ERROR(Vocabulary(bytes({0xE0, 0x81, 0x81})), corrupt_data, "0xe0");
  EXPECT_ERROR(Vocabulary(bytes({0xED, 0xA0, 0x80})), corrupt_data, "0xed");
  EXPECT_ERROR(Vocabulary(bytes({0xF4, 0x90, 0x80, 0x80})), corrupt_data, "0xf4");
  EXPECT_ERROR(Vocabulary(bytes({0xF0, 0x9F, 0x98})), corrupt_data, "0xf0");
}

TEST(TextTest, WindowsHaveWhatFollowsAsTheirLabels) {
  const TemporaryFolder folder;
  for (const std::string& path :
       {folder.write("a.txt", "abcdefghij"), folder.write("b.txt.gz", test::gzip("abcdefghij"))}) {
    const CharacterText text = read_characters(path);
    EXPECT_EQ(text.vocabulary.size(), 10);
    EXPECT_EQ(text.ids.to_vector<std::int64_t>(), (Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    const TextWindows windows(text.ids, {.length = 3});
    EXPECT_EQ(windows.size(), 3);
    EXPECT_EQ(windows.get(2).input.to_vector<std::int64_t>(), (Ints{6, 7, 8}));
    EXPECT_EQ(windows.get(2).label.to_vector<std::int64_t>(), (Ints{7, 8, 9}));
    EXPECT_EQ(TextWindows(text.ids, {.length = 3, .stride = 1}).size(), 7);
    EXPECT_EQ(TextWindows(text.ids, {.length = 9}).size(), 1);
    EXPECT_EQ(TextWindows(text.ids, {.length = 10}).size(), 0);
    Loader loader(TextWindows(text.part(0.2, 1), {.length = 2}), {.batch_size = 2});
    const auto batch = loader.begin();
    EXPECT_EQ(batch->x.to_vector<std::int64_t>(), (Ints{2, 3, 4, 5}));
    EXPECT_EQ(batch->y.shape(), Shape({2, 2}));
    EXPECT_EQ(batch->y.to_vector<std::int64_t>(), (Ints{3, 4, 5, 6}));
  }
}

TEST(TextTest, PartsSplitTheTextWithoutLoss) {
  const TemporaryFolder folder;
  const CharacterText text = read_characters(folder.write("a.txt", "0123456789abc"));
  EXPECT_EQ(text.part(0, 0.9).elements() + text.part(0.9, 1).elements(), 13);
  EXPECT_EQ(text.part(0.9, 1).to_vector<std::int64_t>(), (Ints{11, 12}));
  EXPECT_EQ(text.part(0.5, 0.5).elements(), 0);
  EXPECT_ERROR(text.part(0.9, 0.1), out_of_range, "0.9 and 0.1");
  EXPECT_ERROR(text.part(0, 1.5), out_of_range, "1.5");
}

TEST(TextTest, AGivenVocabularyIsUsed) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", "bab");
  const CharacterText text = read_characters(path, {.vocabulary = Vocabulary("abc", 1)});
  EXPECT_EQ(text.ids.to_vector<std::int64_t>(), (Ints{2, 1, 2}));
  EXPECT_EQ(read_characters(path, {.reserved = 5}).vocabulary.size(), 7);
  EXPECT_ERROR(read_characters(path, {.vocabulary = Vocabulary("a")}), out_of_range, "'b'");
}

TEST(TextTest, MistakesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_ERROR(read_characters(folder.path("none.txt")), io_error, "none.txt");
  EXPECT_ERROR(read_characters(folder.write("bad.txt", "")), corrupt_data, "bad.txt", "empty");
  EXPECT_ERROR(read_characters(folder.write("bad.txt", "ab\xFF")), corrupt_data, "bad.txt",
               "0xff at byte 2");
  EXPECT_ERROR(read_characters(folder.write("bad.txt", "abc"), {.max_bytes = 2}), corrupt_data,
               "TextOptions::max_bytes");
  const Tensor ids = Tensor::zeros({5}, DType::i64);
  EXPECT_ERROR(TextWindows(Tensor::zeros({5})), dtype_mismatch, "i64", "f32");
  EXPECT_ERROR(TextWindows(Tensor::zeros({5, 1}, DType::i64)), shape_mismatch, "[5, 1]");
  EXPECT_ERROR(TextWindows(ids, {.length = 0}), invalid_argument, "length above 0");
  EXPECT_ERROR(TextWindows(ids, {.length = 2, .stride = -1}), invalid_argument, "-1");
  EXPECT_ERROR(TextWindows(ids, {.length = 2}).get(2), out_of_range, "0 … 1", "got 2");
}

TEST(LabelledLinesTest, ReadsOneFilePerClass) {
  const TemporaryFolder folder;
  folder.write("Zulu.txt", "ba\r\n\n  c d \n");
  folder.write("Ainu.txt.gz", test::gzip("é"));
  folder.write("readme.md", "not a class");
  std::filesystem::create_directory(folder.path("sub.txt"));
  const LabelledLines lines = read_labelled_lines(folder.path(""), {.reserved = 1});
  EXPECT_EQ(lines.classes, (std::vector<std::string>{"Ainu", "Zulu"}));
  EXPECT_EQ(lines.vocabulary.characters(), U" abcdé");
  ASSERT_EQ(lines.lines.size(), 3);
  EXPECT_EQ(lines.lines.labels().to_vector<std::int64_t>(), (Ints{0, 1, 1}));
  EXPECT_EQ(lines.vocabulary.decode(lines.lines.get(2).input.to_vector<std::int64_t>()), "c d");
  EXPECT_EQ(lines.lines.padded().x.to_vector<std::int64_t>(), (Ints{6, 0, 0, 3, 2, 0, 4, 1, 5}));
}

TEST(LabelledLinesTest, MistakesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_ERROR(read_labelled_lines(folder.path("none")), io_error, "none");
  EXPECT_ERROR(read_labelled_lines(folder.path("")), corrupt_data, "<class>.txt", "got none");
  folder.write("a.txt", " \n");
  EXPECT_ERROR(read_labelled_lines(folder.path("")), corrupt_data, "at least one line");
  folder.write("a.txt", "abc\n");
  EXPECT_ERROR(read_labelled_lines(folder.path(""), {.max_bytes = 3}), corrupt_data, "max_bytes");
  folder.write("a.txt.gz", test::gzip("abc"));
  EXPECT_ERROR(read_labelled_lines(folder.path("")), corrupt_data, "two of 'a'");
}

TEST(TextTest, ReadsTheRealFiles) {
  const std::string folder = test::data_folder();
  if (folder.empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
  const CharacterText text = read_characters(folder + "/text/tinyshakespeare.txt");
  EXPECT_EQ(text.vocabulary.size(), 65);
  EXPECT_EQ(text.ids.elements(), 1115394);
  EXPECT_EQ(text.part(0, 0.9).elements(), 1003854);
  const LabelledLines names = read_labelled_lines(folder + "/names");
  EXPECT_EQ(names.classes.size(), 18U);
  EXPECT_EQ(names.lines.size(), 20050);
  EXPECT_EQ(names.vocabulary.size(), 83);  // the 84 characters of the files but for the newline
}

}  // namespace
}  // namespace pare::data
