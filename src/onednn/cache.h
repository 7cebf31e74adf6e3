// A bounded cache from a small key of integers, least recently used first out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

namespace pare::onednn {

/// What a primitive depends on: sizes, formats, thread count.
using Key = std::array<std::int32_t, 28>;

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    std::uint64_t h = 0;
    for (const std::int32_t v : key)
      h = (h ^ static_cast<std::uint32_t>(v)) * 0x9e3779b97f4a7c15ULL;
    return static_cast<std::size_t>(h ^ (h >> 32));
  }
};

/// Not for use by several threads.
template <class Value> class Cache {
 public:
  explicit Cache(std::size_t capacity) : capacity_(capacity) {}

  /// The value for `key`, which `make()` gives where there is none. The reference is good until the
  /// next call.
  template <class Make> Value& get(const Key& key, Make&& make) {
    if (!entries_.empty() && entries_.front().first == key) return entries_.front().second;
    if (const auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    entries_.emplace_front(key, make());
    index_.emplace(key, entries_.begin());
    if (entries_.size() > capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<Key, Value>>;
  std::size_t capacity_;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, KeyHash> index_;
};

}  // namespace pare::onednn
