// The modules of pare::nn, each with an input that it takes.
#include "structure/layers/modules.h"

#include <algorithm>

#include "pare/pare.h"

namespace pare::docs {
namespace {

class Names final : public Tracer {
 public:
  void record(const Call& call, std::span<const Tensor>, std::span<const Tensor>) override {
    if (std::find(names.begin(), names.end(), call.op->name) == names.end())
      names.emplace_back(call.op->name);
  }
  void alias(const Tensor&, const Tensor&) override {}
  void name_next(const std::string&) override {}
  std::vector<std::string> names;
};

Tensor random(const Shape& shape) { return Generator(2).uniform(shape, 0.1F, 0.9F); }

}  // namespace

void ModuleList::take(nn::Module& module, const Tensors& inputs) {
  Generator generator(3);
  nn::initialize(module, generator);
  Names names;
  ContextScope scope;
  scope->threads = 1;
  scope->training = true;
  scope->generator = &generator;
  scope->tracer = &names;
  module.run(inputs);
  rows_.push_back({module.kind(), names.names});
}

void add_activations(ModuleList& list) {
  const Shape x{2, 4};
  list.add(nn::CELU{}, x);
  list.add(nn::ELU{}, x);
  list.add(nn::GELU{}, x);
  list.add(nn::GLU{}, x);
  list.add(nn::Hardsigmoid{}, x);
  list.add(nn::Hardswish{}, x);
  list.add(nn::Hardtanh{}, x);
  list.add(nn::LeakyReLU{}, x);
  list.add(nn::LogSigmoid{}, x);
  list.add(nn::LogSoftmax{}, x);
  list.add(nn::Mish{}, x);
  list.add(nn::PReLU{}, x);
  list.add(nn::ReLU{}, x);
  list.add(nn::ReLU6{}, x);
  list.add(nn::SELU{}, x);
  list.add(nn::SiLU{}, x);
  list.add(nn::Sigmoid{}, x);
  list.add(nn::Softmax{}, x);
  list.add(nn::Softplus{}, x);
  list.add(nn::Softsign{}, x);
  list.add(nn::Tanh{}, x);
}

void add_layers(ModuleList& list) {
  const Shape line{2, 4, 8}, picture{2, 4, 8, 8}, room{2, 4, 8, 8, 8};
  const Tensor words = Tensor::from(std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor tokens = random({5, 2, 8});
  list.add(nn::AdaptiveAvgPool1d{3}, line);
  list.add(nn::AdaptiveAvgPool2d{3}, picture);
  list.add(nn::AdaptiveAvgPool3d{3}, room);
  list.add(nn::AdaptiveMaxPool1d{3}, line);
  list.add(nn::AdaptiveMaxPool2d{3}, picture);
  list.add(nn::AdaptiveMaxPool3d{3}, room);
  list.add(nn::AvgPool1d{{}}, line);
  list.add(nn::AvgPool2d{{}}, picture);
  list.add(nn::AvgPool3d{{}}, room);
  list.add(nn::BatchNorm1d{{.features = 4}}, line);
  list.add(nn::BatchNorm2d{{.features = 4}}, picture);
  list.add(nn::BatchNorm3d{{.features = 4}}, room);
  list.add(nn::Bilinear{{.in1 = 4, .in2 = 3, .out = 2}}, {random({2, 4}), random({2, 3})});
  list.add(nn::CircularPad1d{{.padding = 1}}, line);
  list.add(nn::CircularPad2d{{.padding = 1}}, picture);
  list.add(nn::ConstantPad1d{{.padding = 1}}, line);
  list.add(nn::ConstantPad2d{{.padding = 1}}, picture);
  list.add(nn::Conv1d{{.in = 4, .out = 4, .kernel = 3}}, line);
  list.add(nn::Conv2d{{.in = 4, .out = 4, .kernel = 3}}, picture);
  list.add(nn::Conv3d{{.in = 4, .out = 4, .kernel = 3}}, room);
  list.add(nn::ConvTranspose1d{{.in = 4, .out = 4, .kernel = 3}}, line);
  list.add(nn::ConvTranspose2d{{.in = 4, .out = 4, .kernel = 3}}, picture);
  list.add(nn::ConvTranspose3d{{.in = 4, .out = 4, .kernel = 3}}, room);
  list.add(nn::Dropout{}, line);
  list.add(nn::Flatten{}, picture);
  list.add(nn::Embedding{{.num_embeddings = 9, .embedding_dim = 4}}, {words});
  list.add(nn::EmbeddingBag{{.num_embeddings = 9, .embedding_dim = 4}}, {words});
  list.add(nn::Fold{{.output_size = 4, .kernel_size = 2}}, Shape{2, 16, 9});
  list.add(nn::GRU{{.input_size = 8, .hidden_size = 3}}, line);
  list.add(nn::GRUCell{{.input_size = 4, .hidden_size = 3}}, Shape{2, 4});
  list.add(nn::GlobalAveragePool{}, picture);
  list.add(nn::GroupNorm{{.groups = 2, .channels = 4}}, picture);
  list.add(nn::InstanceNorm1d{{.features = 4}}, line);
  list.add(nn::InstanceNorm2d{{.features = 4}}, picture);
  list.add(nn::InstanceNorm3d{{.features = 4}}, room);
  list.add(nn::LPPool1d{{.norm = 3}}, line);
  list.add(nn::LPPool2d{{.norm = 3}}, picture);
  list.add(nn::LSTM{{.input_size = 8, .hidden_size = 3}}, line);
  list.add(nn::LSTMCell{{.input_size = 4, .hidden_size = 3}}, Shape{2, 4});
  list.add(nn::LayerNorm{{.shape = {8}}}, line);
  list.add(nn::LocalResponseNorm{{.size = 3}}, picture);
  list.add(nn::Linear{{.in = 8, .out = 3}}, line);
  list.add(nn::MaxPool1d{{}}, line);
  list.add(nn::MaxPool2d{{}}, picture);
  list.add(nn::MaxPool3d{{}}, room);
  list.add(nn::MultiheadAttention{{.embed_dim = 8, .num_heads = 2}}, {tokens, tokens, tokens});
  list.add(nn::PixelShuffle{{.upscale_factor = 2}}, picture);
  list.add(nn::PixelUnshuffle{{.downscale_factor = 2}}, picture);
  list.add(nn::RMSNorm{{.shape = {8}}}, line);
  nn::RNNOptions plain;
  plain.input_size = 8, plain.hidden_size = 3;
  list.add(nn::RNN{plain}, line);
  nn::RNNCellOptions cell;
  cell.input_size = 4, cell.hidden_size = 3;
  list.add(nn::RNNCell{cell}, Shape{2, 4});
  list.add(nn::ReflectionPad1d{{.padding = 1}}, line);
  list.add(nn::ReflectionPad2d{{.padding = 1}}, picture);
  list.add(nn::ReplicationPad1d{{.padding = 1}}, line);
  list.add(nn::ReplicationPad2d{{.padding = 1}}, picture);
  const nn::TransformerLayerOptions layer{.d_model = 8, .nhead = 2, .dim_feedforward = 8};
  const nn::TransformerEncoderLayer encoder(layer);
  const nn::TransformerDecoderLayer decoder(layer);
  list.add(nn::TransformerDecoder(decoder, 1), {tokens, tokens});
  list.add(decoder, {tokens, tokens});
  list.add(nn::TransformerEncoder(encoder, 1), {tokens});
  list.add(encoder, {tokens});
  list.add(nn::Unflatten{{.dim = 1, .sizes = {2, 2}}}, line);
  list.add(nn::Unfold{{.kernel_size = 2}}, picture);
  list.add(nn::Upsample{{.size = {4, 4}}}, picture);
  list.add(nn::ZeroPad2d{{.padding = 1}}, picture);
}

void add_losses(ModuleList& list) {
  const Tensor x = random({4, 3}), y = random({4, 3});
  const Tensor labels = Tensor::from(std::vector<std::int64_t>{0, 1, 2, 0}, {4});
  const Tensor signs = Tensor::from({1, -1, 1, -1}, {4});
  const Tensor a = random({4}), b = random({4});
  list.add(nn::BCELoss{}, {x, y});
  list.add(nn::BCEWithLogitsLoss{}, {x, y});
  list.add(nn::CTCLoss{}, {random({5, 1, 3}), Tensor::ones({1, 2}, DType::i64),
                           Tensor::full({1}, 5, DType::i64), Tensor::full({1}, 2, DType::i64)});
  list.add(nn::CosineEmbeddingLoss{}, {x, y, signs});
  list.add(nn::CrossEntropyLoss{}, {x, labels});
  list.add(nn::HingeEmbeddingLoss{}, {a, signs});
  list.add(nn::HuberLoss{}, {x, y});
  list.add(nn::KLDivLoss{}, {x, y});
  list.add(nn::L1Loss{}, {x, y});
  list.add(nn::MSELoss{}, {x, y});
  list.add(nn::MarginRankingLoss{}, {a, b, signs});
  list.add(nn::NLLLoss{}, {x, labels});
  list.add(nn::SmoothL1Loss{}, {x, y});
  list.add(nn::TripletMarginLoss{}, {x, y, random({4, 3})});
}

}  // namespace pare::docs
