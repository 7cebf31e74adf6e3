#!/usr/bin/env python3
# Writes golden_dynamic_recurrent.h: recurrent layers in PyTorch, in float and dynamically quantized,
# and DynamicQuantizeLSTM in ONNX Runtime.
# Run: /opt/venv/bin/python tests/quantize/make_golden_dynamic_recurrent.py
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

STEPS, BATCH, INPUT, HIDDEN = 7, 2, 6, 8


def noise(number, shape):
    """test::noise of golden_noise.h."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    mixed = (i * 2654435761 + number * 40503) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return ((mixed >> 16).astype(np.float64) / 65536 - 0.5).astype(np.float32).reshape(shape)


def array(name, values):
    numbers = ", ".join(f"{v:.9g}" for v in np.asarray(values, np.float64).ravel())
    return f"inline constexpr double {name}[{np.asarray(values).size}] = {{{numbers}}};\n"


def pytorch(kind):
    """Two layers in both directions; weights are noise 1, 2, … in the order of the parameters."""
    net = getattr(torch.nn, kind)(INPUT, HIDDEN, num_layers=2, bidirectional=True).eval()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters(), 1):
            parameter.copy_(torch.from_numpy(noise(number, tuple(parameter.shape))))
    x = torch.from_numpy(noise(0, (STEPS, BATCH, INPUT)) * 4)
    whole = torch.nn.Sequential(net)
    quantized = torch.ao.quantization.quantize_dynamic(whole, {type(net)}, dtype=torch.qint8)
    with torch.no_grad():
        return net(x)[0].numpy(), quantized[0](x)[0].numpy()


def runtime(signed, per_channel, zero_points):
    """One bidirectional layer of codes [D, I, 4H], a scale for each direction or for each column."""
    shape_w, shape_r = (2, INPUT, 4 * HIDDEN), (2, HIDDEN, 4 * HIDDEN)
    low = -120 if signed else 8
    kind = TensorProto.INT8 if signed else TensorProto.UINT8
    np_kind = np.int8 if signed else np.uint8
    codes = [np.rint((noise(number, shape) + 0.5) * 240 + low).astype(np_kind)
             for number, shape in ((1, shape_w), (2, shape_r))]
    scale_shape = (2, 4 * HIDDEN) if per_channel else (2,)
    scales = [np.float32(0.004) + np.float32(0.002) * noise(number, scale_shape)
              for number in (3, 4)]
    middle = 0 if signed else 128
    zeros = [np.full(scale_shape, middle + (5 if zero_points else 0), np_kind) for _ in range(2)]
    bias = noise(5, (2, 8 * HIDDEN))
    x = noise(0, (STEPS, 1, INPUT)) * 4
    tensors = [helper.make_tensor(n, kind, c.shape, c.ravel()) for n, c in zip("WR", codes)]
    tensors += [helper.make_tensor(n, TensorProto.FLOAT, s.shape, s.ravel())
                for n, s in zip(("Ws", "Rs"), scales)]
    tensors += [helper.make_tensor(n, kind, z.shape, z.ravel())
                for n, z in zip(("Wz", "Rz"), zeros)]
    tensors += [helper.make_tensor("B", TensorProto.FLOAT, bias.shape, bias.ravel())]
    node = helper.make_node("DynamicQuantizeLSTM",
                            ["x", "W", "R", "B", "", "", "", "", "Ws", "Wz", "Rs", "Rz"], ["y"],
                            domain="com.microsoft", hidden_size=HIDDEN, direction="bidirectional")
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [info("x", TensorProto.FLOAT, x.shape)],
                              [info("y", TensorProto.FLOAT, (STEPS, 2, 1, HIDDEN))], tensors)
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)])
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def main():
    warnings.simplefilter("ignore")
    text = ("// Recurrent layers dynamically quantized in PyTorch and ONNX Runtime; written by\n"
            "// make_golden_dynamic_recurrent.py.\n#pragma once\n\n// clang-format off\n"
            "namespace pare::golden_dynamic_recurrent {\n\n"
            f"inline constexpr int kSteps = {STEPS}, kBatch = {BATCH}, kInput = {INPUT}, "
            f"kHidden = {HIDDEN};\n")
    for kind in ("LSTM", "GRU"):
        exact, quantized = pytorch(kind)
        text += array(f"k{kind}Float", exact) + array(f"k{kind}Dynamic", quantized)
    text += array("kOnnxSigned", runtime(True, False, False))
    text += array("kOnnxByColumns", runtime(True, True, False))
    text += array("kOnnxUnsigned", runtime(False, False, False))
    text += array("kOnnxZeroPoints", runtime(True, False, True))
    text += "\n}  // namespace pare::golden_dynamic_recurrent\n"
    pathlib.Path(__file__).with_name("golden_dynamic_recurrent.h").write_text(text)


main()
