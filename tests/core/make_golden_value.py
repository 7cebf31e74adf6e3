"""Writes golden_value.h: what ONNX Runtime computes for ops whose shapes, bounds and axes are inputs.
Run: python tests/core/make_golden_value.py"""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

from make_golden import tensor, write

generator = np.random.default_rng(31)
TYPES = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int64"): TensorProto.INT64,
         np.dtype("bool"): TensorProto.BOOL}


def x(*shape):
    return (np.round(generator.standard_normal(shape) * 64) / 64).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def run(op, inputs, result=TensorProto.FLOAT, outputs=1, opset=19, **attributes):
    names = ["" if v is None else "x%d" % i for i, v in enumerate(inputs)]
    infos = [helper.make_tensor_value_info(n, TYPES[v.dtype], v.shape) for n, v in zip(names, inputs) if n]
    ys = ["y%d" % k for k in range(outputs)]
    infos_out = [helper.make_tensor_value_info(ys[0], result, None)]
    graph = helper.make_graph([helper.make_node(op, names, ys, **attributes)], "g", infos, infos_out)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {n: v for n, v in zip(names, inputs) if n})[0]


def case(name, op, inputs, numbers=(), **options):
    """An input left out is a tensor of nothing, shape [0, 0]."""
    y = run(op, inputs, **options)
    given = [np.zeros((0, 0), np.float32) if v is None else v.astype(np.float32) for v in inputs]
    fields = ['"%s"' % name, "{%s}" % ", ".join(repr(float(n)) for n in numbers),
              "{%s}" % ", ".join(tensor(torch.from_numpy(v)) for v in given),
              tensor(torch.from_numpy(np.asarray(y, np.float32))), "{{}, {}}", "{}"]
    return "      {%s}," % ", ".join(fields)


I64 = {"result": TensorProto.INT64}
f32 = lambda *v: np.array(v, np.float32)
cases = [
    case("reshape", "Reshape", [x(2, 3, 4), ints(0, -1)], [0]),
    case("reshape", "Reshape", [x(2, 3, 4), ints(4, 3, 2)], [0]),
    case("expand", "Expand", [x(3, 1), ints(2, 1, 4)]),
    case("expand", "Expand", [x(2, 3, 1), ints(3, 1)]),
    case("expand", "Expand", [x(2, 3), ints(1)]),
    case("slice", "Slice", [x(4, 5, 6), ints(1, -3), ints(9, -1), ints(0, -1), ints(2, 1)]),
    case("slice", "Slice", [x(4, 5), ints(3, 0), ints(-99, 5), None, ints(-1, 2)]),
    case("slice", "Slice", [x(4, 5), ints(1), ints(3)]),
    case("pad", "Pad", [x(2, 3), ints(1, 0, 0, 2)]),
    case("pad", "Pad", [x(2, 3, 4), ints(1, 2, 0, -1), f32(1.5).reshape(()), ints(2, -3)]),
    case("pad_border", "Pad", [x(2, 3, 4), ints(2, 1), None, ints(-1)], [0], mode="reflect"),
    case("pad_border", "Pad", [x(2, 3), ints(1, 0, 0, 2)], [1], mode="edge"),
    case("tile", "Tile", [x(2, 3), ints(2, 3)]),
    case("resize", "Resize", [x(1, 2, 3, 5), None, None, ints(1, 2, 6, 4)], [0, 0, 0], mode="nearest"),
    case("resize", "Resize", [x(1, 2, 3, 5), None, f32(1, 1, 2, 0.6)], [1, 0, 0], mode="linear"),
    case("resize", "Resize", [x(1, 2, 3, 5), None, None, ints(7, 8)], [1, 1, 0], mode="linear", axes=[3, 2]),
    case("resize", "Resize", [x(1, 2, 4, 6), None, None, ints(7, 8)], [0, 2, 1], mode="nearest", axes=[2, 3],
         keep_aspect_ratio_policy="not_larger"),
    case("resize", "Resize", [x(1, 2, 4, 6), None, None, ints(7, 8)], [0, 2, 2], mode="nearest", axes=[2, 3],
         keep_aspect_ratio_policy="not_smaller"),
    case("topk", "TopK", [x(3, 6), ints(2)], outputs=2),
    case("one_hot", "OneHot", [ints(1, -2, 7), ints(8).reshape(()), f32(-1, 2)], axis=-1),
    case("trilu", "Trilu", [x(2, 4, 5), ints(-1).reshape(())], [0], upper=0),
    case("trilu", "Trilu", [x(4, 5), ints(2).reshape(())], [1], upper=1),
    case("cumsum", "CumSum", [x(3, 4), ints(-2).reshape(())]),
    case("sum", "ReduceSum", [x(2, 3, 4), ints(0, -1)], [0], keepdims=0),
    case("sum", "ReduceSum", [x(2, 3), ints()], [1], keepdims=1),
    case("mean", "ReduceMean", [x(2, 3, 4), ints(1)], [1], keepdims=1),
    case("norm", "ReduceL2", [x(2, 3, 4), ints(2, 0)], [0], keepdims=0),
    case("shape", "Shape", [x(2, 3, 4)], [0, 99], **I64),
    case("shape", "Shape", [x(2, 3, 4)], [-2, -1], start=-2, end=-1, **I64),
    case("size", "Size", [x(2, 3, 4)], **I64),
    case("squeeze", "Squeeze", [x(2, 1, 3, 1), ints(-1, 1)]),
    case("unsqueeze", "Unsqueeze", [x(2, 3), ints(-1, 0)]),
    case("nonzero", "NonZero", [np.round(x(3, 4))], **I64),
    case("nonzero", "NonZero", [f32(0, 0, 2, 0, -1)], **I64),
    case("compress", "Compress", [x(3, 4), np.array([0, 1, 1], bool)], [0, 0], axis=0),
    case("compress", "Compress", [x(3, 4), np.array([1, 0, 1], bool)], [1, 0], axis=-1),
    case("compress", "Compress", [x(3, 4), np.array([0, 1, 0, 0, 1, 1], bool)], [0, 1]),
]
write("value", cases, script="make_golden_value.py")
