// CSV files of numbers.
#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/check.h"
#include "data/text_file.h"
#include "pare/data/readers.h"

namespace pare::data {
namespace {

class Csv {
 public:
  Csv(const std::string& path, const CsvOptions& options)
      : path_(path),
        options_(options),
        text_(read_text(path, options.max_bytes, "CsvOptions::max_bytes")) {}

  TensorDataset read() {
    std::string_view rest = text_;
    if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    while (!rest.empty()) {
      const std::string_view line = take_line(rest);
      ++line_;
      // Empty lines at the end are no examples; in between they are a mistake.
      if (trimmed(line).empty() && rest.find_first_not_of(" \t\r\n") == std::string_view::npos)
        break;
      split(line);
      if (line_ == 1) begin();
      if (line_ > 1 || !options_.header) add();
    }
    PARE_CHECK(rows_ > 0, corrupt_data, path_, "expected at least one line of numbers, got none");
    return result();
  }

 private:
  void split(std::string_view line) {
    fields_.clear();
    std::string_view field;
    for (bool more = true; more;) {
      more = take_field(line, options_.delimiter, field);
      fields_.push_back(trimmed(field));
    }
  }

  // The first line says how many columns there are, and where the label is.
  void begin() {
    columns_ = fields_.size();
    if (options_.label == CsvLabel::none) return;
    if (!options_.label_name.empty()) {
      PARE_CHECK(options_.header, invalid_argument, path_,
                 "expected CsvOptions::header where label_name is given, got false");
      const auto unquoted = [](std::string_view s) {
        const bool quoted = s.size() >= 2 && s.front() == '"' && s.back() == '"';
        return quoted ? s.substr(1, s.size() - 2) : s;
      };
      const auto found = std::ranges::find(fields_, options_.label_name, unquoted);
      PARE_CHECK(found != fields_.end(), corrupt_data, path_,
                 "line 1: expected a column named '{}', got '{}'", options_.label_name,
                 listed(fields_, "', '"));
      label_ = static_cast<std::size_t>(found - fields_.begin());
      return;
    }
    const auto count = static_cast<std::int64_t>(columns_);
    const std::int64_t column = options_.label_column + (options_.label_column < 0 ? count : 0);
    PARE_CHECK(column >= 0 && column < count, out_of_range, path_,
               "line 1: expected a label in column {} (from 0), got {} columns",
               options_.label_column, count);
    label_ = static_cast<std::size_t>(column);
  }

  template <class T> T number(std::size_t column, const char* expected) const {
    const std::string_view field = fields_[column];
    T value{};
    bool good = parse(field, value);
    if constexpr (std::is_floating_point_v<T>) good = good && std::isfinite(value);
    PARE_CHECK(good, corrupt_data, path_, "line {}, column {}: expected {}, got '{}'", line_,
               column + 1, expected, shown(field));
    return value;
  }

  void add() {
    PARE_CHECK(fields_.size() == columns_, corrupt_data, path_,
               "line {}: expected {} fields, as in the first line, got {}", line_, columns_,
               fields_.size());
    for (std::size_t column = 0; column < columns_; ++column) {
      if (column != label_ || options_.label == CsvLabel::none) {
        inputs_.push_back(number<float>(column, "a finite number"));
      } else if (options_.label == CsvLabel::numbers) {
        targets_.push_back(number<float>(column, "a finite number"));
      } else {
        classes_.push_back(number<std::int64_t>(column, "a whole number as the label"));
      }
    }
    ++rows_;
  }

  TensorDataset result() const {
    const std::int64_t width = static_cast<std::int64_t>(inputs_.size()) / rows_;
    PARE_CHECK(width > 0, corrupt_data, path_, "expected a column besides the label, got none");
    const Tensor inputs = Tensor::from(inputs_, {rows_, width});
    if (options_.label == CsvLabel::none) return TensorDataset(inputs);
    if (options_.label == CsvLabel::numbers) {
      return TensorDataset(inputs, Tensor::from(targets_, {rows_, 1}));
    }
    return TensorDataset(inputs, Tensor::from(classes_, {rows_}));
  }

  const std::string& path_;
  const CsvOptions& options_;
  std::string text_;
  std::vector<std::string_view> fields_;  // of the present line
  std::int64_t line_ = 0, rows_ = 0;
  std::size_t columns_ = 0, label_ = 0;
  std::vector<float> inputs_, targets_;
  std::vector<std::int64_t> classes_;
};

}  // namespace

TensorDataset read_csv(const std::string& path, const CsvOptions& options) {
  return Csv(path, options).read();
}

}  // namespace pare::data
