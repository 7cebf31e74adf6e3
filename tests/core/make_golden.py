"""Writes golden_{elementwise,reduction,loss,quantization,movement}.h: what PyTorch (and, for the linear
quantization ops, ONNX Runtime) compute for the ops. Run: python tests/core/make_golden.py"""

import pathlib

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
torch.manual_seed(7)


def number(v):
    v = float(v)
    if np.isnan(v):
        return "NAN"
    if np.isinf(v):
        return "INFINITY" if v > 0 else "-INFINITY"
    text = repr(np.float32(v).item())
    short = np.format_float_scientific(np.float32(v), unique=True, trim="-")
    text = short if len(short) < len(text) else text
    return text + "F" if ("." in text or "e" in text) else text + ".0F"


def short(t):
    """The same, rounded to what few digits print."""
    return (t * 64).round() / 64


def tensor(t):
    t = t.detach()
    values = ", ".join(number(v) for v in t.reshape(-1).tolist())
    return "{{%s}, {%s}}" % (", ".join(map(str, t.shape)), values)


def case(op, numbers, inputs, run, differentiate=None):
    count = len(inputs) if differentiate is None else differentiate
    leaves = [x.detach().clone().requires_grad_(i < count) for i, x in enumerate(inputs)]
    y = run(*leaves)
    given = torch.zeros(0)
    gradients = []
    if count:
        given = short(torch.randn(y.shape))
        gradients = list(torch.autograd.grad(y, leaves[:count], given.to(y.dtype)))
    fields = [
        '"%s"' % op,
        "{%s}" % ", ".join(repr(float(n)).replace("inf", "INFINITY") for n in numbers),
        "{%s}" % ", ".join(tensor(x) for x in inputs),
        tensor(y.to(torch.float32)),
        tensor(given),
        "{%s}" % ", ".join(tensor(g) for g in gradients),
    ]
    return "      {%s}," % ", ".join(fields)


def write(topic, cases, extra="", script="make_golden.py"):
    lines = [
        "// Golden values of %s ops from PyTorch %s; written by %s."
        % (topic, torch.__version__.split("+")[0], script),
        "// clang-format off",
        "#pragma once",
        "",
        '#include "core/golden.h"',
        "",
        "namespace pare::test {",
        "",
        "inline std::vector<GoldenCase> %s_golden() {" % topic,
        "  static constexpr GoldenLiteral kCases[] = {",
        *cases,
        "  };",
        "  return golden_cases(kCases);",
        "}",
        extra,
        "}  // namespace pare::test",
    ]
    (HERE / ("golden_%s.h" % topic)).write_text("\n".join(lines) + "\n")


def elementwise():
    out = []
    functions = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
                 "maximum": torch.maximum}
    for name, f in functions.items():
        for a, b in [((3, 5), (3, 5)), ((3, 5), (5,)), ((3, 5), ()), ((2, 3, 2, 2), (3, 1, 1)),
                     ((2, 1, 3), (4, 1))]:
            out.append(case(name, [], [torch.randn(a), torch.rand(b) + 0.5], f))
    ties = torch.tensor([1.0, -2.0, 3.0, 0.0, float("nan")])
    out.append(case("maximum", [], [ties, torch.tensor([1.0, -2.0, 2.0, 5.0, 1.0])], torch.maximum))
    special = torch.tensor([0.0, -0.0, 1.0, -1.0, 88.0, -88.0, 89.5, -104.5, float("inf"),
                            float("-inf"), float("nan"), 1e-40, 1e-30, 3e38, 6.0, 5.9999995, 0.62,
                            0.63, -9.5, 20.0])
    unary = {"neg": torch.neg, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
             "relu": torch.relu, "relu6": torch.nn.functional.relu6, "sigmoid": torch.sigmoid,
             "tanh": torch.tanh}
    for name, f in unary.items():
        out.append(case(name, [], [special], f, differentiate=0))
        x = torch.rand(37) * 3 + 0.1 if name in ("log", "sqrt") else torch.randn(37) * 4
        out.append(case(name, [], [x], f))
        out.append(case(name, [], [torch.rand(2, 3, 3, 3) * 8], f))
    # 0.0 and 6.0 are where the derivatives of relu and relu6 jump.
    edges = torch.tensor([0.0, 6.0, -1.0, 7.0, 3.0])
    out.append(case("relu", [], [edges], torch.relu))
    out.append(case("relu6", [], [edges], torch.nn.functional.relu6))
    for low, high in [(-1.0, 2.0), (0.0, float("inf"))]:
        # Not at the bounds: there PyTorch has passed the gradient in some versions only.
        x = torch.tensor([-3.0, -0.9, 0.1, 0.5, 1.9, 2.5, float("nan")])
        out.append(case("clamp", [low, high], [x], lambda t, l=low, h=high: torch.clamp(t, l, h)))
    write("elementwise", out)


