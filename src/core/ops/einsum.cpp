// einsum: Einstein's summation, run as transpose, reshape, mul, sum and matmul.
#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/ops/exact_shape.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/products.h"
#include "pare/core/ops/reduction.h"

namespace pare {
namespace {

// An axis is a letter, or a number from here on for one that an ellipsis stands for.
constexpr int kEllipsis = 256;
using Labels = std::vector<int>;

struct Term {
  Tensor value;
  Labels labels;  // one per axis
};

bool has(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

std::string name_of(int label) {
  return label >= kEllipsis ? "..." : std::string(1, static_cast<char>(label));
}

/// One side of a comma: letters, and −1 for an ellipsis.
Labels parse(std::string_view term, std::string_view equation) {
  Labels labels;
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(term[i])) != 0) {
      labels.push_back(term[i]);
      continue;
    }
    PARE_CHECK(term.substr(i, 3) == "..." && !has(labels, -1), invalid_argument, "einsum",
               "expected letters and at most one '...' in every operand, got '{}' in '{}'", term,
               equation);
    labels.push_back(-1);
    i += 2;
  }
  return labels;
}

/// The ellipsis replaced by `count` numbers, the last of `of`, so that axes align from the right.
Labels spell_out(const Labels& labels, int count, int of) {
  Labels out;
  for (const int label : labels) {
    if (label != -1) {
      out.push_back(label);
      continue;
    }
    for (int i = of - count; i < of; ++i) out.push_back(kEllipsis + i);
  }
  return out;
}

struct Equation {
  std::vector<Labels> inputs;
  Labels output;
};

Equation read(std::string_view text, const Tensors& operands) {
  std::string plain;
  std::copy_if(text.begin(), text.end(), std::back_inserter(plain),
               [](char c) { return c != ' '; });
  const std::string_view all = plain;
  const std::size_t arrow = all.find("->");
  const std::string_view left = all.substr(0, arrow);
  Equation e;
  for (std::size_t begin = 0; begin <= left.size();) {
    const std::size_t comma = std::min(left.find(',', begin), left.size());
    e.inputs.push_back(parse(left.substr(begin, comma - begin), text));
    begin = comma + 1;
  }
  PARE_CHECK(e.inputs.size() == operands.size(), invalid_argument, "einsum",
             "expected {} operands for '{}', got {}", e.inputs.size(), text, operands.size());
  int ellipsis = 0;
  std::vector<int> counts;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Labels& labels = e.inputs[i];
    const bool open = has(labels, -1);
    const int named = static_cast<int>(labels.size()) - (open ? 1 : 0);
    const int rank = operands[i].rank();
    PARE_CHECK(open ? named <= rank : named == rank, invalid_argument, "einsum",
               "expected an operand {} of rank {}{} for '{}', got {}", i, named,
               open ? " or more" : "", text, operands[i].shape());
    counts.push_back(rank - named);
    ellipsis = std::max(ellipsis, rank - named);
  }
  for (std::size_t i = 0; i < operands.size(); ++i)
    e.inputs[i] = spell_out(e.inputs[i], counts[i], ellipsis);
  if (arrow != std::string_view::npos) {
    e.output = spell_out(parse(all.substr(arrow + 2), text), ellipsis, ellipsis);
    for (const int label : e.output) {
      PARE_CHECK(std::count(e.output.begin(), e.output.end(), label) == 1, invalid_argument,
                 "einsum", "expected every axis of the result once, got '{}' twice in '{}'",
                 name_of(label), text);
      PARE_CHECK(std::ranges::any_of(e.inputs, [&](const Labels& in) { return has(in, label); }),
                 invalid_argument, "einsum",
                 "expected axes of the result that an operand has, got '{}' in '{}'",
                 name_of(label), text);
    }
    return e;
  }
  for (int i = 0; i < ellipsis; ++i) e.output.push_back(kEllipsis + i);
  for (int letter = 'A'; letter <= 'z'; ++letter) {
    std::ptrdiff_t uses = 0;
    for (const Labels& in : e.inputs) uses += std::count(in.begin(), in.end(), letter);
    if (uses == 1) e.output.push_back(letter);
  }
  return e;
}

/// The axes in the order of `labels`, which are the term's.
void reorder(Term& term, const Labels& labels) {
  if (term.labels == labels) return;
  std::vector<std::int64_t> permutation;
  for (const int label : labels)
    permutation.push_back(std::find(term.labels.begin(), term.labels.end(), label) -
                          term.labels.begin());
  term.value = transpose(term.value, permutation);
  term.labels = labels;
}

/// The diagonal of every label that the term has twice.
void take_diagonals(Term& term) {
  for (std::size_t i = 0; i < term.labels.size(); ++i) {
    const auto again = std::find(term.labels.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                 term.labels.end(), term.labels[i]);
    if (again == term.labels.end()) continue;
    const auto j = static_cast<std::size_t>(again - term.labels.begin());
    const std::int64_t size = term.value.dim(static_cast<int>(i));
    PARE_CHECK(size == term.value.dim(static_cast<int>(j)), shape_mismatch, "einsum",
               "expected axes of one size for '{}' twice, got {}", name_of(term.labels[i]),
               term.value.shape());
    std::vector<std::int64_t> permutation;
    std::vector<std::int64_t> shape;
    Labels labels;
    for (std::size_t k = 0; k < term.labels.size(); ++k)
      if (k != i && k != j) {
        permutation.push_back(static_cast<std::int64_t>(k));
        shape.push_back(term.value.dim(static_cast<int>(k)));
        labels.push_back(term.labels[k]);
      }
    permutation.push_back(static_cast<std::int64_t>(i));
    permutation.push_back(static_cast<std::int64_t>(j));
    shape.push_back(size * size);
    labels.push_back(term.labels[i]);
    const Tensor flat = reshape_exactly(transpose(term.value, permutation), shape);
    term.value = slice(flat, flat.rank() - 1, 0, size * size, size + 1);
    term.labels = labels;
    return take_diagonals(term);
  }
}

