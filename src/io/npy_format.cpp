// The .npy format: numpy/lib/format.py states it.
#include "io/npy_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace pare::io {
namespace {

constexpr std::uint32_t kLongestHeader = 1 << 20;

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran;
  std::optional<std::vector<std::int64_t>> shape;
};

// Reads the literal of a Python dictionary that numpy writes, and no other Python.
class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : rest_(text), all_(text), name_(name) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      bool fresh = false;
      if (key == "descr") {
        fresh = !header.descr;
        // A list is a record type.
        PARE_CHECK(peek() != '[', unsupported, name_,
                   "expected numbers of one type, got an array of records");
        header.descr = string();
      } else if (key == "fortran_order") {
        fresh = !header.fortran;
        header.fortran = truth();
      } else if (key == "shape") {
        fresh = !header.shape;
        header.shape = tuple();
      } else {
        fail_at("the keys 'descr', 'fortran_order' and 'shape'");
      }
      if (!fresh) fail_at("every key once");
      if (!accept(',') && peek() != '}') fail_at("',' or '}'");
    }
    blanks();
    if (!rest_.empty()) fail_at("the header's end");
    if (!header.descr || !header.fortran || !header.shape) {
      fail_at("the keys 'descr', 'fortran_order' and 'shape'");
    }
    return header;
  }

 private:
  [[noreturn]] void fail_at(const char* expected) const {
    const std::string_view found = rest_.substr(0, 20);
    fail(ErrorCode::corrupt_data, name_, "header, byte {}: expected {}, got '{}'",
         all_.size() - rest_.size(), expected, found);
  }
  void blanks() {
    const auto at = rest_.find_first_not_of(" \t\n\r");
    rest_ = at == std::string_view::npos ? std::string_view() : rest_.substr(at);
  }
  char peek() {
    blanks();
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    const char text[] = {'\'', c, '\'', '\0'};
    if (!accept(c)) fail_at(text);
  }
  std::string string() {
    const char quote = peek();
    const auto end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos) fail_at("a string");
    std::string out(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return out;
  }
  bool truth() {
    blanks();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    fail_at("True or False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> out;
    expect('(');
    while (!accept(')')) {
      blanks();
      std::int64_t value = 0;
      const auto [past, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
      if (error != std::errc() || value < 0) fail_at("an axis length");
      rest_.remove_prefix(static_cast<std::size_t>(past - rest_.data()));
      if (rest_.starts_with('L')) rest_.remove_prefix(1);  // of Python 2
      out.push_back(value);
      if (!accept(',') && peek() != ')') fail_at("',' or ')'");
    }
    return out;
  }

  std::string_view rest_, all_;
  const std::string& name_;
};

struct Element {
  DType dtype;
  bool swapped;
};

// "<f4": byte order, kind and width.
Element element_of(const std::string& descr, const std::string& name) {
  if (descr.size() > 1 && std::string_view("<>|=").find(descr[0]) != std::string_view::npos) {
    for (int i = 0; i < kDTypeCount; ++i) {
      const auto dtype = static_cast<DType>(i);
      const char* const own = traits(dtype).numpy;
      if (own != nullptr && descr.substr(1) == own) {
        return {dtype, descr[0] == '>' && traits(dtype).bits > 8};
      }
    }
  }
  fail(ErrorCode::unsupported, name,
       "expected elements of bool, i1, u1, i2, u2, i4, i8, f2, f4 or f8, got '{}'", descr);
}

void swap_bytes(std::byte* data, std::size_t bytes, std::size_t width) {
  for (std::size_t i = 0; i < bytes; i += width) std::reverse(data + i, data + i + width);
}

// From the order in which the first axis runs fastest.
Tensor from_fortran(const Tensor& reversed, const Shape& shape) {
  Tensor out = Tensor::empty(shape, reversed.dtype());
  const auto width = static_cast<std::size_t>(traits(reversed.dtype()).bits) / 8;
  const auto* const from = static_cast<const std::byte*>(reversed.raw());
  auto* to = static_cast<std::byte*>(out.mutable_raw());
  const int rank = shape.rank();
  std::array<std::int64_t, Shape::kMaxRank> at{}, stride{};
  std::int64_t step = 1;
  for (int a = 0; a < rank; step *= shape[a], ++a) stride[static_cast<std::size_t>(a)] = step;
  std::int64_t source = 0;
  for (std::int64_t i = 0; i < shape.elements(); ++i, to += width) {
    std::memcpy(to, from + static_cast<std::size_t>(source) * width, width);
    for (int a = rank - 1; a >= 0; --a) {
      const auto k = static_cast<std::size_t>(a);
      source += stride[k];
      if (++at[k] < shape[a]) break;
      source -= stride[k] * shape[a];
      at[k] = 0;
    }
  }
  return out;
}

}  // namespace

