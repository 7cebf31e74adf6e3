"""Writes golden_math.h and golden_activation.h: what PyTorch computes for the mathematical functions,
arithmetic, comparisons and logic, and for the activations.
Run: python tests/core/make_golden_math.py"""

import torch
import torch.nn.functional as F

from make_golden import case, short, write

torch.manual_seed(11)
INF, NAN = float("inf"), float("nan")
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 88.0, -88.0, 1e-40, 1e-30, 3e38, 8388609.0,
                        0.92, 0.93, 3.9, -9.5, 20.0, 21.0, 100.0, -110.0, INF, -INF, NAN])
SCRIPT = "make_golden_math.py"


def math():
    out = []
    functions = {"abs": torch.abs, "sign": torch.sign, "square": torch.square,
                 "reciprocal": torch.reciprocal, "rsqrt": torch.rsqrt, "sin": torch.sin, "cos": torch.cos,
                 "tan": torch.tan, "erf": torch.erf, "floor": torch.floor, "ceil": torch.ceil,
                 "round": torch.round}
    for name, f in functions.items():
        out.append(case(name, [], [SPECIAL], f, differentiate=0))
        x = torch.rand(37) * 3 + 0.1 if name in ("rsqrt", "reciprocal") else torch.randn(37) * 4
        if name == "tan":
            x = torch.rand(37) * 2 - 1
        out.append(case(name, [], [x], f))
        out.append(case(name, [], [torch.rand(2, 3, 3, 2) + 0.25], f))
    out.append(case("abs", [], [torch.tensor([0.0, -2.0, 3.0])], torch.abs))
    for name, f in [("minimum", torch.minimum), ("pow", torch.pow)]:
        for a, b in [((3, 5), (3, 5)), ((3, 5), (5,)), ((3, 5), ()), ((2, 3, 2, 2), (3, 1, 1))]:
            out.append(case(name, [], [torch.rand(a) + 0.25, torch.rand(b) * 2 - 0.5], f))
    ties = torch.tensor([1.0, -2.0, 3.0, 0.0, NAN])
    other = torch.tensor([1.0, -2.0, 2.0, 5.0, 1.0])
    out.append(case("minimum", [], [ties, other], torch.minimum))
    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1e-40, 3e38, INF, -INF, NAN])
    powers = torch.tensor([0.0, 1.0, -1.0, 2.0, 3.0, -3.0, 0.5, -0.5, 2.5, 16777217.0, 1e-30, INF, -INF, NAN])
    out.append(case("pow", [], [edges.reshape(-1, 1), powers], torch.pow, differentiate=0))
    out.append(case("pow", [], [torch.tensor([0.0, 0.0, 2.0, 0.0]), torch.tensor([0.0, 2.0, 0.0, 1.0])], torch.pow))
    rests = [torch.tensor([5.3, -5.3, 5.3, -5.3, 6.0, -6.0, 1e10, 7.0, -7.0, 1.0, 0.5, 3e38]),
             torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0, 3.0, 3.7, INF, INF, 0.0, 1e-3, 0.7])]
    for fmod, f in [(0, torch.remainder), (1, torch.fmod)]:
        out.append(case("mod", [fmod], rests, f, differentiate=0))
        out.append(case("mod", [fmod], [torch.randn(4, 9) * 20, torch.tensor([2.5, -1.25, 3.0] * 3)], f))
    a = torch.tensor([1.0, 2.0, 3.0, NAN, INF, -0.0])
    b = torch.tensor([1.0, 3.0, 2.0, NAN, INF, 0.0])
    for name, f in [("equal", torch.eq), ("not_equal", torch.ne), ("less", torch.lt), ("less_equal", torch.le),
                    ("greater", torch.gt), ("greater_equal", torch.ge), ("logical_and", torch.logical_and),
                    ("logical_or", torch.logical_or), ("logical_xor", torch.logical_xor)]:
        out.append(case(name, [], [a, b], f, differentiate=0))
        out.append(case(name, [], [short(torch.randn(2, 3, 2)).round(), torch.tensor([[0.0], [1.0], [-1.0]])], f,
                        differentiate=0))
    out.append(case("logical_not", [], [a], torch.logical_not, differentiate=0))
    i, j = torch.tensor([0.0, 1.0, -1.0, 12.0, -8.0]), torch.tensor([[3.0], [-4.0]])
    for name, f in [("bitwise_and", torch.bitwise_and), ("bitwise_or", torch.bitwise_or),
                    ("bitwise_xor", torch.bitwise_xor)]:
        out.append(case(name, [], [i, j], lambda a, b, f=f: f(a.int(), b.int()), differentiate=0))
    out.append(case("bitwise_not", [], [i], lambda a: torch.bitwise_not(a.int()), differentiate=0))
    truth = torch.tensor([[1.0], [0.0], [1.0]])
    out.append(case("where", [], [truth, ties, torch.tensor(7.0)], lambda c, a, b: torch.where(c.bool(), a, b),
                    differentiate=0))
    write("math", out, script=SCRIPT)


def activation():
    out = []
    functions = [
        ("leaky_relu", [0.2], lambda t: F.leaky_relu(t, 0.2)),
        ("elu", [1.5], lambda t: F.elu(t, 1.5)),
        ("selu", [], F.selu),
        ("celu", [0.7], lambda t: F.celu(t, 0.7)),
        ("hardsigmoid", [], F.hardsigmoid),
        ("hardswish", [], F.hardswish),
        ("hardtanh", [-1, 2], lambda t: F.hardtanh(t, -1.0, 2.0)),
        ("softplus", [1, 20], F.softplus),
        ("softplus", [2, 4], lambda t: F.softplus(t, 2.0, 4.0)),
        ("softsign", [], F.softsign),
        ("gelu", [0], F.gelu),
        ("gelu", [1], lambda t: F.gelu(t, approximate="tanh")),
        ("silu", [], F.silu),
        ("mish", [], F.mish),
        ("log_sigmoid", [], F.logsigmoid),
    ]
    kinks = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, -3.0, 20.0, 21.0, -20.0, -30.0, 50.0])
    for name, numbers, f in functions:
        # PyTorch's own vector code and scalar code differ at infinity in some of these.
        out.append(case(name, numbers, [SPECIAL[:-3]], f, differentiate=0))
        out.append(case(name, numbers, [torch.full((3,), NAN)], f, differentiate=0))
        out.append(case(name, numbers, [kinks], f))
        out.append(case(name, numbers, [torch.randn(37) * 3], f))
        out.append(case(name, numbers, [torch.randn(2, 3, 3, 2) * 3], f))
    for x, w in [((3, 5), (5,)), ((2, 3, 2, 2), (3,)), ((7,), (1,)), ((2, 3, 4), (1,))]:
        out.append(case("prelu", [], [torch.randn(x), torch.rand(w) + 0.1], F.prelu))
    out.append(case("prelu", [], [torch.tensor([0.0, -1.0, 2.0]), torch.tensor([0.25])], F.prelu))
    for axis in (0, -1):
        out.append(case("glu", [axis], [torch.randn(4, 3, 6)], lambda t, a=axis: F.glu(t, a)))
    write("activation", out, script=SCRIPT)


math()
activation()
