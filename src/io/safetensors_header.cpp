// Parses and prints the JSON header of safetensors files.
#include "io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/check.h"

namespace pare::io {
namespace {

using nlohmann::json;

constexpr const char* kMetadata = "__metadata__";

// The first `most` characters of what was found, for an error.
std::string shown(const json& value) {
  constexpr std::size_t kMost = 60;
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() <= kMost ? text : text.substr(0, kMost) + "…";
}

// JSON parsers keep one of two equal keys; in a checkpoint that would lose a tensor.
json parse_json(const std::string& path, std::string_view text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    constexpr int kDeepest = 4;
    PARE_CHECK(depth <= kDeepest, corrupt_data, path,
               "header: expected at most {} levels of brackets, got more", kDeepest);
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      PARE_CHECK(keys.back().insert(key).second, corrupt_data, path,
                 "header: expected every key once, got '{}' twice", key);
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    fail(ErrorCode::corrupt_data, path, "header: expected JSON, got '{}'", error.what());
  }
}

std::optional<DType> find_dtype(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const char* known = traits(dtype).safetensors;
    if (known != nullptr && name == known) return dtype;
  }
  return std::nullopt;
}

std::uint64_t whole_number(const std::string& where, const char* what, const json& value) {
  PARE_CHECK(value.is_number_unsigned(), corrupt_data, where,
             "expected {} to be whole numbers of at least 0, got {}", what, shown(value));
  return value.get<std::uint64_t>();
}

const json& field(const std::string& where, const json& entry, const char* key) {
  const auto found = entry.find(key);
  PARE_CHECK(found != entry.end(), corrupt_data, where, "expected '{}', got none", key);
  return *found;
}

TensorEntry parse_entry(const std::string& path, const std::string& name, const json& entry,
                        std::uint64_t data_bytes) {
  const std::string where = tensor_place(path, name);
  PARE_CHECK(entry.is_object(), corrupt_data, where, "expected an object, got {}", shown(entry));
  for (const auto& item : entry.items()) {
    const bool known =
        item.key() == "dtype" || item.key() == "shape" || item.key() == "data_offsets";
    PARE_CHECK(known, corrupt_data, where, "expected dtype, shape and data_offsets, got '{}'",
               item.key());
  }
  TensorEntry out{.name = name, .dtype = DType::f32, .shape = {}, .begin = 0, .end = 0};

  const json& dtype = field(where, entry, "dtype");
  PARE_CHECK(dtype.is_string(), corrupt_data, where, "expected a name as the dtype, got {}",
             shown(dtype));
  const auto known = find_dtype(dtype.get_ref<const std::string&>());
  PARE_CHECK(known.has_value(), unsupported, where,
             "expected dtype F32, F16, BF16, F64, I64, I32, I16, U16, I8, U8 or BOOL, got {}",
             shown(dtype));
  out.dtype = *known;

  const json& shape = field(where, entry, "shape");
  PARE_CHECK(shape.is_array() && shape.size() <= Shape::kMaxRank, corrupt_data, where,
             "expected a shape of at most {} axes, got {}", Shape::kMaxRank, shown(shape));
  auto bytes = static_cast<std::uint64_t>(traits(out.dtype).bits) / 8;
  for (const json& size : shape) {
    const std::uint64_t length = whole_number(where, "the shape's sizes", size);
    const bool fits = length <= std::uint64_t{std::numeric_limits<std::int64_t>::max()} &&
                      !__builtin_mul_overflow(bytes, length, &bytes);
    PARE_CHECK(fits, corrupt_data, where, "expected a shape that fits {} bytes, got {}", data_bytes,
               shown(shape));
    out.shape.append(static_cast<std::int64_t>(length));
  }

  const json& offsets = field(where, entry, "data_offsets");
  PARE_CHECK(offsets.is_array() && offsets.size() == 2, corrupt_data, where,
             "expected two data_offsets, got {}", shown(offsets));
  out.begin = whole_number(where, "data_offsets", offsets[0]);
  out.end = whole_number(where, "data_offsets", offsets[1]);
  PARE_CHECK(out.begin <= out.end && out.end <= data_bytes, corrupt_data, where,
             "expected data_offsets in order and within the file's {} bytes of data, got {}",
             data_bytes, shown(offsets));
  PARE_CHECK(out.end - out.begin == bytes, corrupt_data, where,
             "expected {} bytes for {} {}, got {}", bytes, out.dtype, out.shape,
             out.end - out.begin);
  return out;
}

Metadata parse_metadata(const std::string& path, const json& entry) {
  PARE_CHECK(entry.is_object(), corrupt_data, path, "{}: expected an object, got {}", kMetadata,
             shown(entry));
  Metadata metadata;
  for (const auto& item : entry.items()) {
    PARE_CHECK(item.value().is_string(), corrupt_data, path, "{}: expected text for '{}', got {}",
               kMetadata, item.key(), shown(item.value()));
    metadata[item.key()] = item.value().get<std::string>();
  }
  return metadata;
}

// The tensors must follow one another without holes and fill the file.
void check_cover(const std::string& path, const std::vector<TensorEntry>& entries,
                 std::uint64_t data_bytes) {
  std::uint64_t at = 0;
  for (const TensorEntry& entry : entries) {
    PARE_CHECK(entry.begin == at, corrupt_data, tensor_place(path, entry.name),
               "expected its data at byte {}, where the tensor before it ends, got {} ({})", at,
               entry.begin, entry.begin < at ? "they overlap" : "a hole");
    at = entry.end;
  }
  PARE_CHECK(at == data_bytes, corrupt_data, path,
             "expected the tensors to fill the {} bytes behind the header, got {}", data_bytes, at);
}

}  // namespace

std::string tensor_place(const std::string& path, std::string_view name) {
  return fmt::format("{}: tensor '{}'", path, name);
}

Header parse_header(const std::string& path, std::string_view text, std::uint64_t data_bytes) {
  const json root = parse_json(path, text);
  PARE_CHECK(root.is_object(), corrupt_data, path, "header: expected a JSON object, got {}",
             shown(root));
  Header header;
  for (const auto& item : root.items()) {
    if (item.key() == kMetadata) {
      header.metadata = parse_metadata(path, item.value());
    } else {
      header.entries.push_back(parse_entry(path, item.key(), item.value(), data_bytes));
    }
  }
  std::ranges::stable_sort(header.entries, [](const TensorEntry& a, const TensorEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  check_cover(path, header.entries, data_bytes);
  return header;
}

std::string print_header(const std::string& path, std::span<const TensorEntry> entries,
                         const Metadata& metadata) {
  json root = json::object();
  if (!metadata.empty()) root[kMetadata] = metadata;
  for (const TensorEntry& entry : entries) {
    const std::string where = tensor_place(path, entry.name);
    const char* dtype = traits(entry.dtype).safetensors;
    PARE_CHECK(dtype != nullptr, unsupported, where,
               "expected an element type that safetensors has, got {}", entry.dtype);
    PARE_CHECK(entry.name != kMetadata && !root.contains(entry.name), invalid_argument, where,
               "expected every name once, got it twice");
    root[entry.name] = {{"dtype", dtype},
                        {"shape", entry.shape.to_vector()},
                        {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text;
  try {
    text = root.dump();
  } catch (const json::exception& error) {
    fail(ErrorCode::invalid_argument, path, "expected names and metadata in UTF-8, got '{}'",
         error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace pare::io
