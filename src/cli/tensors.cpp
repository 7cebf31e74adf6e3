// Loads, converts, cuts and joins the tensors of a command.
#include "cli/tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

#include "cli/settings.h"
#include "pare/core/context.h"
#include "pare/core/error.h"
#include "pare/core/ops/arrange.h"
#include "pare/core/ops/movement.h"
#include "pare/data/dataset.h"
#include "pare/io/npy.h"

namespace pare::cli {
namespace {

std::string names_of(const Graph& graph) {
  std::vector<std::string> names;
  for (const int v : graph.inputs())
    names.push_back(fmt::format("{} {}{}", graph.value(v).name, traits(graph.value(v).dtype).name,
                                graph.value(v).shape.to_string()));
  return fmt::format("{}", fmt::join(names, ", "));
}

// "name=rest" with the name of an input, or "rest" where there is one input.
std::pair<std::size_t, std::string> assign(const Graph& graph, const std::string& text,
                                           const char* option) {
  std::optional<std::size_t> best;
  std::size_t length = 0;
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    const std::string& name = graph.value(graph.inputs()[i]).name;
    if (!text.starts_with(name + "=") || (best && name.size() <= length)) continue;
    best = i;
    length = name.size();
  }
  if (best) return {*best, text.substr(length + 1)};
  std::error_code ignored;
  const bool named = text.find('=') != std::string::npos && !std::filesystem::exists(text, ignored);
  if (graph.inputs().size() == 1 && !named) return {0, text};
  throw UsageError(fmt::format("{}: expected name=… with one of the model's inputs ({}), got '{}'",
                               option, names_of(graph), text));
}

bool widens(DType from, DType to) {
  if (from == to) return true;
  const DTypeTraits &a = traits(from), &b = traits(to);
  if (b.floating) return true;
  return !a.floating && to != DType::boolean && a.lowest >= b.lowest && a.highest <= b.highest;
}

bool fits(const Shape& declared, const Shape& given) {
  if (declared.rank() != given.rank()) return false;
  for (int a = 0; a < given.rank(); ++a)
    if (!declared.symbolic(a) && declared[a] != given[a]) return false;
  return true;
}

}  // namespace

Tensor rows(const Tensor& tensor, std::int64_t begin, std::int64_t end) {
  return data::TensorDataset(tensor).part(begin, end).inputs();
}

Inputs::Inputs(const Graph& graph, const std::vector<std::string>& given, std::int64_t batch,
               const char* option) {
  std::vector<std::string> paths(graph.inputs().size());
  for (const std::string& text : given) {
    const auto [i, path] = assign(graph, text, option);
    if (!paths[i].empty())
      throw UsageError(fmt::format("{}: expected '{}' once, got it twice", option,
                                   graph.value(graph.inputs()[i]).name));
    paths[i] = path;
  }
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < paths.size(); ++i)
    if (paths[i].empty()) missing.push_back(graph.value(graph.inputs()[i]).name);
  if (!missing.empty())
    throw UsageError(fmt::format("{}: expected a file for every input, got none for {}", option,
                                 fmt::join(missing, ", ")));

  whole_ = true;
  std::int64_t fixed = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const Graph::Value& value = graph.value(graph.inputs()[i]);
    Tensor tensor = io::load_npy(paths[i]);
    if (!widens(tensor.dtype(), value.dtype))
      throw Error(ErrorCode::dtype_mismatch,
                  fmt::format("{}: expected {} for input '{}', got {}", paths[i],
                              traits(value.dtype).name, value.name, traits(tensor.dtype()).name));
    const Shape& shape = value.shape;
    whole_ = whole_ && fits(shape, tensor.shape()) &&
             (shape.rank() == 0 || !shape.symbolic(0) || tensor.dim(0) <= batch);
    if (shape.rank() > 0 && !shape.symbolic(0)) fixed = std::max(fixed, shape[0]);
    inputs_.push_back({value.name, std::move(tensor), value.dtype});
  }
  const Tensor& first = inputs_.front().tensor;
  samples_ = first.rank() == 0 ? 1 : first.dim(0);
  if (samples_ == 0)
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: expected at least one sample, got {}",
                                                       paths[0], first.shape().to_string()));
  if (whole_) {
    batch_ = samples_;
    return;
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Tensor& tensor = inputs_[i].tensor;
    if (tensor.rank() == 0 || tensor.dim(0) != samples_)
      throw Error(ErrorCode::shape_mismatch,
                  fmt::format("{}: expected {} samples along the first axis, as in {}, got {}",
                              paths[i], samples_, paths[0], tensor.shape().to_string()));
  }
  fixed_ = fixed > 0;
  batch_ = fixed_ ? fixed : batch;
}

Tensor Inputs::only() const {
  if (inputs_.size() != 1)
    throw UsageError(
        fmt::format("--input: expected a model of one input, got one of {}", inputs_.size()));
  const Input& input = inputs_.front();
  if (input.tensor.dtype() == DType::u8 && input.dtype == DType::f32) return input.tensor;
  Tensor samples = input.tensor.to(input.dtype);
  if (!is_floating(input.dtype)) return samples;
  const Tensor plain = samples.to(DType::f32);
  const float* const x = plain.data<float>();
  for (std::int64_t i = 0; i < plain.elements(); ++i)
    if (!std::isfinite(x[i]))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("input '{}': expected finite values, got {} at element {} of {}",
                              input.name, x[i], i, plain.shape().to_string()));
  return samples;
}

