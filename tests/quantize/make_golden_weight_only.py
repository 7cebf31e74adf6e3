#!/usr/bin/env python3
# Writes golden_weight_only.h: weights by group in NumPy, checked with ONNX Runtime's blocked
# DequantizeLinear, and GPTQ with groups.
# Run: /opt/venv/bin/python tests/quantize/make_golden_weight_only.py
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

ROWS, K = 3, 40
rng = np.random.default_rng(11)
weight = (rng.normal(size=(ROWS, K)) * rng.uniform(0.2, 2, size=(ROWS, 1))).astype(np.float32)
weight[:, 7] += 0.5
TYPES = {(4, True): TensorProto.INT4, (4, False): TensorProto.UINT4,
         (8, True): TensorProto.INT8, (8, False): TensorProto.UINT8}


def quantized(bits, group, symmetric):
    """Codes, scales and zero points [ROWS, groups] from smallest and largest weights."""
    codes, scales, zeros = np.zeros((ROWS, K), np.int64), [], []
    high = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    low = 0 if not symmetric else -high if bits == 8 else -high - 1
    for r in range(ROWS):
        for begin in range(0, K, group):
            w = weight[r, begin:begin + group]
            if symmetric:
                scale = np.float32(np.abs(w).max() / np.float32((high - low) / 2))
                zero = 0
            else:
                smallest, largest = min(float(w.min()), 0.0), max(float(w.max()), 0.0)
                scale = np.float32((largest - smallest) / (high - low))
                zero = int(np.clip(np.rint(low - smallest / float(scale)), low, high))
            codes[r, begin:begin + group] = np.clip(np.rint(w / scale) + zero, low, high)
            scales.append(scale)
            zeros.append(zero)
    shape = (ROWS, -(-K // group))
    return codes, np.array(scales, np.float32).reshape(shape), np.array(zeros).reshape(shape)


def dequantized(bits, group, symmetric, codes, scales, zeros):
    """ONNX Runtime's."""
    kind = TYPES[(4 if bits <= 4 else 8, symmetric)]
    tensors = [helper.make_tensor("q", kind, codes.shape, codes.ravel()),
               helper.make_tensor("s", TensorProto.FLOAT, scales.shape, scales.ravel()),
               helper.make_tensor("z", kind, zeros.shape, zeros.ravel())]
    node = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1, block_size=group)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, codes.shape)
    model = helper.make_model(helper.make_graph([node], "g", [], [result], tensors),
                              opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return session.run(None, {})[0]


def array(kind, name, values, digits):
    rows = ", ".join(f"{v:.{digits}g}" for v in np.asarray(values, dtype=np.float64).ravel())
    return f"inline constexpr {kind} {name}[{np.size(values)}] = {{{rows}}};\n"


text = "// Weights by group in NumPy and ONNX Runtime; written by make_golden_weight_only.py.\n"
text += "#pragma once\n\n// clang-format off\nnamespace pare::golden_weight_only {\n\n"
text += f"inline constexpr int kRows = {ROWS}, kColumns = {K};\n"
text += array("double", "kWeight", weight, 9)
text += "struct Case { int bits, group; bool symmetric; double codes[%d]; double scales[%d]; " \
        "double zeros[%d]; double values[%d]; };\n" % (ROWS * K, 9, 9, ROWS * K)
text += "inline constexpr Case kCases[] = {\n"
for bits in (2, 3, 4, 5, 8):
    for group in (16, 20):
        for symmetric in (True, False):
            codes, scales, zeros = quantized(bits, group, symmetric)
            values = dequantized(bits, group, symmetric, codes, scales, zeros)
            lists = ["{" + ", ".join(f"{v:.9g}" for v in np.ravel(x).astype(np.float64)) + "}"
                     for x in (codes, scales, zeros, values)]
            text += f"  {{{bits}, {group}, {str(symmetric).lower()}, {', '.join(lists)}}},\n"
text += "};\n"

# Frantar et al. 2023, columns of the largest moments first, a scale for each of two groups.
N, GROUP, LOW, HIGH = 8, 4, 0, 15
mix = rng.normal(size=(N, N))
x = rng.normal(size=(300, N)) @ mix
moments = x.T @ x / len(x) + 0.05 * np.eye(N)
rows = rng.normal(size=(ROWS, N))
scales = rng.uniform(0.15, 0.3, size=(ROWS, N // GROUP)).astype(np.float32).astype(np.float64)
zeros = rng.integers(6, 10, size=scales.shape)
order = np.argsort(-np.diag(moments), kind="stable")
upper = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
codes = np.zeros((ROWS, N))
for r in range(ROWS):
    rest = rows[r, order].copy()
    for i in range(N):
        s, z = scales[r, order[i] // GROUP], zeros[r, order[i] // GROUP]
        code = np.clip(np.rint(rest[i] / s), LOW - z, HIGH - z)
        codes[r, order[i]] = code
        rest[i:] -= (rest[i] - s * code) / upper[i, i] * upper[i, i:]
text += f"inline constexpr int kGroupColumns = {N}, kGroup = {GROUP};\n"
text += array("double", "kMoments", moments, 17) + array("double", "kTargets", rows, 17)
text += array("double", "kGroupScales", scales, 17) + array("double", "kGroupZeros", zeros, 17)
text += array("double", "kGroupCodes", codes, 17)
text += "\n}  // namespace pare::golden_weight_only\n// clang-format on\n"
pathlib.Path(__file__).with_name("golden_weight_only.h").write_text(text)
