"""Writes golden_models.h: PyTorch's results for the models with weights that both sides compute.

Run with PyTorch installed: python tests/models/make_models.py
"""
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class VerySimpleNet(nn.Module):
    def __init__(self, hidden=(100, 100)):
        super().__init__()
        self.fc1 = nn.Linear(784, hidden[0])
        self.fc2 = nn.Linear(*hidden)
        self.fc3 = nn.Linear(hidden[1], 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class BasicBlock(nn.Module):
    def __init__(self, planes_in, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(planes_in, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.changes, self.planes = stride != 1 or planes_in != planes, planes

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.changes:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4))
        return F.relu(x + y)


class ResNetCifar(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        planes_in = 16
        for stage, (planes, stride) in enumerate([(16, 1), (32, 2), (64, 2)]):
            parts = []
            for i in range(blocks):
                parts.append(BasicBlock(planes_in, planes, stride if i == 0 else 1))
                planes_in = planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*parts))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.size()[3]).flatten(1))


def noise(number, shape):
    """What the test's noise() computes: in [-0.5, 0.5), by integers alone."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    mixed = (i * np.uint64(2654435761) + np.uint64(number) * np.uint64(40503)) % np.uint64(2**32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(2**32)
    values = (mixed >> np.uint64(16)).astype(np.float64) / 65536 - 0.5
    return torch.tensor(values.astype(np.float32)).reshape(shape)


def fill(net):
    number = 1
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        values = noise(number, tuple(tensor.shape))
        if tensor.dim() > 1:
            values = values * np.float32(4 / np.sqrt(float(tensor[0].numel())))
        elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            values = 1 + values
        tensor.copy_(values)
        number += 1
    return net


def array(name, values):
    numbers = np.asarray(values, dtype=np.float32).ravel()
    lines = [", ".join(f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.9g}.0f"
                       for v in numbers[k:k + 6]) for k in range(0, len(numbers), 6)]
    return f"inline constexpr float {name}[] = {{\n    " + ",\n    ".join(lines) + "};\n"


def names(name, net):
    rows = [f'    "{k} {list(v.shape)}"' for k, v in net.state_dict().items()
            if not k.endswith("num_batches_tracked")]
    return f"inline constexpr const char* {name}[] = {{\n" + ",\n".join(rows) + "};\n"


def main():
    torch.set_num_threads(1)
    out = ["// What PyTorch computes for the models; written by make_models.py.",
           "#pragma once", "", "namespace pare::test::golden {", "", "// clang-format off"]
    mnist, cifar = noise(1000, (2, 1, 28, 28)) * 2, noise(1001, (4, 3, 32, 32)) * 4
    nets = {"very_simple": (VerySimpleNet(), mnist), "lenet300_100": (VerySimpleNet((300, 100)), mnist),
            "lenet5": (LeNet5(), mnist), "resnet8": (ResNetCifar(1), cifar),
            "resnet20": (ResNetCifar(3), cifar)}
    with torch.no_grad():
        for name, (net, x) in nets.items():
            out.append(array(f"{name}_logits", fill(net).eval()(x)))
    out.append(names("resnet20_state", nets["resnet20"][0]))
    out.append(names("lenet5_state", nets["lenet5"][0]))

    net = nets["resnet8"][0].train()
    loss = F.cross_entropy(net(cifar), torch.tensor([3, 1, 4, 1]))
    loss.backward()
    out.append(array("resnet8_loss", [loss.item()]))
    out.append(array("resnet8_gradient_norms", [p.grad.double().norm().item() for p in net.parameters()]))
    out.append(array("resnet8_conv1_gradient", net.conv1.weight.grad[:4].numpy()))
    out.append(array("resnet8_running_var", net.layer3[0].bn2.running_var.numpy()))
    out += ["// clang-format on", "", "}  // namespace pare::test::golden", ""]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden_models.h")
    with open(path, "w") as file:
        file.write("\n".join(out))


main()
