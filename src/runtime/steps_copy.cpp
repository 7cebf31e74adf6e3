// Copies and rearrangements of elements.
#include <algorithm>
#include <cstring>

#include "pare/core/parallel.h"
#include "runtime/steps.h"

namespace pare::runtime {
namespace {

class CopyStep final : public Step {
 public:
  CopyStep(int from, int to, std::size_t bytes) : from_(from), to_(to), bytes_(bytes) {
    reads = {from};
    writes = {to};
    info.kernel = "copy";
  }
  void run(const Frame& frame, StepState* /*state*/) const override {
    std::memcpy(frame.at<std::byte>(to_), frame.at<std::byte>(from_), bytes_);
  }

 private:
  int from_, to_;
  std::size_t bytes_;
};

struct Loop {
  std::int64_t count, from, to;  // strides in elements
};

// A piece as nested loops, the outermost first; inside runs of `run` adjacent elements.
struct Loops {
  std::vector<Loop> outer;
  std::int64_t run = 1;
};

Loops loops_of(const CopyPiece& piece) {
  std::vector<Loop> all;
  for (int a = 0; a < piece.shape.rank(); ++a) {
    const auto i = static_cast<std::size_t>(a);
    if (piece.shape[a] != 1)
      all.push_back({piece.shape[a], piece.from_strides[i], piece.to_strides[i]});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Loop& x, const Loop& y) { return x.to > y.to; });
  std::vector<Loop> merged;
  for (const Loop& loop : all) {
    if (!merged.empty() && merged.back().from == loop.from * loop.count &&
        merged.back().to == loop.to * loop.count)
      merged.back() = {merged.back().count * loop.count, loop.from, loop.to};
    else
      merged.push_back(loop);
  }
  Loops loops;
  if (!merged.empty() && merged.back().from == 1 && merged.back().to == 1) {
    loops.run = merged.back().count;
    merged.pop_back();
  } else {
    // The longest loop inside: a picture's few channels make a poor inner loop.
    std::stable_sort(merged.begin(), merged.end(),
                     [](const Loop& x, const Loop& y) { return x.count < y.count; });
  }
  loops.outer = std::move(merged);
  return loops;
}

template <class T, std::int64_t kRun>
void copy_innermost(const T* from, T* to, const Loop& loop, std::int64_t run) {
  for (std::int64_t i = 0; i < loop.count; ++i, from += loop.from, to += loop.to) {
    if constexpr (kRun > 0)
      std::memcpy(to, from, kRun * sizeof(T));
    else
      std::memcpy(to, from, static_cast<std::size_t>(run) * sizeof(T));
  }
}

template <class T> void copy_strips(const T* from, T* to, const Loop& loop, std::int64_t run) {
  switch (run) {
    case 1:
      return copy_innermost<T, 1>(from, to, loop, run);
    case 16:
      return copy_innermost<T, 16>(from, to, loop, run);
    case 32:
      return copy_innermost<T, 32>(from, to, loop, run);
    default:
      return copy_innermost<T, 0>(from, to, loop, run);
  }
}

/// The planes of a picture as pixels of `kPlanes` adjacent elements.
template <class T, std::int64_t kPlanes>
void interleave(const T* from, T* to, std::int64_t plane, std::int64_t pixels) {
  for (std::int64_t i = 0; i < pixels; ++i)
    for (std::int64_t c = 0; c < kPlanes; ++c) to[i * kPlanes + c] = from[c * plane + i];
}

/// The two innermost loops over single elements. The outer, of fewer, steps through short pieces of
/// the inner one: what it leaves behind in the cache it finds there again.
template <class T> void copy_blocks(const T* from, T* to, const Loop& few, const Loop& many) {
  if (many.from == 1 && few.to == 1 && many.to == few.count) {
    if (few.count == 3) return interleave<T, 3>(from, to, few.from, many.count);
    if (few.count == 4) return interleave<T, 4>(from, to, few.from, many.count);
  }
  constexpr std::int64_t kPiece = 64;
  for (std::int64_t begin = 0; begin < many.count; begin += kPiece) {
    const Loop piece{std::min(kPiece, many.count - begin), many.from, many.to};
    for (std::int64_t i = 0; i < few.count; ++i)
      copy_innermost<T, 1>(from + begin * many.from + i * few.from,
                           to + begin * many.to + i * few.to, piece, 1);
  }
}

template <class T> void copy_nested(const T* from, T* to, const Loops& loops, std::size_t depth) {
  const std::size_t left = loops.outer.size() - depth;
  if (left <= 1) {
    const Loop one{1, 0, 0};
    copy_strips(from, to, left == 0 ? one : loops.outer.back(), loops.run);
    return;
  }
  if (left == 2 && loops.run == 1) {
    copy_blocks(from, to, loops.outer[depth], loops.outer[depth + 1]);
    return;
  }
  const Loop& loop = loops.outer[depth];
  for (std::int64_t i = 0; i < loop.count; ++i)
    copy_nested(from + i * loop.from, to + i * loop.to, loops, depth + 1);
}

void map_nested(const std::uint8_t* from, std::uint8_t* to, const Loops& loops, std::size_t depth,
                const ByteTable& table) {
  if (depth >= loops.outer.size()) return look_up(table, from, to, {.count = loops.run});
  const Loop& loop = loops.outer[depth];
  if (depth + 1 == loops.outer.size())
    return look_up(table, from, to, {loop.count, loops.run, loop.from, loop.to});
  for (std::int64_t i = 0; i < loop.count; ++i)
    map_nested(from + i * loop.from, to + i * loop.to, loops, depth + 1, table);
}

class RearrangeStep final : public Step {
 public:
  explicit RearrangeStep(Rearrangement what) : what_(std::move(what)) {
    for (const CopyPiece& piece : what_.pieces) {
      loops_.push_back(loops_of(piece));
      reads.push_back(piece.from);
    }
    writes = {what_.to};
    info.kernel = what_.filled ? "fill and copy" : "rearrange";
  }

