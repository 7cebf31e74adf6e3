"""Whether pare gives what ONNX Runtime gives (or ONNX's reference, where that has no kernel) for ops that ONNX's backend
tests do not cover: those of com.microsoft, attributes, older and newer opsets. The models are made here.
Run: python ops_peer.py <pare_onnx_equals_peer> <folder for the cases>
Ends with 77 (skipped) where ONNX or ONNX Runtime are missing."""

import pathlib
import subprocess
import sys

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

RNG = np.random.default_rng(3)
MS = "com.microsoft"
TYPES = {np.dtype(n): t for n, t in [("float32", T.FLOAT), ("float16", T.FLOAT16), ("float64", T.DOUBLE), ("int64", T.INT64),
                                     ("int32", T.INT32), ("uint8", T.UINT8), ("int8", T.INT8), ("bool", T.BOOL)]}


def f(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def u8(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    # Pairs of products of more bits than seven saturate in ONNX Runtime where the CPU has no VNNI.
    return RNG.integers(-63, 64, shape).astype(np.int8)


def s(value):
    return np.array(value, np.float32)


def z(value, dtype=np.uint8):
    return np.array(value, dtype)


# name, op, domain, opset, inputs (None: left out), the numbers of those that are inputs of the graph, attributes,
# outputs and, for codes, how far they may be from ONNX Runtime's.
CASES = []


def case(op, inputs, given=(0,), domain="", opset=17, outputs=1, **attributes):
    CASES.append((f"{len(CASES):03d}_{op}", op, domain, opset, inputs, given, attributes, outputs))


for op in ["QLinearAdd", "QLinearMul"]:
    case(op, [u8(2, 3, 4), s(0.02), z(120), u8(3, 1), s(0.03), z(7), s(0.05), z(100)], (0, 3), MS)
case("QLinearSigmoid", [u8(2, 9), s(0.03), z(128), s(1 / 256), z(0)], domain=MS)
case("QLinearLeakyRelu", [u8(2, 9), s(0.03), z(128), s(0.02), z(40)], domain=MS, alpha=0.1)
case("QLinearSoftmax", [u8(2, 9), s(0.03), z(128), s(1 / 256), z(0)], domain=MS, axis=-1, opset=13)
case("QLinearGlobalAveragePool", [u8(2, 3, 5, 4), s(0.1), z(10), s(0.05), z(3)], domain=MS)
case("QLinearAveragePool", [u8(2, 3, 6, 6), s(0.1), z(10), s(0.09), z(3)], domain=MS, kernel_shape=[2, 2], strides=[2, 2])
case("QLinearConcat", [s(0.1), z(9), u8(2, 3), s(0.05), z(0), u8(2, 2), s(0.1), z(20)], (2, 5), MS, axis=1)
for trans in (0, 1):
    b = i8(6, 5) if trans else i8(5, 6)
    bias = RNG.integers(-900, 900, 6).astype(np.int32)
    scale = (RNG.random(6) * 0.02 + 0.001).astype(np.float32)
    case("QGemm", [u8(4, 5), s(0.03), z(100), b, scale, np.zeros(6, np.int8), bias, s(0.2), z(128)], domain=MS, transB=trans)
    case("QGemm", [u8(4, 5), s(0.03), z(100), b, s(0.01), z(0, np.int8), bias], domain=MS, transB=trans)
case("DynamicQuantizeMatMul", [f(4, 8), i8(8, 5), (RNG.random(5) * 0.02 + 0.01).astype(np.float32), np.zeros(5, np.int8), f(5)],
     domain=MS)
# One row of x and one of h: there ONNX Runtime's one scale is pare's scale of a row.
for sides in (1, 2):
    scales = [(RNG.random((sides, 20)) * 0.02 + 0.01).astype(np.float32) for _ in range(2)]
    zeros = [np.zeros((sides, 20), np.int8) for _ in range(2)]
    case("DynamicQuantizeLSTM", [f(1, 1, 7), i8(sides, 7, 20), i8(sides, 5, 20), f(sides, 40), np.array([1], np.int32), f(sides, 1, 5),
                                 f(sides, 1, 5), f(sides, 15), scales[0], zeros[0], scales[1], zeros[1]], (0, 5, 6), MS, hidden_size=5,
         direction="forward" if sides == 1 else "bidirectional")
case("MatMulIntegerToFloat", [u8(4, 8), i8(8, 5), s(0.1), s(0.02), z(3), z(0, np.int8), f(5)], domain=MS)
case("MatMulNBits", [f(3, 64), u8(10, 2, 16), (RNG.random(20) * 0.1).astype(np.float32)], domain=MS, K=64, N=10, bits=4,
     block_size=32)
case("MatMulNBits", [f(2, 3, 64), u8(10, 4, 8), (RNG.random(40) * 0.1).astype(np.float32), u8(20)], domain=MS, K=64, N=10,
     bits=4, block_size=16)
case("FusedConv", [f(1, 3, 6, 6), f(4, 3, 3, 3), f(4)], domain=MS, activation="Relu", pads=[1, 1, 1, 1])
case("FusedConv", [f(1, 3, 6, 6), f(4, 3, 3, 3), f(4)], domain=MS, activation="LeakyRelu", activation_params=[0.2])
case("FusedMatMul", [f(2, 4, 3), f(2, 4, 5)], (0, 1), MS, transA=1, alpha=0.5)
case("Gelu", [f(3, 7)], domain=MS)
case("BiasGelu", [f(3, 7), f(7)], domain=MS)
case("FastGelu", [f(3, 7), f(7)], domain=MS)
case("QuickGelu", [f(3, 7)], domain=MS)
case("SkipLayerNormalization", [f(2, 4, 8), f(2, 4, 8), f(8), f(8), f(8)], (0, 1), MS, epsilon=1e-5)
case("SkipSimplifiedLayerNormalization", [f(2, 4, 8), f(2, 4, 8), f(8)], (0, 1), MS, epsilon=1e-5)
case("QLinearConv", [u8(1, 3, 6, 6), s(0.02), z(117), u8(4, 3, 3, 3), s(0.01), z(128), s(0.1), z(128),
                     RNG.integers(-500, 500, 4).astype(np.int32)], pads=[1, 1, 1, 1])
case("QLinearConv", [u8(1, 4, 6, 6), s(0.02), z(117), i8(4, 2, 3, 3), (RNG.random(4) * 0.02 + 0.001).astype(np.float32),
                     np.zeros(4, np.int8), s(0.1), z(128)], strides=[2, 2], group=2)
case("ConvInteger", [u8(1, 3, 6, 6), u8(4, 3, 3, 3), z(3), z(128)])
case("MatMulInteger", [u8(5, 7), i8(7, 4), z(9), z(0, np.int8)])
case("DynamicQuantizeLinear", [f(6, 7)], outputs=3)
case("Softmax", [f(2, 3, 4)], opset=11, axis=1)
case("LogSoftmax", [f(2, 3, 4)], opset=11, axis=0)
case("Hardmax", [f(2, 3, 4)], opset=11, axis=1)
case("Clip", [f(3, 4)], opset=6, min=-0.5, max=0.25)
case("Clip", [f(3, 4), s(-0.5), s(0.25)])
case("Clip", [f(3, 4), s(0.5), s(-0.25)])
case("Dropout", [f(3, 4)], opset=12, outputs=2)
case("Upsample", [f(1, 2, 3, 4)], opset=7, mode="linear", scales=[1.0, 1.0, 2.0, 3.0])
case("Resize", [f(1, 2, 3, 4), np.array([1, 1, 2, 1.5], np.float32)], opset=10, mode="nearest")
case("Resize", [f(1, 2, 5, 4), None, None, np.array([1, 2, 9, 7], np.int64)], mode="cubic")
case("AveragePool", [f(1, 2, 7, 7)], kernel_shape=[3, 3], strides=[2, 2], pads=[2, 2, 2, 2], count_include_pad=1)
case("AveragePool", [f(1, 2, 7, 8)], kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1, auto_pad="NOTSET")
case("AveragePool", [f(1, 2, 9, 9)], opset=19, kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 1, 1, 1])
case("MaxPool", [f(1, 2, 7, 8)], outputs=2, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
case("MaxPool", [f(1, 2, 7, 8)], outputs=2, kernel_shape=[2, 2], storage_order=1)
case("MaxPool", [f(1, 2, 9, 9)], kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2])
case("MaxPool", [f(1, 2, 9, 9)], kernel_shape=[4, 4], auto_pad="SAME_LOWER")
case("LpPool", [f(1, 2, 7, 7)], opset=18, kernel_shape=[3, 3], p=3, pads=[1, 1, 1, 1])
case("GlobalLpPool", [f(1, 2, 4, 5)], p=3)
case("ConvTranspose", [f(1, 2, 4, 4), f(2, 3, 3, 3)], strides=[2, 2], output_shape=[9, 8])
case("ConvTranspose", [f(1, 2, 4, 4), f(2, 3, 3, 3)], strides=[2, 2], auto_pad="SAME_LOWER")
case("Conv", [f(1, 2, 9), f(4, 2, 3), f(4)], auto_pad="SAME_LOWER", strides=[2])
case("Conv", [f(1, 2, 5, 6, 7), f(4, 1, 3, 2, 3)], group=2, auto_pad="VALID")
case("Gemm", [f(3, 4), f(4, 5), f(3, 1)], alpha=0.5, beta=2.0)
case("Gemm", [f(4, 3), f(5, 4), f(1, 5)], transA=1, transB=1)
case("MatMul", [f(2, 3, 4).astype(np.float64), f(4, 5).astype(np.float64)])
case("MatMul", [RNG.integers(-9, 9, (3, 4)), RNG.integers(-9, 9, (4, 2))])
case("Einsum", [f(2, 3, 4), f(4, 5)], equation="bij,jk->bik")
case("Einsum", [f(3, 3)], equation="ii->i")
case("LpNormalization", [f(3, 4)], axis=1, p=1)
case("MeanVarianceNormalization", [f(2, 3, 4, 5)], axes=[0, 2])
case("LRN", [f(1, 6, 4, 4)], size=3, alpha=0.1, beta=0.6, bias=1.5)
case("InstanceNormalization", [f(2, 3, 4, 5), f(3), f(3)], epsilon=1e-3)
case("LayerNormalization", [f(2, 3, 4), f(4), f(4)], outputs=3, axis=-1)
case("BatchNormalization", [f(2, 3, 4), f(3), f(3), f(3), np.abs(f(3))], opset=15)
case("BatchNormalization", [f(2, 3, 4), f(3), f(3), f(3), np.abs(f(3))], (0, 3, 4), opset=9)
case("Split", [f(7, 2)], opset=18, outputs=3, num_outputs=3)
case("Split", [f(2, 7)], opset=11, outputs=2, axis=1, split=[3, 4])
case("Pad", [f(2, 5)], opset=10, mode="reflect", pads=[0, 2, 0, 1])
case("Pad", [f(4, 5), np.array([1, -1, -1, 2], np.int64), s(7)])
case("Slice", [f(4, 6)], opset=9, axes=[1], starts=[-3], ends=[2147483647])
case("OneHot", [np.array([[0, 5, -1], [9, 2, -7]]), np.array(6), np.array([-1, 3], np.float32)], axis=0)
case("ReverseSequence", [f(5, 3, 2), np.array([2, 5, 1])], time_axis=0, batch_axis=1)
case("ArgMax", [RNG.integers(0, 3, (4, 5)).astype(np.float32)], axis=1, select_last_index=1, keepdims=0)
case("TopK", [f(3, 8), np.array([3])], outputs=2, axis=1, largest=0)
case("ReduceMean", [f(2, 3, 4)], opset=13, axes=[0, 2], keepdims=0)
case("ReduceSum", [f(2, 3, 4), np.array([], np.int64)], opset=13, noop_with_empty_axes=1)
case("Mod", [RNG.integers(-9, 9, (3, 4)), RNG.integers(1, 5, (4,))])
case("HardSigmoid", [f(3, 4) * 4], alpha=1 / 6)
case("Selu", [f(3, 4)], alpha=1.5, gamma=1.1)
case("PRelu", [f(2, 3, 4), f(3, 1)])
case("DepthToSpace", [f(1, 8, 2, 3)], blocksize=2, mode="CRD")
case("Attention", [f(2, 3, 4, 8), f(2, 3, 6, 8), f(2, 3, 6, 8)], (0, 1, 2), opset=23)
case("Attention", [f(2, 4, 24), f(2, 6, 24), f(2, 6, 24), f(4, 6)], (0, 1, 2), opset=23, q_num_heads=3, kv_num_heads=3, scale=0.3)
case("Attention", [f(2, 4, 5, 8), f(2, 2, 5, 8), f(2, 2, 5, 8)], (0, 1, 2), opset=23, is_causal=1)
case("Attention", [f(2, 3, 4, 8), f(2, 3, 2, 8), f(2, 3, 2, 8), None, f(2, 3, 3, 8), f(2, 3, 3, 8)], (0, 1, 2, 4, 5), opset=23,
     outputs=3)
case("RotaryEmbedding", [f(2, 3, 4, 8), f(10, 4), f(10, 4), RNG.integers(0, 10, (2, 4))], (0, 3), opset=23)
case("RotaryEmbedding", [f(2, 4, 24), f(2, 4, 4), f(2, 4, 4)], opset=23, num_heads=3, interleaved=1)
case("RotaryEmbedding", [f(2, 3, 4, 8), f(10, 2), f(10, 2), RNG.integers(0, 10, (2, 4))], (0, 3), opset=23,
     rotary_embedding_dim=4)
case("RMSNormalization", [f(2, 3, 8), f(8)], opset=23, epsilon=1e-4)
case("RMSNormalization", [f(2, 3, 8), f(3, 8)], opset=23, axis=1)
for direction, directions in [("forward", 1), ("reverse", 1), ("bidirectional", 2)]:
    for op, gates in [("RNN", 1), ("GRU", 3), ("LSTM", 4)]:
        weights = [f(directions, gates * 4, 3), f(directions, gates * 4, 4), f(directions, gates * 8)]
        state = [f(directions, 2, 4) for _ in range(2 if op == "LSTM" else 1)]
        lengths = np.array([5, 3], np.int32)
        case(op, [f(5, 2, 3), *weights, lengths, *state], outputs=len(state) + 1, hidden_size=4, direction=direction)
case("GRU", [f(5, 2, 3), f(1, 12, 3), f(1, 12, 4)], outputs=2, hidden_size=4, linear_before_reset=1)

case("RNN", [f(5, 2, 3), f(2, 4, 3), f(2, 4, 4)], outputs=2, hidden_size=4, direction="bidirectional",
     activations=["Affine", "LeakyRelu"], activation_alpha=[0.5, 0.25], activation_beta=[0.125], clip=1.5)
case("GRU", [f(5, 2, 3), f(1, 12, 3), f(1, 12, 4)], outputs=2, hidden_size=4, activations=["HardSigmoid", "Softsign"])
case("LSTM", [f(5, 2, 3), f(2, 16, 3), f(2, 16, 4), f(2, 32), np.array([5, 3], np.int32), f(2, 2, 4), f(2, 2, 4), f(2, 12)],
     outputs=3, hidden_size=4, direction="bidirectional", clip=0.75, input_forget=1)
case("LSTM", [f(5, 2, 3), f(1, 16, 3), f(1, 16, 4), None, None, None, None, f(1, 12)], outputs=3, hidden_size=4,
     activations=["Sigmoid", "ScaledTanh", "Relu"], activation_alpha=[1.5], activation_beta=[0.75])


def model_of(op, domain, opset, inputs, given, attributes, outputs):
    names = ["" if v is None else f"x{i}" for i, v in enumerate(inputs)]
    made = [f"y{k}" for k in range(outputs)]
    graph = h.make_graph(
        [h.make_node(op, names, made, domain=domain, **attributes)], op,
        [h.make_tensor_value_info(names[i], TYPES[inputs[i].dtype], inputs[i].shape) for i in given],
        [h.make_empty_tensor_value_info(name) for name in made],
        [numpy_helper.from_array(v, names[i]) for i, v in enumerate(inputs) if v is not None and i not in given])
    opsets = [h.make_opsetid("", opset if not domain else 17), h.make_opsetid(MS, 1)]
    model = h.make_model(graph, opset_imports=opsets, ir_version=10 if opset > 21 else 8)
    # The types of the outputs, which ONNX Runtime wants and finds by itself for its own ops.
    return model


def main():
    program, cases = sys.argv[1], pathlib.Path(sys.argv[2])
    cases.mkdir(parents=True, exist_ok=True)
    failed, done = [], 0
    for name, op, domain, opset, inputs, given, attributes, outputs in CASES:
        attributes = dict(attributes)
        inner = {"opset": opset} if op == "QLinearSoftmax" else {}
        model = model_of(op, domain, opset, inputs, given, {**attributes, **inner}, outputs)
        options = ort.SessionOptions()
        # What ONNX Runtime would fuse or fold is not what is compared.
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            wanted = session.run(None, {f"x{i}": inputs[i] for i in given})
        except Exception as error:  # noqa: BLE001 ONNX Runtime has no kernel for it
            if domain:
                print(f"{name}: not in ONNX Runtime: {str(error).splitlines()[0][:120]}")
                continue
            wanted = ReferenceEvaluator(model).run(None, {f"x{i}": inputs[i] for i in given})
        file, case_file = cases / f"{name}.onnx", cases / f"{name}.npz"
        onnx.save(model, str(file))
        np.savez(case_file, **{f"in{k}": inputs[i] for k, i in enumerate(given)},
                 **{f"out{k}": v for k, v in enumerate(wanted)})
        # Codes may differ by one where ONNX Runtime rounds in another order.
        codes = any(v.dtype in (np.uint8, np.int8) for v in wanted)
        tolerance = max(1.01 / max(1, np.abs(v.astype(np.float64)).max()) for v in wanted) if codes else 1e-5
        if op == "MatMulIntegerToFloat":  # plans round its float bias to the unit of the sums
            tolerance = 1e-4
        if op in ("DynamicQuantizeMatMul", "DynamicQuantizeLinear", "DynamicQuantizeLSTM"):
            tolerance = max(tolerance, 1e-3)
        run = subprocess.run([program, str(file), str(case_file), str(tolerance)], capture_output=True, text=True)
        done += 1
        if run.returncode != 0:
            failed.append(name)
            print(f"{name} differs:\n{run.stdout}{run.stderr}", flush=True)
    print(f"{done - len(failed)} of {done} equal")
    sys.exit(1 if failed or done < 70 else 0)


main()
