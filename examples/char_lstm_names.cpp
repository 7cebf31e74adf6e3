// Tells the language of surnames by their characters: an LSTM, held out every tenth name.
// usage: char_lstm_names [epochs]. Needs PARE_DATA_DIR with names/.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "pare/pare.h"

namespace {

using namespace pare;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

bool show(const train::Progress& p) {
  if (p.validation) std::fprintf(stderr, "%s\n", to_string(*p.validation).c_str());
  return true;
}

int run(std::int64_t epochs) {
  const std::string folder = data_folder() + "/names";
  if (!std::filesystem::exists(folder)) {
    std::printf("char_lstm_names: skipped, expected the folder %s\n", folder.c_str());
    return 0;
  }
  const data::LabelledLines names = data::read_labelled_lines(folder, {.reserved = 1});
  Generator generator(1);
  const std::vector<std::int64_t> order = generator.permutation(names.lines.size());
  const std::size_t held = order.size() / 10;
  const data::LoaderOptions options{.batch_size = 64, .shuffle = true, .pad = data::Pad{}};
  data::Loader train_set(names.lines.take(std::span(order).subspan(held)), options);
  data::Loader test_set(names.lines.take(std::span(order).first(held)),
                        {.batch_size = 256, .pad = data::Pad{}});

  models::CharLSTM net({.vocabulary = names.vocabulary.size(),
                        .classes = static_cast<std::int64_t>(names.classes.size()),
                        .embedding = 64,
                        .hidden = 128});
  initialize(net, generator);
  optim::Adam adam(net.parameters(), {.lr = 2e-3});
  const auto history = train::fit(net, train_set,
                                  {.epochs = epochs,
                                   .optimizer = &adam,
                                   .schedule = optim::CosineAnnealingLR{.T_max = epochs},
                                   .clip_norm = 5,
                                   .validation = &test_set,
                                   .keep_best = false,
                                   .progress = show});
  std::printf("%lld epochs on %lld names of %zu classes; the %zu held out: %s\n",
              static_cast<long long>(epochs), static_cast<long long>(train_set.size()),
              names.classes.size(), held, to_string(*history.epochs.back().validation).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoll(argv[1]) : 6);
  } catch (const Error& error) {
    std::fprintf(stderr, "char_lstm_names: %s\n", error.what());
    return 1;
  }
}
