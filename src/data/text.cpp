// Vocabularies, windows of text, lines with labels.
#include "pare/data/text.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "data/folder.h"
#include "data/rows.h"
#include "data/text_file.h"
#include "data/utf8.h"

namespace pare::data {
namespace {

constexpr const char* kVocabulary = "data::Vocabulary";

std::u32string distinct(std::u32string characters) {
  std::ranges::sort(characters);
  characters.erase(std::unique(characters.begin(), characters.end()), characters.end());
  return characters;
}

std::string printed(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return fmt::format("'{}' (U+{:04X})", text, static_cast<std::uint32_t>(character));
}

Vocabulary vocabulary_of(std::string_view text, const TextOptions& options) {
  return options.vocabulary ? *options.vocabulary : Vocabulary(text, options.reserved);
}

}  // namespace

Vocabulary::Vocabulary(std::string_view text, std::int64_t reserved)
    : characters_(distinct(decode_utf8(text, kVocabulary))), reserved_(reserved) {
  PARE_CHECK(reserved >= 0, invalid_argument, kVocabulary,
             "expected a number of reserved ids of at least 0, got {}", reserved);
}

std::vector<std::int64_t> Vocabulary::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  ids.reserve(text.size());
  const std::u32string characters = decode_utf8(text, kVocabulary);
  for (const char32_t character : characters) {
    const auto found = std::ranges::lower_bound(characters_, character);
    PARE_CHECK(found != characters_.end() && *found == character, out_of_range, kVocabulary,
               "expected characters of the vocabulary, got {}", printed(character));
    ids.push_back(reserved_ + (found - characters_.begin()));
  }
  return ids;
}

std::string Vocabulary::decode(std::span<const std::int64_t> ids) const {
  std::string text;
  for (const std::int64_t id : ids) {
    PARE_CHECK(id >= 0 && id < size(), out_of_range, kVocabulary, "expected ids of 0 … {}, got {}",
               size() - 1, id);
    if (id >= reserved_) append_utf8(text, characters_[static_cast<std::size_t>(id - reserved_)]);
  }
  return text;
}

Tensor CharacterText::part(double begin, double end) const {
  PARE_CHECK(begin >= 0 && begin <= end && end <= 1, out_of_range, "data::CharacterText::part",
             "expected 0 <= begin <= end <= 1, got {} and {}", begin, end);
  const auto at = [&](double share) {
    return static_cast<std::int64_t>(std::floor(share * static_cast<double>(ids.elements())));
  };
  return rows(std::make_shared<Tensor>(ids), at(begin), at(end));
}

CharacterText read_characters(const std::string& path, const TextOptions& options) {
  const std::string text = read_text(path, options.max_bytes, "TextOptions::max_bytes");
  PARE_CHECK(!text.empty(), corrupt_data, path, "expected a text, got an empty file");
  // Checked here first, so that the error names the file.
  const auto count = static_cast<std::int64_t>(decode_utf8(text, path).size());
  Vocabulary vocabulary = vocabulary_of(text, options);
  const std::vector<std::int64_t> ids = vocabulary.encode(text);
  return {std::move(vocabulary), Tensor::from(ids, {count})};
}

TextWindows::TextWindows(const Tensor& ids, const TextWindowsOptions& options)
    : length_(options.length), stride_(options.stride == 0 ? options.length : options.stride) {
  constexpr const char* where = "data::TextWindows";
  PARE_CHECK(ids.defined() && ids.rank() == 1, shape_mismatch, where,
             "expected ids [characters], got {}", describe(ids));
  PARE_CHECK(ids.dtype() == DType::i64, dtype_mismatch, where, "expected i64 ids, got {}",
             ids.dtype());
  PARE_CHECK(length_ > 0 && stride_ > 0, invalid_argument, where,
             "expected a length above 0 and a stride of at least 0, got {} and {}", options.length,
             options.stride);
  ids_ = row_major(ids);
  // The last window leaves one character for its label.
  const std::int64_t room = ids.dim(0) - 1 - length_;
  count_ = room < 0 ? 0 : room / stride_ + 1;
}

Example TextWindows::get(std::int64_t index) const {
  PARE_CHECK(index >= 0 && index < size(), out_of_range, "data::TextWindows",
             "expected a window of 0 … {}, got {}", size() - 1, index);
  const std::int64_t begin = index * stride_;
  return {rows(ids_, begin, begin + length_), rows(ids_, begin + 1, begin + 1 + length_)};
}

LabelledLines read_labelled_lines(const std::string& folder, const TextOptions& options) {
  std::vector<std::string> classes;
  std::vector<std::string> texts;
  std::string all;
  std::int64_t left = options.max_bytes;
  for (const std::string& path : files_of(folder)) {
    std::filesystem::path name = std::filesystem::path(path).filename();
    if (name.extension() == ".gz") name.replace_extension();
    if (name.extension() != ".txt") continue;
    classes.push_back(name.stem().string());
    PARE_CHECK(classes.size() < 2 || classes.back() != classes[classes.size() - 2], corrupt_data,
               path, "expected one file per class, got two of '{}'", classes.back());
    texts.push_back(read_text(path, left, "TextOptions::max_bytes"));
    left -= static_cast<std::int64_t>(texts.back().size());
    decode_utf8(texts.back(), path);
  }
  PARE_CHECK(!classes.empty(), corrupt_data, folder,
             "expected a file '<class>.txt' per class, got none");

  std::vector<std::string_view> lines;
  std::vector<std::int64_t> labels;
  for (std::size_t c = 0; c < texts.size(); ++c) {
    std::string_view rest = texts[c];
    while (!rest.empty()) {
      const std::string_view line = trimmed(take_line(rest));
      if (line.empty()) continue;
      lines.push_back(line);
      labels.push_back(static_cast<std::int64_t>(c));
      all += line;
    }
  }
  PARE_CHECK(!lines.empty(), corrupt_data, folder, "expected at least one line, got none");
  Vocabulary vocabulary = vocabulary_of(all, options);
  std::vector<std::int64_t> ids, lengths;
  for (const std::string_view line : lines) {
    const std::vector<std::int64_t> own = vocabulary.encode(line);
    ids.insert(ids.end(), own.begin(), own.end());
    lengths.push_back(static_cast<std::int64_t>(own.size()));
  }
  const auto total = static_cast<std::int64_t>(ids.size());
  const auto count = static_cast<std::int64_t>(labels.size());
  return {std::move(vocabulary), std::move(classes),
          SequenceDataset(Tensor::from(ids, {total}), std::move(lengths),
                          Tensor::from(labels, {count}))};
}

}  // namespace pare::data
