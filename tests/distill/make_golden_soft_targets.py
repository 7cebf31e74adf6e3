"""Writes golden_soft_targets.h. usage: make_golden_soft_targets.py > golden_soft_targets.h"""
import torch
import torch.nn.functional as F

torch.manual_seed(3)
n, c = 5, 7
student = (torch.randn(n, c, dtype=torch.float64) * 3).float()
teacher = (torch.randn(n, c, dtype=torch.float64) * 3).float()
labels = torch.randint(0, c, (n,))


def array(name, values):
    text = ", ".join(f"{v:.9g}F" if any(ch in f"{v:.9g}" for ch in ".e") else f"{v:.9g}.F" for v in values)
    print(f"inline const std::vector<float> {name} = {{{text}}};")


print(f"// The soft-target loss and its gradient (make_golden_soft_targets.py, PyTorch {torch.__version__}).")
print("#pragma once\n\n#include <cstdint>\n#include <vector>\n\n// clang-format off\nnamespace pare::test::golden {\n")
array("kStudent", student.flatten().tolist())
array("kTeacher", teacher.flatten().tolist())
print(f"inline const std::vector<std::int64_t> kLabels = {{{', '.join(map(str, labels.tolist()))}}};")
print("struct SoftTargetCase {\n  double temperature, alpha, loss;\n  std::vector<float> gradient;\n};")
print("inline const std::vector<SoftTargetCase> kSoftTargets = {")
for t, a in ((4.0, 0.9), (1.0, 0.5), (3.0, 0.7), (20.0, 1.0), (2.0, 0.0)):
    s = student.double().requires_grad_()
    loss = a * t * t * F.kl_div(F.log_softmax(s / t, 1), F.softmax(teacher.double() / t, 1), reduction="batchmean") + (1 - a) * F.cross_entropy(s, labels)
    loss.backward()
    g = ", ".join(f"{v:.9g}F" if any(ch in f"{v:.9g}" for ch in ".e") else f"{v:.9g}.F" for v in s.grad.flatten().tolist())
    print(f"    {{{t}, {a}, {loss.item():.12g}, {{{g}}}}},")
print("};\n\n}  // namespace pare::test::golden")
