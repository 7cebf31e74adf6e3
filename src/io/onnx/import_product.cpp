// Import of matrix products: MatMul, Gemm, Einsum.
#include "io/onnx/import_product.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"
#include "pare/core/ops/products.h"

namespace pare::onnx {
namespace {

/// A product of types that matmul does not know, as products of all pairs that are summed.
int multiplied_and_summed(NodeImport& node, int a, int b) {
  const bool row = shape_of(node, a).rank() == 1;
  const bool column = shape_of(node, b).rank() == 1;
  if (row) a = unsqueeze(node, a, {0});
  if (column) b = unsqueeze(node, b, {1});
  a = unsqueeze(node, a, {shape_of(node, a).rank()});      // [..., m, k, 1]
  b = unsqueeze(node, b, {shape_of(node, b).rank() - 2});  // [..., 1, k, n]
  const int products = call(node, kMul, {a, b});
  const int inner = shape_of(node, products).rank() - 2;
  int y = call(node, kSum, ReduceAttributes{{inner}, false}, {products});
  std::vector<int> gone;
  const int rank = shape_of(node, y).rank();
  if (row) gone.push_back(rank - 2);
  if (column) gone.push_back(rank - 1);
  return gone.empty() ? y : squeeze(node, y, gone);
}

void import_matmul(NodeImport& node) { node.output(0, matmul(node, node.value(0), node.value(1))); }

/// alpha · A·B + beta · C: as linear, but for a C that is no bias of its columns.
void import_gemm(NodeImport& node) {
  node.ignore("broadcast");  // before opset 7; C broadcasts
  const double alpha = node.real("alpha", 1);
  const double beta = node.real("beta", 1);
  const bool trans_a = node.integer("transA", 0) != 0;
  const bool trans_b = node.integer("transB", 0) != 0;
  int a = node.value(0);
  int b = node.value(1);
  const DType dtype = dtype_of(node, a);
  if (shape_of(node, a).rank() != 2 || shape_of(node, b).rank() != 2)
    node.refuse("matrices are expected");
  int c = node.has(2) && beta != 0 ? node.value(2) : -1;
  if (c >= 0 && beta != 1) c = call(node, kMul, {c, number_like(node, beta, c)});
  if (trans_a) a = transpose(node, a, {1, 0});
  if (dtype == DType::f32) {
    const int weight = trans_b ? b : transpose(node, b, {1, 0});
    const Shape out = shape_of(node, weight);
    const Shape bias = c >= 0 ? shape_of(node, c) : Shape{};
    const bool per_column = c >= 0 && bias.rank() >= 1 && bias.same_axis(bias.rank() - 1, out, 0) &&
                            (bias.rank() == 1 || (!bias.symbolic(0) && bias[0] == 1));
    if (alpha == 1 && (c < 0 || per_column)) {
      std::vector<int> inputs{a, weight};
      if (c >= 0) inputs.push_back(bias.rank() == 1 ? c : squeeze(node, c, {0}));
      node.output(0, call(node, kLinear, std::move(inputs)));
      return;
    }
    b = weight;
    int y = call(node, kLinear, {a, b});
    if (alpha != 1) y = call(node, kMul, {y, number_like(node, alpha, y)});
    node.output(0, c >= 0 ? call(node, kAdd, {y, c}) : y);
    return;
  }
  if (trans_b) b = transpose(node, b, {1, 0});
  int y = matmul(node, a, b);
  if (alpha != 1) y = call(node, kMul, {y, number_like(node, alpha, y)});
  node.output(0, c >= 0 ? call(node, kAdd, {y, c}) : y);
}

/// Keeps the calls that a composed function makes, as nodes over the graph's values.
class Recorder : public Tracer {
 public:
  explicit Recorder(NodeImport& node) : node_(node) {}
  void stands_for(const Tensor& tensor, int value) {
    kept_.push_back(tensor);
    values_[tensor.impl()] = value;
  }
  int value(const Tensor& tensor) const { return values_.at(tensor.impl()); }
  void record(const Call& call, std::span<const Tensor> inputs,
              std::span<const Tensor> visible_outputs) override {
    std::vector<int> from;
    for (const Tensor& input : inputs) from.push_back(input.defined() ? value(input) : -1);
    if (call.op == &kMatmul) {
      stands_for(visible_outputs[0], matmul(node_, from[0], from[1]));
      return;
    }
    const std::vector<int> to = node_.call_all(call, std::move(from));
    for (std::size_t k = 0; k < visible_outputs.size(); ++k) stands_for(visible_outputs[k], to[k]);
  }
  void alias(const Tensor& result, const Tensor& source) override {
    stands_for(result, value(source));
  }
  void name_next(const std::string&) override {}

