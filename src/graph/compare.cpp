// Differences between two graphs' values.
#include "pare/graph/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/check.h"
#include "pare/core/context.h"

namespace pare {

void DifferenceMeter::add(const Tensor& reference, const Tensor& other) {
  constexpr const char* kPlace = "DifferenceMeter::add";
  PARE_CHECK(reference.shape() == other.shape(), shape_mismatch, kPlace,
             "expected tensors of one shape, got {} and {}", reference.shape(), other.shape());
  PARE_CHECK(is_floating(reference.dtype()) && is_floating(other.dtype()), dtype_mismatch, kPlace,
             "expected floating types, got {} and {}", reference.dtype(), other.dtype());
  const auto plain = [](const Tensor& t) {
    return t.detach().to(MemoryFormat::row_major).to(DType::f32);
  };
  const Tensor a = plain(reference), b = plain(other);
  const float* const x = a.data<float>();
  const float* const y = b.data<float>();
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double p = x[i], q = y[i];
    // Infinities of one sign are no difference.
    const double d = p == q ? 0 : p - q;
    signal_ += p * p;
    other_ += q * q;
    product_ += p * q;
    noise_ += d * d;
    // NaN must not get lost in a maximum.
    if (!(std::abs(d) <= max_abs_)) max_abs_ = std::isnan(max_abs_) ? max_abs_ : std::abs(d);
  }
  elements_ += a.elements();
}

ValueDifference DifferenceMeter::result(const std::string& name) const {
  const bool nothing = signal_ == 0 && other_ == 0;
  const double sqnr =
      noise_ == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal_ / noise_);
  return {.name = name,
          .sqnr_db = sqnr,
          .cosine = nothing ? 1 : product_ / std::sqrt(signal_ * other_),
          .max_abs = max_abs_,
          .elements = elements_};
}

GraphComparison::GraphComparison(const Graph& reference, const Graph& other)
    : reference_(reference.share()), other_(other.share()), outputs_(reference.outputs().size()) {
  constexpr const char* kPlace = "GraphComparison";
  PARE_CHECK(reference.inputs().size() == other.inputs().size(), invalid_argument, kPlace,
             "expected graphs with the same number of inputs, got {} and {}",
             reference.inputs().size(), other.inputs().size());
  PARE_CHECK(reference.outputs().size() == other.outputs().size(), invalid_argument, kPlace,
             "expected graphs with the same number of outputs, got {} and {}",
             reference.outputs().size(), other.outputs().size());
}

void GraphComparison::add(const Tensors& inputs) {
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  std::unordered_map<std::string, int> wanted;  // values of the other graph's names
  for (const Graph::Value& value : other_.values())
    if (value.kind == Graph::Kind::result && is_floating(value.dtype)) wanted[value.name] = -1;
  std::map<int, Tensor> kept;
  const Tensors expected = reference_.run_visiting(inputs, [&](int v, const Tensor& tensor) {
    const auto at = wanted.find(reference_.value(v).name);
    if (at == wanted.end() || !is_floating(tensor.dtype())) return;
    at->second = v;
    kept.emplace(v, tensor);
  });
  const Tensors found = other_.run_visiting(inputs, [&](int v, const Tensor& tensor) {
    const auto at = wanted.find(other_.value(v).name);
    if (at == wanted.end() || at->second < 0) return;
    const auto mine = kept.find(at->second);
    if (mine->second.shape() == tensor.shape() && is_floating(tensor.dtype()))
      layers_[at->second].add(mine->second, tensor);
    kept.erase(mine);
  });
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::string& name = reference_.value(reference_.outputs()[i]).name;
    PARE_CHECK(expected[i].shape() == found[i].shape(), shape_mismatch, name,
               "expected outputs of one shape, got {} and {}", expected[i].shape(),
               found[i].shape());
    if (is_floating(expected[i].dtype()) && is_floating(found[i].dtype()))
      outputs_[i].add(expected[i], found[i]);
    else
      outputs_[i].add(expected[i].to(DType::f64), found[i].to(DType::f64));
  }
}

GraphDifference GraphComparison::result() const {
  GraphDifference all;
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    all.outputs.push_back(outputs_[i].result(reference_.value(reference_.outputs()[i]).name));
  for (const auto& [v, meter] : layers_)
    all.layers.push_back(meter.result(reference_.value(v).name));
  return all;
}

}  // namespace pare
