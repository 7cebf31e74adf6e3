// What a loader's worker does per second: the usual augmentations of small and large pictures.
// PARE_DATA_DIR adds the decoding of JPEG files.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

data::TensorDataset pictures(std::int64_t count, std::int64_t side) {
  Generator generator(0);
  const Tensor noise = generator.uniform({count, 3, side, side}, 0, 255);
  return data::TensorDataset(noise.to(DType::u8));
}

// One thread, so that a picture's cost is seen and not how many processors there are.
void run(benchmark::State& state, std::shared_ptr<const data::Dataset> set,
         const data::Transforms& transforms) {
  data::Loader loader(
      std::move(set),
      {.batch_size = 32, .drop_last = true, .transforms = transforms, .workers = 0});
  std::int64_t seen = 0;
  for (auto _ : state) {
    for (const data::Batch& batch : loader) {
      benchmark::DoNotOptimize(batch.x.raw());
      seen += batch.x.dim(0);
    }
  }
  state.counters["pictures"] =
      benchmark::Counter(static_cast<double>(seen), benchmark::Counter::kIsRate);
}

const data::Normalize kNormalize{.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};

void bm_crop_flip_32(benchmark::State& state) {
  run(state, std::make_shared<data::TensorDataset>(pictures(256, 32)),
      {data::RandomCrop{.padding = 4}, data::RandomHorizontalFlip{}, kNormalize});
}
BENCHMARK(bm_crop_flip_32)->Unit(benchmark::kMillisecond);

void bm_resized_crop_flip_224(benchmark::State& state) {
  run(state, std::make_shared<data::TensorDataset>(pictures(32, 256)),
      {data::RandomResizedCrop{.height = 224}, data::RandomHorizontalFlip{}, kNormalize});
}
BENCHMARK(bm_resized_crop_flip_224)->Unit(benchmark::kMillisecond);

void bm_resize_256_crop_224(benchmark::State& state) {
  run(state, std::make_shared<data::TensorDataset>(pictures(32, 320)),
      {data::Resize{.size = 256}, data::CenterCrop{.height = 224}, kNormalize});
}
BENCHMARK(bm_resize_256_crop_224)->Unit(benchmark::kMillisecond);

void bm_color_jitter_224(benchmark::State& state) {
  run(state, std::make_shared<data::TensorDataset>(pictures(32, 224)),
      {data::ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1},
       kNormalize});
}
BENCHMARK(bm_color_jitter_224)->Unit(benchmark::kMillisecond);

void bm_jpeg_224(benchmark::State& state) {
  const char* variable = std::getenv("PARE_DATA_DIR");
  const std::string folder = (variable ? variable : PARE_DATA_DIR) + std::string("/imagenet_224");
  if (!std::filesystem::is_directory(folder)) {
    state.SkipWithError("no PARE_DATA_DIR");
    return;
  }
  const data::ImageDataset all = data::read_numbered_images(folder);
  std::vector<std::int64_t> some;
  for (std::int64_t i = 0; i < 64; ++i) some.push_back(i);
  run(state, std::make_shared<data::Subset>(all, some), {kNormalize});
}
BENCHMARK(bm_jpeg_224)->Unit(benchmark::kMillisecond);

}  // namespace
