"""Runs the ONNX nodes of recurrent layers in ONNX Runtime and compares with what the ops gave.

PARE_ONNX_DUMP=dump.txt build/release/tests/core/pare_core_test --gtest_filter=SequenceOnnx.Dump*
python tests/core/check_sequence_onnx.py dump.txt
"""
import re
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TYPES = {"f32": (np.float32, TensorProto.FLOAT), "i64": (np.int64, TensorProto.INT64)}


def check(title, tensors, nodes):
    feed = {n: t for n, t in tensors.items() if n.startswith("in")}
    made, constants = [], {}
    for text in nodes:
        op, inputs, outputs, attributes = re.fullmatch(r"(\w+)\((.*)\) -> ([^{]*?)(?: \{(.*)\})?", text).groups()
        names = []
        for name in inputs.split(", "):
            if name.startswith("["):
                constants[name] = np.array(name[1:-1].split(), np.int64)
            names.append(name)
        values = {}
        for part in (attributes or "").split(", "):
            if part:
                key, value = part.split("=")
                values[key] = [int(v) for v in value[1:-1].split()] if value[0] == "[" else (
                    int(value) if re.fullmatch(r"-?\d+", value) else value)
        made.append(helper.make_node(op, names, outputs.split(", "), **values))
    used = {i for n in made for i in n.input}
    feed = {k: v for k, v in feed.items() if k in used}
    graph = helper.make_graph(
        made, "g", [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feed.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in tensors if k.startswith("out")],
        [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    return max(np.abs(f - tensors[o.name]).max() for f, o in zip(found, graph.output))


def main():
    cases = []
    for line in open(sys.argv[1]):
        word, rest = line.rstrip("\n").split(" ", 1)
        if word == "case":
            cases.append((rest, {}, []))
        elif word == "tensor":
            name, kind, shape, values = re.fullmatch(r"(\S+) (\S+) \((.*)\) ?(.*)", rest).groups()
            cases[-1][1][name] = np.array(values.split(), np.float64).astype(TYPES[kind][0]).reshape([int(d) for d in shape.split()])
        else:
            cases[-1][2].append(rest)
    worst = 0
    for title, tensors, nodes in cases:
        error = check(title, tensors, nodes)
        worst = max(worst, error)
        if error > 1e-5:
            print("differs by", error, title)
    print(f"{len(cases)} cases, largest difference {worst:.2e}")
    return int(worst > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
