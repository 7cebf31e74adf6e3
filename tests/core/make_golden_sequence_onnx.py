"""Writes golden_sequence_onnx.h: the ONNX nodes that recurrent layers become, and what ONNX Runtime computes with them.
Run: ninja -C build/release pare_sequence_onnx_cases
     build/release/tests/core/pare_sequence_onnx_cases | python tests/core/make_golden_sequence_onnx.py"""

import pathlib
import re
import sys

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from make_golden import tensor

TYPES = {"f32": np.float32, "i64": np.int64}


def attribute(text):
    def one(word):
        return int(word) if re.fullmatch(r"-?\d+", word) else float(word) if re.fullmatch(r"-?\d+\.\d+", word) else word
    return [one(w) for w in text[1:-1].split()] if text[0] == "[" else one(text)


def run(tensors, lines):
    nodes, constants = [], {}
    for line in lines:
        op, inputs, outputs, attributes = re.fullmatch(r"(\w+)\((.*)\) -> ([^{]*?)(?: \{(.*)\})?", line).groups()
        names = inputs.split(", ")
        for name in names:
            if name.startswith("["):
                constants[name] = np.array(name[1:-1].split(), np.int64)
        values = dict(part.split("=", 1) for part in (attributes or "").split(", ") if part)
        nodes.append(helper.make_node(op, names, outputs.split(", "), **{k: attribute(v) for k, v in values.items()}))
    used = {i for n in nodes for i in n.input}
    feed = {k: v for k, v in tensors.items() if k in used}
    results = sorted({o for n in nodes for o in n.output if o.startswith("out")})
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feed.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in results],
        [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


def main():
    cases = []
    for line in sys.stdin:
        word, rest = line.rstrip("\n").split(" ", 1)
        if word == "case":
            cases.append((rest, {}, []))
        elif word == "tensor":
            name, kind, shape, values = re.fullmatch(r"(\S+) (\S+) \((.*)\) ?(.*)", rest).groups()
            cases[-1][1][name] = np.array(values.split(), np.float64).astype(TYPES[kind]).reshape([int(d) for d in shape.split()])
        else:
            cases[-1][2].append(rest)
    out = ["// What ONNX Runtime %s computes with the nodes of recurrent layers; written by make_golden_sequence_onnx.py."
           % onnxruntime.__version__, "// clang-format off", "#pragma once", "", "#include <string>", "#include <vector>", "",
           '#include "core/golden.h"', "", "namespace pare::test {", "",
           "struct OnnxGolden {", "  std::string name;", "  std::vector<std::string> nodes;", "  std::vector<GoldenTensor> outputs;",
           "};", "", "inline std::vector<OnnxGolden> sequence_onnx_golden() {", "  return {"]
    for name, tensors, lines in cases:
        results = ", ".join(tensor(torch.tensor(t)) for t in run(tensors, lines))
        out.append("      {R\"(%s)\", {%s}, {%s}}," % (name, ", ".join('"%s"' % l for l in lines), results))
    out += ["  };", "}", "", "}  // namespace pare::test"]
    (pathlib.Path(__file__).parent / "golden_sequence_onnx.h").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
