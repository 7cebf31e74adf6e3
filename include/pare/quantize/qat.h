// Quantization-aware training: how ranges are found while a graph trains, and when they stay.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pare/graph/graph.h"
#include "pare/quantize/fake_quantizer.h"

namespace pare::quantize {

/// How the ranges of fake-quantizers follow from training.
enum class TrainingMethod : std::uint8_t {
  moving_average,  ///< of what was seen (Jacob et al., 2018); weights by their own values
  lsq,             ///< the step is learned (Esser et al., "Learned step size quantization", 2020)
  lsq_plus,        ///< step and zero point are learned (Bhalgat et al., "LSQ+", 2020)
  pact,            ///< the largest value kept is learned (Choi et al., "PACT", 2018)
  tqt,  ///< its logarithm, for scales that are powers of two (Jain et al., "Trained …", 2019)
};

/// Where learned steps start.
enum class StepStart : std::uint8_t {
  paper,          ///< lsq: 2·mean|x|/√qmax; lsq_plus, tqt: μ ± 3σ; pact: 6, weights max|w|
  least_squares,  ///< the least square error by the codes themselves
};

/// What a batch norm after a layer means to the layer's fake-quantized weight.
enum class BatchNormForm : std::uint8_t {
  automatic,  ///< commuting for a scale per channel, folded for one scale
  /// W is quantized, and the batch norm multiplies codes and scales afterwards: docs/numerics.md.
  /// One scale for all channels becomes one for each. Transposed convolutions of several groups,
  /// which share scales, are folded all the same.
  commuting,
  /// conv(x, FQ(W·f) / f) before the batch norm, f = γ/√(running variance + ε) without a gradient,
  /// kept off 0: PyTorch's default, which keeps one scale for all channels.
  folded,
  /// The same weight, normalized by the batch statistics of conv(x, W), and a gradient through f:
  /// what PyTorch's modules compute with `_enable_slow_path_for_better_numerical_stability`
  /// (Krishnamoorthi, "Quantizing deep convolutional networks", 2018, 3.2.2). The statistics do not
  /// depend on the rounding; a training step has the layer twice.
  exact,
};

/// What prepare_qat is told beside the QConfig, which has the bits, the codes and what is
/// quantized.
struct QATConfig {
  TrainingMethod method = TrainingMethod::moving_average;
  std::optional<TrainingMethod> weight_method = {};  ///< of weights; empty: as `method`
  StepStart start = StepStart::paper;
  BatchNormForm batch_norm = BatchNormForm::automatic;
  /// Ops that train for what `dynamic` makes of them: "lstm", "gru", "rnn", "embedding", "gather"
  /// of a table. Weights and tables are rounded by rows, or with one scale, as the config says of
  /// weights; recurrent layers round the rows of x and h as they come. convert gives them codes.
  std::vector<std::string> dynamic_ops = {};
  /// A rounding of your own for activations, and for weights, in place of the methods. Ranges that
  /// are known (of softmax, Observer::fixed) stay as they are.
  std::shared_ptr<const FakeQuantizer> fake_quantizer = {};
  std::shared_ptr<const FakeQuantizer> weight_fake_quantizer = {};
};

/// From now on the ranges that training moved (of activations, and moving ranges of weights) stay
/// as they are, whatever context().observing says, and learned steps are learned no more; scales
/// that are weights' own go on following them. With `on` false they move again. Module::train() and
/// eval() change nothing of it; it is kept where the graph is saved. Throws invalid_state for a
/// graph that is not from prepare_qat, and, naming it, for an activation that has seen nothing yet.
PARE_API void freeze_observers(Graph& prepared, bool on = true);
/// From now on batch norms normalize by their running statistics in training too, which stay; their
/// weights and biases still learn. Otherwise as freeze_observers; a graph without batch norms is as
/// it was.
PARE_API void freeze_batch_norm(Graph& prepared, bool on = true);

/// When they freeze: numbers of epochs, counted from 0. Empty: never.
struct FreezeSchedule {
  std::optional<std::int64_t> observers = {};
  std::optional<std::int64_t> batch_norm = {};
};
/// For train::FitOptions::begin_epoch: freezes what is due from its epoch on, and thaws it before.
/// `prepared` is borrowed. Throws invalid_argument for epochs below 0, and invalid_state as the two
/// above.
PARE_API std::function<void(std::int64_t epoch)> freeze_schedule(Graph& prepared,
                                                                 const FreezeSchedule& schedule);

}  // namespace pare::quantize