Tensor read_npy(const NpySource& source) {
  const std::string& name = source.name;
  std::uint64_t left = source.size;
  const auto take = [&](void* out, std::uint64_t bytes, const char* what) {
    PARE_CHECK(bytes <= left, corrupt_data, name, "expected {} bytes of {} at byte {}, got {}",
               bytes, what, source.size - left, left);
    source.read(out, bytes);
    left -= bytes;
  };
  std::array<char, 8> start{};
  take(start.data(), start.size(), "a .npy file's start");
  PARE_CHECK(std::string_view(start.data(), kNpyMark.size()) == kNpyMark, corrupt_data, name,
             "expected a .npy file, which begins with '\\x93NUMPY', got another");
  const int version = start[6];
  PARE_CHECK(version >= 1 && version <= 3, unsupported, name,
             "expected version 1, 2 or 3 of .npy, got {}", version);
  std::array<unsigned char, 4> length_bytes{};
  const std::uint64_t width = version == 1 ? 2 : 4;
  take(length_bytes.data(), width, "the header's length");
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < width; ++i) length |= std::uint32_t{length_bytes[i]} << (8 * i);
  PARE_CHECK(length <= kLongestHeader, corrupt_data, name,
             "expected a header of at most {} bytes, got {}", kLongestHeader, length);
  PARE_CHECK(length <= left, corrupt_data, name, "expected {} bytes of header at byte {}, got {}",
             length, source.size - left, left);
  std::string text(length, '\0');
  take(text.data(), length, "header");
  const Header header = Parser(text, name).parse();
  const Element element = element_of(*header.descr, name);
  const auto rank = static_cast<int>(header.shape->size());
  PARE_CHECK(rank <= Shape::kMaxRank, unsupported, name, "expected at most {} axes, got {}",
             Shape::kMaxRank, rank);

  Shape shape, reversed;
  const auto bytes_each = static_cast<std::uint64_t>(traits(element.dtype).bits) / 8;
  std::uint64_t bytes = bytes_each;
  bool fits = true;
  for (int a = 0; a < rank; ++a) {
    shape.append((*header.shape)[static_cast<std::size_t>(a)]);
    reversed.append((*header.shape)[static_cast<std::size_t>(rank - 1 - a)]);
    fits = fits && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(shape[a]), &bytes);
  }
  PARE_CHECK(fits && bytes == left, corrupt_data, name,
             "expected {} elements of {} after the header, got {} bytes", shape, element.dtype,
             left);
  const bool turn = *header.fortran && rank > 1;
  Tensor out = Tensor::empty(turn ? reversed : shape, element.dtype);
  auto* const data = static_cast<std::byte*>(out.mutable_raw());
  take(data, bytes, "elements");
  if (element.swapped) swap_bytes(data, bytes, bytes_each);
  if (element.dtype == DType::boolean) {
    const auto* const values = reinterpret_cast<const unsigned char*>(data);
    const auto* const wrong =
        std::find_if(values, values + bytes, [](unsigned char b) { return b > 1; });
    PARE_CHECK(wrong == values + bytes, corrupt_data, name,
               "element {}: expected a bool, 0 or 1, got {}", wrong - values, *wrong);
  }
  return turn ? from_fortran(out, shape) : out;
}

std::string npy_header(const Tensor& tensor, const std::string& name) {
  const DTypeTraits& facts = traits(tensor.dtype());
  PARE_CHECK(facts.numpy != nullptr, unsupported, name,
             "expected an element type that NumPy has, got {}", tensor.dtype());
  std::string shape;
  for (int a = 0; a < tensor.rank(); ++a) shape += fmt::format("{}, ", tensor.dim(a));
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);
  if (tensor.rank() == 1) shape.pop_back();
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                 facts.bits == 8 ? '|' : '<', facts.numpy, shape);
  // The elements begin at a multiple of 64 bytes.
  constexpr std::size_t kBefore = 10;
  text.resize((kBefore + text.size() + 1 + 63) / 64 * 64 - kBefore - 1, ' ');
  text += '\n';
  std::string out(kNpyMark);
  out += {'\1', '\0', static_cast<char>(text.size() & 0xFFU), static_cast<char>(text.size() >> 8)};
  return out + text;
}

}  // namespace pare::io
