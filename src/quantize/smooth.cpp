// smooth: sizes of channels on data, and the factors that follow.
#include "pare/quantize/smooth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/check.h"
#include "graph/leaf_evaluator.h"
#include "pare/core/context.h"
#include "pare/core/ops.h"
#include "quantize/float_graph.h"
#include "quantize/measured_batch.h"
#include "quantize/smooth_places.h"

namespace pare::quantize {
namespace {

constexpr const char* kWhere = "smooth";

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Smoother {
 public:
  Smoother(const Graph& graph, const SmoothOptions& options)
      : options_(options),
        graph_(fold_batch_norm(graph.share()).graph),
        paths_(find_channel_paths(graph_, false).paths) {}

  SmoothReport run(const Batches& calibration) {
    SmoothPlaces found = find_smooth_places(graph_, paths_, options_);
    places_ = std::move(found.places);
    report_.left = std::move(found.left);
    measure(calibration);
    for (SmoothPlace& place : places_) smooth(place);
    graph_.compact();
    graph_.verify();
    return std::move(report_);
  }

  Graph take() { return std::move(graph_); }

 private:
  void measure(const Batches& calibration) {
    std::map<int, SmoothPlace*> by_value;
    for (SmoothPlace& place : places_) by_value[place.value] = &place;
    for (std::int64_t b = 0; b < calibration.count; ++b) {
      const SmoothPlace* refused = nullptr;
      graph_.run_visiting(measured_batch(graph_, calibration, b, kWhere),
                          [&](int value, const Tensor& tensor) {
                            const auto place = by_value.find(value);
                            if (place == by_value.end() || refused) return;
                            if (!add(*place->second, tensor.to(MemoryFormat::row_major)))
                              refused = place->second;
                          });
      // Not in the run, which would name what gives the value, too.
      PARE_CHECK(!refused, invalid_argument, graph_.node(refused->layers[0]).name,
                 "expected finite inputs of the layer on the calibration data, got NaN or infinity "
                 "in batch {}",
                 b);
    }
  }

  // Whether all are finite.
  bool add(SmoothPlace& place, const Tensor& x) const {
    const LayerChannels layer = smoothed_layer(graph_, place.layers[0]);
    const int axis = layer.axis < 0 ? x.rank() - 1 : layer.axis;
    const std::int64_t inner = x.shape().elements(axis + 1, x.rank());
    for (std::vector<double>* sizes : {&place.low, &place.high, &place.square})
      sizes->resize(at(layer.inputs), 0);
    const float* const data = x.data<float>();
    for (std::int64_t e = 0; e < x.elements(); ++e) {
      if (!std::isfinite(data[e])) return false;
      const auto v = static_cast<double>(data[e]);
      const std::size_t j = at(e / inner % layer.inputs);
      place.low[j] = std::min(place.low[j], v);
      place.high[j] = std::max(place.high[j], v);
      place.square[j] += v * v;
    }
    place.count += static_cast<double>(x.elements()) / static_cast<double>(layer.inputs);
    return true;
  }

  // The largest weights of each input channel in any of the layers.
  std::vector<double> weight_sizes(const SmoothPlace& place) const {
    std::vector<double> sizes(place.high.size(), 0);
    for (const int n : place.layers) {
      const LayerChannels layer = smoothed_layer(graph_, n);
      const auto w = LeafEvaluator(graph_)(graph_.node(n).inputs[1]).to_vector<float>();
      layer.for_each_pair([&](std::int64_t, std::int64_t input, std::int64_t k) {
        for (std::int64_t t = 0; t < layer.taps; ++t) {
          const float v = w[at(k * layer.taps + t)];
          PARE_CHECK(std::isfinite(v), invalid_argument, graph_.node(n).name,
                     "expected finite weights, got {}", v);
          sizes[at(input)] = std::max(sizes[at(input)], static_cast<double>(std::fabs(v)));
        }
      });
    }
    return sizes;
  }

  // By input channel. Channels that come from one of the layer before share a factor.
  std::vector<double> factors(const SmoothPlace& place, std::vector<double> weights, double alpha,
                              double beta) const {
    std::vector<double> sizes;
    for (std::size_t j = 0; j < place.high.size(); ++j) sizes.push_back(size(place, j));
    if (place.path >= 0) {
      std::map<std::int64_t, std::pair<double, double>> largest;
      const std::vector<std::int64_t>& channel = paths_[at(place.path)].channel;
      for (std::size_t j = 0; j < sizes.size(); ++j) {
        auto& [x, w] = largest[channel[j]];
        x = std::max(x, sizes[j]);
        w = std::max(w, weights[j]);
      }
      for (std::size_t j = 0; j < sizes.size(); ++j) {
        const bool own = channel[j] < 0;  // of no channel: not divided
        sizes[j] = own ? 0 : largest[channel[j]].first;
        weights[j] = own ? 0 : largest[channel[j]].second;
      }
    }
    std::vector<double> s(sizes.size(), 1);
    for (std::size_t j = 0; j < s.size(); ++j)
      if (sizes[j] > 0 && weights[j] > 0)
        s[j] = static_cast<double>(static_cast<float>(
            std::clamp(std::pow(sizes[j], alpha) / std::pow(weights[j], beta), 1e-5, 1e5)));
    return s;
  }

  static double size(const SmoothPlace& place, std::size_t j) {
    return std::max(-place.low[j], place.high[j]);
  }

  static Tensor as_row(const std::vector<double>& numbers) {
    const std::vector<float> values(numbers.begin(), numbers.end());
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  }

  // The noise that 8 bits make in the layers' outputs with inputs divided by s and weights
  // multiplied by it: an error of a step is step²/12 in the mean square, whatever it falls on.
  double noise(const SmoothPlace& place, const std::vector<double>& s) const {
    double low = 0, high = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      low = std::min(low, place.low[j] / s[j]);
      high = std::max(high, place.high[j] / s[j]);
    }
    const double step = (high - low) / 255;
    double sum = 0;
    for (const int n : place.layers) {
      const LayerChannels layer = smoothed_layer(graph_, n);
      const auto w = LeafEvaluator(graph_)(graph_.node(n).inputs[1]).to_vector<float>();
      // By output: the largest weight, and the mean square of what its weights are multiplied by.
      std::vector<double> largest(at(layer.outputs), 0), square(at(layer.outputs), 0);
      layer.for_each_pair([&](std::int64_t output, std::int64_t input, std::int64_t k) {
        const double factor = s[at(input)];
        for (std::int64_t t = 0; t < layer.taps; ++t) {
          const double v = std::fabs(static_cast<double>(w[at(k * layer.taps + t)])) * factor;
          largest[at(output)] = std::max(largest[at(output)], v);
          sum += step * step * v * v;
        }
        square[at(output)] += static_cast<double>(layer.taps) * place.square[at(input)] /
                              std::max(place.count, 1.0) / (factor * factor);
      });
      for (std::size_t o = 0; o < largest.size(); ++o)
        sum += largest[o] * largest[o] / (127.0 * 127.0) * square[o];
    }
    return sum / 12;
  }

