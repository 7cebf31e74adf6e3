// pare dataset: .npy files out of pictures, IDX, CIFAR, CSV, WAV, text and raw numbers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/dataset_source.h"
#include "cli/progress.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/ops/movement.h"
#include "pare/core/parallel.h"
#include "pare/data/image_functions.h"
#include "pare/io/npy.h"

namespace pare::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  SourceOptions source;
  std::string output, labels, size, take, scale, mean, deviation, shape;
  std::string layout = "nchw";
};

// "0.5", "1/127.5"; several of them with commas between.
std::vector<double> parse_numbers(const char* option, const std::string& text) {
  std::vector<double> out;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](double& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc();
  };
  while (at < end || (out.empty() && text.empty())) {
    double value = 0, below = 1;
    bool good = number(value);
    if (good && at < end && *at == '/') {
      ++at;
      good = number(below) && below != 0;
    }
    good = good && (at == end || *at == ',') && at + 1 != end;
    if (!good)
      throw UsageError(
          fmt::format("{}: expected numbers such as 0.5 or 1/127.5,1, got '{}'", option, text));
    out.push_back(value / below);
    if (at < end) ++at;
  }
  return out;
}

std::vector<std::int64_t> parse_sizes(const char* option, const std::string& text, char between) {
  std::vector<std::int64_t> out;
  const char* at = text.data();
  const char* const end = at + text.size();
  do {
    std::int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 1 || (next != end && *next != between) || next + 1 == end)
      throw UsageError(
          fmt::format("{}: expected sizes with '{}' between, got '{}'", option, between, text));
    out.push_back(size);
    at = next == end ? end : next + 1;
  } while (at != end);
  return out;
}

// Python's a:b:step, without negative steps.
std::vector<std::int64_t> parse_take(const std::string& given, std::int64_t count) {
  std::int64_t part[3] = {0, count, 1};
  const std::string text = given.empty() ? ":" : given;
  std::size_t begin = 0;
  bool good = true;
  int k = 0;
  for (; k < 3 && good; ++k) {
    const std::size_t colon = std::min(text.find(':', begin), text.size());
    if (colon > begin) {
      const char* const end = text.data() + colon;
      const auto [at, error] = std::from_chars(text.data() + begin, end, part[k]);
      good = error == std::errc() && at == end;
      if (k < 2 && part[k] < 0) part[k] = std::max<std::int64_t>(part[k] + count, 0);
    }
    begin = colon + 1;
    if (colon == text.size()) break;
  }
  if (!good || k == 0 || k == 3 || part[2] < 1)
    throw UsageError(
        fmt::format("--take: expected samples such as 0:1000 or 10::2, got '{}'", text));
  std::vector<std::int64_t> out;
  for (std::int64_t i = part[0]; i < std::min(part[1], count); i += part[2]) out.push_back(i);
  return out;
}

// What happens to a sample on its way into the array.
class Preparation {
 public:
  Preparation(const Options& options, bool pictures) : nhwc_(options.layout == "nhwc") {
    if (!options.size.empty()) {
      size_ = parse_sizes("--size", options.size, 'x');
      if (!pictures || size_.size() > 2)
        throw UsageError(
            fmt::format("--size: expected pictures and S or HxW, got '{}'", options.size));
    }
    if (!options.shape.empty()) shape_ = parse_sizes("--shape", options.shape, ',');
    floats_ = !options.scale.empty() || !options.mean.empty() || !options.deviation.empty();
    if (!options.scale.empty()) scale_ = parse_numbers("--scale", options.scale);
    if (!options.mean.empty()) mean_ = parse_numbers("--mean", options.mean);
    if (!options.deviation.empty()) deviation_ = parse_numbers("--std", options.deviation);
    if (std::ranges::find(deviation_, 0.0) != deviation_.end())
      throw UsageError("--std: expected numbers other than 0, got '" + options.deviation + "'");
  }

  Tensor operator()(Tensor x) const {
    if (!size_.empty()) x = resized(x);
    if (floats_) x = normalized(x.to(DType::f32));
    if (nhwc_ && x.rank() == 3) x = transpose(x, {1, 2, 0}).to(MemoryFormat::row_major);
    if (!shape_.empty()) x = reshape(x, shape_);
    return x.to(MemoryFormat::row_major);
  }

