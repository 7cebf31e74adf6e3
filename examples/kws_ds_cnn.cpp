// Trains MLPerf Tiny's DS-CNN to tell 12 keywords apart: 800 of 1000 inputs, the others held out.
// usage: kws_ds_cnn [epochs]. Needs PARE_DATA_DIR with kws_mfcc/; says so where it is absent.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

constexpr std::int64_t kFrames = 49, kCoefficients = 10;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return (variable ? variable : PARE_DATA_DIR) + std::string("/kws_mfcc");
}

std::vector<char> bytes_of(const std::string& path, std::size_t count) {
  std::vector<char> bytes(count);
  std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(count));
  return bytes;
}

// f32 [1000, 1, 49, 10] and i64 [1000]; README.txt there gives the scale.
data::TensorDataset read_keywords(const std::string& folder) {
  constexpr std::int64_t count = 1000;
  const std::vector<char> x = bytes_of(folder + "/x_int8_1000x490.bin", 490'000);
  const std::vector<char> y = bytes_of(folder + "/y_u8_1000.bin", 1000);
  std::vector<float> features;
  for (const char q : x) {
    features.push_back((static_cast<float>(static_cast<signed char>(q)) - 83.0F) * 0.5847029F);
  }
  return data::TensorDataset(Tensor::from(features, {count, 1, kFrames, kCoefficients}),
                             Tensor::from(std::vector<std::int64_t>(y.begin(), y.end()), {count}));
}

// Mean and deviation of every coefficient over all examples and frames.
struct Statistics {
  std::vector<float> mean, deviation;
};
Statistics statistics_of(const Tensor& x) {
  const Tensor all = reshape(x, {-1, kCoefficients});
  return {mean(all, {0}).to_vector<float>(), stddev(all, {.axes = {0}}).to_vector<float>()};
}

// What is done to an input in training: whitened, moved by some frames, a stretch of frames silent.
data::Custom prepare(const Statistics& statistics, bool augment) {
  return [=](const Tensor& x, Generator& generator) {
    Tensor out = Tensor::zeros(x.shape());
    const auto draw = [&](std::uint64_t bound) {
      return augment ? static_cast<std::int64_t>(generator.below(bound)) : 0;
    };
    const std::int64_t shift = augment ? draw(11) - 5 : 0;
    const std::int64_t silent = draw(kFrames), length = draw(10);
    for (std::int64_t t = 0; t < kFrames; ++t) {
      const std::int64_t from = std::clamp<std::int64_t>(t + shift, 0, kFrames - 1);
      if (t >= silent && t < silent + length) continue;
      for (std::int64_t c = 0; c < kCoefficients; ++c) {
        const auto k = static_cast<std::size_t>(c);
        out.mutable_data<float>()[t * kCoefficients + c] =
            (x.data<float>()[from * kCoefficients + c] - statistics.mean[k]) /
            statistics.deviation[k];
      }
    }
    return out;
  };
}

int run(std::int64_t epochs) {
  const std::string folder = data_folder();
  if (!std::filesystem::exists(folder + "/y_u8_1000.bin")) {
    std::printf("kws_ds_cnn: skipped, there is no %s (PARE_DATA_DIR)\n", folder.c_str());
    return 0;
  }
  const data::TensorDataset all = read_keywords(folder);
  const data::Split split = data::random_split(all.size(), 0.8, 0);
  const data::TensorDataset train = all.take(split.first), test = all.take(split.second);
  const Statistics statistics = statistics_of(train.inputs());
  data::Loader train_set(train, {.batch_size = 32,
                                 .shuffle = true,
                                 .drop_last = true,
                                 .transforms = {prepare(statistics, true)}});
  data::Loader test_set(test, {.batch_size = 200, .transforms = {prepare(statistics, false)}});

  models::DsCnn net;
  Generator generator(0);
  initialize(net, generator);
  optim::AdamW adam(net.parameters(), {.lr = 3e-3, .weight_decay = 1e-2});
  const auto smooth = [](const Tensor& output, const Tensor& labels) {
    return cross_entropy(output, labels, {.label_smoothing = 0.1});
  };
  const auto show = [&](const train::Progress& p) {
    if (p.batch == p.batches) std::fprintf(stderr, "\r%s  ", to_string(p).c_str());
    return true;
  };
  train::fit(net, train_set,
             {.epochs = epochs,
              .optimizer = &adam,
              .schedule = optim::CosineAnnealingLR{.T_max = epochs},
              .loss = smooth,
              .keep_best = false,
              .progress = show});
  const train::Metrics metrics = train::evaluate(net, test_set);
  std::printf("\nkws_ds_cnn: %lld epochs on 800 inputs, accuracy on 200 others %.4f\n",
              static_cast<long long>(epochs), metrics.accuracy);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoll(argv[1]) : 60);
  } catch (const Error& error) {
    std::fprintf(stderr, "kws_ds_cnn: %s\n", error.what());
    return 1;
  }
}
