// Tells nine speakers by how they say two vowels: a GRU in both directions over series of up to 29
// steps. usage: gru_japanese_vowels [epochs [seed]]. Needs PARE_DATA_DIR with timeseries/.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

/// The share of the series whose class the net tells.
double accuracy(models::SequenceGRU& net, const data::SequenceDataset& series) {
  data::Loader loader(series, {.batch_size = 370, .pad = data::Pad{}});
  return train::evaluate(net, loader, {.forward = train::with_lengths}).accuracy;
}

int run(int epochs, std::uint64_t seed) {
  const std::string folder = data_folder() + "/timeseries";
  if (!std::filesystem::exists(folder)) {
    std::printf("gru_japanese_vowels: skipped, expected the folder %s\n", folder.c_str());
    return 0;
  }
  const data::TimeSeries train_set = data::read_ts(folder + "/JapaneseVowels_TRAIN.ts");
  const data::TimeSeries test_set = data::read_ts(folder + "/JapaneseVowels_TEST.ts");
  data::Loader batches(train_set.series,
                       {.batch_size = 30, .shuffle = true, .seed = seed, .pad = data::Pad{}});

  models::SequenceGRU net({.channels = train_set.dimensions,
                           .classes = static_cast<std::int64_t>(train_set.classes.size()),
                           .hidden = 96,
                           .layers = 2,
                           .dropout = 0.5,
                           .bidirectional = true});
  Generator generator(seed);
  initialize(net, generator);
  optim::AdamW adam(net.parameters(), {.lr = 2e-3, .weight_decay = 0.1});
  train::fit(net, batches,
             {.epochs = epochs, .optimizer = &adam, .forward = train::with_lengths, .seed = seed});
  std::printf("%d epochs on %lld series: accuracy %.4f on them, %.4f on the %lld of the test set\n",
              epochs, static_cast<long long>(train_set.series.size()),
              accuracy(net, train_set.series), accuracy(net, test_set.series),
              static_cast<long long>(test_set.series.size()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoi(argv[1]) : 40,
               argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0);
  } catch (const Error& error) {
    std::fprintf(stderr, "gru_japanese_vowels: %s\n", error.what());
    return 1;
  }
}
