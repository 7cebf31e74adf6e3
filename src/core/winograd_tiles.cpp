// Which convolutions can be cut into tiles, and how many tiles stay in the cache.
#include "core/winograd_tiles.h"

#if PARE_X86

namespace pare::winograd {

bool tiles(const Conv2dAttributes& a, const Shape& weight) {
  const auto at_most_two = [](std::int64_t padding) { return padding <= 2; };
  return a.groups == 1 && weight[2] == 3 && weight[3] == 3 && a.stride[0] == 1 &&
         a.stride[1] == 1 && a.dilation[0] == 1 && a.dilation[1] == 1 && weight[0] > 0 &&
         weight[1] > 0 && weight[0] % kColumns == 0 &&
         std::max(weight[0], weight[1]) <= kMostChannels &&
         std::all_of(a.padding.begin(), a.padding.end(), at_most_two);
}

Problem problem_of(const Shape& x, const Shape& y, std::int64_t top, std::int64_t left,
                   std::int64_t source_bytes, std::int64_t result_bytes) {
  constexpr std::int64_t kBytes = 64 << 10;
  const std::int64_t tile = kElements * (x[1] * source_bytes + y[1] * result_bytes);
  const std::int64_t tiles_y = (y[2] + 1) / 2;
  const std::int64_t tiles_x = (y[3] + 1) / 2;
  return {x[0],
          {x[2], x[3], x[1], top, left, tiles_y, tiles_x},
          {y[2], y[3], y[1], 0, 0, tiles_y, tiles_x},
          std::clamp<std::int64_t>(kBytes / tile / kRows, 2, 16) * kRows};
}

Problem problem_of(const Conv2dAttributes& attributes, const Shape& x, std::int64_t outputs,
                   std::int64_t source_bytes, std::int64_t result_bytes) {
  const auto& padding = attributes.padding;
  const Shape y{x[0], outputs, x[2] + padding[0] + padding[2] - 2,
                x[3] + padding[1] + padding[3] - 2};
  return problem_of(x, y, padding[0], padding[1], source_bytes, result_bytes);
}

}  // namespace pare::winograd

#endif
