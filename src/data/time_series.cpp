// .ts files: the header's tags, then a series per line, dimensions separated by colons.
#include "pare/data/time_series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "data/text_file.h"

namespace pare::data {
namespace {

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::vector<std::string_view> words(std::string_view s) {
  std::vector<std::string_view> out;
  for (std::string_view word; !s.empty();) {
    take_field(s, ' ', word);
    if (!trimmed(word).empty()) out.push_back(trimmed(word));
  }
  return out;
}

// NaN → values on the line between the neighbours.
void interpolate(std::vector<float>& values) {
  const std::size_t count = values.size();
  std::size_t before = count;  // the last value that is there
  for (std::size_t i = 0; i < count; ++i) {
    if (std::isnan(values[i])) continue;
    if (before == count) {
      std::fill(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(i), values[i]);
    } else {
      const float step = (values[i] - values[before]) / static_cast<float>(i - before);
      for (std::size_t k = before + 1; k < i; ++k) {
        values[k] = values[before] + step * static_cast<float>(k - before);
      }
    }
    before = i;
  }
  const std::size_t rest = before == count ? 0 : before + 1;
  const float last = before == count ? 0 : values[before];
  std::fill(values.begin() + static_cast<std::ptrdiff_t>(rest), values.end(), last);
}

class TsFile {
 public:
  TsFile(const std::string& path, const TsOptions& options)
      : path_(path),
        options_(options),
        text_(read_text(path, options.max_bytes, "TsOptions::max_bytes")) {}

  TimeSeries read() {
    std::string_view rest = text_;
    if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    bool in_data = false;
    while (!rest.empty()) {
      const std::string_view line = trimmed(take_line(rest));
      ++line_;
      if (line.empty() || line.front() == '#') continue;
      if (in_data) {
        add(line);
      } else if (lower(line) == "@data") {
        begin();
        in_data = true;
      } else {
        tag(line);
      }
    }
    PARE_CHECK(in_data, corrupt_data, path_, "expected a line '@data', got none");
    PARE_CHECK(!lengths_.empty(), corrupt_data, path_,
               "expected at least one series after '@data', got none");
    return result();
  }

 private:
  template <class... Args>
  void check(bool good, fmt::format_string<Args...> text, Args&&... args) const {
    if (good) return;
    fail(ErrorCode::corrupt_data, path_, "line {}: {}", line_,
         fmt::format(text, std::forward<Args>(args)...));
  }

  bool yes(std::string_view name, std::string_view value) const {
    const std::string word = lower(value);
    check(word == "true" || word == "false", "expected 'true' or 'false' after '{}', got '{}'",
          name, shown(value));
    return word == "true";
  }
  std::int64_t count(std::string_view name, std::string_view value) const {
    std::int64_t number = 0;
    check(parse(value, number) && number > 0, "expected a number above 0 after '{}', got '{}'",
          name, shown(value));
    return number;
  }

  void tag(std::string_view line) {
    check(line.front() == '@', "expected '#', a tag '@…' or '@data', got '{}'", shown(line));
    std::vector<std::string_view> parts = words(line);
    const std::string name = lower(parts[0]);
    const std::string_view value = parts.size() > 1 ? parts[1] : std::string_view();
    if (name == "@problemname") {
      name_ = std::string(trimmed(line.substr(parts[0].size())));
    } else if (name == "@timestamps") {
      PARE_CHECK(!yes(name, value), unsupported, path_,
                 "line {}: expected series without time stamps, got '@timeStamps true'", line_);
    } else if (name == "@missing") {
      says_complete_ = !yes(name, value);
    } else if (name == "@univariate") {
      if (yes(name, value)) dimensions_ = 1;
    } else if (name == "@dimension" || name == "@dimensions") {
      const std::int64_t number = count(name, value);
      check(dimensions_ == 0 || dimensions_ == number,
            "expected 1 dimension, as '@univariate true' says, got {}", number);
      dimensions_ = number;
    } else if (name == "@equallength") {
      says_equal_ = yes(name, value);
    } else if (name == "@serieslength") {
      length_ = count(name, value);
    } else if (name == "@classlabel") {
      labelled_ = yes(name, value);
      if (labelled_) classes_.assign(parts.begin() + 2, parts.end());
      check(!labelled_ || !classes_.empty(), "expected classes after '@classLabel true', got none");
      for (std::size_t i = 0; i < classes_.size(); ++i) {
        check(std::find(classes_.begin(), classes_.begin() + static_cast<std::ptrdiff_t>(i),
                        classes_[i]) == classes_.begin() + static_cast<std::ptrdiff_t>(i),
              "expected different classes, got '{}' twice", shown(classes_[i]));
      }
    } else if (name == "@targetlabel") {
      targets_wanted_ = yes(name, value);
    } else {
      check(false, "expected a tag of .ts files, got '{}'", shown(line));
    }
  }