 private:
  NodeImport& node_;
  Tensors kept_;
  std::map<const void*, int> values_;
};

/// One term of an equation of plain letters, or nothing: an ellipsis, a letter that comes twice.
std::optional<std::string> plain_term(std::string_view text) {
  std::string letters;
  for (const char c : text) {
    if (c == ' ') continue;
    if (c == '.' || letters.find(c) != std::string::npos) return std::nullopt;
    letters.push_back(c);
  }
  return letters;
}

/// The letters of `a` that are, or are not, in `b`.
std::string common(const std::string& a, const std::string& b, bool in = true) {
  std::string out;
  for (const char c : a)
    if ((b.find(c) != std::string::npos) == in) out.push_back(c);
  return out;
}

std::vector<std::int64_t> places(const std::string& of, const std::string& in) {
  std::vector<std::int64_t> out;
  for (const char c : of) out.push_back(static_cast<std::int64_t>(in.find(c)));
  return out;
}

/// The letters of the operands and of the result.
struct Equation {
  std::vector<std::string> terms;
  std::string result;
};

/// Nothing for an ellipsis, a letter that comes twice in a term, or what does not fit the operands.
std::optional<Equation> plain_equation(NodeImport& node, std::string_view text) {
  const std::size_t arrow = text.find("->");
  Equation equation;
  std::string_view rest = text.substr(0, arrow);
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    const auto term = plain_term(rest.substr(0, comma));
    const auto i = static_cast<int>(equation.terms.size());
    if (!term || i >= node.inputs() || static_cast<int>(term->size()) != node.shape(i).rank())
      return std::nullopt;
    equation.terms.push_back(*term);
    more = comma != std::string_view::npos;
    if (more) rest.remove_prefix(comma + 1);
  }
  if (static_cast<int>(equation.terms.size()) != node.inputs()) return std::nullopt;
  std::string all;
  for (const std::string& term : equation.terms) all += term;
  if (arrow != std::string_view::npos) {
    const auto result = plain_term(text.substr(arrow + 2));
    if (!result || !common(*result, all, false).empty()) return std::nullopt;
    equation.result = *result;
  } else {
    // What is not said are the letters that come once, by the alphabet.
    for (const char c : all)
      if (std::ranges::count(all, c) == 1) equation.result.push_back(c);
    std::ranges::sort(equation.result);
  }
  return equation;
}

/// Of two operands a product of batches of matrices: one letter that is summed, and one each of
/// rows and of columns, or, where there is no batch, several. False, having made nothing, for
/// others.
bool import_as_product(NodeImport& node, const Equation& equation) {
  const std::string &a = equation.terms[0], &b = equation.terms[1], &y = equation.result;
  const std::string shared = common(a, b);
  const std::string batch = common(shared, y);
  const std::string summed = common(shared, y, false);
  const std::string rows = common(a, b, false);
  const std::string columns = common(b, a, false);
  const bool several = rows.size() > 1 || columns.size() > 1;
  const Shape right_shape = node.shape(1);
  if (summed.size() != 1 || (several && !batch.empty()) ||
      (columns.size() > 1 && right_shape.symbolic()) || !common(rows + columns, y, false).empty())
    return false;
  const int end = static_cast<int>(batch.size());
  const int last = end + std::max(1, static_cast<int>(rows.size()));
  int left = transpose(node, node.value(0), places(batch + rows + summed, a));
  if (rows.empty()) left = unsqueeze(node, left, {end});
  int right = transpose(node, node.value(1), places(batch + summed + columns, b));
  const Shape apart = shape_of(node, right);
  if (columns.empty()) right = unsqueeze(node, right, {end + 1});
  if (columns.size() > 1)
    right = reshape(node, right, Shape{apart[0], apart.elements(1, apart.rank())});
  int product = matmul(node, left, right);
  if (columns.size() > 1) {
    const Shape flat = shape_of(node, product);
    Shape whole;
    for (int k = 0; k < last; ++k) whole.append(flat, k);
    for (int k = 1; k < apart.rank(); ++k) whole.append(apart, k);
    product = reshape(node, product, whole);
  }
  std::vector<int> ones;
  if (rows.empty()) ones.push_back(end);
  if (columns.empty()) ones.push_back(last);
  product = squeeze(node, product, ones);
  node.output(0, transpose(node, product, places(y, batch + rows + columns)));
  return true;
}

/// An einsum whatever the sizes; at the worst all products at once, summed up. False, having made
/// nothing, for equations that are not plain.
bool import_symbolic_einsum(NodeImport& node, const std::string& text) {
  const auto equation = plain_equation(node, text);
  if (!equation) return false;
  if (equation->terms.size() == 2 && import_as_product(node, *equation)) return true;
  // The letters of the result, then those that are summed.
  std::string letters = equation->result;
  for (const std::string& term : equation->terms) letters += common(term, letters, false);
  if (letters.size() > static_cast<std::size_t>(Shape::kMaxRank)) return false;
  int y = -1;
  for (int i = 0; i < node.inputs(); ++i) {
    const std::string& term = equation->terms[static_cast<std::size_t>(i)];
    int value = transpose(node, node.value(i), places(common(letters, term), term));
    std::vector<int> missing;
    for (std::size_t k = 0; k < letters.size(); ++k)
      if (term.find(letters[k]) == std::string::npos) missing.push_back(static_cast<int>(k));
    if (!missing.empty()) value = unsqueeze(node, value, missing);
    y = i == 0 ? value : call(node, kMul, {y, value});
  }
  std::vector<std::int64_t> summed;
  for (std::size_t k = equation->result.size(); k < letters.size(); ++k)
    summed.push_back(static_cast<std::int64_t>(k));
  if (!summed.empty()) y = call(node, kSum, ReduceAttributes{summed, false}, {y});
  node.output(0, y);
  return true;
}

/// What pare::einsum does with tensors of these shapes.
void import_einsum(NodeImport& node) {
  const std::string equation = node.string("equation", "");
  bool symbolic = false;
  for (int i = 0; i < node.inputs(); ++i) symbolic = symbolic || node.shape(i).symbolic();
  if (symbolic && import_symbolic_einsum(node, equation)) return;
  Recorder recorder(node);
  Tensors operands;
  const NoGrad no_grad;
  ContextScope scope;
  scope->tracer = nullptr;
  for (int i = 0; i < node.inputs(); ++i) {
    const int value = node.value(i);
    if (node.shape(i).symbolic())
      node.refuse(fmt::format("it needs known sizes, got {}", node.shape(i)));
    node.afford(node.shape(i));
    operands.push_back(Tensor::zeros(node.shape(i)));
    recorder.stands_for(operands.back(), value);
  }
  scope->tracer = &recorder;
  const Tensor result = einsum(equation, operands);
  scope->tracer = nullptr;
  node.output(0, recorder.value(result));
}

constexpr OpImport kImports[] = {
    {"Einsum", "", import_einsum},
    {"Gemm", "", import_gemm},
    {"MatMul", "", import_matmul},
};

}  // namespace

int matmul(NodeImport& node, int a, int b) {
  const DType dtype = dtype_of(node, a);
  if (dtype == DType::f64 || !is_floating(dtype)) return multiplied_and_summed(node, a, b);
  const int y = call(node, kMatmul, {as_f32(node, a), as_f32(node, b)});
  return cast(node, y, dtype);
}

constinit const std::span<const OpImport> kProductImports = kImports;

}  // namespace pare::onnx
