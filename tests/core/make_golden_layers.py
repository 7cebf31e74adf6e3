"""Writes golden_layers.h: PyTorch's values of convolution, pooling, batch norm, gather.

Run in this folder: python make_golden_layers.py
"""
import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(3)
lines = [
    "// PyTorch's values of layers, written by make_golden_layers.py.",
    "#pragma once",
    "",
    "namespace pare::golden {",
    "",
    "// clang-format off",
]


def text(v):
    if np.isnan(v):
        return "__builtin_nanf(\"\")"
    s = np.format_float_positional(np.float32(v), unique=True, trim="0")
    return s + "F"


def put(name, tensor):
    values = tensor.detach().to(torch.float32).contiguous().flatten().tolist()
    lines.append(f"inline constexpr float k{name}[] = {{")
    row = "   "
    for v in values:
        item = " " + text(v) + ","
        if len(row) + len(item) > 100:
            lines.append(row)
            row = "   "
        row += item
    lines.append(row)
    lines.append("};")


def with_gradients(name, y, inputs):
    """y, and gradients of sum(y · g) for a random g."""
    g = torch.randn_like(y)
    y.backward(g)
    put(name + "Y", y)
    put(name + "G", g)
    for key, tensor in inputs.items():
        put(name + key, tensor)
        if tensor.grad is not None:
            put(name + "Grad" + key, tensor.grad)


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


def conv(name, x, w, b, **options):
    with_gradients(name, F.conv2d(x, w, b, **options), {"X": x, "W": w, "B": b})


conv("Conv", leaf(2, 3, 6, 5), leaf(4, 3, 3, 3), leaf(4), stride=2, padding=1)
conv("Dilated", leaf(1, 2, 7, 6), leaf(3, 2, 3, 2), leaf(3), padding=(2, 1), dilation=(2, 1))
conv("Grouped", leaf(2, 4, 4, 4), leaf(6, 2, 3, 3), leaf(6), padding=1, groups=2)
conv("Depthwise", leaf(2, 3, 5, 4), leaf(3, 1, 3, 3), leaf(3), stride=(1, 2), padding=1, groups=3)

x, w, b = leaf(4, 6), leaf(5, 6), leaf(5)
with_gradients("Linear", F.linear(x, w, b), {"X": x, "W": w, "B": b})
x, w = leaf(2, 1, 3, 4), leaf(3, 4, 2)
with_gradients("Matmul", torch.matmul(x, w), {"X": x, "W": w})

# Few distinct values: ties everywhere.
x = torch.randint(-2, 3, (2, 3, 7, 6)).float().requires_grad_()
with_gradients("MaxTies", F.max_pool2d(x, 3, stride=2, padding=1), {"X": x})
x = torch.randint(-2, 3, (2, 3, 6, 8)).float().requires_grad_()
with_gradients("MaxPairs", F.max_pool2d(x, 2), {"X": x})
x = torch.randn(1, 2, 4, 4)
x[0, 0, 1, 1] = float("nan")
x[0, 1, 2, 0] = float("nan")
x[0, 1, 3, 1] = float("nan")
x.requires_grad_()
with_gradients("MaxNan", F.max_pool2d(x, 2), {"X": x})
x = leaf(2, 3, 6, 5)
with_gradients("Average", F.avg_pool2d(x, 3, stride=2, padding=1), {"X": x})
x = leaf(2, 3, 6, 5)
with_gradients("AverageInside",
               F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False), {"X": x})

# A mean far from zero: sums of squares would lose the variance.
x = (torch.randn(3, 5, 4, 5) * 0.5 + 300 * torch.randn(1, 5, 1, 1)).requires_grad_()
w, b = leaf(5), leaf(5)
mean, variance = torch.randn(5), torch.rand(5) + 0.5
put("NormMean", mean)
put("NormVariance", variance)
y = F.batch_norm(x, mean, variance, w, b, training=True, momentum=0.1, eps=1e-5)
put("NormNewMean", mean)
put("NormNewVariance", variance)
# The values themselves from double precision: PyTorch's own float result is off by 1e-4 here.
double = [t.detach().double().requires_grad_() for t in (x, w, b)]
y = F.batch_norm(double[0], torch.zeros(5).double(), torch.ones(5).double(), double[1], double[2],
                 training=True)
with_gradients("Norm", y, {"X": double[0], "W": double[1], "B": double[2]})
x, w, b = leaf(3, 4, 2, 2), leaf(4), leaf(4)
mean, variance = torch.randn(4), torch.rand(4) + 0.5
put("EvalMean", mean)
put("EvalVariance", variance)
with_gradients("Eval", F.batch_norm(x, mean, variance, w, b, training=False),
               {"X": x, "W": w, "B": b})

x = leaf(5, 3)
index = torch.tensor([[4, 0, 4], [1, 4, 2]])
with_gradients("Embedding", F.embedding(index, x), {"X": x})

lines += ["// clang-format on", "", "}  // namespace pare::golden", ""]
with open("golden_layers.h", "w", encoding="utf-8") as out:
    out.write("\n".join(lines))
