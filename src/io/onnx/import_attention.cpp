// Import of Attention and RotaryEmbedding (opset 23).
#include <cmath>

#include "core/check.h"
#include "io/onnx/import_build.h"
#include "io/onnx/import_families.h"

namespace pare::onnx {
namespace {

/// [B, L, H·E] as [B, H, L, E]; rank 4 is that already.
int by_heads(NodeImport& node, int x, std::int64_t heads) {
  const Shape shape = shape_of(node, x);
  if (shape.rank() == 4) return x;
  if (shape.rank() != 3) node.refuse(fmt::format("rank 3 or 4 is expected, got {}", shape));
  const std::int64_t width = size_of(node, x, 2);
  if (heads < 1 || width % heads != 0)
    node.refuse(fmt::format("{} heads of a width of {}", heads, width));
  Shape split;
  split.append(shape, 0);
  split.append(shape, 1);
  split.append(heads);
  split.append(width / heads);
  return transpose(node, reshape(node, x, split), {0, 2, 1, 3});
}

void import_attention(NodeImport& node) {
  if (node.real("softcap", 0) != 0) node.refuse("softcap");
  node.ignore("qk_matmul_output_mode");
  node.ignore("softmax_precision");  // at least f32
  if (node.has(6)) node.refuse("nonpad_kv_seqlen");
  const bool flat = node.shape(0).rank() == 3;
  const int query = by_heads(node, node.value(0), node.integer("q_num_heads", 0));
  int key = by_heads(node, node.value(1), node.integer("kv_num_heads", 0));
  int value = by_heads(node, node.value(2), node.integer("kv_num_heads", 0));
  AttentionAttributes attributes;
  attributes.causal = node.integer("is_causal", 0) != 0;
  attributes.scale = node.real("scale", 0);
  if (node.has(4) != node.has(5)) node.refuse("past keys and values go together");
  if (node.has(4)) {
    if (attributes.causal) node.refuse("is_causal with past keys");
    key = call(node, kConcat, ConcatAttributes{2}, {node.value(4), key});
    value = call(node, kConcat, ConcatAttributes{2}, {node.value(5), value});
  }
  const Shape q = shape_of(node, query);
  attributes.grouped = !q.same_axis(1, shape_of(node, key), 1);
  std::vector<int> inputs{as_f32(node, query), as_f32(node, key), as_f32(node, value)};
  if (node.has(3)) inputs.push_back(node.value(3));
  int y = call(node, kScaledDotProductAttention, attributes, std::move(inputs));
  if (flat) {
    y = transpose(node, y, {0, 2, 1, 3});
    const Shape split = shape_of(node, y);
    Shape joined;
    joined.append(split, 0);
    joined.append(split, 1);
    append_product(node, joined, split, 2, 4);
    y = reshape(node, y, joined);
  }
  node.output(0, cast(node, y, node.dtype(0)));
  if (node.outputs() > 1) node.output(1, key);
  if (node.outputs() > 2) node.output(2, value);
}

/// Pairs of features turned by angles, whose cosines and sines are rows of tables. Su et al.,
/// "RoFormer: enhanced transformer with rotary position embedding", 2021.
void import_rotary(NodeImport& node) {
  const bool interleaved = node.integer("interleaved", 0) != 0;
  const Shape given = node.shape(0);
  const bool flat = given.rank() == 3;
  const int x = by_heads(node, node.value(0), node.integer("num_heads", 0));  // [B, H, L, E]
  const std::int64_t width = size_of(node, x, 3);
  std::int64_t turned = node.integer("rotary_embedding_dim", 0);
  if (turned == 0) turned = width;
  if (turned % 2 != 0 || turned > width)
    node.refuse(fmt::format("{} of {} features", turned, width));
  const auto table = [&](int i) {  // [B or 1, 1, L, turned / 2]
    int rows = node.value(i);
    if (node.has(3)) rows = call(node, kGather, GatherAttributes{0}, {rows, node.value(3)});
    return unsqueeze(
        node, rows,
        shape_of(node, rows).rank() == 2 ? std::vector<int>{0, 1} : std::vector<int>{1});
  };
  const int cosines = table(1);
  const int sines = table(2);
  const int part = turned == width ? x : slice(node, x, 3, 0, turned);
  const std::int64_t half = turned / 2;
  const int a = interleaved ? slice(node, part, 3, 0, turned, 2) : slice(node, part, 3, 0, half);
  const int b =
      interleaved ? slice(node, part, 3, 1, turned, 2) : slice(node, part, 3, half, turned);
  const int real = call(node, kSub, {call(node, kMul, {a, cosines}), call(node, kMul, {b, sines})});
  const int imaginary =
      call(node, kAdd, {call(node, kMul, {a, sines}), call(node, kMul, {b, cosines})});
  int y = -1;
  if (interleaved) {
    const Shape shape = shape_of(node, part);
    const int pairs = call(node, kConcat, ConcatAttributes{4},
                           {unsqueeze(node, real, {4}), unsqueeze(node, imaginary, {4})});
    y = reshape(node, pairs, shape);
  } else {
    y = call(node, kConcat, ConcatAttributes{3}, {real, imaginary});
  }
  if (turned != width)
    y = call(node, kConcat, ConcatAttributes{3}, {y, slice(node, x, 3, turned, width)});
  if (flat) y = reshape(node, transpose(node, y, {0, 2, 1, 3}), given);
  node.output(0, y);
}

constexpr OpImport kImports[] = {
    {"Attention", "", import_attention},
    {"RotaryEmbedding", "", import_rotary},
};

}  // namespace

constinit const std::span<const OpImport> kAttentionImports = kImports;

}  // namespace pare::onnx
