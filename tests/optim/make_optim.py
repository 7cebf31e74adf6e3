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


class Lamb(torch.optim.Optimizer):
    """The paper's algorithm 2, in double; phi is the identity, both moments are corrected for their bias."""

    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01):
        super().__init__(parameters, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        group = self.param_groups[0]
        b1, b2 = group["betas"]
        for p in group["params"]:
            if p.grad is None:
                continue
            s = self.state[p]
            if not s:
                s.update(step=0, m=torch.zeros_like(p, dtype=torch.double), v=torch.zeros_like(p, dtype=torch.double))
            s["step"] += 1
            g, w = p.grad.double(), p.double()
            s["m"] = b1 * s["m"] + (1 - b1) * g
            s["v"] = b2 * s["v"] + (1 - b2) * g * g
            r = (s["m"] / (1 - b1 ** s["step"])) / ((s["v"] / (1 - b2 ** s["step"])).sqrt() + group["eps"]) + group["weight_decay"] * w
            ratio = w.norm() / r.norm() if w.norm() > 0 and r.norm() > 0 else 1.0
            p.copy_((w - group["lr"] * ratio * r).float())


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
        "rmsprop": lambda p: o.RMSprop(p, lr=0.02),
        "rmsprop_all": lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-4, weight_decay=0.05, momentum=0.8, centered=True),
        "rmsprop_momentum": lambda p: o.RMSprop(p, lr=0.02, momentum=0.8),
        "adagrad": lambda p: o.Adagrad(p, lr=0.1),
        "adagrad_all": lambda p: o.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.05, initial_accumulator_value=0.2, eps=1e-4),
        "nadam": lambda p: o.NAdam(p, lr=0.01),
        "nadam_all": lambda p: o.NAdam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, momentum_decay=0.01),
        "lamb": lambda p: Lamb(p, lr=0.01),
        "lamb_all": lambda p: Lamb(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
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

    out.append(array("exponential_lr", rates(lambda x: s.ExponentialLR(x, gamma=0.7), 6)))
    out.append(array("multi_step_lr", rates(lambda x: s.MultiStepLR(x, [2, 5], gamma=0.3), 8)))
    out.append(array("linear_lr", rates(lambda x: s.LinearLR(x, start_factor=0.2, end_factor=0.9, total_iters=4), 7)))
    out.append(array("polynomial_lr", rates(lambda x: s.PolynomialLR(x, total_iters=5, power=1.5), 8)))
    out.append(array("restarts_lr", rates(lambda x: s.CosineAnnealingWarmRestarts(x, 3, T_mult=2, eta_min=0.02), 12)))
    out.append(array("one_cycle_lr", rates(lambda x: s.OneCycleLR(x, max_lr=0.8, total_steps=10), 10)))
    out.append(array("one_cycle_linear_lr", rates(lambda x: s.OneCycleLR(x, max_lr=0.8, total_steps=12, pct_start=0.4, anneal_strategy="linear", div_factor=10, final_div_factor=100), 12)))
    out.append(array("warm_up_lr", rates(lambda x: s.SequentialLR(x, [s.LinearLR(x, start_factor=0.1, total_iters=3), s.ExponentialLR(x, gamma=0.5)], [3]), 7)))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    plateau = s.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, min_lr=0.09)
    metrics = [1.0, 0.8, 0.9, 0.85, 0.81, 0.82, 0.83, 0.7, 0.71, 0.72, 0.73, float("nan"), 0.75, 0.76, 0.77, 0.78]
    reduced = []
    for metric in metrics:
        plateau.step(metric)
        reduced.append(optimizer.param_groups[0]["lr"])
    out.append(array("plateau_metrics", [m if m == m else -1.0 for m in metrics]))
    out.append(array("plateau_lr", reduced))

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
