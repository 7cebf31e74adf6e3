"""Writes golden_torchvision.h: names, shapes and logits of torchvision's models, with weights that
both sides compute from the names.

Run with PyTorch and torchvision installed: python tests/models/make_torchvision.py
"""
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as tv


class DsCnn(nn.Module):
    """MLPerf Tiny's keyword spotting net: Keras' "same" padding, by hand."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, (10, 4), 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.blocks = nn.Sequential(*[nn.Sequential() for _ in range(4)])
        for block in self.blocks:
            block.add_module("depthwise", nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False))
            block.add_module("bn1", nn.BatchNorm2d(64))
            block.add_module("relu1", nn.ReLU())
            block.add_module("pointwise", nn.Conv2d(64, 64, 1, bias=False))
            block.add_module("bn2", nn.BatchNorm2d(64))
            block.add_module("relu2", nn.ReLU())
        self.fc = nn.Linear(64, 12)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(F.pad(x, (1, 1, 4, 5)))))
        return self.fc(self.blocks(x).mean((2, 3)))


def noise(number, shape):
    """What noise() in noise.h computes: in [-0.5, 0.5), by integers alone."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    mixed = (i * np.uint64(2654435761) + np.uint64(number) * np.uint64(40503)) % np.uint64(2**32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(2**32)
    values = (mixed >> np.uint64(16)).astype(np.float64) / 65536 - 0.5
    return torch.tensor(values.astype(np.float32)).reshape(shape)


def fnv(text, value=2166136261):
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def state(net):
    return {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}


def fill(net):
    for name, tensor in state(net).items():
        values = noise(fnv(name), tuple(tensor.shape))
        if tensor.dim() > 1:
            values = values * np.float32(np.sqrt(24 / float(tensor[0].numel())))
        elif name.endswith("running_var") or name.endswith("weight"):
            values = values * 0.5 + 1
        else:
            values = values * 0.5
        tensor.copy_(values)
    return net


def lines(net):
    return sorted(f"{k} {list(v.shape)}" for k, v in state(net).items())


def array(name, values):
    numbers = np.asarray(values, dtype=np.float32).ravel()
    rows = [", ".join(f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.9g}.0f"
                      for v in numbers[k:k + 6]) for k in range(0, len(numbers), 6)]
    return f"inline constexpr float {name}[] = {{\n    " + ",\n    ".join(rows) + "};\n"


def names(name, net):
    rows = ",\n".join(f'    "{line}"' for line in lines(net))
    return f"inline constexpr const char* {name}[] = {{\n{rows}}};\n"


def vgg(make, hidden):
    net = make(num_classes=10)
    net.classifier[0] = nn.Linear(512 * 7 * 7, hidden)
    net.classifier[3] = nn.Linear(hidden, hidden)
    net.classifier[6] = nn.Linear(hidden, 10)
    return net


ALL = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
       "wide_resnet50_2", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn",
       "vgg19_bn", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "squeezenet1_0",
       "squeezenet1_1"]
LISTED = ["resnet18", "vgg11_bn", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1"]


def main():
    torch.set_num_threads(1)
    out = ["// Names, shapes and logits of torchvision's models; written by make_torchvision.py.",
           "#pragma once", "", "#include <cstdint>", "", "namespace pare::test::golden {", "",
           "// clang-format off",
           "/// A state without num_batches_tracked: FNV-1a of its lines, sorted, each with a line feed.",
           "struct State {\n  const char* name;\n  int tensors;\n  std::uint32_t hash;\n};"]
    rows = []
    for name in ALL:
        net = getattr(tv, name)(weights=None)
        rows.append(f'    {{"{name}", {len(lines(net))}, {fnv("".join(l + chr(10) for l in lines(net)))}U}}')
        if name in LISTED:
            out.append(names(f"{name}_state", net))
    out.append("inline constexpr State states[] = {\n" + ",\n".join(rows) + "};\n")

    x = noise(1001, (2, 3, 64, 64)) * 4
    grey = noise(1002, (2, 1, 64, 64)) * 4
    small = x[:, :, :32, :32].contiguous()
    with torch.no_grad():
        for name in ["resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_small",
                     "mobilenet_v3_large", "squeezenet1_0", "squeezenet1_1"]:
            net = getattr(tv, name)(weights=None, num_classes=10)
            out.append(array(f"{name}_logits", fill(net).eval()(x)))
        for name in ["vgg11", "vgg13_bn"]:
            out.append(array(f"{name}_logits", fill(vgg(getattr(tv, name), 16)).eval()(small)))
        net = tv.mobilenet_v2(weights=None, num_classes=5, width_mult=0.35)
        net.features[0][0] = nn.Conv2d(1, net.features[0][0].out_channels, 3, 2, 1, bias=False)
        out.append(array("mobilenet_v2_narrow_logits", fill(net).eval()(grey)))
        out.append(array("ds_cnn_logits", fill(DsCnn()).eval()(noise(1003, (3, 1, 49, 10)) * 4)))
    out.append(names("ds_cnn_state", DsCnn()))

    # First values: the deviation of some layers' weights (the mean of three draws).
    torch.manual_seed(1)
    def deviation(make, pick):
        return float(np.mean([pick(make(weights=None)).detach().double().std() for _ in range(3)]))
    out.append(array("first_deviations", [
        deviation(tv.resnet18, lambda n: n.layer4[1].conv2.weight),
        deviation(tv.resnet18, lambda n: n.fc.weight),
        deviation(tv.mobilenet_v2, lambda n: n.features[17].conv[1][0].weight),
        deviation(tv.mobilenet_v2, lambda n: n.classifier[1].weight),
        deviation(tv.squeezenet1_1, lambda n: n.features[12].expand3x3.weight),
        deviation(tv.squeezenet1_1, lambda n: n.classifier[1].weight)]))
    out += ["// clang-format on", "", "}  // namespace pare::test::golden", ""]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden_torchvision.h")
    with open(path, "w") as file:
        file.write("\n".join(out))


main()
