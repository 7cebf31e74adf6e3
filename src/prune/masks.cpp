// Masks: ranking, composing, removing.
#include "pare/prune/masks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "pare/core/ops.h"

namespace pare::prune {
namespace {

using Indices = std::vector<std::int64_t>;

nn::Parameter& find(nn::Module& module, std::string_view name, const char* where) {
  nn::Parameter* found = nullptr;
  std::string known;
  module.for_each_parameter([&](const std::string& n, nn::Parameter& p) {
    if (n == name) found = &p;
    known += (known.empty() ? "" : ", ") + n;
  });
  PARE_CHECK(found, invalid_argument, where, "expected a parameter of the module ({}), got \"{}\"",
             known.empty() ? "it has none" : known, name);
  PARE_CHECK(found->initialized(), invalid_state, where,
             "expected an initialized parameter, got \"{}\" before initialize()", name);
  PARE_CHECK(found->dtype() == DType::f32, dtype_mismatch, where, "expected f32 \"{}\", got {}",
             name, found->dtype());
  return *found;
}

int mask_step(const Expression& e) {
  const int leaf = e.find("_mask");
  if (leaf < 0) return -1;
  for (std::size_t s = 0; s < e.steps.size(); ++s) {
    const auto& inputs = e.steps[s].inputs;
    if (std::find(inputs.begin(), inputs.end(), leaf) != inputs.end()) return static_cast<int>(s);
  }
  return -1;
}

std::vector<float> mask_of(const nn::Parameter& p) {
  const int leaf = p.expression().find("_mask");
  if (leaf < 0) return std::vector<float>(static_cast<std::size_t>(p.shape().elements()), 1.0F);
  return p.expression().leaves[static_cast<std::size_t>(leaf)].value.to_vector<float>();
}

// What ranks the entries: the scores where given, else the (masked) value.
std::vector<float> scores_of(const nn::Parameter& p, const Tensor& scores, const char* where) {
  const NoGrad no_grad;
  if (!scores.defined()) return p.value().to(DType::f32).to_vector<float>();
  PARE_CHECK(scores.shape() == p.shape(), shape_mismatch, where,
             "expected importance scores {}, got {}", p.shape(), scores.shape());
  return scores.to(DType::f32).to_vector<float>();
}

// The leaf that is fake-quantized, which a mask goes behind; −1 where none is.
int quantized_leaf(const Expression& e, std::string_view name, const char* where) {
  const int step = e.find_step(kFakeQuantize);
  if (step < 0) return -1;
  const int operand = e.steps[static_cast<std::size_t>(step)].inputs[0];
  PARE_CHECK(e.find("_mask") >= 0 || operand < static_cast<int>(e.leaves.size()), unsupported,
             where, "expected a fake-quantized leaf, got \"{}\" of a computed value: mask it first",
             name);
  return operand;
}

// Throws where set_mask could not: what comes before the masks of several parameters change.
void check_maskable(const nn::Parameter& p, std::string_view name, const char* where) {
  quantized_leaf(p.expression(), name, where);
}

void set_mask(nn::Parameter& p, std::string_view name, const std::vector<float>& mask,
              const char* where) {
  Expression& e = p.expression();
  const Tensor tensor = Tensor::from(mask, p.shape());
  if (const int leaf = e.find("_mask"); leaf >= 0) {
    e.leaves[static_cast<std::size_t>(leaf)].value.copy_from(tensor);
    return;
  }
  // The canonical order: low rank or codebook, mask, fake-quantize.
  const int quantized = quantized_leaf(e, name, where);
  if (e.leaves.size() == 1) e.leaves.front().suffix = "_orig";
  const int leaf = e.add_leaf({"_mask", tensor, false});
  if (quantized < 0) {
    e.append({&kMul, {}}, {leaf});
  } else {
    e.insert_after_leaf(quantized, {&kMul, {}}, {leaf});
  }
}

// NaN has no rank.
template <class T>
void check_ranked(const std::vector<T>& scores, std::string_view name, const char* where) {
  const auto nan = std::ranges::find_if(scores, [](T v) { return std::isnan(v); });
  PARE_CHECK(nan == scores.end(), invalid_argument, where,
             "expected scores of \"{}\" that can be ranked, got NaN (number {})", name,
             nan - scores.begin());
}

// The `count` smallest of `values` at the places in `among`, lower places first among equals.
template <class T>
Indices smallest(const std::vector<T>& values, Indices among, std::int64_t count) {
  const auto less = [&](std::int64_t a, std::int64_t b) {
    const T x = values[static_cast<std::size_t>(a)];
    const T y = values[static_cast<std::size_t>(b)];
    return x < y || (x == y && a < b);
  };
  std::nth_element(among.begin(), among.begin() + count, among.end(), less);
  among.resize(static_cast<std::size_t>(count));
  return among;
}

Indices survivors(const std::vector<float>& mask) {
  Indices places;
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) places.push_back(static_cast<std::int64_t>(i));
  return places;
}

std::vector<float> absolute(std::vector<float> v) {
  for (float& x : v) x = std::fabs(x);
  return v;
}

std::vector<float> random_scores(std::size_t count, Generator& generator) {
  std::vector<float> v(count);
  generator.fill_uniform(v.data(), static_cast<std::int64_t>(count));
  return v;
}

void mask_entries(nn::Parameter& p, std::string_view name, const std::vector<float>& scores,
                  Amount amount, const char* where) {
  check_ranked(scores, name, where);
  std::vector<float> mask = mask_of(p);
  const Indices alive = survivors(mask);
  const std::int64_t count = amount.of(static_cast<std::int64_t>(alive.size()), where);
  for (const std::int64_t i : smallest(scores, alive, count)) mask[static_cast<std::size_t>(i)] = 0;
  set_mask(p, name, mask, where);
}

// The slices of a parameter along one axis.
struct Slices {
  std::int64_t outer, channels, inner;

