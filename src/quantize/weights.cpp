// The integers of a layer: weight codes, scales and bias, with a batch norm folded in.
#include "quantize/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/quantize_math.h"

namespace pare::quantize {
namespace {

// Leaves room for the sum of products beside it in 32 bits.
constexpr double kLargestBias = 1 << 30;
constexpr std::int64_t kLargestActivation = 255;
constexpr float kScaleOfNothing = std::numeric_limits<float>::epsilon();

struct Channel {
  float scale;        // of the codes
  std::int32_t zero;  // of the codes; before the factor layer.zero_points
  float divide;       // what the weight is divided by: the scale before the factor
  float sign;         // of the factor; 0 drops the weight
  bool raised;        // the scale, for the bias
};

Channel channel_of(const LayerWeights& layer, std::size_t c) {
  const double f = layer.factor.empty() ? 1.0 : layer.factor[c];
  const auto folded = static_cast<float>(static_cast<double>(layer.scales[c]) * std::fabs(f));
  const std::int32_t z = layer.zero_points[c];
  const auto turned = static_cast<std::int32_t>(layer.qmin + layer.qmax - z);
  Channel channel{folded, f < 0 && z != 0 ? turned : z, layer.scales[c], f < 0 ? -1.0F : 1.0F,
                  false};
  // A factor so small that the scale (or the bias's) would vanish takes the weight with it.
  if (folded * std::min(layer.source_scale, 1.0F) < std::numeric_limits<float>::min())
    channel = {std::max(layer.scales[c], kScaleOfNothing), z, layer.scales[c], 0, false};
  if (layer.bias.empty()) return channel;
  double bias = 0;
  for (std::size_t o = c; o < layer.bias.size(); o += layer.scales.size())
    bias = std::max(bias, std::fabs(layer.bias[o]));
  const auto least =
      static_cast<float>(bias / (static_cast<double>(layer.source_scale) * kLargestBias));
  // Without weights the scale is the bias's alone.
  if (channel.sign == 0 && least > 0)
    channel.scale = std::max(least, std::numeric_limits<float>::min());
  if (channel.scale < least) {
    const double before_factor = f == 0 ? 1.0 : static_cast<double>(least) / std::fabs(f);
    channel.raised = true;
    channel.scale = least;
    channel.divide = static_cast<float>(before_factor);
  }
  return channel;
}

void add_note(LayerCodes& codes, const std::string& note) {
  codes.note += (codes.note.empty() ? "" : "; ") + note;
}

}  // namespace

LayerCodes code_layer(const LayerWeights& layer) {
  const Shape& shape = layer.weight.shape();
  const auto channels = static_cast<std::size_t>(shape[layer.axis]);
  const auto inner = static_cast<std::size_t>(shape.elements(layer.axis + 1, shape.rank()));
  const std::vector<float> w = layer.weight.to_vector<float>();

  const auto finite = [](double v) { return std::isfinite(v); };
  PARE_CHECK(std::ranges::all_of(w, finite) && std::ranges::all_of(layer.factor, finite),
             invalid_argument, layer.name, "expected finite weights, got NaN or infinity");
  PARE_CHECK(std::ranges::all_of(layer.bias, finite), invalid_argument, layer.name,
             "expected a finite bias, got NaN or infinity");
  std::vector<Channel> channel(channels);
  std::vector<float> scales(channels);
  std::vector<std::int32_t> zeros(channels);
  int raised = 0;
  for (std::size_t c = 0; c < channels; ++c) {
    channel[c] = channel_of(layer, c);
    scales[c] = channel[c].scale;
    zeros[c] = channel[c].zero;
    raised += channel[c].raised ? 1 : 0;
  }
  const std::size_t outputs = channels * static_cast<std::size_t>(layer.groups);
  const std::size_t group = w.size() / static_cast<std::size_t>(layer.groups);
  std::vector<std::int8_t> codes(w.size());
  std::vector<std::int64_t> magnitude(outputs, 0);
  std::int64_t clipped = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const std::size_t c = i / inner % channels;
    const auto low = static_cast<float>(layer.qmin - layer.zero_points[c]);
    const auto high = static_cast<float>(layer.qmax - layer.zero_points[c]);
    const std::int64_t zero = channel[c].zero;
    auto code = static_cast<std::int64_t>(centred_code(w[i], channel[c].divide, low, high) *
                                          channel[c].sign);
    // Without a zero point −2 may become 2 beside codes −2 … 1: i8 has it.
    const std::int64_t most =
        zero == 0 ? std::max(layer.qmax, std::min<std::int64_t>(-layer.qmin, 127)) : layer.qmax;
    if (code + zero > most) {
      code = most - zero;
      ++clipped;
    }
    codes[i] = static_cast<std::int8_t>(code + zero);
    magnitude[i / group * channels + c] += std::abs(code);
  }

  LayerCodes result;
  if (raised > 0)
    add_note(result, fmt::format("weights beside a far larger bias in {} channels", raised));
  if (clipped > 0)
    add_note(result, fmt::format("{} codes clipped where its batch norm turns signs", clipped));
  result.weight = Tensor::from(codes, shape);
  const Shape per_channel{static_cast<std::int64_t>(channels)};
  const auto same = [](const auto& values) {
    return std::ranges::all_of(values, [&](auto v) { return v == values[0]; });
  };
  const bool one = layer.one_scale && !scales.empty() && same(scales) && same(zeros);
  result.scale = one ? Tensor::scalar(scales[0]) : Tensor::from(scales, per_channel);
  if (!std::ranges::all_of(zeros, [](std::int32_t z) { return z == 0; })) {
    result.zero_point =
        one ? Tensor::scalar(zeros[0], DType::i32) : Tensor::from(zeros, per_channel);
    add_note(result, "computed in float: its weights have zero points");
  }
  std::vector<std::int32_t> bias(outputs, 0);
  if (!layer.bias.empty()) {
    std::vector<float> bias_scales(outputs);
    for (std::size_t o = 0; o < outputs; ++o) {
      bias_scales[o] = layer.source_scale * scales[o % channels];
      const double exact = layer.bias[o] / static_cast<double>(bias_scales[o]);
      bias[o] = static_cast<std::int32_t>(std::nearbyint(exact));
    }
    const Shape per_output{static_cast<std::int64_t>(outputs)};
    result.bias = Tensor::from(bias, per_output);
    result.bias_scale = Tensor::from(bias_scales, per_output);
  }
  for (std::size_t o = 0; o < outputs; ++o) {
    const std::int64_t most = magnitude[o] * kLargestActivation + std::abs(std::int64_t{bias[o]});
    PARE_CHECK(most <= std::numeric_limits<std::int32_t>::max(), unsupported, layer.name,
               "expected sums that fit 32 bits, got up to {} in channel {}; exclude this layer",
               most, o);
  }
  return result;
}

}  // namespace pare::quantize
