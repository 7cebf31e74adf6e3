// Dense layers and tables whose weights stay codes, or f16 or bf16, in a plan.
#include "runtime/code_dense.h"

#include <cstring>
#include <utility>

#include "core/check.h"

namespace pare::runtime {
namespace {

class CodeExecution final : public Execution {
 public:
  CodeExecution(const CodeMatrix& matrix, std::int64_t rows, const std::byte* constants)
      : matrix_(matrix), rows_(rows), constants_(constants) {}
  void run(const void* source, void* destination, void* scratch) override {
    matrix_.run(constants_, rows_, static_cast<const float*>(source),
                static_cast<float*>(destination), static_cast<std::byte*>(scratch));
  }

 private:
  const CodeMatrix& matrix_;
  std::int64_t rows_;
  const std::byte* constants_;
};

class TableExecution final : public Execution {
 public:
  TableExecution(const CodeMatrix& matrix, const CodeTableSpec& spec, const std::byte* constants)
      : matrix_(matrix), spec_(spec), constants_(constants) {}
  void run(const void* source, void* destination, void* /*scratch*/) override {
    auto* to = static_cast<float*>(destination);
    const std::int64_t entries = matrix_.outputs(), first = spec_.wraps ? -entries : 0;
    for (std::int64_t i = 0; i < spec_.count; ++i, to += matrix_.inputs()) {
      std::int64_t entry = spec_.numbers == DType::i64
                               ? static_cast<const std::int64_t*>(source)[i]
                               : static_cast<const std::int32_t*>(source)[i];
      PARE_CHECK(entry >= first && entry < entries, out_of_range, spec_.where,
                 "expected indices from {} to {}, got {}", first, entries - 1, entry);
      matrix_.row(constants_, entry < 0 ? entry + entries : entry, to);
    }
  }

 private:
  const CodeMatrix& matrix_;
  const CodeTableSpec& spec_;
  const std::byte* constants_;
};

/// What the two kinds have in common: their constants.
class CodePrimitive : public Primitive {
 public:
  explicit CodePrimitive(std::unique_ptr<CodeMatrix> matrix) : matrix_(std::move(matrix)) {}
  bool slow() const override { return false; }
  std::size_t constant_bytes() const override { return matrix_->constant_bytes(); }
  std::size_t scratch_bytes() const override { return 0; }
  void fill(void* constants) override { matrix_->fill(static_cast<std::byte*>(constants)); }
  Tensor weight(const void* constants) const override { return leaf(constants, 0); }
  Tensor leaf(const void* constants, int i) const override {
    return matrix_->given(static_cast<const std::byte*>(constants), i);
  }
  bool same(const void* a, const void* b) const override {
    return std::memcmp(a, b, constant_bytes()) == 0;
  }

 protected:
  const CodeMatrix& matrix() const { return *matrix_; }

 private:
  std::unique_ptr<CodeMatrix> matrix_;
};

class DensePrimitive final : public CodePrimitive {
 public:
  DensePrimitive(std::unique_ptr<CodeMatrix> matrix, std::int64_t rows, bool activates)
      : CodePrimitive(std::move(matrix)), rows_(rows), activates_(activates) {}
  std::string name() const override { return matrix().name(); }
  bool activates() const override { return activates_; }
  std::size_t scratch_bytes() const override { return matrix().scratch_bytes(rows_); }
  std::unique_ptr<Execution> execution(const void* constants) const override {
    return std::make_unique<CodeExecution>(matrix(), rows_,
                                           static_cast<const std::byte*>(constants));
  }

 private:
  std::int64_t rows_;
  bool activates_;
};

class TablePrimitive final : public CodePrimitive {
 public:
  TablePrimitive(std::unique_ptr<CodeMatrix> matrix, CodeTableSpec spec)
      : CodePrimitive(std::move(matrix)), spec_(std::move(spec)) {}
  std::string name() const override { return std::string("rows of ") + matrix().name(); }
  std::unique_ptr<Execution> execution(const void* constants) const override {
    return std::make_unique<TableExecution>(matrix(), spec_,
                                            static_cast<const std::byte*>(constants));
  }

 private:
  CodeTableSpec spec_;
};

}  // namespace

std::unique_ptr<Primitive> make_code_dense(CodeMatrixSpec spec, std::int64_t rows,
                                           const Epilogue& epilogue) {
  spec.residual = epilogue.residual;
  spec.low = static_cast<float>(epilogue.low);
  spec.high = static_cast<float>(epilogue.high);
  auto matrix = CodeMatrix::make(spec);
  if (!matrix) return nullptr;
  return std::make_unique<DensePrimitive>(std::move(matrix), rows,
                                          epilogue.activation == Activation::none);
}

std::unique_ptr<Primitive> make_code_table(const CodeTableSpec& spec) {
  auto matrix = CodeMatrix::make(spec.table);
  if (!matrix) return nullptr;
  CodeTableSpec rest = spec;
  rest.table = {};
  return std::make_unique<TablePrimitive>(std::move(matrix), std::move(rest));
}

}  // namespace pare::runtime
