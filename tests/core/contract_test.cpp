// The contract of every op (docs/adding_an_op.md): its samples run through all that its record
// says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/samples.h"
#include "pare/core/error.h"
#include "pare/core/ops.h"

namespace pare::test {
namespace {

// The sample's inputs anew, so that state ops and in-place changes do not reach other tests.
Tensors fresh(const Sample& s) {
  Tensors out;
  for (const Tensor& t : s.inputs) out.push_back(t.defined() ? t.clone() : Tensor());
  return out;
}

// A context in which each run draws the same random numbers.
class Scope {
 public:
  explicit Scope(const Sample& s) {
    scope_->training = s.training;
    scope_->generator = &generator_;
  }

 private:
  Generator generator_{7};
  ContextScope scope_;
};

Tensors run(const Sample& s, const Tensors& inputs) {
  const Scope scope(s);
  return apply_all(s.call, inputs);
}

std::vector<double> values(const Tensor& t) {
  return t.detach().to(DType::f64).to_vector<double>();
}

double largest(const std::vector<double>& v) {
  double m = 0;
  for (const double x : v)
    if (std::isfinite(x)) m = std::max(m, std::fabs(x));
  return m;
}

// Equal up to `tolerance` of the largest value; NaN and infinity equal themselves.
void expect_close(const Tensor& a, const Tensor& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  ASSERT_EQ(a.dtype(), b.dtype()) << what;
  const auto x = values(a);
  const auto y = values(b);
  const double bound = tolerance * std::max(1e-30, std::max(largest(x), largest(y)));
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    if (x[i] == y[i]) continue;
    ASSERT_LE(std::fabs(x[i] - y[i]), bound) << what << " at " << i << ": " << x[i] << ", " << y[i];
  }
}

std::vector<int> differentiated(const Sample& s) {
  if (!s.call.op->backward) return {};
  if (!s.differentiate.empty()) return s.differentiate;
  std::vector<int> all;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const bool state =
        std::any_of(s.call.op->state.begin(), s.call.op->state.end(),
                    [&](const StatePair& p) { return p.input == static_cast<int>(i); });
    if (s.inputs[i].defined() && s.inputs[i].dtype() == DType::f32 && !state)
      all.push_back(static_cast<int>(i));
  }
  return all;
}

// Fixed weights that make a scalar of an output, so that every element's gradient differs.
Tensor weights_for(const Tensor& output) {
  Generator generator(99);
  Tensor w = Tensor::empty(output.shape());
  generator.fill_uniform(w.mutable_data<float>(), w.elements());
  for (std::int64_t i = 0; i < w.elements(); ++i) w.mutable_data<float>()[i] += 0.5F;
  return w;
}

// Σ weights · outputs in double.
double loss_of(const Sample& s, const Tensors& inputs) {
  double total = 0;
  for (const Tensor& out : run(s, inputs)) {
    if (!is_floating(out.dtype())) continue;
    const auto o = values(out);
    const auto w = values(weights_for(out));
    for (std::size_t i = 0; i < o.size(); ++i) total += w[i] * o[i];
  }
  return total;
}

// Gradients of loss_of with respect to the differentiated inputs.
Tensors gradients(const Sample& s, Tensors inputs) {
  const auto which = differentiated(s);
  for (const int i : which) inputs[static_cast<std::size_t>(i)].set_requires_grad();
  for (const Tensor& out : run(s, inputs))
    if (out.requires_grad()) out.backward(weights_for(out), true);
  Tensors result;
  for (const int i : which) result.push_back(inputs[static_cast<std::size_t>(i)].grad());
  return result;
}

TEST(Contract, EveryOpHasASample) {
  std::set<std::string> seen;
  for (const Sample& s : samples()) seen.insert(s.call.op->name);
  for (const OpDef* op : all_ops()) EXPECT_TRUE(seen.count(op->name)) << op->name;
}

TEST(Contract, NamesAreUniqueAndFound) {
  for (const OpDef* op : all_ops()) EXPECT_EQ(find_op(op->name), op) << op->name;
  EXPECT_EQ(find_op("no such op"), nullptr);
}

