// Attention.
#pragma once

#include "pare/core/op.h"

namespace pare {

PARE_API extern const OpDef kScaledDotProductAttention;

struct AttentionAttributes {
  bool causal = false;        ///< query i sees keys 0 … i
  double scale = 0;           ///< of the products of queries and keys; 0: 1 / √E
  double dropout = 0;         ///< probability of a weight to be zeroed, in training
  bool frozen = false;        ///< no dropout also in training
  bool grouped = false;       ///< several query heads share each head of keys and values
  bool length_first = false;  ///< operands [..., L, H, E] in place of [..., H, L, E]
  void fields(AttributeVisitor& visit) {
    visit("causal", causal);
    visit("scale", scale);
    visit("dropout", dropout);
    visit("frozen", frozen);
    visit("grouped", grouped);
    visit("length_first", length_first);
  }
};

/// softmax(query · keyᵀ · scale + mask) · value, for each head: query [..., H, L, E], key
/// [..., H', S, E], value [..., H', S, F] → [..., H, L, F]; H' = H, or (grouped) a divisor of it.
/// The mask, undefined for none, broadcasts to [..., H, L, S]: of bool, true where a key is seen,
/// or of floats that are added. A query that sees no key gets zeros. Weights are made block by
/// block and not kept. Without key and value the query holds all three, [..., L, 3, H, E], and the
/// result is [..., L, H, E]: what one linear layer makes, taken as it lies. Vaswani et al.,
/// "Attention is all you need", 2017; Dao et al., "FlashAttention", 2022; Ainslie et al., "GQA",
/// 2023. Throws dtype_mismatch, shape_mismatch, invalid_argument; invalid_state where dropout finds
/// no generator.
PARE_API Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key,
                                             const Tensor& value, const Tensor& mask = {},
                                             const AttentionAttributes& attributes = {});

}  // namespace pare
