// Expression: evaluation and editing.
#include "pare/core/expression.h"

#include <algorithm>

#include "core/check.h"

namespace pare {

Tensor Expression::value() const {
  PARE_CHECK(!leaves.empty(), invalid_state, "parameter",
             "expected a value, got a parameter before initialize()");
  if (steps.empty()) return leaves.front().value;
  Tensors values;
  values.reserve(leaves.size() + steps.size());
  for (const Leaf& leaf : leaves) values.push_back(leaf.value);
  for (const Step& step : steps) {
    Tensors inputs;
    inputs.reserve(step.inputs.size());
    for (const int i : step.inputs) inputs.push_back(values[static_cast<std::size_t>(i)]);
    values.push_back(pare::apply(step.call, inputs));
  }
  return values.back();
}

int Expression::find(std::string_view suffix) const {
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (leaves[i].suffix == suffix) return static_cast<int>(i);
  return -1;
}

int Expression::add_leaf(Leaf leaf) {
  const int place = static_cast<int>(leaves.size());
  for (Step& step : steps)
    for (int& i : step.inputs)
      if (i >= place) ++i;
  leaves.push_back(std::move(leaf));
  return place;
}

void Expression::append(Call call, std::vector<int> others) {
  const int result = steps.empty() ? 0 : static_cast<int>(leaves.size() + steps.size()) - 1;
  others.insert(others.begin(), result);
  steps.push_back({std::move(call), std::move(others)});
}

void Expression::insert_after_leaf(int leaf, Call call, std::vector<int> others) {
  const int count = static_cast<int>(leaves.size());
  PARE_CHECK(leaf >= 0 && leaf < count, out_of_range, "expression",
             "expected a leaf below {}, got {}", count, leaf);
  // The new step comes first, so every step's number moves up by one.
  for (Step& step : steps)
    for (int& i : step.inputs) {
      if (i >= count)
        ++i;
      else if (i == leaf)
        i = count;
    }
  others.insert(others.begin(), leaf);
  steps.insert(steps.begin(), {std::move(call), std::move(others)});
}

void Expression::erase(int step) {
  PARE_CHECK(step >= 0 && step < static_cast<int>(steps.size()), out_of_range, "expression",
             "expected a step below {}, got {}", steps.size(), step);
  const int number = static_cast<int>(leaves.size()) + step;
  const int instead = steps[static_cast<std::size_t>(step)].inputs.front();
  steps.erase(steps.begin() + step);
  for (Step& s : steps)
    for (int& i : s.inputs) {
      if (i == number)
        i = instead;
      else if (i > number)
        --i;
    }
  // Without steps the value is leaf 0, so the leaf that was read must come first.
  if (steps.empty() && instead < static_cast<int>(leaves.size()))
    std::swap(leaves.front(), leaves[static_cast<std::size_t>(instead)]);
  for (int l = static_cast<int>(leaves.size()) - 1; l >= 0; --l) {
    const bool read =
        steps.empty() ? l == 0 : std::any_of(steps.begin(), steps.end(), [l](const Step& s) {
          return std::find(s.inputs.begin(), s.inputs.end(), l) != s.inputs.end();
        });
    if (read) continue;
    leaves.erase(leaves.begin() + l);
    for (Step& s : steps)
      for (int& i : s.inputs)
        if (i > l) --i;
  }
}

int Expression::find_step(const OpDef& op) const {
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (steps[i].call.op == &op) return static_cast<int>(i);
  return -1;
}

}  // namespace pare
