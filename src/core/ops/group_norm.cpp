// group_norm: normalization over sets of neighbouring channels of each sample.
#include "core/check.h"
#include "core/ops/onnx_integers.h"
#include "core/ops/sample_norm.h"
#include "pare/core/ops/feature_norm.h"

namespace pare {
namespace {

enum Input { kX, kWeight, kBias };
enum Output { kY, kSavedMean, kSavedInverse };

std::int64_t groups_of(const Call& call) {
  return call.attributes.as<GroupNormAttributes>().groups;
}

void infer_group_norm(InferArgs& args) {
  const auto& attr = args.call.attributes.as<GroupNormAttributes>();
  static constexpr const char* kNames[] = {"weight", "bias"};
  check_sample_norm(args, kNames);
  const Shape& x = args.shape(kX);
  PARE_CHECK(!x.symbolic(1), unsupported, "group_norm",
             "expected a known number of channels, got x {}", x);
  PARE_CHECK(attr.groups >= 1 && x[1] % attr.groups == 0, invalid_argument, "group_norm",
             "expected a number of groups that divides {} channels, got {}", x[1], attr.groups);
  PARE_CHECK(attr.epsilon >= 0, invalid_argument, "group_norm",
             "expected an epsilon of at least 0, got {}", attr.epsilon);
  args.output(kY, x, DType::f32);
  Shape saved;
  saved.append(x, 0);
  saved.append(attr.groups);
  args.output(kSavedMean, saved, DType::f32);
  args.output(kSavedInverse, saved, DType::f32);
}

void forward_group_norm(const Call& call, std::span<const Tensor> inputs, std::span<Tensor> outputs,
                        const Context&) {
  const Tensor& x = inputs[kX];
  if (x.elements() == 0) {
    for (const int o : {kSavedMean, kSavedInverse}) outputs[static_cast<std::size_t>(o)].fill(0);
    return;
  }
  const auto data = [&](std::size_t i) {
    return i < inputs.size() && inputs[i].defined() ? inputs[i].data<float>() : nullptr;
  };
  SampleNorm(x, groups_of(call))
      .forward(x.data<float>(), call.attributes.as<GroupNormAttributes>().epsilon,
               {data(kWeight), data(kBias)}, outputs[kSavedMean].mutable_data<float>(),
               outputs[kSavedInverse].mutable_data<float>(), outputs[kY].mutable_data<float>());
}

void backward_group_norm(BackwardArgs& args) {
  backward_sample_norm(args, SampleNorm(args.input(kX), groups_of(args.call())),
                       args.output(kSavedMean).data<float>(),
                       args.output(kSavedInverse).data<float>(), false);
}

/// Channels go in whole groups: what is left keeps its statistics.
void link_group_norm(const Call& call, ChannelLinks& links) {
  const std::int64_t channels = links.shape(in(kX))[1];
  const std::int64_t size = channels / groups_of(call);
  for (const int i : {kX, kWeight, kBias})
    if (links.has(in(i))) links.tie(in(i), i == kX ? 1 : 0, out(kY), 1);
  for (std::int64_t c = 0; c < channels; ++c)
    if (c % size != 0) links.tie_at(out(kY), 1, c, out(kY), 1, c - 1);
}

bool resize_group_norm(Call& call, const ChannelResize& resize) {
  const std::vector<std::int64_t>* kept = resize.kept(out(kY), 1);
  if (!kept) return true;
  GroupNormAttributes attr = call.attributes.as<GroupNormAttributes>();
  const std::int64_t size = resize.shape(out(kY))[1] / attr.groups;
  attr.groups = static_cast<std::int64_t>(kept->size()) / size;
  call.attributes = Attributes::of(attr);
  return true;
}

/// ONNX takes a scale and a bias per channel since opset 21; before, and where they are not given,
/// InstanceNormalization over the groups.
void emit_group_norm(const Call& call, OnnxEmitter& e) {
  const auto& attr = call.attributes.as<GroupNormAttributes>();
  const Shape& x = e.input_shape(kX);
  if (e.opset() >= 21) {
    const std::string scale =
        e.has_input(kWeight) ? e.input(kWeight) : e.constant(Tensor::ones({x[1]}));
    const std::string bias =
        e.has_input(kBias) ? e.input(kBias) : e.constant(Tensor::zeros({x[1]}));
    e.node("GroupNormalization", {e.input(kX), scale, bias}, {e.output(kY)})
        .attribute("epsilon", attr.epsilon)
        .attribute("num_groups", attr.groups);
    return;
  }
  const std::string grouped = e.temporary();
  const std::string normalized = e.temporary();
  const std::string shape = e.temporary();
  std::string result = e.has_input(kWeight) || e.has_input(kBias) ? e.temporary() : e.output(kY);
  const std::vector<std::int64_t> target{0, attr.groups, -1};
  e.node("Reshape", {e.input(kX), onnx_integers(e, target)}, {grouped});
  e.node(
       "InstanceNormalization",
       {grouped, e.constant(Tensor::ones({attr.groups})), e.constant(Tensor::zeros({attr.groups}))},
       {normalized})
      .attribute("epsilon", attr.epsilon);
  e.node("Shape", {e.input(kX)}, {shape});
  e.node("Reshape", {normalized, shape}, {result});
  std::vector<std::int64_t> column{x[1]};
  for (int a = 2; a < x.rank(); ++a) column.push_back(1);
  const std::string per_channel = onnx_integers(e, column);
  const auto with = [&](const char* op, int input, bool last) {
    const std::string shaped = e.temporary();
    const std::string to = last ? e.output(kY) : e.temporary();
    e.node("Reshape", {e.input(input), per_channel}, {shaped});
    e.node(op, {result, shaped}, {to});
    result = to;
  };
  if (e.has_input(kWeight)) with("Mul", kWeight, !e.has_input(kBias));
  if (e.has_input(kBias)) with("Add", kBias, true);
}

}  // namespace

constinit const OpDef kGroupNorm = {
    .name = "group_norm",
    .max_inputs = 3,
    .hidden_outputs = 2,
    .format = FormatRule::keep,
    .infer = infer_group_norm,
    .forward = forward_group_norm,
    .backward = backward_group_norm,
    .saves_inputs = 1U << kX | 1U << kWeight,
    .saves_outputs = 1U << kSavedMean | 1U << kSavedInverse,
    .defaults = [] { return Attributes::of(GroupNormAttributes{}); },
    .channels = {.kind = ChannelFact::Kind::rule,
                 .rule = link_group_norm,
                 .resize = resize_group_norm},
    .onnx = {.op_type = "GroupNormalization", .opset = 13, .emit = emit_group_norm},
};

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const GroupNormAttributes& attributes) {
  return apply({&kGroupNorm, Attributes::of(attributes)}, detail::Borrowed(x, weight, bias));
}

}  // namespace pare