 private:
  // "HxW": exactly so; "S": the shorter side, then the middle.
  Tensor resized(const Tensor& x) const {
    const std::int64_t height = x.dim(1), width = x.dim(2);
    if (size_.size() == 2) {
      if (height == size_[0] && width == size_[1]) return x;
      return data::resize(x, {.height = size_[0], .width = size_[1]});
    }
    const std::int64_t side = size_[0], shorter = std::min(height, width);
    Tensor out = x;
    if (shorter != side)
      out = data::resize(x, {.height = height * side / shorter, .width = width * side / shorter});
    return data::crop(out, {.top = (out.dim(1) - side) / 2,
                            .left = (out.dim(2) - side) / 2,
                            .height = side,
                            .width = side});
  }

  Tensor normalized(const Tensor& x) const {
    const std::size_t most = std::max({scale_.size(), mean_.size(), deviation_.size()});
    const std::int64_t channels = most == 1 ? 1 : x.rank() > 0 ? x.dim(0) : 1;
    for (const auto* numbers : {&scale_, &mean_, &deviation_})
      if (numbers->size() != 1 && static_cast<std::int64_t>(numbers->size()) != channels)
        throw Error(ErrorCode::shape_mismatch,
                    fmt::format("--scale, --mean, --std: expected one number or one for each of "
                                "the channels of {}, got {}",
                                x.shape().to_string(), numbers->size()));
    Tensor out = Tensor::empty(x.shape());
    const float* from = x.data<float>();
    auto* to = out.mutable_data<float>();
    const std::int64_t each = x.elements() / channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto of = [&](const std::vector<double>& v) {
        return v.size() == 1 ? v[0] : v[static_cast<std::size_t>(c)];
      };
      const double scale = of(scale_), mean = of(mean_), deviation = of(deviation_);
      for (std::int64_t i = 0; i < each; ++i)
        *to++ = static_cast<float>((static_cast<double>(*from++) * scale - mean) / deviation);
    }
    return out;
  }

  std::vector<std::int64_t> size_, shape_;
  bool floats_ = false, nhwc_;
  std::vector<double> scale_{1}, mean_{0}, deviation_{1};
};

// An array that the samples fill one by one; the first one says what they look like.
class Stack {
 public:
  void begin(std::int64_t count, const Tensor& first) {
    Shape shape{count};
    for (int a = 0; a < first.rank(); ++a) shape.append(first.dim(a));
    all_ = Tensor::empty(shape, first.dtype());
    one_ = first.shape();
  }
  void put(std::int64_t i, std::int64_t number, const Tensor& x) {
    if (x.shape() != one_ || x.dtype() != all_.dtype())
      throw Error(ErrorCode::shape_mismatch,
                  fmt::format("sample {}: expected {}{} as of the first, got {}{}; --size makes "
                              "pictures equal",
                              number, traits(all_.dtype()).name, one_.to_string(),
                              traits(x.dtype()).name, x.shape().to_string()));
    auto* const to = static_cast<std::byte*>(data_);
    if (x.bytes() > 0)
      std::memcpy(to + static_cast<std::size_t>(i) * x.bytes(), x.raw(), x.bytes());
  }
  void open() { data_ = all_.mutable_raw(); }
  const Tensor& tensor() const { return all_; }

 private:
  Tensor all_;
  Shape one_;
  void* data_ = nullptr;
};

void check_different(const Options& options) {
  if (options.labels.empty()) return;
  if (fs::weakly_canonical(options.output) == fs::weakly_canonical(options.labels))
    throw UsageError("--labels: expected another file than --output, got the same");
}

// Both files or none.
void write(const Options& options, const Stack& x, const Stack& y) {
  if (options.labels.empty()) {
    io::save_npy(options.output, x.tensor());
    return;
  }
  const std::string part = options.labels + ".part";
  io::save_npy(part, y.tensor());
  try {
    io::save_npy(options.output, x.tensor());
    fs::rename(part, options.labels);
  } catch (...) {
    std::error_code ignored;
    fs::remove(part, ignored);
    throw;
  }
}