  void smooth(const SmoothPlace& place) {
    const std::vector<double> weights = weight_sizes(place);
    double alpha = options_.alpha, beta = 1 - alpha;
    std::vector<double> s = factors(place, weights, alpha, beta);
    if (options_.steps > 0) {
      double least = std::numeric_limits<double>::infinity();
      const auto steps = static_cast<double>(options_.steps);
      for (std::int64_t a = 0; a <= options_.steps; ++a)
        for (std::int64_t b = 0; b <= options_.steps; ++b) {
          const double x = static_cast<double>(a) / steps, w = static_cast<double>(b) / steps;
          const std::vector<double> tried = factors(place, weights, x, w);
          const double found = noise(place, tried);
          if (found >= least) continue;
          least = found;
          s = tried;
          alpha = x;
          beta = w;
        }
    }
    report(place, s, alpha, beta);
    if (std::all_of(s.begin(), s.end(), [](double f) { return f == 1; })) return;
    for (const int n : place.layers) multiply_weight(n, s, false);
    std::vector<double> inverse(s.size());
    std::transform(s.begin(), s.end(), inverse.begin(), [](double f) { return 1 / f; });
    if (place.path >= 0) return divide_layer(place, inverse);
    const std::vector<int> inputs = graph_.node(place.producer).inputs;
    for (const std::size_t i : place.scaled) {
      const std::string name =
          fmt::format("{}.{}", graph_.node(place.producer).name, i == 2 ? "bias" : "weight");
      const int divided = multiplied(name, inputs[i], as_row(inverse));
      graph_.edit_node(place.producer).inputs[i] = divided;
    }
  }