  void begin() {
    check(!labelled_ || !targets_wanted_, "expected '@classLabel' or '@targetLabel', got both");
    if (says_equal_ && !*says_equal_) length_ = 0;
  }

  void add(std::string_view line) {
    columns_.clear();
    std::string_view part;
    for (bool more = true; more;) {
      more = take_field(line, ':', part);
      const bool label = !more && (labelled_ || targets_wanted_);
      if (label) {
        add_label(trimmed(part));
      } else {
        add_dimension(part);
      }
    }
    const auto dimensions = static_cast<std::int64_t>(columns_.size());
    check(dimensions > 0, "expected values before the label, got none");
    if (dimensions_ == 0) dimensions_ = dimensions;
    check(dimensions == dimensions_, "expected {} dimensions, got {}", dimensions_, dimensions);
    const auto length = static_cast<std::int64_t>(columns_[0].size());
    for (std::size_t d = 1; d < columns_.size(); ++d) {
      check(static_cast<std::int64_t>(columns_[d].size()) == length,
            "expected {} values of dimension {}, as the first has, got {}", length, d + 1,
            columns_[d].size());
    }
    if (length_ == 0 && says_equal_ && *says_equal_) length_ = length;
    check(length_ == 0 || length == length_, "expected a series of {} steps, got {}", length_,
          length);
    for (std::size_t step = 0; step < columns_[0].size(); ++step) {
      for (const std::vector<float>& column : columns_) steps_.push_back(column[step]);
    }
    lengths_.push_back(length);
  }

  void add_dimension(std::string_view part) {
    std::vector<float>& values = columns_.emplace_back();
    check(part.find('(') == std::string_view::npos, "expected values without time stamps, got '{}'",
          shown(part));
    // "1,2,3": an empty text is a series without a step.
    if (trimmed(part).empty()) return;
    bool holes = false;
    std::string_view field;
    for (bool more = true; more;) {
      more = take_field(part, ',', field);
      field = trimmed(field);
      float value = std::numeric_limits<float>::quiet_NaN();
      const bool hole = field == "?" || lower(field) == "nan";
      check(hole || (parse(field, value) && std::isfinite(value)),
            "expected a finite number or '?' as value {} of dimension {}, got '{}'",
            values.size() + 1, columns_.size(), shown(field));
      const bool allowed = !says_complete_ && options_.missing != MissingValues::refuse;
      check(!hole || allowed, "expected no missing value{}, got '{}' as value {} of dimension {}",
            says_complete_ ? ", as '@missing false' says" : " (TsOptions::missing)", field,
            values.size() + 1, columns_.size());
      holes = holes || hole;
      missing_ += hole ? 1 : 0;
      values.push_back(value);
    }
    if (holes && options_.missing == MissingValues::interpolate) interpolate(values);
  }

  void add_label(std::string_view label) {
    if (targets_wanted_) {
      float value = 0;
      check(parse(label, value) && std::isfinite(value), "expected a number as target, got '{}'",
            shown(label));
      targets_.push_back(value);
      return;
    }
    const auto found = std::ranges::find(classes_, label);
    check(found != classes_.end(), "expected one of the classes that '@classLabel' lists, got '{}'",
          shown(label));
    labels_.push_back(found - classes_.begin());
  }

  TimeSeries result() {
    const auto count = static_cast<std::int64_t>(lengths_.size());
    const bool equal = std::ranges::all_of(lengths_, [&](auto n) { return n == lengths_[0]; });
    Tensor labels;
    if (labelled_) labels = Tensor::from(labels_, {count});
    if (targets_wanted_) labels = Tensor::from(targets_, {count, 1});
    const auto total = static_cast<std::int64_t>(steps_.size()) / dimensions_;
    return {.name = std::move(name_),
            .classes = std::move(classes_),
            .dimensions = dimensions_,
            .equal_length = equal,
            .missing = missing_,
            .series = SequenceDataset(Tensor::from(steps_, {total, dimensions_}),
                                      std::move(lengths_), labels)};
  }

  const std::string& path_;
  const TsOptions& options_;
  std::string text_;
  std::int64_t line_ = 0;

  std::string name_;
  std::vector<std::string> classes_;
  bool labelled_ = false, targets_wanted_ = false, says_complete_ = false;
  std::optional<bool> says_equal_;
  std::int64_t dimensions_ = 0, length_ = 0;  // 0: not said

  std::vector<std::vector<float>> columns_;  // of the present line, a dimension each
  std::vector<float> steps_, targets_;
  std::vector<std::int64_t> lengths_, labels_;
  std::int64_t missing_ = 0;
};

}  // namespace

TimeSeries read_ts(const std::string& path, const TsOptions& options) {
  return TsFile(path, options).read();
}

}  // namespace pare::data
