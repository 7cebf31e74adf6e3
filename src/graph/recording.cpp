// Recording: the calls of one run of a module, with its values numbered by first use.
#include "graph/recording.h"

#include "core/check.h"

namespace pare {

namespace {

class Recorder final : public Tracer {
 public:
  Recorder(const Leaves& leaves, const Parts& parts, const Tensors& inputs)
      : leaves_(leaves), parts_(parts) {
    for (const Tensor& input : inputs) add(input).input = true;
  }

  void record(const Call& call, std::span<const Tensor> inputs,
              std::span<const Tensor> visible_outputs) override {
    Recording::Entry entry;
    entry.call = call;
    entry.name = std::move(name_);
    name_.clear();
    if (!inside_.empty()) entry.part = inside_.back();
    for (const Tensor& input : inputs)
      entry.inputs.push_back(input.defined() ? number_of(input, call.op->name) : -1);
    for (const StatePair& pair : call.op->state) check_state(entry, pair);
    for (const Tensor& output : visible_outputs) {
      add(output).result = true;
      entry.outputs.push_back(numbers_.at(output.impl()));
    }
    recording_.entries.push_back(std::move(entry));
  }

  void alias(const Tensor& result, const Tensor& source) override {
    if (result.same_as(source)) return;
    numbers_[result.impl()] = number_of(source, "a change of memory format");
    aliases_.push_back(result);
  }

  void name_next(const std::string& name) override { name_ = name; }

  void begin_part(const void* part) override {
    const auto at = parts_.find(part);
    inside_.push_back(at == parts_.end() ? nullptr : &at->second);
  }
  void end_part(const void*, const Tensor&) override { inside_.pop_back(); }

  Recording finish(const Tensors& outputs) {
    for (const Tensor& output : outputs) {
      PARE_CHECK(output.defined(), unsupported, "trace",
                 "expected defined outputs of the module, got an undefined tensor");
      recording_.outputs.push_back(number_of(output, "the module's output"));
    }
    return std::move(recording_);
  }

 private:
  Recording::Value& add(const Tensor& tensor) {
    numbers_[tensor.impl()] = static_cast<int>(recording_.values.size());
    return recording_.values.emplace_back(Recording::Value{tensor, tensor.shape()});
  }

  int number_of(const Tensor& tensor, std::string_view reader) {
    if (const auto at = numbers_.find(tensor.impl()); at != numbers_.end()) return at->second;
    const auto leaf = leaves_.find(tensor.impl());
    PARE_CHECK(leaf != leaves_.end() || !tensor.requires_grad(), unsupported, "trace",
               "expected every parameter to be listed by members(), got one of shape {} that is "
               "not, read by {}",
               tensor.shape(), reader);
    add(tensor).leaf = leaf == leaves_.end() ? nullptr : &leaf->second;
    return static_cast<int>(recording_.values.size()) - 1;
  }

  void check_state(const Recording::Entry& entry, const StatePair& pair) const {
    const auto i = static_cast<std::size_t>(pair.input);
    if (i >= entry.inputs.size() || entry.inputs[i] < 0) return;
    const Recording::Value& value = recording_.values[static_cast<std::size_t>(entry.inputs[i])];
    PARE_CHECK(value.leaf && value.leaf->kind != Graph::Kind::constant, unsupported, "trace",
               "expected a buffer listed by members() as state of {}, got another tensor of shape "
               "{}",
               entry.call.op->name, value.shape);
  }

  const Leaves& leaves_;
  const Parts& parts_;
  std::vector<const Part*> inside_;
  Recording recording_;
  std::unordered_map<const detail::TensorImpl*, int> numbers_;
  Tensors aliases_;
  std::string name_;
};

}  // namespace

Recording record_run(nn::Module& module, const Leaves& leaves, const Parts& parts,
                     const Tensors& inputs) {
  Recorder recorder(leaves, parts, inputs);
  ContextScope scope;
  scope->training = false;
  scope->observing = false;
  scope->grad = false;
  scope->tracer = &recorder;
  return recorder.finish(module.run(inputs));
}

}  // namespace pare