  void divide_layer(const SmoothPlace& place, const std::vector<double>& inverse) {
    const ChannelPath& path = paths_[at(place.path)];
    std::vector<double> outputs(at(smoothed_layer(graph_, path.first).outputs), 1);
    for (std::size_t j = 0; j < inverse.size(); ++j)
      if (path.channel[j] >= 0) outputs[at(path.channel[j])] = inverse[j];
    multiply_weight(path.first, outputs, true);
    const Graph::Node& node = graph_.node(path.first);
    if (node.inputs.size() < 3 || node.inputs[2] < 0) return;
    const int bias = multiplied(node.name + ".bias", node.inputs[2], as_row(outputs));
    graph_.edit_node(path.first).inputs[2] = bias;
  }

  int multiplied(const std::string& name, int value, Tensor factors) {
    const int leaf =
        graph_.add_leaf(Graph::Kind::constant, name + ".smoothing", std::move(factors));
    const int node = graph_.add_node(name + ".smoothed", {&kMul, {}}, {value, leaf});
    return graph_.node(node).outputs[0];
  }

  void multiply_weight(int n, const std::vector<double>& numbers, bool outputs) {
    const int weight = graph_.node(n).inputs[1];
    const int product = multiplied(graph_.node(n).name + ".weight", weight,
                                   channel_factors(smoothed_layer(graph_, n), numbers, outputs,
                                                   graph_.value(weight).shape.rank()));
    graph_.edit_node(n).inputs[1] = product;
  }

  void report(const SmoothPlace& place, const std::vector<double>& s, double alpha, double beta) {
    SmoothReport::Place line{
        .producer = graph_.node(place.producer).name, .alpha = alpha, .beta = beta};
    for (const int n : place.layers) line.layers.push_back(graph_.node(n).name);
    line.smallest = *std::min_element(s.begin(), s.end());
    line.largest = *std::max_element(s.begin(), s.end());
    const auto spread = [&](bool divided) {
      double sum = 0, most = 0;
      for (std::size_t j = 0; j < s.size(); ++j) {
        const double most_of_it = size(place, j) / (divided ? s[j] : 1);
        sum += most_of_it;
        most = std::max(most, most_of_it);
      }
      return sum > 0 ? most * static_cast<double>(s.size()) / sum : 1;
    };
    line.spread_before = spread(false);
    line.spread_after = spread(true);
    report_.places.push_back(std::move(line));
  }

  const SmoothOptions& options_;
  Graph graph_;
  const std::vector<ChannelPath> paths_;
  std::vector<SmoothPlace> places_ = {};
  SmoothReport report_ = {};
};

}  // namespace

std::string to_string(const SmoothReport& report) {
  std::string text =
      fmt::format("{:<32} {:>6} {:>6} {:>11} {:>11} {:>8} {:>8}  {}\n", "divided", "alpha", "beta",
                  "smallest s", "largest s", "spread", "now", "multiplied");
  for (const SmoothReport::Place& place : report.places)
    text += fmt::format("{:<32} {:>6.2f} {:>6.2f} {:>11.4g} {:>11.4g} {:>8.2f} {:>8.2f}  {}\n",
                        place.producer, place.alpha, place.beta, place.smallest, place.largest,
                        place.spread_before, place.spread_after, listed(place.layers));
  for (const PassReport::Line& line : report.left)
    text += fmt::format("{:<32} left: {}\n", line.node, line.text);
  return text;
}

SmoothReport smooth(Graph& graph, const Batches& calibration, const SmoothOptions& options) {
  PARE_CHECK(calibration.count > 0 && calibration.get, invalid_argument, kWhere,
             "expected at least one batch of calibration data, got none");
  PARE_CHECK(options.alpha >= 0 && options.alpha <= 1, invalid_argument, kWhere,
             "expected an alpha of 0 to 1, got {}", options.alpha);
  PARE_CHECK(options.steps >= 0 && options.steps <= 1000, invalid_argument, kWhere,
             "expected 0 to 1000 steps, got {}", options.steps);
  check_float(graph, kWhere);
  ContextScope scope;
  scope->grad = scope->training = scope->observing = false;
  Smoother smoother(graph, options);
  SmoothReport report = smoother.run(calibration);
  graph = smoother.take();
  return report;
}

}  // namespace pare::quantize
