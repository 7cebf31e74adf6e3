"""Static quantization by `pare quantize` beside ONNX Runtime and NNCF: time, memory, and how close the int8 net stays to its float one.

usage: quantize.py DATA [BUILD] [--methods NAME ...] [MODEL ...]
  DATA = ../shared/data; BUILD = build/release; MODEL: part of a name in the table below, all without
needs numpy, pillow, onnx, onnxruntime (PyPI); nncf and openvino for NNCF's row

Each method runs in a process of its own: seconds of calibrating and converting, and MiB at most above what the process held before (pare's:
above `pare inspect` of the model, the calibration data included). Every int8 file of pare and ONNX Runtime is then run by ONNX Runtime on the
test data: share of samples with the float model's class, SQNR of the logits, top-1. The splits: of the photographs every fifth calibrates and the other
400 test; of CIFAR-10 the first 256 training records and all 5000 test records; of the keywords the first and the last 500."""
import argparse
import glob
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

MEAN, DEVIATION = np.array([.485, .456, .406], np.float32)[:, None, None], np.array([.229, .224, .225], np.float32)[:, None, None]
PARE = {"pare": [], "pare entropy": ["--observer", "entropy"], "pare min_max": ["--observer", "minmax"],
        "pare rounded": ["--adaround", "--bias-correction"]}
PEERS = ["ORT MinMax", "ORT Percentile", "ORT Entropy", "NNCF"]


def photographs(data, scaled):
    from PIL import Image
    files = sorted(glob.glob(data + "/imagenet_224/*.jpg"))
    x = np.stack([scaled(np.asarray(Image.open(f).convert("RGB"), np.float32).transpose(2, 0, 1)) for f in files]).astype(np.float32)
    y = np.array([int(os.path.basename(f).split("_")[0]) for f in files])
    calibrates = np.arange(len(x)) % 5 == 0
    return x[calibrates], x[~calibrates], y[~calibrates]


def cifar(data, scaled):
    def read(pattern):
        files = sorted(glob.glob(f"{data}/cifar10/{pattern}"))
        records = np.concatenate([np.fromfile(f, np.uint8) for f in files]).reshape(-1, 3073)
        return records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32), records[:, 0].astype(int)
    train, _ = read("*train*.bin")
    test, labels = read("*test*.bin")
    return scaled(train[:256]).astype(np.float32), scaled(test).astype(np.float32), labels


def keywords(data):
    x = (np.fromfile(data + "/kws_mfcc/x_int8_1000x490.bin", np.int8).astype(np.float32) - 83) * np.float32(0.5847029)
    y = np.fromfile(data + "/kws_mfcc/y_u8_1000.bin", np.uint8).astype(int)
    return x.reshape(-1, 1, 49, 10)[:500], x.reshape(-1, 1, 49, 10)[500:], y[500:]


def torchvision(x):
    return (x / 255 - MEAN) / DEVIATION


# model: its splits, and by how much its classes are shifted
MODELS = {
    "mobilenetv2_1.0_224_imagenet_fp32": (lambda d: photographs(d, lambda x: x / 127.5 - 1), 1),
    "squeezenet1.1_imagenet_fp32": (lambda d: photographs(d, torchvision), 0),
    "resnet20_cifar10": (lambda d: cifar(d, torchvision), 0),
    "mlperf_tiny_resnet8_cifar10": (lambda d: cifar(d, lambda x: x), 0),
    "mlperf_tiny_kws_dscnn": (keywords, 0),
}


def logits(file, x):
    import onnxruntime as ort
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    step = 1 if given.shape[0] == 1 else 50
    return np.concatenate([session.run(None, {given.name: x[i:i + step]})[0].reshape(len(x[i:i + step]), -1) for i in range(0, len(x), step)])


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_onnxruntime(model, calibration, method, folder):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    name = onnx.load(model).graph.input[0].name

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.samples = iter(calibration)

        def get_next(self):
            sample = next(self.samples, None)
            return None if sample is None else {name: sample[None]}

    quant_pre_process(model, folder + "/prepared.onnx", skip_symbolic_shape=True)
    before, start = peak(), time.time()
    quantize_static(folder + "/prepared.onnx", folder + "/int8.onnx", Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=getattr(CalibrationMethod, method))
    return time.time() - start, peak() - before, lambda x: logits(folder + "/int8.onnx", x)


