"""Writes golden_trigonometry.h: what PyTorch computes for the inverse trigonometric and the hyperbolic functions.
Run: python tests/core/make_golden_trigonometry.py"""

import torch

from make_golden import case, write

torch.manual_seed(23)
INF, NAN = float("inf"), float("nan")
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 1e-40, 1e-20, 1e-3, -1e-3, 0.999, 20.0, -20.0, 88.0,
                        -88.0, 1e10, 3e38, INF, -INF, NAN])
RANGES = {"asin": (-0.95, 0.95), "acos": (-0.95, 0.95), "atan": (-6, 6), "sinh": (-4, 4), "cosh": (-4, 4),
          "asinh": (-6, 6), "acosh": (1.1, 6), "atanh": (-0.95, 0.95)}

out = []
for name, (low, high) in RANGES.items():
    f = getattr(torch, name)
    out.append(case(name, [], [SPECIAL], f, differentiate=0))
    out.append(case(name, [], [torch.rand(37) * (high - low) + low], f))
    out.append(case(name, [], [torch.rand(2, 3, 2, 2) * (high - low) + low], f))
write("trigonometry", out, script="make_golden_trigonometry.py")
