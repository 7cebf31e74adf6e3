// The functions of the gates of recurrent layers: ONNX's words, their numbers, clipping.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace pare {

class GateFunction {
 public:
  enum class Kind : std::uint8_t {
    tanh,
    sigmoid,
    relu,
    softsign,
    softplus,
    affine,
    leaky_relu,
    thresholded_relu,
    scaled_tanh,
    hard_sigmoid,
    elu
  };
  /// By ONNX's word, with the numbers that ONNX gives it. Throws invalid_argument.
  GateFunction(const char* where, const std::string& word);
  GateFunction() = default;

  float operator()(float x) const;
  float slope(float x) const;
  Kind kind() const { return kind_; }
  const char* word() const;
  bool has_alpha() const;
  bool has_beta() const;

  double alpha = 0, beta = 0;

 private:
  Kind kind_ = Kind::tanh;
};

/// Of one direction: of the gates, of the candidate, of the cell, as far as there are such.
class GateFunctions {
 public:
  GateFunctions(std::vector<GateFunction> list, double clip);
  /// What gate function `which` makes of a sum.
  float at(int which, float x) const { return list_[index(which)](clipped(x)); }
  float slope(int which, float x) const {
    return x > bound_ || x < -bound_ ? 0.0F : list_[index(which)].slope(x);
  }
  /// Unclipped, for cells.
  const GateFunction& function(int which) const { return list_[index(which)]; }
  int count() const { return static_cast<int>(list_.size()); }

 private:
  static std::size_t index(int which) { return static_cast<std::size_t>(which); }
  float clipped(float x) const { return x > bound_ ? bound_ : x < -bound_ ? -bound_ : x; }
  std::vector<GateFunction> list_;
  float bound_;  // infinite where nothing is clipped
};

/// What the attributes of a layer say of its gates' functions.
class GateSettings {
 public:
  struct Attributes {
    const std::string& activations;
    const std::vector<double>&alpha, &beta;
    double clip;
    bool unset() const { return activations.empty() && alpha.empty() && beta.empty() && clip == 0; }
  };
  /// `usual` are the words where there are no activations. Throws invalid_argument.
  GateSettings(const char* where, std::initializer_list<const char*> usual,
               const Attributes& attributes, const std::string& direction);

  const GateFunctions& of(std::int64_t direction) const {
    return directions_[static_cast<std::size_t>(direction)];
  }
  double clip() const { return clip_; }
  /// All directions have these.
  bool are(std::initializer_list<GateFunction::Kind> kinds) const;
  /// All functions from `first` on are 0 at 0.
  bool rest(int first) const;
  /// In ONNX's form.
  std::vector<std::string> words() const;
  std::vector<double> alphas() const;
  std::vector<double> betas() const;

 private:
  template <class See> void each(See see) const;
  std::vector<GateFunctions> directions_;
  double clip_;
};

}  // namespace pare
