"""Writes golden_optim.h: PyTorch's optimizers, schedules and clipping.

Run with PyTorch installed: python tests/optim/make_optim.py
"""
import os

import numpy as np
import torch

STEPS = 10


def array(name, values):
    numbers = np.asarray(values, dtype=np.float64).ravel()
    lines = [", ".join(f"{v:.17g}" if set(f"{v:.17g}") & set(".e") else f"{v:.17g}.0"
                       for v in numbers[k:k + 4]) for k in range(0, len(numbers), 4)]
    return f"inline constexpr double {name}[] = {{\n    " + ",\n    ".join(lines) + "};\n"


def trajectory(make, starts, gradients):
    """All parameters after every step; the second one has no gradient in step 2."""
    parameters = [torch.nn.Parameter(s.clone()) for s in starts]
    optimizer = make(parameters)
    rows = []
    for step in range(STEPS):
        for k, p in enumerate(parameters):
            p.grad = None if (k, step) == (1, 2) else gradients[k][step].clone()
        optimizer.step()
        rows += [p.detach().flatten().clone() for p in parameters]
    return torch.cat(rows)


def rates(make, epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = make(optimizer)
    result = []
    for _ in range(epochs):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


def main():
    torch.manual_seed(0)
    shapes = [(3, 7), (5,)]
    starts = [torch.randn(s) for s in shapes]
    gradients = [torch.randn(STEPS, *s) for s in shapes]
    o, s = torch.optim, torch.optim.lr_scheduler
    optimizers = {
        "sgd": lambda p: o.SGD(p, lr=0.1),
        "sgd_decay": lambda p: o.SGD(p, lr=0.1, weight_decay=0.05),
        "sgd_momentum": lambda p: o.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01),
        "sgd_nesterov": lambda p: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        "adam": lambda p: o.Adam(p, lr=0.01),
        "adam_decay": lambda p: o.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
        "adamw": lambda p: o.AdamW(p, lr=0.01),
        "adamw_decay": lambda p: o.AdamW(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
    }
    out = ["// PyTorch's optimizers, schedules and clipping; written by make_optim.py.",
           "#pragma once", "", "namespace pare::test::golden {", "", "// clang-format off"]
    for k in range(2):
        out.append(array(f"start_{k}", starts[k]))
        out.append(array(f"gradients_{k}", gradients[k]))
    for name, make in optimizers.items():
        out.append(array(name, trajectory(make, starts, gradients)))
    out.append(array("step_lr", rates(lambda x: s.StepLR(x, 3, gamma=0.5), 10)))
    out.append(array("cosine_lr", rates(lambda x: s.CosineAnnealingLR(x, 8, eta_min=0.01), 9)))
    out.append(array("constant_lr", rates(lambda x: s.ConstantLR(x, factor=0.25, total_iters=4), 7)))

    for name, p in [("2", 2.0), ("1", 1.0), ("3", 3.0), ("inf", float("inf"))]:
        parameters = [torch.nn.Parameter(x.clone()) for x in starts]
        for k, parameter in enumerate(parameters):
            parameter.grad = gradients[k][0].clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.5, norm_type=p)
        out.append(array(f"norm_{name}", [norm.item()]))
        out.append(array(f"clipped_{name}", torch.cat([q.grad.flatten() for q in parameters])))
    out += ["// clang-format on", "", "}  // namespace pare::test::golden", ""]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden_optim.h")
    with open(path, "w") as file:
        file.write("\n".join(out))


main()
