// embedding_bag: sums, means and maxima of the rows of a table, a bag of indices at a time.
#include <algorithm>

#include "core/broadcast.h"
#include "core/dtype_switch.h"
#include "core/ops/embedding.h"
#include "core/ops/onnx_integers.h"
#include "pare/core/ops/embedding.h"

namespace pare {
namespace {

enum Input : int { kIndices, kWeight, kOffsets, kSampleWeights };
enum class Mode : std::uint8_t { sum, mean, max };

const EmbeddingBagAttributes& attributes_of(const Call& call) {
  return call.attributes.as<EmbeddingBagAttributes>();
}

Mode mode_of(const EmbeddingBagAttributes& a) {
  if (a.mode == "sum") return Mode::sum;
  if (a.mode == "mean") return Mode::mean;
  PARE_CHECK(a.mode == "max", invalid_argument, "embedding_bag",
             "expected the mode sum, mean or max, got '{}'", a.mode);
  return Mode::max;
}

void infer_embedding_bag(InferArgs& args) {
  const auto& a = attributes_of(args.call);
  const Mode mode = mode_of(a);
  check_table(args, a.padding_idx);
  const DType dtype = args.dtype(kWeight);
  PARE_CHECK(dtype == DType::f32 || dtype == DType::f64, dtype_mismatch, "embedding_bag",
             "expected a weight of f32 or f64, got {}", dtype);
  const Shape& indices = args.shape(kIndices);
  const bool listed = args.has(kOffsets);
  PARE_CHECK(indices.rank() == (listed ? 1 : 2), shape_mismatch, "embedding_bag",
             "expected indices [B, L], or [M] with offsets, got {}{}", indices,
             listed ? " with offsets" : "");
  PARE_CHECK(listed || !a.include_last_offset, invalid_argument, "embedding_bag",
             "expected offsets for include_last_offset, got indices {} alone", indices);
  Shape y;
  if (listed) {
    const Shape& offsets = args.shape(kOffsets);
    const DType type = args.dtype(kOffsets);
    PARE_CHECK(type == DType::i64 || type == DType::i32, dtype_mismatch, "embedding_bag",
               "expected i64 or i32 offsets, got {}", type);
    PARE_CHECK(offsets.rank() == 1 && (!a.include_last_offset || offsets[0] > 0), shape_mismatch,
               "embedding_bag", "expected offsets [{}], got {}",
               a.include_last_offset ? "B + 1" : "B", offsets);
    if (a.include_last_offset)
      y.append(offsets[0] - 1);
    else
      y.append(offsets, 0);
  } else {
    y.append(indices, 0);
  }
  y.append(args.shape(kWeight), 1);
  if (args.has(kSampleWeights)) {
    PARE_CHECK(mode == Mode::sum, invalid_argument, "embedding_bag",
               "expected the mode sum with per_sample_weights, got '{}'", a.mode);
    PARE_CHECK(args.shape(kSampleWeights) == indices && args.dtype(kSampleWeights) == dtype,
               shape_mismatch, "embedding_bag",
               "expected per_sample_weights of type {} and shape {}, got {} {}", dtype, indices,
               args.dtype(kSampleWeights), args.shape(kSampleWeights));
  }
  PARE_CHECK(mode != Mode::max || !a.scale_grad_by_freq, invalid_argument, "embedding_bag",
             "expected no scale_grad_by_freq with the mode max, got {}", a.scale_grad_by_freq);
  args.output(0, y, dtype);
  if (mode == Mode::max) args.output(1, y, DType::i64);
}

/// The indices, and where each bag begins and the last one ends.
struct Bags {
  Bags(const EmbeddingBagAttributes& a, const Tensor& indices, std::int64_t table,
       const Tensor& offsets)
      : rows(read_rows("embedding_bag", indices, table)) {
    const auto count = static_cast<std::int64_t>(rows.size());
    if (!offsets.defined()) {
      for (std::int64_t b = 0; b <= indices.dim(0); ++b) begin.push_back(b * indices.dim(1));
    } else {
      const Tensor wide = in_dtype(offsets, DType::i64);
      const auto* from = wide.data<std::int64_t>();
      begin.assign(from, from + wide.elements());
      if (!a.include_last_offset) begin.push_back(count);
      std::int64_t before = 0;
      for (const std::int64_t b : begin) {
        PARE_CHECK(b >= before && b <= count, out_of_range, "embedding_bag",
                   "expected offsets that ascend from 0 to {}, got {} after {}", count, b, before);
        before = b;
      }
      PARE_CHECK(begin[0] == 0 || begin.size() == 1, out_of_range, "embedding_bag",
                 "expected offsets that begin with 0, got {}", begin[0]);
    }
    bags = static_cast<std::int64_t>(begin.size()) - 1;
    counted.resize(static_cast<std::size_t>(bags));
    for (std::int64_t b = 0; b < bags; ++b)
      counted[static_cast<std::size_t>(b)] =
          std::count_if(rows.begin() + start(b), rows.begin() + start(b + 1),
                        [&](std::int64_t row) { return row != a.padding_idx; });
  }
  std::int64_t start(std::int64_t bag) const { return begin[static_cast<std::size_t>(bag)]; }
  /// What a mean's sum is multiplied by.
  double mean_factor(std::int64_t bag) const {
    const std::int64_t n = counted[static_cast<std::size_t>(bag)];
    return n > 0 ? 1.0 / static_cast<double>(n) : 0.0;
  }

  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> begin;
  std::vector<std::int64_t> counted;  // rows of each bag that are not padding
  std::int64_t bags = 0;
};

template <class T>
void fill_bag(const Bags& bags, std::int64_t bag, Mode mode, std::int64_t padding, const T* table,
              std::int64_t width, const T* weights, T* __restrict y, std::int64_t* best) {
  std::fill_n(y, width, T(0));
  if (best) std::fill_n(best, width, std::int64_t{-1});
  for (std::int64_t k = bags.start(bag); k < bags.start(bag + 1); ++k) {
    const std::int64_t row = bags.rows[static_cast<std::size_t>(k)];
    if (row == padding) continue;
    const T* __restrict from = table + row * width;
    if (mode == Mode::max) {
      for (std::int64_t c = 0; c < width; ++c) {
        if (best[c] >= 0 && !(from[c] > y[c])) continue;
        y[c] = from[c];
        best[c] = row;
      }
    } else {
      const T factor = weights ? weights[k] : T(1);
      for (std::int64_t c = 0; c < width; ++c) y[c] += factor * from[c];
    }
  }
  if (mode != Mode::mean) return;
  const auto factor = static_cast<T>(bags.mean_factor(bag));
  for (std::int64_t c = 0; c < width; ++c) y[c] *= factor;
}

void forward_embedding_bag(const Call& call, std::span<const Tensor> inputs,
                           std::span<Tensor> outputs, const Context&) {
  const auto& a = attributes_of(call);
  const Mode mode = mode_of(a);
  const Tensor& weight = inputs[kWeight];
  const auto given = [&](std::size_t i) { return inputs.size() > i ? inputs[i] : Tensor(); };
  const Bags bags(a, inputs[kIndices], weight.dim(0), given(kOffsets));
  const Tensor sample_weights = given(kSampleWeights);
  const std::int64_t width = weight.dim(1);
  Tensor scratch = outputs[1].defined() || mode != Mode::max
                       ? outputs[1]
                       : Tensor::empty(outputs[0].shape(), DType::i64);
  std::int64_t* best = mode == Mode::max ? scratch.mutable_data<std::int64_t>() : nullptr;
  visit_float(weight.dtype(), "embedding_bag", [&](auto type) {
    using T = decltype(type);
    T* y = outputs[0].mutable_data<T>();
    const T* weights = sample_weights.defined() ? sample_weights.data<T>() : nullptr;
    const std::int64_t work = static_cast<std::int64_t>(bags.rows.size()) * width;
    parallel_for(0, bags.bags, std::max<std::int64_t>(1, 32768 * bags.bags / (work + 1)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t b = begin; b < end; ++b)
                     fill_bag(bags, b, mode, a.padding_idx, weight.data<T>(), width, weights,
                              y + b * width, best ? best + b * width : nullptr);
                 });
  });
}

template <class T>
void backward_of(BackwardArgs& args, const EmbeddingBagAttributes& a, Mode mode, const Bags& bags) {
  const Shape& shape = args.input_shape(kWeight);
  const std::int64_t width = shape[1];
  const Tensor g = args.grad_output(0);
  const T* from = g.data<T>();
  const bool weighted = args.inputs() > kSampleWeights && args.has_input(kSampleWeights);
  if (args.needs(kWeight) && mode == Mode::max) {
    Tensor dw = Tensor::zeros(shape, args.input_dtype(kWeight));
    T* to = dw.mutable_data<T>();
    const std::int64_t* best = args.output(1).data<std::int64_t>();
    for (std::int64_t i = 0; i < bags.bags * width; ++i)
      if (best[i] >= 0) to[best[i] * width + i % width] += from[i];
    args.set(kWeight, std::move(dw));
  } else if (args.needs(kWeight)) {
    std::vector<double> shares =
        row_shares(bags.rows, shape[0], a.padding_idx, a.scale_grad_by_freq);
    std::vector<std::int64_t> bag_of(bags.rows.size());
    const T* weights = weighted ? args.input(kSampleWeights).data<T>() : nullptr;
    for (std::int64_t b = 0; b < bags.bags; ++b)
      for (std::int64_t k = bags.start(b); k < bags.start(b + 1); ++k) {
        const auto at = static_cast<std::size_t>(k);
        bag_of[at] = b;
        if (mode == Mode::mean) shares[at] *= bags.mean_factor(b);
        if (weights) shares[at] *= static_cast<double>(weights[k]);
      }
    // Indices behind the last bag belong to none.
    for (auto k = static_cast<std::size_t>(bags.start(bags.bags)); k < shares.size(); ++k)
      shares[k] = 0;
    Tensor dw = Tensor::zeros(shape, args.input_dtype(kWeight));
    add_to_rows<T>(bags.rows, width, dw.mutable_data<T>(), [&](std::size_t k) {
      return RowTerm<T>{from + bag_of[k] * width, static_cast<T>(shares[k])};
    });
    args.set(kWeight, std::move(dw));
  }
  if (weighted && args.needs(kSampleWeights)) {
    Tensor ds = Tensor::zeros(args.input_shape(kSampleWeights), args.input_dtype(kSampleWeights));
    T* to = ds.mutable_data<T>();
    const T* table = args.input(kWeight).data<T>();
    for (std::int64_t b = 0; b < bags.bags; ++b)
      for (std::int64_t k = bags.start(b); k < bags.start(b + 1); ++k) {
        const std::int64_t row = bags.rows[static_cast<std::size_t>(k)];
        if (row == a.padding_idx) continue;
        double sum = 0;
        for (std::int64_t c = 0; c < width; ++c)
          sum += static_cast<double>(from[b * width + c]) *
                 static_cast<double>(table[row * width + c]);
        to[k] = static_cast<T>(sum);
      }
    args.set(kSampleWeights, std::move(ds));
  }
}

void backward_embedding_bag(BackwardArgs& args) {
  const auto& a = attributes_of(args.call());
  const bool listed = args.inputs() > kOffsets && args.has_input(kOffsets);
  const Bags bags(a, args.input(kIndices), args.input_shape(kWeight)[0],
                  listed ? args.input(kOffsets) : Tensor());
  visit_float(args.input_dtype(kWeight), "embedding_bag",
              [&](auto type) { backward_of<decltype(type)>(args, a, mode_of(a), bags); });
}

void link_embedding_bag(const Call&, ChannelLinks& links) { links.tie(in(kWeight), 1, out(0), 1); }

/// Of indices [B, L] without a padding row: the rows and a reduction. ONNX has no bags of several
/// lengths.
void emit_embedding_bag(const Call& call, OnnxEmitter& e) {
  const auto& a = attributes_of(call);
  PARE_CHECK(!e.has_input(kOffsets) && a.padding_idx < 0, unsupported, "embedding_bag",
             "expected indices [B, L] without padding_idx for ONNX, got padding_idx {} and indices "
             "{}",
             a.padding_idx, e.input_shape(kIndices));
  const Shape& indices = e.input_shape(kIndices);
  PARE_CHECK(indices.symbolic(1) || indices[1] > 0, unsupported, "embedding_bag",
             "expected bags with elements for ONNX, got indices {}", indices);
  std::string rows = e.temporary();
  e.node("Gather", {e.input(kWeight), e.input(kIndices)}, {rows})
      .attribute("axis", std::int64_t{0});
  if (e.has_input(kSampleWeights)) {
    const std::string factors = e.temporary();
    const std::string weighed = e.temporary();
    e.node("Unsqueeze", {e.input(kSampleWeights), onnx_integers(e, {2})}, {factors});
    e.node("Mul", {rows, factors}, {weighed});
    rows = weighed;
  }
  const Mode mode = mode_of(a);
  const char* type = mode == Mode::sum    ? "ReduceSum"
                     : mode == Mode::mean ? "ReduceMean"
                                          : "ReduceMax";
  e.node(type, {rows, onnx_integers(e, {1})}, {e.output(0)}).attribute("keepdims", std::int64_t{0});
}

}  // namespace

constinit const OpDef kEmbeddingBag = {
    .name = "embedding_bag",
    .min_inputs = 2,
    .max_inputs = 4,
    .hidden_outputs = 1,
    .infer = infer_embedding_bag,
    .forward = forward_embedding_bag,
    .backward = backward_embedding_bag,
    .saves_inputs = 0b1111,
    .saves_outputs = 0b10,
    .defaults = [] { return Attributes::of(EmbeddingBagAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule, .rule = link_embedding_bag},
    // Rows of a table that is no activation: it stays float.
    .quantization = {.weight_input = kWeight, .weight_axis = 1},
    .onnx = {.op_type = "ReduceSum", .opset = 18, .emit = emit_embedding_bag}};

Tensor embedding_bag(const EmbeddingBagOperands& operands,
                     const EmbeddingBagAttributes& attributes) {
  return apply({&kEmbeddingBag, Attributes::of(attributes)},
               detail::Borrowed(operands.indices, operands.weight, operands.offsets,
                                operands.per_sample_weights));
}

}  // namespace pare