def by_nncf(model, calibration):
    import logging
    import nncf
    import openvino as ov
    nncf.set_log_level(logging.ERROR)
    floating = ov.Core().read_model(model)
    before, start = peak(), time.time()
    quantized = nncf.quantize(floating, nncf.Dataset([c[None] for c in calibration]), subset_size=len(calibration))
    seconds, memory = time.time() - start, peak() - before
    compiled = ov.Core().compile_model(quantized, "CPU")
    return seconds, memory, lambda x: np.concatenate([compiled(x[i:i + 1])[0].reshape(1, -1) for i in range(len(x))])


def run_measured(command):
    """Seconds and the peak in MiB of a child process."""
    start, most = time.time(), 0
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        while child.poll() is None:  # what wait4 tells counts the memory of this process before it became the other one
            try:
                most = max([most, *(int(line.split()[1]) for line in open(f"/proc/{child.pid}/status") if line.startswith("VmHWM"))])
            except (FileNotFoundError, ProcessLookupError):
                pass
            time.sleep(0.002)
        seconds = time.time() - start
        errors.seek(0)
        text = errors.read().decode().strip()
    if child.returncode != 0:
        raise RuntimeError(text.splitlines()[-1] if text else f"status {child.returncode}")
    return seconds, most / 1024


def by_pare(build, model, calibration, options, folder):
    np.save(folder + "/x.npy", calibration)
    command = build + "/bin/pare"
    _, before = run_measured([command, "inspect", model])
    seconds, most = run_measured([command, "quantize", model, "-o", folder + "/int8.onnx", "--calibration", folder + "/x.npy", *options])
    return seconds, most - before, lambda x: logits(folder + "/int8.onnx", x)


def one(args):
    splits, offset = MODELS[args.models[0]]
    calibration, x, y = splits(args.data)
    model = f"{args.data}/models/{args.models[0]}.onnx"
    method = args.methods[0]
    with tempfile.TemporaryDirectory() as folder:
        if method in PARE:
            seconds, memory, run = by_pare(args.build, model, calibration, PARE[method], folder)
        elif method == "NNCF":
            seconds, memory, run = by_nncf(model, calibration)
        else:
            seconds, memory, run = by_onnxruntime(model, calibration, method.split()[1], folder)
        found, wanted = run(x).astype(float), logits(model, x).astype(float)
    noise = max(float(((wanted - found) ** 2).sum()), 1e-30)
    print(json.dumps({"seconds": seconds, "memory": memory, "same": float((found.argmax(1) == wanted.argmax(1)).mean()),
                      "sqnr": float(10 * np.log10((wanted ** 2).sum() / noise)), "top1": float((found.argmax(1) == y + offset).mean())}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("build", nargs="?", default="build/release")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--methods", nargs="*", default=[*PARE, *PEERS])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_intermixed_args()
    if args.one:
        return one(args)
    print(f"{'model':36s} {'method':15s} {'seconds':>8s} {'MiB':>7s} {'same class':>10s} {'SQNR dB':>8s} {'top-1':>7s}")
    for name in MODELS:
        if args.models and not any(m in name for m in args.models):
            continue
        for method in args.methods:
            child = subprocess.run([sys.executable, __file__, args.data, args.build, name, "--methods", method, "--one"], capture_output=True, text=True)
            try:
                r = json.loads(child.stdout.strip().splitlines()[-1])
                print(f"{name:36s} {method:15s} {r['seconds']:8.1f} {r['memory']:7.0f} {r['same']:10.4f} {r['sqnr']:8.2f} {r['top1']:7.4f}", flush=True)
            except (IndexError, ValueError):
                lines = (child.stderr or child.stdout).strip().splitlines()
                print(f"{name:36s} {method:15s} failed: {lines[-1][:160] if lines else 'no output'}", flush=True)


if __name__ == "__main__":
    main()
