"""Writes golden_masks.h: masks of torch.nn.utils.prune. usage: make_golden_masks.py > golden_masks.h"""
import torch
import torch.nn.utils.prune as prune

torch.manual_seed(0)


def array(name, tensor):
    values = ", ".join(f"{v:.9g}F" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.9g}.F" for v in tensor.flatten().tolist())
    print(f"inline const std::vector<float> {name} = {{{values}}};")


print("// Masks of torch.nn.utils.prune (made by make_golden_masks.py, PyTorch " + torch.__version__ + ").")
print("#pragma once\n\n#include <vector>\n\n// clang-format off")
print("namespace pare::test::golden {\n")
weight = torch.randn(6, 4, 3, 3)
array("kConvWeight", weight)


def conv():
    m = torch.nn.Conv2d(4, 6, 3)
    m.weight.data = weight.clone()
    return m


m = conv(); prune.l1_unstructured(m, "weight", 0.3); array("kL1Fraction", m.weight_mask)
prune.l1_unstructured(m, "weight", 0.5); array("kL1Twice", m.weight_mask)
m = conv(); prune.l1_unstructured(m, "weight", 37); array("kL1Count", m.weight_mask)
scores = torch.randn_like(weight)
array("kScores", scores)
m = conv(); prune.l1_unstructured(m, "weight", 0.25, importance_scores=scores); array("kL1Scores", m.weight_mask)
m = conv(); prune.ln_structured(m, "weight", 0.5, n=2, dim=0); array("kL2Dim0", m.weight_mask)
m = conv(); prune.ln_structured(m, "weight", 1, n=1, dim=1); array("kL1Dim1", m.weight_mask)
m = conv(); prune.ln_structured(m, "weight", 0.34, n=float("inf"), dim=-1); array("kLinfLast", m.weight_mask)
m = conv(); prune.ln_structured(m, "weight", 2, n=2, dim=0); prune.ln_structured(m, "weight", 0.5, n=2, dim=0); array("kStructuredTwice", m.weight_mask)
m = conv(); prune.ln_structured(m, "weight", 2, n=2, dim=0); prune.l1_unstructured(m, "weight", 0.5); array("kStructuredThenL1", m.weight_mask)
m = conv(); l = torch.nn.Linear(10, 7); l.weight.data = torch.randn(7, 10) * 0.7
array("kLinearWeight", l.weight.data)
prune.global_unstructured([(m, "weight"), (l, "weight")], prune.L1Unstructured, amount=0.4)
array("kGlobalConv", m.weight_mask); array("kGlobalLinear", l.weight_mask)
prune.global_unstructured([(m, "weight"), (l, "weight")], prune.L1Unstructured, amount=0.25)
array("kGlobalConvTwice", m.weight_mask); array("kGlobalLinearTwice", l.weight_mask)
custom = (torch.rand_like(weight) > 0.5).float(); array("kCustom", custom)
m = conv(); prune.l1_unstructured(m, "weight", 0.3); prune.custom_from_mask(m, "weight", custom); array("kL1ThenCustom", m.weight_mask)
x = torch.randn(2, 4, 5, 5); array("kInput", x)
y = torch.nn.functional.conv2d(x, m.weight); y.square().sum().backward()
array("kGradient", m.weight_orig.grad)
print("\n}  // namespace pare::test::golden")
