// Dense layers on rows that are quantized as they come: a step for the codes, a primitive for the
// product.
#include "runtime/dynamic_dense.h"

#include <algorithm>
#include <cstring>

#include "core/aligned.h"
#include "core/byte_product.h"
#include "pare/core/parallel.h"

namespace pare::runtime {
namespace {

std::size_t codes_bytes(std::int64_t rows, std::int64_t columns) {
  return aligned(static_cast<std::size_t>(rows * columns));
}

class QuantizeRowsStep final : public Step {
 public:
  QuantizeRowsStep(int from, int to, std::int64_t rows, std::int64_t columns, bool per_row)
      : from_(from), to_(to), rows_(rows), columns_(columns), per_row_(per_row) {
    reads = {from};
    writes = {to};
    info.kernel = per_row ? "quantize rows" : "quantize by range";
  }
  void run(const Frame& frame, StepState* /*state*/) const override {
    const auto* x = frame.at<const float>(from_);
    auto* codes = frame.at<std::uint8_t>(to_);
    auto* row_codes = reinterpret_cast<RowCode*>(codes + codes_bytes(rows_, columns_));
    if (per_row_) {
      quantize_rows(x, rows_, columns_, codes, row_codes);
      return;
    }
    const RowCode by = range_code(x, rows_ * columns_);
    std::fill_n(row_codes, rows_, by);
    constexpr std::int64_t kGrain = 1 << 15;  // elements that are worth a thread
    parallel_for(0, rows_ * columns_, kGrain, [&](std::int64_t begin, std::int64_t end) {
      quantize_row(x + begin, end - begin, by, codes + begin);
    });
  }

 private:
  int from_, to_;
  std::int64_t rows_, columns_;
  bool per_row_;
};

class DynamicDense final : public Primitive {
 public:
  explicit DynamicDense(const DenseSpec& spec)
      : rows_(spec.rows),
        activates_(spec.epilogue.activation == Activation::none),
        product_(spec.weight, spec.weight_scales, spec.bias) {
    epilogue_.accumulate = spec.epilogue.residual;
    if (!activates_) return;
    epilogue_.low = static_cast<float>(spec.epilogue.low);
    epilogue_.high = static_cast<float>(spec.epilogue.high);
  }
  std::string name() const override { return product_.name(); }
  bool slow() const override { return name() == "portable"; }
  bool activates() const override { return activates_; }
  std::size_t constant_bytes() const override { return product_.constant_bytes(); }
  std::size_t scratch_bytes() const override { return 0; }
  void fill(void* constants) override { product_.fill(static_cast<std::byte*>(constants)); }
  Tensor weight(const void* constants) const override {
    return product_.weight(static_cast<const std::byte*>(constants));
  }
  bool same(const void* a, const void* b) const override {
    return std::memcmp(a, b, constant_bytes()) == 0;
  }
  std::unique_ptr<Execution> execution(const void* constants) const override;
  void run(const std::byte* constants, const std::uint8_t* source, float* destination) const {
    const auto* row_codes =
        reinterpret_cast<const RowCode*>(source + codes_bytes(rows_, product_.inner()));
    product_.run(constants, rows_, source, row_codes, destination, product_.columns(), epilogue_);
  }

 private:
  std::int64_t rows_;
  bool activates_;
  ByteProduct product_;
  ByteProductEpilogue epilogue_;
};

class DynamicExecution final : public Execution {
 public:
  DynamicExecution(const DynamicDense& dense, const std::byte* constants)
      : dense_(dense), constants_(constants) {}
  void run(const void* source, void* destination, void* /*scratch*/) override {
    dense_.run(constants_, static_cast<const std::uint8_t*>(source),
               static_cast<float*>(destination));
  }

 private:
  const DynamicDense& dense_;
  const std::byte* constants_;
};

std::unique_ptr<Execution> DynamicDense::execution(const void* constants) const {
  return std::make_unique<DynamicExecution>(*this, static_cast<const std::byte*>(constants));
}

}  // namespace

std::size_t quantized_rows_bytes(std::int64_t rows, std::int64_t columns) {
  return codes_bytes(rows, columns) + static_cast<std::size_t>(rows) * sizeof(RowCode);
}

std::unique_ptr<Step> quantize_rows_step(int from, int to, std::int64_t rows, std::int64_t columns,
                                         bool per_row) {
  return std::make_unique<QuantizeRowsStep>(from, to, rows, columns, per_row);
}

// oneDNN's matmul has no scales by rows. Its bare sums took, on Zen 4, 0.88 to 1.0 of this one's
// time for 64 to 256 rows, what scales them afterwards not counted, and 1.67 for one row.
std::unique_ptr<Primitive> make_dynamic_dense(const DenseSpec& spec) {
  return std::make_unique<DynamicDense>(spec);
}

}  // namespace pare::runtime