  void run(const Frame& frame, StepState* /*state*/) const override {
    switch (what_.element_bytes) {
      case 1:
        return run_as<std::uint8_t>(frame);
      case 2:
        return run_as<std::uint16_t>(frame);
      case 4:
        return run_as<std::uint32_t>(frame);
      default:
        return run_as<std::uint64_t>(frame);
    }
  }

 private:
  template <class T> void run_as(const Frame& frame) const {
    T* to = frame.at<T>(what_.to);
    if (what_.filled) {
      T value;
      std::memcpy(&value, what_.fill.data(), sizeof(T));
      std::fill_n(to, what_.bytes / sizeof(T), value);
    }
    for (std::size_t p = 0; p < what_.pieces.size(); ++p) {
      const CopyPiece& piece = what_.pieces[p];
      const T* from = frame.at<const T>(piece.from) + piece.from_begin;
      if constexpr (sizeof(T) == 1) {
        if (piece.table) {
          map_nested(from, to + piece.to_begin, loops_[p], 0, *piece.table);
          continue;
        }
      }
      copy_nested(from, to + piece.to_begin, loops_[p], 0);
    }
  }

  Rearrangement what_;
  std::vector<Loops> loops_;
};

class TableStep final : public Step {
 public:
  TableStep(int from, int to, std::int64_t count, std::shared_ptr<const ByteTable> table)
      : from_(from), to_(to), count_(count), table_(std::move(table)) {
    reads = {from};
    writes = {to};
    info.kernel = "table";
  }
  void run(const Frame& frame, StepState* /*state*/) const override {
    const auto* from = frame.at<const std::uint8_t>(from_);
    auto* to = frame.at<std::uint8_t>(to_);
    const ByteTable& table = *table_;
    parallel_for(0, count_, 1 << 15, [&](std::int64_t b, std::int64_t e) {
      look_up(table, from + b, to + b, {.count = e - b});
    });
  }

 private:
  int from_, to_;
  std::int64_t count_;
  std::shared_ptr<const ByteTable> table_;
};

}  // namespace

std::unique_ptr<Step> copy_step(int from, int to, std::size_t bytes) {
  return std::make_unique<CopyStep>(from, to, bytes);
}

std::unique_ptr<Step> rearrange_step(Rearrangement what) {
  return std::make_unique<RearrangeStep>(std::move(what));
}

std::unique_ptr<Step> table_step(int from, int to, std::int64_t count,
                                 std::shared_ptr<const ByteTable> table) {
  return std::make_unique<TableStep>(from, to, count, std::move(table));
}

}  // namespace pare::runtime