def reduction():
    out = []
    shapes = [((3, 7), [1]), ((3, 7), [0]), ((40,), [0]), ((2, 5, 2, 3), [0, 2, 3]),
              ((2, 5, 2, 3), [1]), ((2, 5, 2, 3), [2, 3]), ((2, 3, 4), [0, 2])]
    functions = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}
    for name, f in functions.items():
        for shape, axes in shapes:
            for keep in (False, True):
                out.append(case(name, [keep, *axes], [short(torch.randn(shape))],
                                lambda t, f=f, a=axes, k=keep: f(t, dim=a, keepdim=k)))
    ties = torch.tensor([[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [float("nan"), 1.0, 2.0, 0.0]])
    out.append(case("max", [0, 1], [ties[:2]], lambda t: torch.amax(t, dim=[1])))
    out.append(case("max", [0, 1], [ties], lambda t: torch.amax(t, dim=[1]), differentiate=0))
    out.append(case("argmax", [0, 1], [ties], lambda t: torch.argmax(t, 1), differentiate=0))
    out.append(case("argmax", [1, 1], [short(torch.randn(2, 5, 3, 3))],
                    lambda t: torch.argmax(t, 1, keepdim=True), differentiate=0))
    for shape, axis in [((4, 10), -1), ((4, 10), 0), ((2, 5, 3, 3), 1), ((3, 35), 1)]:
        x = short(torch.randn(shape) * 5)
        out.append(case("softmax", [axis], [x], lambda t, a=axis: torch.softmax(t, a)))
        out.append(case("log_softmax", [axis], [x], lambda t, a=axis: torch.log_softmax(t, a)))
    far = torch.tensor([[1000.0, 0.0, -1000.0], [float("-inf"), 0.0, 1.0]])
    out.append(case("softmax", [1], [far], lambda t: torch.softmax(t, 1), differentiate=0))
    out.append(case("log_softmax", [1], [far], lambda t: torch.log_softmax(t, 1), differentiate=0))
    write("reduction", out)


def loss():
    out = []
    F = torch.nn.functional
    for n, c in [(1, 3), (4, 10), (3, 33)]:
        x = torch.randn(n, c) * 4
        labels = torch.randint(c, (n,))
        out.append(case("cross_entropy", labels.tolist(), [x],
                        lambda t, l=labels: F.cross_entropy(t, l)))
        log_input = torch.log_softmax(torch.randn(n, c), 1)
        target = torch.softmax(torch.randn(n, c), 1)
        out.append(case("kl_div", [], [log_input, target],
                        lambda a, b: F.kl_div(a, b, reduction="batchmean")))
        out.append(case("mse", [], [log_input, target], F.mse_loss))
    out.append(case("mse", [], [torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)], F.mse_loss))
    zero = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    out.append(case("kl_div", [], [torch.log_softmax(torch.randn(2, 3), 1), zero],
                    lambda a, b: F.kl_div(a, b, reduction="batchmean"), differentiate=1))
    write("loss", out)


def quantization():
    """PyTorch multiplies by 1/s and adds z before it rounds: scales here are powers of two and the
    zero points even, where both orders agree. The other scales come from ONNX Runtime."""
    out = []
    x = torch.cat([torch.randn(40) * 3, torch.arange(-12, 12) * 0.125 + 0.0625])
    for qmin, qmax, z in [(-128, 127, 0), (0, 255, 100), (-8, 7, -2)]:
        out.append(case(
            "fake_quantize", [qmin, qmax, -1, 0.125, z], [x],
            lambda t, l=qmin, h=qmax, z=z: torch.fake_quantize_per_tensor_affine(t, 0.125, z, l, h)))
    w = torch.randn(5, 3, 3, 3)
    scales = torch.tensor([0.5, 0.25, 0.0625, 0.03125, 0.015625])
    zeros = torch.tensor([0, 2, -4, 6, 0], dtype=torch.int32)
    out.append(case("fake_quantize", [-128, 127, 0, *scales.tolist(), *zeros.tolist()], [w],
                    lambda t: torch.fake_quantize_per_channel_affine(t, scales, zeros, 0, -128, 127)))
    y = torch.randn(2, 5, 3, 3)
    out.append(case("fake_quantize", [-128, 127, 1, *scales.tolist(), *zeros.tolist()], [y],
                    lambda t: torch.fake_quantize_per_channel_affine(t, scales, zeros, 1, -128, 127)))
    out += onnx_runtime()
    write("quantization", out)


