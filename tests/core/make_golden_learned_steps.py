#!/usr/bin/env python3
# Writes golden_learned_steps.h: results and gradients of PyTorch's learnable fake-quantization, and
# of PACT and TQT as autograd has them.
# Run: /opt/venv/bin/python tests/core/make_golden_learned_steps.py
import pathlib

import torch

torch.manual_seed(5)


class Through(torch.autograd.Function):
    """A rounding whose gradient is 1."""

    @staticmethod
    def forward(ctx, x, f):
        return f(x)

    @staticmethod
    def backward(ctx, g):
        return g, None


def learnable(x, step, zero, qmin, qmax, axis, factor):
    if axis < 0:
        return torch._fake_quantize_learnable_per_tensor_affine(x, step, zero, qmin, qmax, factor)
    return torch._fake_quantize_learnable_per_channel_affine(x, step, zero, axis, qmin, qmax, factor)


def pact(x, clip, zero, qmin, qmax, axis, factor):
    z = zero.item()
    kept = torch.minimum(torch.maximum(x, clip * (qmin - z) / (qmax - z)), clip)  # Choi et al., equation 1
    with torch.no_grad():
        s = clip / (qmax - z)
        codes = torch.clamp(torch.round(kept / s), qmin - z, qmax - z) * s
    return kept + (codes - kept).detach()


def tqt(x, log2t, zero, qmin, qmax, axis, factor):
    z = zero.item()
    levels = 2 ** torch.ceil(torch.log2(torch.tensor(qmax - z + 1.0))).item()
    s = 2 ** Through.apply(log2t, torch.ceil) / levels
    code = Through.apply(x / s, torch.round)
    # Not torch.clamp, whose gradient is 0 at the bounds too.
    return torch.where(code < qmin - z, qmin - z, torch.where(code > qmax - z, qmax - z, code)) * s


def numbers(t):
    return "{" + ", ".join(f"{v:.9g}" + ("" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else ".0") for v in t.double().flatten().tolist()) + "}"


CASES = [
    # name, function, form, shape, axis, qmin, qmax, steps, zeros, factor
    ("affine, 8 bits", learnable, "scale", (24,), -1, 0, 255, [0.013], [93.4], 1.0),
    ("affine, 4 bits", learnable, "scale", (24,), -1, 0, 15, [0.21], [6.6], 0.25),
    ("symmetric, 4 bits", learnable, "scale", (4, 6), -1, -8, 7, [0.19], [0.0], 1.0),
    ("symmetric, 2 bits", learnable, "scale", (4, 6), -1, -2, 1, [0.7], [0.0], 0.125),
    ("ternary", learnable, "scale", (4, 6), -1, -1, 1, [0.9], [0.0], 1.0),
    ("channels 0, 8 bits", learnable, "scale", (3, 8), 0, -127, 127, [0.011, 0.017, 0.009], [0.0, 0.0, 0.0], 1.0),
    ("channels 0, 3 bits", learnable, "scale", (3, 2, 2, 2), 0, -4, 3, [0.4, 0.5, 0.3], [0.0, 0.0, 0.0], 0.5),
    ("channels 1, affine, 4 bits", learnable, "scale", (2, 3, 4), 1, 0, 15, [0.2, 0.15, 0.25], [5.3, 8.8, 7.1], 0.5),
    ("channels last axis", learnable, "scale", (8, 3), 1, -8, 7, [0.2, 0.15, 0.25], [0.0, 0.0, 0.0], 1.0),
    ("pact, 4 bits", pact, "clip", (24,), -1, 0, 15, [1.1], [0.0], 1.0),
    ("pact, signed", pact, "clip", (24,), -1, -7, 7, [1.3], [0.0], 1.0),
    ("pact, middle", pact, "clip", (24,), -1, 0, 15, [1.3], [8.0], 1.0),
    ("tqt, 8 bits", tqt, "log2", (24,), -1, -128, 127, [0.3], [0.0], 1.0),
    ("tqt, 4 bits", tqt, "log2", (24,), -1, 0, 15, [0.3], [0.0], 1.0),
    ("tqt, 3 bits", tqt, "log2", (24,), -1, -4, 3, [-0.4], [0.0], 1.0),
]

text = f"// Learned fake-quantization by PyTorch {torch.__version__}; written by make_golden_learned_steps.py.\n"
text += "#pragma once\n\n#include <cstdint>\n#include <vector>\n\n// clang-format off\nnamespace pare::golden {\n\n"
text += "struct LearnedStep {\n  const char* name; const char* form; std::vector<std::int64_t> shape; std::int64_t axis, qmin, qmax; double factor;\n"
text += "  std::vector<float> step, zero, x, dy, y, dx, dstep, dzero;\n};\n"
text += "inline const std::vector<LearnedStep> kLearnedSteps = {\n"
for name, function, form, shape, axis, qmin, qmax, steps, zeros, factor in CASES:
    x = (torch.randn(shape) * 1.1).requires_grad_()
    dy = torch.randn(shape)
    step = torch.tensor(steps, requires_grad=True)
    zero = torch.tensor(zeros, requires_grad=True)
    y = function(x, step, zero, qmin, qmax, axis, factor)
    y.backward(dy)
    dzero = zero.grad if zero.grad is not None else torch.zeros_like(zero)
    text += f'    {{"{name}", "{form}", {{{", ".join(map(str, shape))}}}, {axis}, {qmin}, {qmax}, {factor},\n     '
    text += ",\n     ".join(numbers(t.detach()) for t in (step, zero, x, dy, y, x.grad, step.grad, dzero)) + "},\n"
text += "};\n\n}  // namespace pare::golden\n// clang-format on\n"
pathlib.Path(__file__).with_name("golden_learned_steps.h").write_text(text)
