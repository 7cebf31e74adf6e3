// Pruning by masks: torch.nn.utils.prune's functions and semantics on modules.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pare/core/generator.h"
#include "pare/nn/module.h"

namespace pare::prune {

/// How much to prune: a count of entries (or channels), or the fraction in [0, 1] of those that
/// have survived so far, rounded half to even as Python does.
class PARE_API Amount {
 public:
  Amount(double fraction) : fraction_(fraction) {}      // NOLINT: 0.3 is an amount
  Amount(int count) : count_(count), counted_(true) {}  // NOLINT: 20 is an amount
  /// Of `total`. Throws invalid_argument where it is out of range.
  std::int64_t of(std::int64_t total, const char* where) const;

 private:
  double fraction_ = 0;
  int count_ = 0;
  bool counted_ = false;
};

struct StructuredOptions {
  /// Order of the norm, above 0; infinity takes the largest |entry|, −infinity the smallest.
  double n = 2;
  int dim = -1;  ///< the axis whose slices are pruned
};

/// One parameter of one module, for global_unstructured.
struct Target {
  nn::Module* module;
  std::string name;
  Tensor importance_scores = {};  ///< of the parameter's shape, in place of its value; l1 only
};

enum class UnstructuredMethod { l1, random };

// Each function computes `name` as `name_orig · name_mask` from then on: `name_orig` is the leaf
// that was there (optimizers stay valid, its masked entries get no gradient), `name_mask` a buffer
// of ones and zeros. A second call composes: it ranks and counts only what has survived. `name` may
// be dotted ("conv1.weight"). All throw invalid_argument for a name that the module does not have,
// an amount out of range or scores that are NaN, and leave the module as it was then.

/// A mask of ones.
PARE_API void identity(nn::Module& module, std::string_view name);
/// Masks entries drawn at random.
PARE_API void random_unstructured(nn::Module& module, std::string_view name, Amount amount,
                                  Generator& generator);
/// Masks the entries of smallest |w|, or of smallest |importance| where `importance_scores` (of the
/// parameter's shape) is given.
PARE_API void l1_unstructured(nn::Module& module, std::string_view name, Amount amount,
                              const Tensor& importance_scores = {});
/// Masks slices along `options.dim`, drawn at random.
PARE_API void random_structured(nn::Module& module, std::string_view name, Amount amount,
                                Generator& generator, const StructuredOptions& options = {});
/// Masks the slices along `options.dim` of smallest Ln norm.
PARE_API void ln_structured(nn::Module& module, std::string_view name, Amount amount,
                            const StructuredOptions& options = {},
                            const Tensor& importance_scores = {});
/// Ranks the entries of all targets together and masks `amount` of them in total. Throws
/// invalid_argument for a parameter that is there twice.
PARE_API void global_unstructured(const std::vector<Target>& targets, UnstructuredMethod method,
                                  Amount amount, Generator* generator = nullptr);
/// Multiplies the mask by `mask` (of the parameter's shape, finite). As in PyTorch its entries need
/// not be 0 or 1; what is not 0 has survived (PyTorch ranks only what is 1 in a later call).
PARE_API void custom_from_mask(nn::Module& module, std::string_view name, const Tensor& mask);
/// Makes the pruning permanent: `name` is a plain leaf again, zeros in place. Throws invalid_state
/// if it is not pruned.
PARE_API void remove(nn::Module& module, std::string_view name);
/// Whether any parameter of the module or of its parts has a mask.
PARE_API bool is_pruned(nn::Module& module);
/// Share of zeros in a parameter's value.
PARE_API double sparsity(nn::Module& module, std::string_view name);

}  // namespace pare::prune
