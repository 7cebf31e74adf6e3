"""Files of ONNX Runtime's, PyTorch's and TFLite's quantizers: their results beside ONNX Runtime's, and through
to_fake_quantize, training and convert.

python tests/quantize/check_quantized_files.py build/release/tests/quantize/pare_quantize_files_test [more.onnx ...]

Files of PT2E are made where torchao can be imported, those of TFLite where PARE_TFLITE_PYTHON names a Python with
tensorflow and tf2onnx (make_pt2e_files.py, make_tflite_files.py).
"""
import importlib.util
import os
import subprocess
import sys
import tempfile

SKIPPED = 77


def made_by(python, script, folder):
    """The files that a script beside this one makes."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), script)
    made = subprocess.run([python, path, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if made.returncode:
        print(made.stderr[-3000:])
        sys.exit(made.returncode)
    return made.stdout.split()


def run_peer(path, np, onnxruntime):
    """Writes inputs and ONNX Runtime's results, node by node, beside the file."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 8 for d in given.shape]
    x = np.random.default_rng(1).standard_normal(shape)
    types = {"tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    kind = types[given.type]
    if kind != np.float32:
        x = np.clip(np.round(x * 40 + (128 if kind == np.uint8 else 0)), np.iinfo(kind).min, np.iinfo(kind).max)
    np.save(path + ".x.npy", x.astype(kind))
    np.save(path + ".y.npy", session.run(None, {given.name: x.astype(kind)})[0])


def main():
    try:
        import numpy as np
        import onnxruntime
        import torch
        from onnxruntime import quantization as q
    except ImportError as error:
        print(f"skipped: {error}; PARE_PEER_PYTHON names a Python with onnxruntime and torch")
        return SKIPPED
    torch.manual_seed(0)
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.c, self.d = nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

        def forward(self, x):
            x = torch.relu(self.a(x))
            x = torch.relu(self.c(torch.relu(self.b(x))) + x)
            x = torch.max_pool2d(x, 2)
            return self.d(x.mean((2, 3)))

    net, x = Net().eval(), torch.randn(4, 3, 8, 8)

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": torch.randn(4, 3, 8, 8).numpy()} for _ in range(4)]

        def get_next(self):
            return self.left.pop() if self.left else None

    files = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "net.onnx")
        torch.onnx.export(net, (x,), source, input_names=["x"], output_names=["y"], opset_version=17, dynamo=False)
        for form in (q.QuantFormat.QDQ, q.QuantFormat.QOperator):
            for per_channel in (False, True):
                for activations, weights in ((q.QuantType.QUInt8, q.QuantType.QInt8), (q.QuantType.QInt8, q.QuantType.QInt8),
                                             (q.QuantType.QUInt8, q.QuantType.QUInt8)):
                    if per_channel and weights == q.QuantType.QUInt8:
                        continue
                    path = os.path.join(folder, f"{form.name}_{int(per_channel)}_{activations.name}_{weights.name}.onnx")
                    q.quantize_static(source, path, Reader(), quant_format=form, per_channel=per_channel,
                                      activation_type=activations, weight_type=weights)
                    files.append(path)
        # PyTorch's quantization-aware training, exported with its fake-quantization as Q/DQ.
        torch.backends.quantized.engine = "fbgemm"
        qat = nn.Sequential(torch.ao.quantization.QuantStub(), nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3),
                            torch.ao.quantization.DeQuantStub()).train()
        qat.qconfig = torch.ao.quantization.QConfig(
            activation=torch.ao.quantization.FakeQuantize.with_args(
                observer=torch.ao.quantization.MinMaxObserver, quant_min=0, quant_max=255),
            weight=torch.ao.quantization.FakeQuantize.with_args(
                observer=torch.ao.quantization.PerChannelMinMaxObserver, quant_min=-128, quant_max=127,
                dtype=torch.qint8, qscheme=torch.per_channel_symmetric))
        qat = torch.ao.quantization.prepare_qat(qat)
        qat(x)
        qat.eval().apply(torch.ao.quantization.disable_observer)
        path = os.path.join(folder, "torch.onnx")
        torch.onnx.export(qat, (x,), path, input_names=["x"], output_names=["y"], opset_version=17, dynamo=False)
        files.append(path)
        if importlib.util.find_spec("torchao"):
            files += made_by(sys.executable, "make_pt2e_files.py", folder)
        else:
            print("without PT2E: no torchao")
        if "PARE_TFLITE_PYTHON" in os.environ:
            files += made_by(os.environ["PARE_TFLITE_PYTHON"], "make_tflite_files.py", folder)
        else:
            print("without TFLite: PARE_TFLITE_PYTHON is not set")
        for path in files:
            run_peer(path, np, onnxruntime)
        result = subprocess.run([sys.argv[1], "--gtest_filter=ToFakeQuantize.FilesOfOthers"],
                                env=dict(os.environ, PARE_QUANTIZED_FILES=":".join(files)))
        print(f"{len(files)} files")
        return result.returncode


if __name__ == "__main__":
    sys.exit(main())
