// Removal of label classes: leaves, attributes, irregular slices.
#include "graph/removal.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/check.h"
#include "pare/core/ops.h"

namespace pare {
namespace {

using Indices = std::vector<std::int64_t>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// What stays of every axis that loses something.
class Kept {
 public:
  Kept(const Graph& graph, const AxisLabels& labels, const std::vector<bool>& cut) {
    for (int v = 0; v < static_cast<int>(graph.values().size()); ++v) {
      const Shape& shape = labels.shape(v);
      for (int a = 0; a < shape.rank(); ++a) {
        Indices stay;
        for (std::int64_t k = 0; k < shape[a]; ++k)
          if (!cut[at(labels.class_of(v, a, k))]) stay.push_back(k);
        if (static_cast<std::int64_t>(stay.size()) == shape[a]) continue;
        PARE_CHECK(!stay.empty(), invalid_argument, "channels",
                   "expected at least one channel to stay on axis {} of {}, got none", a,
                   graph.value(v).name);
        kept_[{v, a}] = std::move(stay);
      }
    }
  }
  const Indices* of(int value, int axis) const {
    const auto place = kept_.find({value, axis});
    return place == kept_.end() ? nullptr : &place->second;
  }

 private:
  std::map<std::pair<int, int>, Indices> kept_;
};

class Resize final : public ChannelResize {
 public:
  Resize(const Graph::Node& node, const AxisLabels& labels, const Kept& kept)
      : node_(node), labels_(labels), kept_(kept) {}
  const Shape& shape(Operand o) const override { return labels_.shape(value(o)); }
  const Indices* kept(Operand o, int axis) const override { return kept_.of(value(o), axis); }

 private:
  int value(Operand o) const {
    const auto& list = o.is_output ? node_.outputs : node_.inputs;
    const int v = at(o.index) < list.size() ? list[at(o.index)] : -1;
    PARE_CHECK(v >= 0, internal, node_.call.op->name,
               "resize asks for operand {}, which is not there", o.index);
    return v;
  }
  const Graph::Node& node_;
  const AxisLabels& labels_;
  const Kept& kept_;
};

bool touched(const Graph::Node& node, const AxisLabels& labels, const Kept& kept) {
  const auto any = [&](const std::vector<int>& values) {
    for (const int v : values)
      for (int a = 0; v >= 0 && a < labels.shape(v).rank(); ++a)
        if (kept.of(v, a)) return true;
    return false;
  };
  return any(node.inputs) || any(node.outputs);
}

// A slice whose kept indices no start, end and step describe: a gather of their new positions.
void slice_by_gather(Graph& graph, int number, const AxisLabels& labels, const Kept& kept) {
  const Graph::Node node = graph.node(number);
  const auto& old = node.call.attributes.as<SliceAttributes>();
  const int from = node.inputs.front();
  const int to = node.outputs.front();
  const Shape& shape = labels.shape(from);
  SliceAttributes rest;
  int source = from;
  for (std::size_t k = 0; k < old.axes.size(); ++k) {
    const int axis = normalize_axis(static_cast<int>(old.axes[k]), shape.rank(), "slice");
    const Indices* in_kept = kept.of(from, axis);
    const Indices* out_kept = kept.of(to, axis);
    if (!in_kept && !out_kept) {
      rest.axes.push_back(old.axes[k]);
      rest.starts.push_back(old.starts[k]);
      rest.ends.push_back(old.ends[k]);
      rest.steps.push_back(old.steps[k]);
      continue;
    }
    const std::int64_t size = shape[axis];
    std::int64_t start = old.starts[k] < 0 ? old.starts[k] + size : old.starts[k];
    start = std::clamp<std::int64_t>(start, 0, old.steps[k] < 0 ? size - 1 : size);
    Indices places;
    for (std::int64_t j = 0; j < labels.shape(to)[axis]; ++j) {
      if (out_kept && !std::binary_search(out_kept->begin(), out_kept->end(), j)) continue;
      const std::int64_t before = start + j * old.steps[k];
      if (!in_kept) {
        places.push_back(before);
        continue;
      }
      const auto place = std::lower_bound(in_kept->begin(), in_kept->end(), before);
      PARE_CHECK(place != in_kept->end() && *place == before, internal, node.name,
                 "a kept output of the slice comes from a cut input");
      places.push_back(place - in_kept->begin());
    }
    const Shape places_shape{static_cast<std::int64_t>(places.size())};
    const int indices = graph.add_leaf(Graph::Kind::constant, node.name + ".kept",
                                       Tensor::from(places, places_shape));
    const int gather =
        graph.add_node(node.name + ".gather", {&kGather, Attributes::of(GatherAttributes{axis})},
                       {source, indices});
    source = graph.node(gather).outputs.front();
  }
  if (rest.axes.empty()) {
    graph.replace_uses(to, source);
    return;
  }
  graph.edit_node(number).inputs.front() = source;
  graph.edit_node(number).call.attributes = Attributes::of(rest);
}

void resize_node(Graph& graph, int number, const AxisLabels& labels, const Kept& kept) {
  const Graph::Node before = graph.node(number);
  if (!before.call.op->channels.resize || !touched(before, labels, kept)) return;
  Call call = before.call;
  if (before.call.op->channels.resize(call, Resize(before, labels, kept))) {
    graph.edit_node(number).call = std::move(call);
    return;
  }
  PARE_CHECK(before.call.op == &kSlice, unsupported, before.name,
             "expected attributes of {} that can follow the cut, got {}", before.call.op->name,
             before.call.attributes.to_string());
  slice_by_gather(graph, number, labels, kept);
}

// The kept part of a leaf; an undefined tensor where it loses nothing.
Replacement slice_leaf(const Graph::Value& value, int number, const Kept& kept) {
  Replacement r{value.tensor, {}, {}};
  for (int a = 0; a < value.shape.rank(); ++a) {
    const Indices* stay = kept.of(number, a);
    if (!stay) continue;
    const Tensor indices = Tensor::from(*stay, {static_cast<std::int64_t>(stay->size())});
    r.now = gather(r.now.defined() ? r.now : r.old, indices, a);
    r.kept.resize(at(value.shape.rank()));
    r.kept[at(a)] = *stay;
  }
  return r;
}

}  // namespace

std::vector<Replacement> remove_classes(Graph& graph, const AxisLabels& labels,
                                        const std::vector<bool>& cut) {
  const Kept kept(graph, labels, cut);
  const NoGrad no_grad;
  Graph work = graph.share();
  std::vector<Replacement> replacements;
  const int values = static_cast<int>(work.values().size());
  const int nodes = static_cast<int>(work.nodes().size());
  for (int v = 0; v < values; ++v) {
    if (!work.value(v).is_leaf()) continue;
    Replacement r = slice_leaf(work.value(v), v, kept);
    if (!r.now.defined()) continue;
    Graph::Value& value = work.edit_value(v);
    if (r.old.requires_grad()) r.now.set_requires_grad();
    value.tensor = r.now;
    value.shape = r.now.shape();
    replacements.push_back(std::move(r));
  }
  for (int n = 0; n < nodes; ++n) resize_node(work, n, labels, kept);
  work.compact();
  work.infer_shapes();
  work.verify();
  graph = std::move(work);
  for (const Replacement& r : replacements) r.old.impl()->retired = true;
  return replacements;
}

}  // namespace pare
