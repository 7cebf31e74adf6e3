// Noise at a net's outputs, against what the float net gives.
#include "quantize/output_noise.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/check.h"
#include "core/value_range.h"
#include "pare/core/context.h"
#include "pare/graph/compare.h"
#include "pare/quantize/prepare.h"
#include "quantize/measured_batch.h"

namespace pare::quantize {
Graph calibrated(const Graph& graph, const Batches& calibration, const QConfig& config) {
  Graph prepared = prepare(graph, config);
  ContextScope scope;
  scope->grad = scope->training = false;
  scope->observing = true;
  for (std::int64_t b = 0; b < calibration.count; ++b) prepared.run(calibration.get(b));
  return prepared;
}

OutputNoise::OutputNoise(const Graph& graph, const Plan& reference, const Batches& data,
                         const char* where)
    : data_(data) {
  const std::vector<std::string> names = graph.output_names();
  for (std::int64_t b = 0; b < data.count; ++b) {
    wanted_.push_back(reference.run(measured_batch(graph, data, b, where)));
    for (std::size_t o = 0; o < names.size(); ++o) {
      const Tensor& output = wanted_.back()[o];
      if (!is_floating(output.dtype())) continue;
      // Noise beside what is not finite has no level.
      const std::string place = fmt::format("{}: output '{}' on batch {}", where, names[o], b);
      value_range(output.detach().to(MemoryFormat::row_major).to(DType::f32), place.c_str());
    }
  }
}

double OutputNoise::sqnr_db(const Plan& plan) const {
  std::vector<DifferenceMeter> meters(wanted_.at(0).size());
  for (std::int64_t b = 0; b < data_.count; ++b) {
    const Tensors found = plan.run(data_.get(b));
    for (std::size_t o = 0; o < found.size(); ++o) {
      const Tensor& wanted = wanted_[static_cast<std::size_t>(b)][o];
      if (is_floating(wanted.dtype()))
        meters[o].add(wanted, found[o]);
      else
        meters[o].add(wanted.to(DType::f64), found[o].to(DType::f64));
    }
  }
  double worst = std::numeric_limits<double>::infinity();
  for (const DifferenceMeter& meter : meters) worst = std::min(worst, meter.result("").sqnr_db);
  return worst;
}

}  // namespace pare::quantize
