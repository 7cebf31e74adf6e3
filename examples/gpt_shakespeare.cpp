// Trains a small GPT on the characters of tinyshakespeare within a given time, and lets it speak.
// usage: gpt_shakespeare [minutes]. Needs PARE_DATA_DIR with text/.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "pare/pare.h"

namespace {

using namespace pare;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kLength = 64;
constexpr std::int64_t kBatch = 32;

std::string data_folder() {
  const char* variable = std::getenv("PARE_DATA_DIR");
  return variable ? variable : PARE_DATA_DIR;
}

/// Nats per character of the windows x [N, length] and what follows each character, y of x's shape.
Tensor loss_of(models::GPT& net, const Tensor& x, const Tensor& y) {
  const Tensor scores = net(x);
  return cross_entropy(reshape(scores, {-1, scores.dim(2)}), reshape(y, {-1}));
}

/// The same over a whole text, in windows that do not overlap.
double evaluate(models::GPT& net, const Tensor& text) {
  const NoGrad no_grad;
  double total = 0;
  std::int64_t count = 0;
  data::Loader windows(data::TextWindows(text, {.length = kLength}), {.batch_size = 100});
  for (const auto& [x, y] : windows) {
    total += loss_of(net, x, y).item() * static_cast<double>(x.dim(0));
    count += x.dim(0);
  }
  return total / static_cast<double>(count);
}

int run(double minutes) {
  const data::CharacterText text =
      data::read_characters(data_folder() + "/text/tinyshakespeare.txt");
  const data::TextWindows train(text.part(0, 0.9), {.length = kLength, .stride = 1});
  const Tensor test = text.part(0.9, 1);

  models::GPT net({.vocab_size = text.vocabulary.size(), .block_size = kLength, .dropout = 0.0});
  Generator generator(1337);
  initialize(net, generator);
  const double rate = 2e-3;
  optim::AdamW optimizer(net.parameters(), {.lr = rate, .beta2 = 0.99, .weight_decay = 0.1});

  // The rate follows the clock: a short rise, then half a cosine down to almost nothing.
  const auto start = Clock::now();
  double done = 0;
  std::int64_t step = 0;
  double recent = 0;
  for (; done < 1; ++step) {
    const double rise = std::min(1.0, static_cast<double>(step + 1) / 100);
    const double fall = 0.01 + 0.99 * 0.5 * (1 + std::cos(3.14159265358979 * done));
    optimizer.set_learning_rate(rate * rise * fall);
    std::vector<data::Example> drawn;
    for (std::int64_t i = 0; i < kBatch; ++i)
      drawn.push_back(train.get(
          static_cast<std::int64_t>(generator.below(static_cast<std::uint64_t>(train.size())))));
    const data::Batch batch = data::collate(drawn);
    ContextScope scope;
    scope->training = true;
    scope->generator = &generator;
    optimizer.zero_grad();
    const Tensor loss = loss_of(net, batch.x, batch.y);
    loss.backward();
    optim::clip_grad_norm(net.parameters(), {.max_norm = 1});
    optimizer.step();
    recent += (loss.item() - recent) * (step == 0 ? 1 : 0.02);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    done = seconds / (60 * minutes);
    if (step % 250 == 0)
      std::fprintf(stderr, "step %lld, %.0f s: %.3f nats\n", static_cast<long long>(step), seconds,
                   recent);
  }
  std::printf("%lld steps of %lld windows in %.1f minutes; last 10 %%: %.3f nats per character\n",
              static_cast<long long>(step), static_cast<long long>(kBatch), minutes,
              evaluate(net, test));
  const std::vector<std::int64_t> speech =
      net.generate(text.vocabulary.encode("\n"), generator, {.count = 300, .temperature = 0.8});
  std::printf("%s\n", text.vocabulary.decode(speech).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atof(argv[1]) : 10);
  } catch (const Error& error) {
    std::fprintf(stderr, "gpt_shakespeare: %s\n", error.what());
    return 1;
  }
}
