// What the import of one ONNX op sees of its node, and the table of the ops that are known.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/onnx/model.h"
#include "pare/graph/graph.h"

namespace pare::onnx {

/// One node on its way into a graph. Values are numbers of the graph's values. Everything throws
/// an Error that names the node; `refuse` too, and the importer goes on to collect the refusals of
/// the whole file.
class NodeImport {
 public:
  virtual ~NodeImport() = default;

  virtual const NodeProto& proto() const = 0;
  /// The version of the node's domain that the file asks for.
  virtual std::int64_t opset() const = 0;
  /// Outputs that somebody may read: those named in the file.
  virtual int outputs() const = 0;

  // --- inputs
  virtual int inputs() const = 0;
  /// Whether input i is there (neither beyond the list nor left out).
  virtual bool has(int i) const = 0;
  /// Its value in the graph; refuses where it is not there.
  virtual int value(int i) = 0;
  virtual const Shape& shape(int i) = 0;
  virtual DType dtype(int i) = 0;
  /// Its elements where they are known now (initializers, constants and what was folded of them),
  /// else null. An input of the graph is never known.
  virtual const Tensor* constant(int i) = 0;
  /// The same as integers or floats; refuses, with the reason, where they are not known.
  virtual std::vector<std::int64_t> integers(int i) = 0;
  virtual std::vector<double> reals(int i) = 0;

  // --- attributes; each is marked as read, and one that nobody read is refused
  virtual bool has(const char* attribute) = 0;
  virtual std::int64_t integer(const char* attribute, std::int64_t fallback) = 0;
  virtual double real(const char* attribute, double fallback) = 0;
  virtual std::string string(const char* attribute, const char* fallback) = 0;
  virtual std::vector<std::int64_t> integers(const char* attribute) = 0;  ///< empty if absent
  virtual std::vector<double> reals(const char* attribute) = 0;
  virtual std::vector<std::string> strings(const char* attribute) = 0;
  virtual Tensor tensor(const char* attribute) = 0;  ///< undefined if absent
  virtual void ignore(const char* attribute) = 0;    ///< it does not change the result

  // --- the graph
  virtual Graph& graph() = 0;
  /// Refuses where a constant of this shape, or as many calls, are beyond what a file of this size
  /// may ask for. To be asked before anything is made whose size a number in the file says.
  virtual void afford(const Shape& shape) = 0;
  /// A constant of the graph.
  virtual int constant(Tensor tensor) = 0;
  /// Appends a call under the node's name; its first output, or all of them.
  virtual int call(Call call, std::vector<int> inputs) = 0;
  virtual std::vector<int> call_all(Call call, std::vector<int> inputs) = 0;
  /// States output i.
  virtual void output(int i, int value) = 0;
  [[noreturn]] virtual void refuse(const std::string& reason) = 0;
};

struct OpImport {
  std::string_view op_type;
  std::string_view domain;  ///< "" for ai.onnx
  void (*run)(NodeImport& node);
};

/// One list per family, in import_<family>.cpp; `find_import` searches them all.
const OpImport* find_import(std::string_view domain, std::string_view op_type);
/// All of them, for the generated page.
std::vector<OpImport> all_imports();

}  // namespace pare::onnx