  Slices(const Shape& shape, int dim, const char* where) {
    PARE_CHECK(shape.rank() >= 2, invalid_argument, where,
               "expected a parameter of rank 2 or more, got {}", shape);
    const int axis = normalize_axis(dim, shape.rank(), where);
    outer = shape.elements(0, axis);
    channels = shape[axis];
    inner = shape.elements(axis + 1, shape.rank());
  }
  template <class Visit> void each(std::int64_t channel, Visit visit) const {
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < inner; ++i)
        visit(static_cast<std::size_t>((o * channels + channel) * inner + i));
  }
};

template <class T>
void mask_channels(nn::Parameter& p, std::string_view name, const Slices& slices,
                   const std::vector<T>& scores, Amount amount, const char* where) {
  check_ranked(scores, name, where);
  std::vector<float> mask = mask_of(p);
  Indices alive;
  for (std::int64_t c = 0; c < slices.channels; ++c) {
    bool any = false;
    slices.each(c, [&](std::size_t i) { any = any || mask[i] != 0; });
    if (any) alive.push_back(c);
  }
  const std::int64_t count = amount.of(static_cast<std::int64_t>(alive.size()), where);
  for (const std::int64_t c : smallest(scores, alive, count))
    slices.each(c, [&](std::size_t i) { mask[i] = 0; });
  set_mask(p, name, mask, where);
}

// The norm of order n of a slice's values, as torch.norm's: the entries are first divided by the
// largest, so that no power of them vanishes or overflows.
class Norm {
 public:
  explicit Norm(double n) : n_(n) {}
  void look(double v) {
    largest_ = std::max(largest_, v);
    smallest_ = std::min(smallest_, v);
    nan_ = nan_ || std::isnan(v);
  }
  void add(double v) {
    if (largest_ > 0) sum_ += std::pow(v / largest_, n_);
  }
  double value() const {
    if (nan_) return std::numeric_limits<double>::quiet_NaN();
    if (std::isinf(n_)) return n_ > 0 ? largest_ : smallest_;
    if (largest_ == 0 || std::isinf(largest_)) return largest_;
    return largest_ * std::pow(sum_, 1 / n_);
  }

 private:
  double n_;
  double largest_ = 0, smallest_ = std::numeric_limits<double>::infinity(), sum_ = 0;
  bool nan_ = false;
};

}  // namespace

std::int64_t Amount::of(std::int64_t total, const char* where) const {
  if (counted_) {
    PARE_CHECK(count_ >= 0 && count_ <= total, invalid_argument, where,
               "expected a count of at most {} (what has survived), got {}", total, count_);
    return count_;
  }
  PARE_CHECK(fraction_ >= 0 && fraction_ <= 1, invalid_argument, where,
             "expected a fraction in [0, 1], got {}", fraction_);
  return static_cast<std::int64_t>(std::nearbyint(fraction_ * static_cast<double>(total)));
}

void identity(nn::Module& module, std::string_view name) {
  nn::Parameter& p = find(module, name, "identity");
  set_mask(p, name, mask_of(p), "identity");
}

void random_unstructured(nn::Module& module, std::string_view name, Amount amount,
                         Generator& generator) {
  nn::Parameter& p = find(module, name, "random_unstructured");
  const auto count = static_cast<std::size_t>(p.shape().elements());
  mask_entries(p, name, random_scores(count, generator), amount, "random_unstructured");
}

void l1_unstructured(nn::Module& module, std::string_view name, Amount amount,
                     const Tensor& importance_scores) {
  nn::Parameter& p = find(module, name, "l1_unstructured");
  mask_entries(p, name, absolute(scores_of(p, importance_scores, "l1_unstructured")), amount,
               "l1_unstructured");
}

void random_structured(nn::Module& module, std::string_view name, Amount amount,
                       Generator& generator, const StructuredOptions& options) {
  nn::Parameter& p = find(module, name, "random_structured");
  const Slices slices(p.shape(), options.dim, "random_structured");
  mask_channels(p, name, slices,
                random_scores(static_cast<std::size_t>(slices.channels), generator), amount,
                "random_structured");
}

