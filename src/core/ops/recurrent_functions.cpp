// The functions of the gates of recurrent layers.
#include "core/ops/recurrent_functions.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace pare {
namespace {

using Kind = GateFunction::Kind;

struct Word {
  const char* text;
  Kind kind;
  int numbers;  // 0: none, 1: alpha, 2: alpha and beta
  double alpha, beta;
};
constexpr Word kWords[] = {
    {"Tanh", Kind::tanh, 0, 0, 0},
    {"Sigmoid", Kind::sigmoid, 0, 0, 0},
    {"Relu", Kind::relu, 0, 0, 0},
    {"Softsign", Kind::softsign, 0, 0, 0},
    {"Softplus", Kind::softplus, 0, 0, 0},
    {"Affine", Kind::affine, 2, 1, 0},
    {"LeakyRelu", Kind::leaky_relu, 1, 0.01, 0},
    {"ThresholdedRelu", Kind::thresholded_relu, 1, 1, 0},
    {"ScaledTanh", Kind::scaled_tanh, 2, 1, 1},
    {"HardSigmoid", Kind::hard_sigmoid, 2, 0.2, 0.5},
    {"Elu", Kind::elu, 1, 1, 0},
};
const Word& word_of(Kind kind) {
  return *std::find_if(std::begin(kWords), std::end(kWords),
                       [&](const Word& w) { return w.kind == kind; });
}

float sigmoid(float x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    words.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

}  // namespace

GateFunction::GateFunction(const char* where, const std::string& word) {
  const Word* const found = std::find_if(std::begin(kWords), std::end(kWords),
                                         [&](const Word& w) { return word == w.text; });
  PARE_CHECK(found != std::end(kWords), invalid_argument, where,
             "expected one of ONNX's activations (Tanh, Sigmoid, Relu, …), got '{}'", word);
  kind_ = found->kind;
  alpha = found->alpha;
  beta = found->beta;
}

const char* GateFunction::word() const { return word_of(kind_).text; }
bool GateFunction::has_alpha() const { return word_of(kind_).numbers > 0; }
bool GateFunction::has_beta() const { return word_of(kind_).numbers > 1; }

float GateFunction::operator()(float x) const {
  const auto a = static_cast<float>(alpha);
  const auto b = static_cast<float>(beta);
  switch (kind_) {
    case Kind::tanh:
      return std::tanh(x);
    case Kind::sigmoid:
      return sigmoid(x);
    case Kind::relu:
      return x < 0 ? 0 : x;  // NaN passes
    case Kind::softsign:
      return x / (1 + std::abs(x));
    case Kind::softplus:
      return std::max(x, 0.0F) + std::log1p(std::exp(-std::abs(x)));
    case Kind::affine:
      return a * x + b;
    case Kind::leaky_relu:
      return x < 0 ? a * x : x;
    case Kind::thresholded_relu:
      return x <= a ? 0 : x;
    case Kind::scaled_tanh:
      return a * std::tanh(b * x);
    case Kind::hard_sigmoid:
      return std::clamp(a * x + b, 0.0F, 1.0F);
    case Kind::elu:
      return x < 0 ? a * std::expm1(x) : x;
  }
  return x;
}

float GateFunction::slope(float x) const {
  const auto a = static_cast<float>(alpha);
  const auto b = static_cast<float>(beta);
  switch (kind_) {
    case Kind::tanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Kind::sigmoid:
      return sigmoid(x) * sigmoid(-x);
    case Kind::relu:
      return x > 0 ? 1 : 0;
    case Kind::softsign:
      return 1 / ((1 + std::abs(x)) * (1 + std::abs(x)));
    case Kind::softplus:
      return sigmoid(x);
    case Kind::affine:
      return a;
    case Kind::leaky_relu:
      return x > 0 ? 1 : a;
    case Kind::thresholded_relu:
      return x > a ? 1 : 0;
    case Kind::scaled_tanh: {
      const float t = std::tanh(b * x);
      return a * b * (1 - t * t);
    }
    case Kind::hard_sigmoid:
      return a * x + b > 0 && a * x + b < 1 ? a : 0;
    case Kind::elu:
      return x > 0 ? 1 : a * std::exp(x);
  }
  return 1;
}

GateFunctions::GateFunctions(std::vector<GateFunction> list, double clip)
    : list_(std::move(list)),
      bound_(clip > 0 ? static_cast<float>(clip) : std::numeric_limits<float>::infinity()) {}

GateSettings::GateSettings(const char* where, std::initializer_list<const char*> usual,
                           const Attributes& attributes, const std::string& direction)
    : clip_(attributes.clip) {
  const std::size_t directions = direction == "bidirectional" ? 2 : 1;
  const std::size_t each = usual.size();
  std::vector<std::string> words(usual.begin(), usual.end());
  if (!attributes.activations.empty()) words = split(attributes.activations);
  PARE_CHECK(words.size() == each || words.size() == each * directions, invalid_argument, where,
             "expected {} activations for each direction, got '{}'", each, attributes.activations);
  PARE_CHECK(clip_ >= 0, invalid_argument, where, "expected a clip of at least 0, got {}", clip_);
  std::size_t alphas = 0;
  std::size_t betas = 0;
  for (std::size_t d = 0; d < directions; ++d) {
    if (d > 0 && words.size() == each) {
      directions_.push_back(directions_[0]);
      break;
    }
    std::vector<GateFunction> list;
    for (std::size_t k = 0; k < each; ++k) {
      GateFunction f(where, words[d * each + k]);
      if (f.has_alpha() && alphas < attributes.alpha.size()) f.alpha = attributes.alpha[alphas++];
      if (f.has_beta() && betas < attributes.beta.size()) f.beta = attributes.beta[betas++];
      list.push_back(f);
    }
    directions_.emplace_back(std::move(list), clip_);
  }
  PARE_CHECK(alphas == attributes.alpha.size() && betas == attributes.beta.size(), invalid_argument,
             where, "expected at most {} values of alpha and {} of beta for '{}', got {} and {}",
             alphas, betas, attributes.activations, attributes.alpha.size(),
             attributes.beta.size());
}

bool GateSettings::are(std::initializer_list<Kind> kinds) const {
  for (const GateFunctions& f : directions_)
    for (int k = 0; k < f.count(); ++k)
      if (f.function(k).kind() != kinds.begin()[k]) return false;
  return true;
}

bool GateSettings::rest(int first) const {
  for (const GateFunctions& f : directions_)
    for (int k = first; k < f.count(); ++k)
      if (f.function(k)(0) != 0) return false;
  return true;
}

template <class See> void GateSettings::each(See see) const {
  for (const GateFunctions& f : directions_)
    for (int k = 0; k < f.count(); ++k) see(f.function(k));
}

std::vector<std::string> GateSettings::words() const {
  std::vector<std::string> list;
  each([&](const GateFunction& f) { list.emplace_back(f.word()); });
  return list;
}
std::vector<double> GateSettings::alphas() const {
  std::vector<double> list;
  each([&](const GateFunction& f) {
    if (f.has_alpha()) list.push_back(f.alpha);
  });
  return list;
}
std::vector<double> GateSettings::betas() const {
  std::vector<double> list;
  each([&](const GateFunction& f) {
    if (f.has_beta()) list.push_back(f.beta);
  });
  return list;
}

}  // namespace pare
