// NodeReader: one node of a file as its importer sees it.
#pragma once

#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/onnx/graph_builder.h"
#include "io/onnx/node_import.h"
#include "io/onnx/scope.h"
#include "io/onnx/tensor_data.h"

namespace pare::onnx {

class NodeReader final : public NodeImport {
 public:
  /// `name` is that of its calls. The rest must outlive this.
  NodeReader(const NodeProto& proto, std::string name, const Scope& scope, GraphBuilder& builder,
             ExternalData* external);

  const NodeProto& proto() const override { return proto_; }
  std::int64_t opset() const override;
  int outputs() const override;
  int inputs() const override { return asked_ = static_cast<int>(proto_.inputs.size()); }
  bool has(int i) const override;
  int value(int i) override;
  const Shape& shape(int i) override { return builder_.shape(value(i)); }
  DType dtype(int i) override { return builder_.graph().value(value(i)).dtype; }
  const Tensor* constant(int i) override;
  std::vector<std::int64_t> integers(int i) override;
  std::vector<double> reals(int i) override;

  bool has(const char* attribute) override { return find(attribute) != nullptr; }
  std::int64_t integer(const char* attribute, std::int64_t fallback) override;
  double real(const char* attribute, double fallback) override;
  std::string string(const char* attribute, const char* fallback) override;
  std::vector<std::int64_t> integers(const char* attribute) override;
  std::vector<double> reals(const char* attribute) override;
  std::vector<std::string> strings(const char* attribute) override;
  Tensor tensor(const char* attribute) override;
  void ignore(const char* attribute) override { read_.insert(attribute); }

  Graph& graph() override { return builder_.graph(); }
  void afford(const Shape& shape) override;
  int constant(Tensor tensor) override;
  int call(Call call, std::vector<int> inputs) override;
  std::vector<int> call_all(Call call, std::vector<int> inputs) override;
  void output(int i, int value) override { given_[i] = value; }
  [[noreturn]] void refuse(const std::string& reason) override;

  /// The attribute, that of the function where it stands for one, or null.
  const AttributeProto* find(const char* attribute);
  /// Refuses what nobody read, and names the nodes. To be called after the importer.
  void finish();
  /// What the importer gave, by output.
  const std::unordered_map<int, int>& given() const { return given_; }

 private:
  const AttributeProto* typed(const char* attribute, AttributeProto::Type type);
  const Tensor& elements(int i);

  const NodeProto& proto_;
  std::string name_;
  const Scope& scope_;
  GraphBuilder& builder_;
  ExternalData* external_;
  std::set<std::string> read_;
  mutable int asked_ = 0;  ///< inputs behind these do not exist for the importer
  std::unordered_map<int, int> given_;
};

}  // namespace pare::onnx