void ln_structured(nn::Module& module, std::string_view name, Amount amount,
                   const StructuredOptions& options, const Tensor& importance_scores) {
  nn::Parameter& p = find(module, name, "ln_structured");
  const Slices slices(p.shape(), options.dim, "ln_structured");
  PARE_CHECK(options.n > 0 || std::isinf(options.n), invalid_argument, "ln_structured",
             "expected a norm of order above 0, infinity or -infinity, got {}", options.n);
  const auto scores = scores_of(p, importance_scores, "ln_structured");
  const auto magnitude = [&](std::size_t i) { return std::fabs(static_cast<double>(scores[i])); };
  std::vector<double> norms;
  for (std::int64_t c = 0; c < slices.channels; ++c) {
    Norm norm(options.n);
    slices.each(c, [&](std::size_t i) { norm.look(magnitude(i)); });
    if (!std::isinf(options.n)) slices.each(c, [&](std::size_t i) { norm.add(magnitude(i)); });
    norms.push_back(norm.value());
  }
  mask_channels(p, name, slices, norms, amount, "ln_structured");
}

void global_unstructured(const std::vector<Target>& targets, UnstructuredMethod method,
                         Amount amount, Generator* generator) {
  constexpr const char* where = "global_unstructured";
  PARE_CHECK(!targets.empty(), invalid_argument, where, "expected targets, got none");
  PARE_CHECK(method != UnstructuredMethod::random || generator, invalid_argument, where,
             "expected a generator for random pruning, got none");
  std::vector<nn::Parameter*> parameters;
  std::vector<float> scores;
  std::vector<float> mask;
  for (const Target& target : targets) {
    PARE_CHECK(target.module, invalid_argument, where, "expected a module, got null");
    nn::Parameter& p = find(*target.module, target.name, where);
    PARE_CHECK(std::ranges::find(parameters, &p) == parameters.end(), invalid_argument, where,
               "expected every parameter once, got \"{}\" twice", target.name);
    check_maskable(p, target.name, where);
    parameters.push_back(&p);
    const auto own =
        method == UnstructuredMethod::l1
            ? absolute(scores_of(p, target.importance_scores, where))
            : random_scores(static_cast<std::size_t>(p.shape().elements()), *generator);
    check_ranked(own, target.name, where);
    scores.insert(scores.end(), own.begin(), own.end());
    const auto own_mask = mask_of(p);
    mask.insert(mask.end(), own_mask.begin(), own_mask.end());
  }
  const Indices alive = survivors(mask);
  const std::int64_t count = amount.of(static_cast<std::int64_t>(alive.size()), where);
  for (const std::int64_t i : smallest(scores, alive, count)) mask[static_cast<std::size_t>(i)] = 0;
  auto next = mask.begin();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto end = next + parameters[i]->shape().elements();
    set_mask(*parameters[i], targets[i].name, {next, end}, where);
    next = end;
  }
}

void custom_from_mask(nn::Module& module, std::string_view name, const Tensor& mask) {
  nn::Parameter& p = find(module, name, "custom_from_mask");
  PARE_CHECK(mask.defined(), invalid_argument, "custom_from_mask",
             "expected a mask {}, got an undefined tensor", p.shape());
  PARE_CHECK(mask.shape() == p.shape(), shape_mismatch, "custom_from_mask",
             "expected a mask {}, got {}", p.shape(), mask.shape());
  const NoGrad no_grad;
  const auto given = mask.to(DType::f32).to_vector<float>();
  std::vector<float> composed = mask_of(p);
  for (std::size_t i = 0; i < given.size(); ++i) {
    PARE_CHECK(std::isfinite(given[i]), invalid_argument, "custom_from_mask",
               "expected a mask of finite numbers, got {} (number {})", given[i], i);
    composed[i] *= given[i];
  }
  set_mask(p, name, composed, "custom_from_mask");
}

void remove(nn::Module& module, std::string_view name) {
  nn::Parameter& p = find(module, name, "remove");
  Expression& e = p.expression();
  const int step = mask_step(e);
  PARE_CHECK(step >= 0, invalid_state, "remove",
             "expected a pruned parameter, got \"{}\" without a mask", name);
  const NoGrad no_grad;
  // Where the masked operand is a leaf its zeros go in place; a computed one (low rank) has none.
  const int operand = e.steps[static_cast<std::size_t>(step)].inputs.front();
  PARE_CHECK(operand < static_cast<int>(e.leaves.size()), unsupported, "remove",
             "expected a mask over a plain weight, got \"{}\" whose masked value is computed",
             name);
  Tensor& leaf = e.leaves[static_cast<std::size_t>(operand)].value;
  const int mask = e.find("_mask");
  leaf.copy_from(leaf * e.leaves[static_cast<std::size_t>(mask)].value);
  e.erase(step);
  if (e.steps.empty()) e.leaves.front().suffix.clear();
}

bool is_pruned(nn::Module& module) {
  bool any = false;
  module.for_each_parameter(
      [&](const std::string&, nn::Parameter& p) { any = any || mask_step(p.expression()) >= 0; });
  return any;
}

double sparsity(nn::Module& module, std::string_view name) {
  const nn::Parameter& p = find(module, name, "sparsity");
  const auto values = scores_of(p, {}, "sparsity");
  return static_cast<double>(std::count(values.begin(), values.end(), 0.0F)) /
         static_cast<double>(values.size());
}

}  // namespace pare::prune
