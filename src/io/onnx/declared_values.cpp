// What a file declares of its graph's inputs and outputs.
#include "io/onnx/declared_values.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "core/check.h"
#include "io/onnx/tensor_data.h"

namespace pare::onnx {
namespace {

void check_size(const ValueInfo& input, const std::string& place) {
  std::int64_t elements = 1;
  std::vector<std::int64_t> sizes;
  bool fits = true;
  for (const ValueInfo::Dimension& d : input.shape) {
    sizes.push_back(d.size);
    fits = fits &&
           !__builtin_mul_overflow(elements, std::max<std::int64_t>(d.size, 1), &elements) &&
           elements < std::int64_t{1} << 59;
  }
  PARE_CHECK(fits, corrupt_data, place, "expected sizes of a tensor that memory can hold, got [{}]",
             listed(sizes));
}

/// For an axis of which the file says nothing.
std::string own_symbol(const std::string& input, int axis, const std::vector<ValueInfo>& all) {
  std::string name;
  for (const char c : input)
    name.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_');
  name = fmt::format("{}_{}", name, axis);
  const auto is_taken = [&] {
    return std::ranges::any_of(all, [&](const ValueInfo& v) {
      return std::ranges::any_of(v.shape, [&](const auto& d) { return d.symbol == name; });
    });
  };
  while (is_taken()) name += "_";
  return name;
}

}  // namespace

std::string why_no_input(const ValueInfo& input) {
  const std::optional<DType> dtype = dtype_of(input.type);
  if (!input.other.empty())
    return fmt::format("expected a tensor, got a value of type {}", input.other);
  if (!dtype || traits(*dtype).bits < 8)
    return fmt::format("expected elements of a type that pare has, got {}", name_of(input.type));
  if (!input.has_shape) return "expected a known number of axes, got none";
  if (input.shape.size() > static_cast<std::size_t>(Shape::kMaxRank))
    return fmt::format("expected at most {} axes, got {}", Shape::kMaxRank, input.shape.size());
  return "";
}

Shape shape_of_input(const ValueInfo& input, const std::vector<ValueInfo>& all,
                     const std::string& place) {
  check_size(input, place);
  Shape shape;
  for (const ValueInfo::Dimension& d : input.shape) {
    if (d.size >= 0)
      shape.append(d.size);
    else
      shape.append_symbol(d.symbol.empty() ? own_symbol(input.name, shape.rank(), all) : d.symbol);
  }
  return shape;
}

std::vector<Contradiction> contradictions(const ValueInfo& declared, const Graph::Value& value) {
  std::vector<Contradiction> found;
  if (declared.type != ElementType::undefined && element_type(value.dtype) != declared.type)
    found.push_back({ErrorCode::unsupported, fmt::format("expected {} as the file says, got {}",
                                                         name_of(declared.type), value.dtype)});
  if (!declared.has_shape) return found;
  bool fits = declared.shape.size() == static_cast<std::size_t>(value.shape.rank());
  for (int a = 0; fits && a < value.shape.rank(); ++a) {
    const std::int64_t size = declared.shape[static_cast<std::size_t>(a)].size;
    fits = size < 0 || value.shape.symbolic(a) || value.shape[a] == size;
  }
  if (fits) return found;
  std::vector<std::string> sizes;
  for (const ValueInfo::Dimension& d : declared.shape)
    sizes.push_back(d.size >= 0 ? std::to_string(d.size) : d.symbol.empty() ? "?" : d.symbol);
  found.push_back({ErrorCode::shape_mismatch, fmt::format("expected [{}] as the file says, got {}",
                                                          listed(sizes), value.shape)});
  return found;
}

}  // namespace pare::onnx
