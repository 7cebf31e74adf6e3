#!/usr/bin/env python3
# Writes golden_exact_norm.h: a step of training of PyTorch's ConvBn2d on its slow path.
# Run: /opt/venv/bin/python tests/quantize/make_golden_exact_norm.py
import pathlib

import torch
from torch.ao.nn.intrinsic.qat import ConvBn2d
from torch.ao.quantization import FakeQuantize, MinMaxObserver, QConfig

torch.manual_seed(7)
# Running statistics that stay: PyTorch takes the factor after it has moved them, pare before.
layer = ConvBn2d(
    3, 4, 3, padding=1, bias=True, momentum=0.0,
    qconfig=QConfig(activation=torch.nn.Identity, weight=FakeQuantize.with_args(
        observer=MinMaxObserver, quant_min=-7, quant_max=7, dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric)))
layer._enable_slow_path_for_better_numerical_stability = True
layer.train()
with torch.no_grad():
    layer.weight.normal_(0, 0.4)
    layer.bias.normal_(0, 0.3)
    layer.bn.weight.copy_(torch.tensor([-0.8, 0.0, 1.3, 0.6]))
    layer.bn.bias.normal_(0, 0.4)
    layer.bn.running_mean.normal_(0, 0.5)
    layer.bn.running_var.uniform_(0.3, 2)
# Codes of u8 with a scale of 1/64 and a zero point of 0, so that rounding the input changes nothing.
x = torch.randint(0, 256, (3, 3, 5, 5)).float() / 64
x.view(-1)[0], x.view(-1)[1] = 0, 255 / 64
x.requires_grad_(True)
g = torch.randn(3, 4, 5, 5)
y = layer(x)
(y * g).sum().backward()
layer.eval()
with torch.no_grad():
    evaluated = layer(x)


def array(name, values):
    rows = ", ".join(f"{v:#.9g}F" for v in values.detach().double().flatten().tolist())
    return f"inline constexpr float {name}[{values.numel()}] = {{{rows}}};\n"


text = "// A step of PyTorch's ConvBn2d on its slow path; written by make_golden_exact_norm.py.\n"
text += "#pragma once\n\n// clang-format off\nnamespace pare::golden_exact_norm {\n\n"
for name, values in [
        ("kX", x), ("kG", g), ("kWeight", layer.weight), ("kBias", layer.bias),
        ("kGamma", layer.bn.weight), ("kBeta", layer.bn.bias), ("kMean", layer.bn.running_mean),
        ("kVariance", layer.bn.running_var), ("kY", y), ("kEvaluated", evaluated),
        ("kGradX", x.grad), ("kGradWeight", layer.weight.grad), ("kGradGamma", layer.bn.weight.grad),
        ("kGradBeta", layer.bn.bias.grad)]:
    text += array(name, values)
text += "\n}  // namespace pare::golden_exact_norm\n// clang-format on\n"
pathlib.Path(__file__).with_name("golden_exact_norm.h").write_text(text)
print(layer.bias.grad)