TEST(Contract, AttributesGoThroughTheirVisitor) {
  for (const Sample& s : samples()) {
    if (!s.call.attributes) continue;
    ASSERT_NE(s.call.op->defaults, nullptr) << s.call.op->name;
    // A writer that restores every field from the sample's own.
    struct Reader final : AttributeVisitor {
      std::map<std::string, std::int64_t> integers;
      std::map<std::string, double> doubles;
      std::map<std::string, std::string> strings;
      std::map<std::string, DType> dtypes;
      std::map<std::string, std::vector<std::int64_t>> lists;
      std::map<std::string, std::vector<double>> double_lists;
      bool writing = false;
      void operator()(const char* n, bool& v) override {
        if (writing)
          v = integers.at(n) != 0;
        else
          integers[n] = v;
      }
      void operator()(const char* n, std::int64_t& v) override {
        if (writing)
          v = integers.at(n);
        else
          integers[n] = v;
      }
      void operator()(const char* n, double& v) override {
        if (writing)
          v = doubles.at(n);
        else
          doubles[n] = v;
      }
      void operator()(const char* n, std::string& v) override {
        if (writing)
          v = strings.at(n);
        else
          strings[n] = v;
      }
      void operator()(const char* n, DType& v) override {
        if (writing)
          v = dtypes.at(n);
        else
          dtypes[n] = v;
      }
      void operator()(const char* n, std::vector<std::int64_t>& v) override {
        if (writing)
          v = lists.at(n);
        else
          lists[n] = v;
      }
      void operator()(const char* n, std::vector<double>& v) override {
        if (writing)
          v = double_lists.at(n);
        else
          double_lists[n] = v;
      }
      void operator()(const char* n, std::span<std::int64_t> v) override {
        if (writing)
          std::copy(lists.at(n).begin(), lists.at(n).end(), v.begin());
        else
          lists[n].assign(v.begin(), v.end());
      }
    } visitor;
    s.call.attributes.visit(visitor);
    visitor.writing = true;
    EXPECT_EQ(s.call.op->defaults().rewritten(visitor), s.call.attributes) << label(s);
  }
}

TEST(Contract, InferSaysWhatForwardGives) {
  for (const Sample& s : samples()) {
    SCOPED_TRACE(label(s));
    const Tensors inputs = fresh(s);
    std::vector<InferArgs::Input> known;
    for (const Tensor& t : inputs)
      known.push_back(t.defined() ? InferArgs::Input{&t.shape(), t.dtype(), &t}
                                  : InferArgs::Input{nullptr, DType::f32, nullptr});
    const auto specs = infer(s.call, known, s.training);
    const Tensors outputs = run(s, inputs);
    ASSERT_EQ(static_cast<int>(outputs.size()), s.call.op->visible_outputs);
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      EXPECT_EQ(outputs[o].shape(), specs[o].shape);
      EXPECT_EQ(outputs[o].dtype(), specs[o].dtype);
    }
  }
}

TEST(Contract, BackwardIsTheCentralDifference) {
  for (const Sample& s : samples()) {
    const auto which = differentiated(s);
    if (which.empty()) continue;
    SCOPED_TRACE(label(s));
    // Outputs of integers (cast) have no gradient, those of 16 bits are too coarse for differences.
    const Tensors outputs = run(s, fresh(s));
    if (std::none_of(outputs.begin(), outputs.end(), [](const Tensor& t) {
          return t.dtype() == DType::f32 || t.dtype() == DType::f64;
        }))
      continue;
    const float h = 5e-3F;
    // Half a unit in the last place of an f32 output on either side of the difference.
    double resolution = 0;
    for (const Tensor& t : outputs)
      resolution =
          std::max(resolution, largest(values(t)) * 0x1p-23 * 1.5 / static_cast<double>(h));
    const Tensors analytic = gradients(s, fresh(s));
    for (std::size_t k = 0; k < which.size(); ++k) {
      ASSERT_TRUE(analytic[k].defined()) << "no gradient of input " << which[k];
      const auto gradient = values(analytic[k]);
      const double scale = std::max(1e-2, largest(gradient));
      const auto input = static_cast<std::size_t>(which[k]);
      // Every element of small inputs, a spread of large ones.
      const std::size_t step = std::max<std::size_t>(1, gradient.size() / 40);
      for (std::size_t i = 0; i < gradient.size(); i += step) {
        Tensors up = fresh(s);
        Tensors down = fresh(s);
        // The element in row-major order, wherever it lies in memory.
        const auto shift = [&](Tensor& t, float by) {
          Tensor plain = t.to(MemoryFormat::row_major).clone();
          plain.mutable_data<float>()[i] += by;
          t = plain.to(t.format());
        };
        shift(up[input], h);
        shift(down[input], -h);
        const double slope = (loss_of(s, up) - loss_of(s, down)) / (2.0 * static_cast<double>(h));
        EXPECT_NEAR(gradient[i], slope, std::max(s.gradient_tolerance * scale, 5e-4) + resolution)
            << "input " << which[k] << " element " << i;
      }
    }
  }
}