void run(Options options, const Settings& settings) {
  check_different(options);
  options.source.labels = !options.labels.empty();
  const Source source = open_source(options.source);
  const data::Dataset& samples = *source.samples;
  std::vector<std::int64_t> taken = parse_take(options.take, samples.size());
  if (taken.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: expected at least one sample, got none of {}",
                            options.source.paths.front(), samples.size()));
  const bool pictures =
      source.format == "pictures" || source.format == "cifar" || source.format == "idx";
  const Preparation prepare(options, pictures);
  const auto count = static_cast<std::int64_t>(taken.size());
  ContextScope scope;
  scope->grad = false;
  scope->threads = settings.threads;
  Stack x, y;
  const data::Example first = samples.get(taken.front());
  x.begin(count, prepare(first.input));
  x.open();
  if (options.source.labels) {
    if (!first.label.defined())
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--labels: expected a source with labels, got {} without",
                              options.source.paths.front()));
    y.begin(count, first.label);
    y.open();
  }
  {
    Progress progress(settings, "dataset", count);
    constexpr std::int64_t kPiece = 64;
    for (std::int64_t begin = 0; begin < count; begin += kPiece) {
      const std::int64_t end = std::min(begin + kPiece, count);
      parallel_for(begin, end, 1, [&](std::int64_t b, std::int64_t e) {
        ContextScope quiet;
        quiet->grad = false;
        quiet->threads = 1;
        for (std::int64_t i = b; i < e; ++i) {
          const std::int64_t number = taken[static_cast<std::size_t>(i)];
          const data::Example example = samples.get(number);
          x.put(i, number, prepare(example.input));
          if (options.source.labels) y.put(i, number, example.label);
        }
      });
      progress.advance(end - begin);
    }
  }
  write(options, x, y);
  const Tensor& all = x.tensor();
  print(settings,
        fmt::format("{} samples of {}: {}{} in {}\n", count, source.format,
                    traits(all.dtype()).name, all.shape().to_string(), options.output),
        {{"samples", count},
         {"shape", all.shape().to_vector()},
         {"dtype", traits(all.dtype()).name},
         {"format", source.format}});
}

}  // namespace

void add_dataset(CLI::App& app, Settings& settings) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, settings, "dataset",
                  "Makes .npy files of pictures, IDX, CIFAR, CSV, WAV, text, raw data",
                  "pare dataset pictures/ -o x.npy --labels y.npy --size 224 --scale 1/255 "
                  "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225");
  SourceOptions& source = options->source;
  command->add_option("SRC", source.paths, "A folder or file; several of CIFAR, pictures, raw")
      ->required();
  command->add_option("-o,--output", options->output, "The .npy file of the samples")->required();
  command->add_option("--labels", options->labels, "The .npy file of the labels");
  command->add_option("--format", source.format, "Of SRC, where its content does not tell")
      ->check(CLI::IsMember({"pictures", "idx", "cifar", "csv", "wav", "text"}));
  command->add_option("--raw", source.raw, "SRC is bare numbers: i8:490 or f32:3x32x32 a sample");
  command->add_option("--size", options->size,
                      "Of pictures: HxW, or S: the shorter side, then the middle S x S");
  command
      ->add_option("--channels", source.channels, "Of pictures: 1 grey, 3 colour, 4, 0 as stored")
      ->check(CLI::IsMember({0, 1, 3, 4}));
  command->add_option("--scale", options->scale,
                      "x becomes (x * scale - mean) / std in f32, with "
                      "one number or one per channel: 1/255");
  command->add_option("--mean", options->mean, "0.485,0.456,0.406");
  command->add_option("--std", options->deviation, "0.229,0.224,0.225");
  command->add_option("--layout", options->layout, "Of pictures: nchw or nhwc")
      ->capture_default_str()
      ->check(CLI::IsMember({"nchw", "nhwc"}));
  command->add_option("--shape", options->shape, "Of a sample: 1,49,10");
  command->add_option("--take", options->take, "Samples a:b or a:b:step, as in Python");
  command->add_option("--length", source.length, "Characters or frames a sample");
  command->add_option("--stride", source.stride, "From one window to the next; the length without");
  command->add_option("--share", source.share, "The part of a text: 0.9:1");
  command->add_option("--label-file", source.label_file, "IDX labels; those beside SRC without");
  command->add_option("--label-column", source.label_column,
                      "Of CSV: number or name; the last "
                      "without");
  command->add_flag("--header", source.header, "The first line of CSV names the columns");
  command->callback([options, &settings] { run(*options, settings); });
}

}  // namespace pare::cli