def onnx_runtime():
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    types = {"u8": (TensorProto.UINT8, np.uint8), "i8": (TensorProto.INT8, np.int8),
             "u16": (TensorProto.UINT16, np.uint16), "i16": (TensorProto.INT16, np.int16)}
    rng = np.random.default_rng(3)
    out = []
    for index, (onnx_type, numpy_type) in enumerate(types.values()):
        info = np.iinfo(numpy_type)
        for channels in (0, 3):
            scale = (rng.random(channels or 1).astype(np.float32) + 0.01) * (0.02 if index < 2 else 1e-4)
            zero = rng.integers(info.min // 4, info.max // 4 + 1, channels or 1).astype(numpy_type)
            x = (rng.standard_normal((2, 3, 17)) * 2).astype(np.float32)
            # Ties of every scale, beside what overflows.
            ties = (np.arange(-8, 9) + 0.5).astype(np.float32)
            x[1] = ties[None, :] * (scale[:, None] if channels else scale)
            x[0, 0, :4] = [3e38, -3e38, np.inf, -np.inf]
            shape = [channels] if channels else []
            nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
                     helper.make_node("Cast", ["q"], ["c"], to=TensorProto.FLOAT),
                     helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=1)]
            graph = helper.make_graph(
                nodes, "q", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 17])],
                [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3, 17]) for n in "cd"],
                [helper.make_tensor("s", TensorProto.FLOAT, shape, scale.tolist()),
                 helper.make_tensor("z", onnx_type, shape, zero.tolist())])
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
            model.ir_version = 10
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
            codes, values = session.run(None, {"x": x})
            numbers = [index, 1 if channels else -1, *scale.tolist(), *zero.tolist()]
            for op, given, result in (("quantize_linear", x, codes),
                                      ("dequantize_linear", codes, values)):
                result = torch.from_numpy(result.copy())
                out.append(case(op, numbers, [torch.from_numpy(given.copy())],
                                lambda t, r=result: r, differentiate=0))
    return out


def movement():
    """And cast and global_average_pool, which came with them."""
    out = []
    F = torch.nn.functional
    x = short(torch.randn(2, 3, 2, 4))
    m = short(torch.randn(3, 4))
    for t, target in [(x, [2, -1]), (x, [6, 2, 4]), (x, [2, 3, 8]), (x, [3, 2, 4, 2]), (m, [2, 6]),
                      (m, [-1])]:
        out.append(case("reshape", target, [t], lambda t, s=target: t.reshape(s)))
    for t, order in [(m, [1, 0]), (x, [0, 2, 3, 1]), (x, [3, 1, 0, 2]), (x, [1, 0, 3, 2])]:
        out.append(case("transpose", order, [t], lambda t, o=order: t.permute(o)))
    for axis, sizes in [(1, [2, 1, 1]), (-1, [3, 2]), (0, [2, 1])]:
        parts = []
        for size in sizes:
            shape = [2, 3, 2, 3]
            shape[axis] = size
            parts.append(short(torch.randn(shape)))
        out.append(case("concat", [axis], parts, lambda *ts, a=axis: torch.cat(ts, a)))
    for cuts in [[(1, 1, 3, 1)], [(2, 0, 2, 2), (3, 1, 4, 2)], [(-1, -3, -1, 1)], [(0, 0, 99, 1)]]:
        def cut(t, cuts=cuts):
            index = [slice(None)] * t.dim()
            for axis, *bounds in cuts:
                index[axis] = slice(*bounds)
            return t[tuple(index)]
        out.append(case("slice", [n for c in cuts for n in c], [x], cut))
    for before, after, value in [([0, 1, 0, 0], [0, 2, 0, 0], 0), ([0, 0, 1, 2], [0, 0, 2, 0], 1.5),
                                 ([0, 0, -1, 1], [0, -1, 0, -2], -2)]:
        # PyTorch names the last axis first.
        pairs = [n for b, a in reversed(list(zip(before, after))) for n in (b, a)]
        out.append(case("pad", [*before, *after, value], [x],
                        lambda t, p=pairs, v=value: F.pad(t, p, value=v)))
    for shape, target in [((3, 1), [2, 3, 4]), ((1, 3, 1, 1), [2, 3, 2, 2]), ((2, 1, 1), [-1, 3, 1]),
                          ((), [2, 2])]:
        out.append(case("expand", target, [short(torch.randn(shape))],
                        lambda t, s=target: t.expand(s)))
    # Ties of both 16-bit types, their smallest and largest numbers, and what is beyond those.
    halves = torch.tensor([0.0, -0.0, 1.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 65504.0,
                           65519.9, 65520.0, -1e6, 2**-24, 2**-25, 1.5 * 2**-25, 3.4e38,
                           float("inf"), float("-inf"), float("nan"), 3.14159, -1e-3])
    small = torch.tensor([0.0, 0.4, 0.5, 0.9, 1.5, 2.5, 7.0, 99.99, 126.6])
    for name, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64)]:
        out.append(case("cast", [dtypes.index(name)], [halves], lambda t, d=dtype: t.to(d)))
    for name, dtype in [("i64", torch.int64), ("i32", torch.int32), ("i16", torch.int16),
                        ("i8", torch.int8), ("u8", torch.uint8), ("bool", torch.bool)]:
        values = small if name == "u8" else torch.cat([small, -small])
        out.append(case("cast", [dtypes.index(name)], [values], lambda t, d=dtype: t.to(d),
                        differentiate=0))
    for shape in [(2, 3, 4, 5), (2, 20, 1, 1), (3, 2, 37), (2, 2, 2, 3, 2)]:
        axes = list(range(2, len(shape)))
        out.append(case("global_average_pool", [], [short(torch.randn(shape))],
                        lambda t, a=axes: t.mean(a, keepdim=True)))
    write("movement", out)


# The order in which the test knows them.
dtypes = ["f16", "bf16", "f64", "i64", "i32", "i16", "i8", "u8", "bool"]

if __name__ == "__main__":
    elementwise()
    reduction()
    loss()
    quantization()
    movement()
