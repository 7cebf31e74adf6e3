// .ts files: what they hold, damaged ones, and the real ones where they are.
#include "pare/data/time_series.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/gzip.h"
#include "expect_error.h"
#include "pare/data/loader.h"
#include "temporary_folder.h"

namespace pare::data {
namespace {

using test::expect_error;
using test::TemporaryFolder;

const std::string kHeader =
    "# a comment\n@problemName Two Words\n@timeStamps false\n@missing false\n@univariate false\n"
    "@dimensions 2\n@equalLength false\n@classLabel true yes no\n@data\n";

TEST(TimeSeriesTest, ReadsSeriesOfDifferentLengths) {
  const TemporaryFolder folder;
  const std::string text = kHeader + "1,2,3:-4,5.5,6E1:no\r\n\n7:8:yes\n";
  for (const std::string& path :
       {folder.write("a.ts", text), folder.write("b.ts.gz", test::gzip(text))}) {
    const TimeSeries ts = read_ts(path);
    EXPECT_EQ(ts.name, "Two Words");
    EXPECT_EQ(ts.classes, (std::vector<std::string>{"yes", "no"}));
    EXPECT_EQ(ts.dimensions, 2);
    EXPECT_FALSE(ts.equal_length);
    EXPECT_EQ(ts.missing, 0);
    ASSERT_EQ(ts.series.size(), 2);
    EXPECT_EQ(ts.series.length(0), 3);
    EXPECT_EQ(ts.series.longest(), 3);
    const Example first = ts.series.get(0);
    EXPECT_EQ(first.input.shape(), Shape({3, 2}));
    EXPECT_EQ(first.input.to_vector<float>(), (std::vector<float>{1, -4, 2, 5.5F, 3, 60}));
    EXPECT_EQ(first.label.item(), 1);
    const Batch all = ts.series.padded({.value = 9});
    EXPECT_EQ(all.x.shape(), Shape({2, 3, 2}));
    EXPECT_EQ(all.x.to_vector<float>(),
              (std::vector<float>{1, -4, 2, 5.5F, 3, 60, 7, 8, 9, 9, 9, 9}));
    EXPECT_EQ(all.lengths.to_vector<std::int64_t>(), (std::vector<std::int64_t>{3, 1}));
    EXPECT_EQ(all.y.to_vector<std::int64_t>(), (std::vector<std::int64_t>{1, 0}));
  }
}

TEST(TimeSeriesTest, ReadsUnivariateUnlabelledAndTargets) {
  const TemporaryFolder folder;
  const TimeSeries plain =
      read_ts(folder.write("a.ts", "@univariate true\n@classLabel false\n@data\n1,2\n3,4\n"));
  EXPECT_EQ(plain.dimensions, 1);
  EXPECT_TRUE(plain.equal_length);
  EXPECT_TRUE(plain.classes.empty());
  EXPECT_FALSE(plain.series.labels().defined());
  EXPECT_EQ(plain.series.get(1).input.to_vector<float>(), (std::vector<float>{3, 4}));
  const TimeSeries targets =
      read_ts(folder.write("b.ts", "@targetLabel true\n@data\n1,2:3,4:-0.5\n"));
  EXPECT_EQ(targets.dimensions, 2);
  EXPECT_EQ(targets.series.labels().shape(), Shape({1, 1}));
  EXPECT_EQ(targets.series.labels().item(), -0.5);
}

TEST(TimeSeriesTest, MissingValuesAreKeptInterpolatedOrRefused) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("a.ts", "@missing true\n@data\n?,1,?,NaN,7,?:?,?,?,?,?,?\n");
  const TimeSeries kept = read_ts(path);
  EXPECT_EQ(kept.missing, 10);
  const auto values = kept.series.get(0).input.to_vector<float>();
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[2], 1);
  EXPECT_EQ(
      read_ts(path, {.missing = MissingValues::interpolate}).series.get(0).input.to_vector<float>(),
      (std::vector<float>{1, 0, 1, 0, 3, 0, 5, 0, 7, 0, 7, 0}));
  expect_error(ErrorCode::corrupt_data, {"a.ts", "line 3", "value 1 of dimension 1", "missing"},
               [&] { read_ts(path, {.missing = MissingValues::refuse}); });
}