TEST(Contract, FastKernelsGiveTheReference) {
  for (const Sample& s : samples()) {
    const KernelList* list = s.call.op->kernels;
    if (!list) continue;
    SCOPED_TRACE(label(s));
    const Scope scope(s);
    const Tensors inputs = fresh(s);
    std::vector<InferArgs::Input> known;
    for (const Tensor& t : inputs)
      known.push_back(t.defined() ? InferArgs::Input{&t.shape(), t.dtype(), &t}
                                  : InferArgs::Input{nullptr, DType::f32, nullptr});
    auto specs = infer(s.call, known, s.training);
    const bool last = std::any_of(inputs.begin(), inputs.end(),
                                  [](const Tensor& t) { return t.defined() && t.channels_last(); });
    const auto make = [&] {
      Tensors out;
      for (const auto& spec : specs)
        out.push_back(!spec.produced ? Tensor()
                                     : Tensor::zeros(spec.shape, spec.dtype,
                                                     last && spec.shape.rank() >= 3
                                                         ? MemoryFormat::channels_last
                                                         : MemoryFormat::row_major));
      return out;
    };
    if (last && s.call.op->format == FormatRule::row_major) continue;
    Tensors expected = make();
    s.call.op->forward(s.call, inputs, expected, context());
    for (const ForwardKernel& kernel : list->forward) {
      const Scope again(s);  // the same random numbers
      Tensors outputs = make();
      if (!kernel.run(s.call, inputs, outputs, context())) continue;
      for (int o = 0; o < s.call.op->visible_outputs; ++o)
        expect_close(outputs[static_cast<std::size_t>(o)], expected[static_cast<std::size_t>(o)],
                     s.kernel_tolerance, kernel.name);
    }
  }
}

TEST(Contract, ChannelsLastGivesWhatRowMajorGives) {
  for (const Sample& s : samples()) {
    SCOPED_TRACE(label(s));
    const auto convert = [](Tensors inputs) {
      bool changed = false;
      for (Tensor& t : inputs)
        if (t.defined() && t.rank() >= 3 && t.rank() <= 5) {
          t = t.to(t.channels_last() ? MemoryFormat::row_major : MemoryFormat::channels_last);
          changed = true;
        }
      return changed ? inputs : Tensors{};
    };
    const Tensors other = convert(fresh(s));
    if (other.empty()) continue;
    // Random ops draw in memory order.
    if (s.call.op == &kDropout && s.training) continue;
    const Tensors a = run(s, fresh(s));
    const Tensors b = run(s, other);
    for (std::size_t o = 0; o < a.size(); ++o)
      expect_close(a[o], b[o], s.kernel_tolerance, "output");
    if (differentiated(s).empty()) continue;
    const Tensors ga = gradients(s, fresh(s));
    if (!ga.front().defined()) continue;
    const Tensors gb = gradients(s, convert(fresh(s)));
    for (std::size_t k = 0; k < ga.size(); ++k)
      expect_close(ga[k], gb[k], 10 * s.kernel_tolerance, "gradient");
  }
}

TEST(Contract, GradientsAreSummedOverUses) {
  for (const Sample& s : samples()) {
    const auto which = differentiated(s);
    if (which.empty() || !s.call.op->state.empty()) continue;
    SCOPED_TRACE(label(s));
    const Tensors once = gradients(s, fresh(s));
    if (!once.front().defined()) continue;
    Tensors inputs = fresh(s);
    for (const int i : which) inputs[static_cast<std::size_t>(i)].set_requires_grad();
    for (int time = 0; time < 2; ++time)
      for (const Tensor& out : run(s, inputs))
        if (out.requires_grad()) out.backward(weights_for(out), true);
    for (std::size_t k = 0; k < which.size(); ++k) {
      const Tensor twice = inputs[static_cast<std::size_t>(which[k])].grad();
      ASSERT_TRUE(twice.defined());
      expect_close(twice, once[k] * 2.0, 1e-5, "gradient");
    }
  }
}

TEST(Contract, StatesQuantizationAndChannelsConsistently) {
  for (const OpDef* op : all_ops()) {
    SCOPED_TRACE(op->name);
    const auto& q = op->quantization;
    EXPECT_EQ(op->channels.kind == ChannelFact::Kind::rule, op->channels.rule != nullptr);
    if (q.weight_input >= 0) {
      EXPECT_LT(q.weight_input, op->max_inputs);
    }
    if (q.kind == QuantizationFact::Kind::fixed) {
      EXPECT_GT(q.scale, 0);
    }
    EXPECT_NE(op->infer, nullptr);
    EXPECT_TRUE(op->forward || op->view);
  }
}

}  // namespace
}  // namespace pare::test