/// Sums over the axes whose labels nobody needs.
template <class Needed> void sum_out(Term& term, const Needed& needed) {
  std::vector<std::int64_t> axes;
  Labels kept;
  for (std::size_t i = 0; i < term.labels.size(); ++i) {
    if (needed(term.labels[i]))
      kept.push_back(term.labels[i]);
    else
      axes.push_back(static_cast<std::int64_t>(i));
  }
  if (axes.empty()) return;
  term.value = sum(term.value, axes);
  term.labels = kept;
}

std::int64_t size_of(const Term& term, int label) {
  const auto at = std::find(term.labels.begin(), term.labels.end(), label) - term.labels.begin();
  return term.value.dim(static_cast<int>(at));
}

/// The axes of an ellipsis broadcast, those of a letter are of one size.
void check_sizes(const Term& a, const Term& b, std::string_view text) {
  for (const int label : a.labels) {
    if (!has(b.labels, label)) continue;
    const std::int64_t m = size_of(a, label);
    const std::int64_t n = size_of(b, label);
    PARE_CHECK(m == n || (label >= kEllipsis && (m == 1 || n == 1)), shape_mismatch, "einsum",
               "expected one size for '{}' in '{}', got {} and {}", name_of(label), text, m, n);
  }
}

void append(Labels& to, const Labels& from) { to.insert(to.end(), from.begin(), from.end()); }

/// The shape with each group of labels as one axis.
std::vector<std::int64_t> grouped(const Term& term, const Labels& single, const Labels& first,
                                  const Labels& second) {
  std::vector<std::int64_t> shape;
  for (const int label : single) shape.push_back(size_of(term, label));
  for (const Labels* group : {&first, &second}) {
    std::int64_t size = 1;
    for (const int label : *group) size *= size_of(term, label);
    shape.push_back(size);
  }
  return shape;
}

Tensor shaped(const Tensor& x, const std::vector<std::int64_t>& shape) {
  return x.shape() == Shape(std::span(shape)) ? x : reshape_exactly(x, shape);
}

/// a · b with the labels that are needed; those that both have and nobody needs are summed.
template <class Needed> Term multiply(Term a, Term b, const Needed& needed) {
  Labels both;
  Labels summed;
  Labels only_a;
  Labels only_b;
  for (const int label : a.labels) {
    const bool shared = has(b.labels, label);
    (!shared ? only_a : needed(label) ? both : summed).push_back(label);
  }
  for (const int label : b.labels)
    if (!has(a.labels, label)) only_b.push_back(label);
  // An ellipsis that is summed: where one size is 1 the other counts.
  for (const int label : summed)
    for (auto [term, other] : {std::pair{&a, &b}, std::pair{&b, &a}})
      if (size_of(*term, label) == 1 && size_of(*other, label) != 1) {
        std::vector<std::int64_t> shape = term->value.shape().to_vector();
        const auto at = std::find(term->labels.begin(), term->labels.end(), label);
        shape[static_cast<std::size_t>(at - term->labels.begin())] = size_of(*other, label);
        term->value = expand(term->value, shape);
      }
  Labels left = both;
  Labels right = both;
  Labels result = both;
  append(result, only_a);
  append(result, only_b);
  std::vector<std::int64_t> shape;
  for (const int label : both)
    shape.push_back(size_of(a, label) == 1 ? size_of(b, label) : size_of(a, label));
  for (const int label : only_a) shape.push_back(size_of(a, label));
  for (const int label : only_b) shape.push_back(size_of(b, label));
  if (summed.empty()) {
    append(left, only_a);
    append(right, only_b);
    reorder(a, left);
    reorder(b, right);
    std::vector<std::int64_t> spread = a.value.shape().to_vector();
    spread.insert(spread.end(), only_b.size(), 1);
    std::vector<std::int64_t> inner = b.value.shape().to_vector();
    inner.insert(inner.begin() + static_cast<std::ptrdiff_t>(both.size()), only_a.size(), 1);
    return {mul(shaped(a.value, spread), shaped(b.value, inner)), result};
  }
  append(left, only_a);
  append(left, summed);
  append(right, summed);
  append(right, only_b);
  reorder(a, left);
  reorder(b, right);
  const Tensor product = matmul(shaped(a.value, grouped(a, both, only_a, summed)),
                                shaped(b.value, grouped(b, both, summed, only_b)));
  return {shaped(product, shape), result};
}

}  // namespace

Tensor einsum(std::string_view equation, const Tensors& operands) {
  for (const Tensor& operand : operands)
    PARE_CHECK(operand.defined(), invalid_argument, "einsum",
               "expected {} tensors, got an undefined one", operands.size());
  const Equation e = read(equation, operands);
  Term all;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const auto needed_after = [&](std::size_t from) {
      return [&e, from](int label) {
        return has(e.output, label) ||
               std::any_of(e.inputs.begin() + static_cast<std::ptrdiff_t>(from), e.inputs.end(),
                           [&](const Labels& in) { return has(in, label); });
      };
    };
    Term term{operands[i], e.inputs[i]};
    take_diagonals(term);
    const auto later = needed_after(i + 1);
    if (i > 0) check_sizes(all, term, equation);
    sum_out(term, [&](int label) { return later(label) || has(all.labels, label); });
    all = i == 0 ? std::move(term) : multiply(std::move(all), std::move(term), later);
    sum_out(all, later);
  }
  reorder(all, e.output);
  return all.value;
}

}  // namespace pare
