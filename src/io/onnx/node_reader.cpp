// Inputs and attributes of a node for its importer.
#include "io/onnx/node_reader.h"

#include <algorithm>

#include "core/check.h"

namespace pare::onnx {
namespace {

using Type = AttributeProto::Type;

const char* word(Type type) {
  switch (type) {
    case Type::real:
      return "a float";
    case Type::integer:
      return "an integer";
    case Type::string:
      return "a string";
    case Type::tensor:
      return "a tensor";
    case Type::graph:
      return "a graph";
    case Type::reals:
      return "floats";
    case Type::integers:
      return "integers";
    case Type::strings:
      return "strings";
    case Type::tensors:
      return "tensors";
    case Type::graphs:
      return "graphs";
    case Type::sparse_tensor:
      return "a sparse tensor";
    default:
      return "something else";
  }
}

}  // namespace

NodeReader::NodeReader(const NodeProto& proto, std::string name, const Scope& scope,
                       GraphBuilder& builder, ExternalData* external)
    : proto_(proto),
      name_(std::move(name)),
      scope_(scope),
      builder_(builder),
      external_(external) {}

std::int64_t NodeReader::opset() const {
  const auto at = scope_.opsets->find(proto_.domain);
  return at == scope_.opsets->end() ? 1 : at->second;
}

int NodeReader::outputs() const {
  int count = static_cast<int>(proto_.outputs.size());
  while (count > 0 && proto_.outputs[static_cast<std::size_t>(count) - 1].empty()) --count;
  return count;
}

bool NodeReader::has(int i) const {
  asked_ = std::max(asked_, i + 1);
  if (i < 0 || i >= static_cast<int>(proto_.inputs.size())) return false;
  const std::string& name = proto_.inputs[static_cast<std::size_t>(i)];
  if (name.empty()) return false;
  const Binding* binding = scope_.find(name);
  return !binding || !binding->left_out;
}

int NodeReader::value(int i) {
  if (!has(i)) refuse(fmt::format("expected an input {}, got none", i));
  const std::string& name = proto_.inputs[static_cast<std::size_t>(i)];
  // The importer of the file looked all inputs up before.
  const Binding* binding = scope_.find(name);
  PARE_ASSERT(binding);
  if (!binding->missing.empty())
    refuse(fmt::format("its input '{}' is {}, which pare does not give", name, binding->missing));
  return binding->value;
}

const Tensor* NodeReader::constant(int i) { return has(i) ? builder_.known(value(i)) : nullptr; }

const Tensor& NodeReader::elements(int i) {
  const int v = value(i);
  const Tensor* known = builder_.known(v);
  if (!known)
    refuse(fmt::format("expected a constant as input {} ('{}'), got one that is computed", i,
                       proto_.inputs[static_cast<std::size_t>(i)]));
  return *known;
}

std::vector<std::int64_t> NodeReader::integers(int i) {
  const Tensor& tensor = elements(i);
  if (is_floating(tensor.dtype()))
    refuse(fmt::format("expected integers as input {}, got {}", i, traits(tensor.dtype()).name));
  return tensor.detach().to(DType::i64).to_vector<std::int64_t>();
}

std::vector<double> NodeReader::reals(int i) {
  return elements(i).detach().to(DType::f64).to_vector<double>();
}

const AttributeProto* NodeReader::find(const char* attribute) {
  for (const AttributeProto& a : proto_.attributes) {
    if (a.name != attribute) continue;
    if (a.reference.empty()) return &a;
    const auto at = scope_.attributes.find(a.reference);
    return at == scope_.attributes.end() ? nullptr : at->second;
  }
  return nullptr;
}

const AttributeProto* NodeReader::typed(const char* attribute, Type type) {
  read_.insert(attribute);
  const AttributeProto* a = find(attribute);
  // Lists without elements may say any type of list.
  const bool is_empty =
      a && a->reals.empty() && a->integers.empty() && a->strings.empty() &&
      (a->type == Type::reals || a->type == Type::integers || a->type == Type::strings) &&
      (type == Type::reals || type == Type::integers || type == Type::strings);
  PARE_CHECK(!a || a->type == type || is_empty, corrupt_data, "attribute",
             "expected {} in '{}', got {}", word(type), attribute, word(a->type));
  return a;
}

std::int64_t NodeReader::integer(const char* attribute, std::int64_t fallback) {
  const AttributeProto* a = typed(attribute, Type::integer);
  return a ? a->integer : fallback;
}
double NodeReader::real(const char* attribute, double fallback) {
  const AttributeProto* a = typed(attribute, Type::real);
  return a ? a->real : fallback;
}
std::string NodeReader::string(const char* attribute, const char* fallback) {
  const AttributeProto* a = typed(attribute, Type::string);
  return a ? a->string : std::string(fallback);
}
std::vector<std::int64_t> NodeReader::integers(const char* attribute) {
  const AttributeProto* a = typed(attribute, Type::integers);
  return a ? a->integers : std::vector<std::int64_t>();
}
std::vector<double> NodeReader::reals(const char* attribute) {
  const AttributeProto* a = typed(attribute, Type::reals);
  return a ? a->reals : std::vector<double>();
}
std::vector<std::string> NodeReader::strings(const char* attribute) {
  const AttributeProto* a = typed(attribute, Type::strings);
  return a ? a->strings : std::vector<std::string>();
}
Tensor NodeReader::tensor(const char* attribute) {
  const AttributeProto* a = typed(attribute, Type::tensor);
  return a ? to_tensor(a->tensors.front(), fmt::format("attribute '{}'", attribute), external_)
           : Tensor();
}

void NodeReader::afford(const Shape& shape) {
  if (!builder_.can_afford(shape))
    refuse(fmt::format("{} elements of its own are beyond a file of this size", shape));
}

int NodeReader::constant(Tensor tensor) {
  afford(tensor.shape());
  builder_.spend(tensor.bytes());
  return builder_.add_leaf(Graph::Kind::constant, name_ + ".constant", std::move(tensor));
}
int NodeReader::call(Call call, std::vector<int> inputs) {
  return call_all(std::move(call), std::move(inputs)).front();
}
std::vector<int> NodeReader::call_all(Call call, std::vector<int> inputs) {
  return builder_.add_call(name_, std::move(call), std::move(inputs));
}

void NodeReader::refuse(const std::string& reason) { throw Error(ErrorCode::unsupported, reason); }

void NodeReader::finish() {
  for (const AttributeProto& a : proto_.attributes)
    if (!read_.contains(a.name)) refuse(fmt::format("its attribute '{}' is not read", a.name));
  for (auto i = static_cast<std::size_t>(asked_); i < proto_.inputs.size(); ++i)
    if (!proto_.inputs[i].empty())
      refuse(fmt::format("its input {} ('{}') is not read", i, proto_.inputs[i]));
  const auto first = given_.find(0);
  if (first == given_.end()) return;
  const int producer = builder_.graph().value(first->second).producer;
  if (producer >= 0) builder_.name_node(producer, name_);
}

}  // namespace pare::onnx
