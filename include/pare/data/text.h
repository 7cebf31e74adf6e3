// Text by characters: vocabularies, windows of a long text, lines with labels.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pare/core/export.h"
#include "pare/core/tensor.h"
#include "pare/data/dataset.h"
#include "pare/data/sequence.h"

namespace pare::data {

/// The characters (Unicode code points) of a text in their order, numbered from `reserved` on.
class PARE_API Vocabulary {
 public:
  /// Of a text in UTF-8; the first `reserved` numbers are left to the user, for padding and the
  /// like. Throws corrupt_data for what is not UTF-8, naming the byte.
  explicit Vocabulary(std::string_view text, std::int64_t reserved = 0);

  /// How many numbers there are, the reserved ones included.
  std::int64_t size() const { return reserved_ + static_cast<std::int64_t>(characters_.size()); }
  std::int64_t reserved() const { return reserved_; }
  /// In the order of their numbers.
  const std::u32string& characters() const { return characters_; }

  /// The numbers of a text's characters. Throws out_of_range for a character that is not in the
  /// vocabulary, corrupt_data for what is not UTF-8.
  std::vector<std::int64_t> encode(std::string_view text) const;
  /// The text, in UTF-8; reserved numbers say nothing. Throws out_of_range.
  std::string decode(std::span<const std::int64_t> ids) const;

 private:
  std::u32string characters_;  // sorted
  std::int64_t reserved_;
};

struct TextOptions {
  std::int64_t reserved = 0;                  ///< see Vocabulary
  std::optional<Vocabulary> vocabulary = {};  ///< instead of the one of the text read
  std::int64_t max_bytes = 1 << 30;           ///< longest text, decompressed, that is read
};

/// A text and its vocabulary.
struct CharacterText {
  Vocabulary vocabulary;
  Tensor ids;  ///< i64 [characters]

  /// A view of the characters from one share of the text to another: part(0, 0.9) to train on,
  /// part(0.9, 1) to validate with; bounds are rounded down. Throws out_of_range unless
  /// 0 <= begin <= end <= 1.
  PARE_API Tensor part(double begin, double end) const;
};

/// The characters of a file, plain or compressed by gzip. Throws io_error, and corrupt_data where
/// it is empty, too long or not UTF-8.
PARE_API CharacterText read_characters(const std::string& path, const TextOptions& options = {});

struct TextWindowsOptions {
  std::int64_t length = 64;  ///< characters of a window
  std::int64_t stride = 0;   ///< from one window's start to the next one's; 0: length
};

/// Windows of a long text, each with what follows every character as its label: x and y are i64
/// [length], y one character further. Language models are trained on it. Copies share the text.
class PARE_API TextWindows : public Dataset {
 public:
  /// ids i64 [characters]. Throws shape_mismatch, dtype_mismatch, and invalid_argument for options
  /// that make no sense. A text of at most `length` characters has no windows.
  explicit TextWindows(const Tensor& ids, const TextWindowsOptions& options = {});

  std::int64_t size() const override { return count_; }
  Example get(std::int64_t index) const override;

 private:
  std::shared_ptr<Tensor> ids_;
  std::int64_t length_, stride_, count_;
};

/// Lines of text, each with the class of the file that it stood in.
struct LabelledLines {
  Vocabulary vocabulary;
  std::vector<std::string> classes;  ///< sorted
  SequenceDataset lines;             ///< i64 [T_n] and the number of the class
};

/// Lines of a folder with one file per class, "<class>.txt", plain or with ".gz" behind it (the
/// names of PyTorch's character tutorial). Blanks at both ends and empty lines are left out. Throws
/// io_error and corrupt_data, naming the file; the latter also where there is no such file.
PARE_API LabelledLines read_labelled_lines(const std::string& folder,
                                           const TextOptions& options = {});

}  // namespace pare::data