TEST(TimeSeriesTest, MistakesAreNamed) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& text, std::initializer_list<std::string> words) {
    const std::string path = folder.write("bad.ts", text);
    expect_error(ErrorCode::corrupt_data, words, [&] { read_ts(path); });
  };
  expect("", {"bad.ts", "@data", "none"});
  expect("@data\n", {"at least one series"});
  expect("1,2\n", {"line 1", "tag"});
  expect("@wrong x\n@data\n1\n", {"line 1", "@wrong"});
  expect("@missing maybe\n@data\n1\n", {"'true' or 'false'", "maybe"});
  expect("@dimensions 0\n@data\n1\n", {"above 0", "'0'"});
  expect("@univariate true\n@dimensions 3\n", {"1 dimension", "got 3"});
  expect("@classLabel true\n@data\n1\n", {"classes", "none"});
  expect("@classLabel true a b a\n@data\n1:a\n", {"'a' twice"});
  expect("@classLabel true a\n@targetLabel true\n@data\n1:a\n", {"got both"});
  expect(kHeader + "1,2:3:yes\n", {"line 10", "2 values of dimension 2", "got 1"});
  expect(kHeader + "1:2:3:yes\n", {"line 10", "2 dimensions, got 3"});
  expect(kHeader + "1:2\n", {"classes", "'2'"});
  expect(kHeader + "1,x:2,3:yes\n", {"value 2 of dimension 1", "'x'"});
  expect(kHeader + "1,inf:2,3:yes\n", {"finite", "'inf'"});
  expect(kHeader + "1,?:2,3:yes\n", {"@missing false", "'?'"});
  expect(kHeader + "(0,1):(0,2):yes\n", {"time stamps"});
  expect("@equalLength true\n@data\n1,2\n1\n", {"line 4", "2 steps, got 1"});
  expect("@equalLength true\n@seriesLength 3\n@data\n1,2\n", {"3 steps, got 2"});
  expect("@targetLabel true\n@data\n1,2:x\n", {"target", "'x'"});
  expect("@classLabel true a\n@data\na\n", {"values before the label"});
  const std::string stamps = folder.write("bad.ts", "@timeStamps true\n@data\n(0,1)\n");
  expect_error(ErrorCode::unsupported, {"time stamps"}, [&] { read_ts(stamps); });
  const std::string large = folder.write("bad.ts", "@data\n1,2,3,4\n");
  expect_error(ErrorCode::corrupt_data, {"TsOptions::max_bytes"},
               [&] { read_ts(large, {.max_bytes = 8}); });
  expect_error(ErrorCode::io_error, {"none.ts"}, [&] { read_ts(folder.path("none.ts")); });
}

TEST(TimeSeriesTest, ReadsTheArchivesFiles) {
  const std::string folder = test::data_folder();
  if (folder.empty()) GTEST_SKIP() << "no PARE_DATA_DIR";
  const TimeSeries vowels = read_ts(folder + "/timeseries/JapaneseVowels_TRAIN.ts");
  EXPECT_EQ(vowels.series.size(), 270);
  EXPECT_EQ(vowels.dimensions, 12);
  EXPECT_EQ(vowels.classes.size(), 9U);
  EXPECT_FALSE(vowels.equal_length);
  EXPECT_EQ(vowels.series.longest(), 26);
  EXPECT_FLOAT_EQ(vowels.series.get(0).input.to_vector<float>()[0], 1.860936F);
  const TimeSeries motions = read_ts(folder + "/timeseries/BasicMotions_TRAIN.ts");
  EXPECT_EQ(motions.series.padded().x.shape(), Shape({40, 100, 6}));
  EXPECT_TRUE(motions.equal_length);
  EXPECT_EQ(read_ts(folder + "/timeseries/GunPoint_TRAIN.ts").series.size(), 50);
}

}  // namespace
}  // namespace pare::data