std::int64_t Inputs::batches() const { return whole_ ? 1 : (samples_ + batch_ - 1) / batch_; }

std::int64_t Inputs::samples_of(std::int64_t batch) const {
  return std::min(batch_, samples_ - begin_of(batch));
}

Tensors Inputs::get(std::int64_t batch) const {
  Tensors out;
  for (const Input& input : inputs_) {
    if (whole_) {
      out.push_back(input.tensor.to(input.dtype));
      continue;
    }
    const std::int64_t count = samples_of(batch), begin = begin_of(batch);
    Tensor part = rows(input.tensor, begin, begin + count).to(input.dtype);
    if (fixed_ && count < batch_) {
      Tensors filled{part};
      filled.resize(static_cast<std::size_t>(1 + batch_ - count), rows(part, count - 1, count));
      part = concat(filled, 0);
    }
    out.push_back(std::move(part));
  }
  return out;
}

Tensors Inputs::join(const Graph& graph, std::vector<Tensors>& outputs) const {
  Tensors joined;
  if (outputs.empty()) return joined;
  for (std::size_t k = 0; k < outputs.front().size(); ++k) {
    Tensors parts;
    for (std::size_t b = 0; b < outputs.size(); ++b) {
      Tensor& part = outputs[b][k];
      const std::int64_t count = samples_of(static_cast<std::int64_t>(b));
      if (fixed_ && part.rank() > 0 && part.dim(0) == batch_ && count < batch_)
        part = rows(part, 0, count);
      if (outputs.size() > 1 && (part.rank() == 0 || part.dim(0) != count))
        throw Error(
            ErrorCode::shape_mismatch,
            fmt::format("output '{}': expected samples along the first axis, got {} of a batch; "
                        "--batch with the number of samples runs them as one",
                        graph.value(graph.outputs()[k]).name, part.shape().to_string()));
      parts.push_back(std::move(part));
    }
    joined.push_back(parts.size() == 1 ? parts.front() : concat(parts, 0));
  }
  return joined;
}

std::map<std::string, std::vector<std::int64_t>> parse_shapes(
    const Graph& graph, const std::vector<std::string>& given) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const std::string& text : given) {
    const auto [i, sizes] = assign(graph, text, "--shape");
    std::vector<std::int64_t> shape;
    const char* at = sizes.data();
    const char* const end = at + sizes.size();
    while (at < end) {
      std::int64_t size = 0;
      const auto [next, error] = std::from_chars(at, end, size);
      if (error != std::errc() || size < 1 || (next < end && *next != ',') || next + 1 == end)
        throw UsageError(
            fmt::format("--shape: expected sizes such as 1,3,224,224, got '{}'", sizes));
      shape.push_back(size);
      at = next + 1;
    }
    shapes[graph.value(graph.inputs()[i]).name] = std::move(shape);
  }
  return shapes;
}

std::map<std::string, std::int64_t> symbols_of(
    const Graph& graph, const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  std::map<std::string, std::int64_t> symbols;
  for (const auto& [name, sizes] : shapes) {
    const Shape& shape = graph.value(graph.find_value(name)).shape;
    bool good = static_cast<int>(sizes.size()) == shape.rank();
    for (int a = 0; good && a < shape.rank(); ++a) {
      const std::int64_t size = sizes[static_cast<std::size_t>(a)];
      good = shape.symbolic(a) ? symbols.emplace(shape.symbol(a), size).first->second == size
                               : shape[a] == size;
    }
    if (!good)
      throw UsageError(fmt::format("--shape: expected sizes that fit '{}' {}, got {}", name,
                                   shape.to_string(), fmt::join(sizes, ",")));
  }
  return symbols;
}

Graph sized(const Graph& graph, const std::map<std::string, std::int64_t>& symbols) {
  Graph out = graph.share();
  std::set<std::string> open;  // sizes that nobody gave, the batch apart
  for (const int v : out.inputs()) {
    Shape& shape = out.edit_value(v).shape;
    for (int a = 0; a < shape.rank(); ++a) {
      if (!shape.symbolic(a)) continue;
      const auto size = symbols.find(shape.symbol(a));
      if (size == symbols.end() && a > 0) open.insert("'" + shape.symbol(a) + "'");
      shape.set(a, size == symbols.end() ? 1 : size->second);
    }
  }
  try {
    out.infer_shapes();
  } catch (const Error& error) {
    if (open.empty()) throw;
    throw Error(error.code(), fmt::format("{} (with 1 for {}: --shape says otherwise)",
                                          error.message(), fmt::join(open, ", ")));
  }
  return out;
}

std::int64_t batch_for(const Graph& graph) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  std::size_t sample = 1;
  try {
    const Graph one = sized(graph, {});
    for (const Graph::Value& value : one.values())
      if (value.kind == Graph::Kind::result)
        sample += static_cast<std::size_t>(value.shape.elements() * traits(value.dtype).bits) / 8;
  } catch (const Error&) {  // sizes of 1 are none that it takes
    return 1;
  }
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(kBytes / sample), 1, 32);
}

}  // namespace pare::cli
