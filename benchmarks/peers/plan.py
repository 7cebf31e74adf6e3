"""ResNet-20's Plan beside OpenVINO and ONNX Runtime, turn by turn in one run: median microseconds at batch 1, one thread.

usage: plan.py DATA [BUILD] [--seconds S]      DATA = ../shared/data, BUILD = build/release; needs onnxruntime openvino nncf (PyPI)

OpenVINO's int8 network is the one its own quantizer (NNCF) makes, and the one that ONNX Runtime's quantizer makes; the faster counts."""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort
import openvino as ov

from infer import openvino_run, ort_run, quantized

SHAPE = [1, 3, 32, 32]


def main():
    arguments = sys.argv[1:]
    seconds = 15.0
    if "--seconds" in arguments:
        at = arguments.index("--seconds")
        seconds = float(arguments[at + 1])
        del arguments[at:at + 2]
    path = os.path.join(arguments[0], "models", "resnet20_cifar10.onnx")
    binary = os.path.join(arguments[1] if len(arguments) > 1 else "build/release", "benchmarks", "plan_runs")
    import logging

    import nncf
    nncf.set_log_level(logging.ERROR)
    pictures = np.random.default_rng(0).standard_normal([16] + SHAPE).astype(np.float32)
    folder = tempfile.mkdtemp()
    name = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    feeds = {name: pictures[0]}
    int8 = quantized(path, feeds, folder, [{name: p} for p in pictures])
    floating = ov.Core().read_model(path)
    floating.reshape(SHAPE)
    runs = {
        "ONNX Runtime f32": ort_run(path, feeds, 1), "ONNX Runtime int8": ort_run(int8, feeds, 1),
        "OpenVINO f32": openvino_run(path, feeds, 1),
        "OpenVINO int8 (ONNX Runtime's file)": openvino_run(int8, feeds, 1),
        "OpenVINO int8 (NNCF)": openvino_run(nncf.quantize(floating, nncf.Dataset(list(pictures))), feeds, 1),
    }
    pare = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    times = {k: [] for k in ["pare f32", "pare int8", *runs]}
    end = time.time() + seconds
    while time.time() < end:
        for kind in ("f32", "int8"):
            print(kind, 20, file=pare.stdin, flush=True)
            times["pare " + kind] += [float(t) for t in pare.stdout.readline().split()]
        for k, run in runs.items():
            for _ in range(20):
                start = time.perf_counter()
                run()
                times[k].append(time.perf_counter() - start)
    pare.stdin.close()
    pare.wait()
    median = {k: np.median(t) * 1e6 for k, t in times.items()}
    print(f"ResNet-20, batch 1, one thread, microseconds (OpenVINO {ov.__version__.split('-')[0]}, ONNX Runtime {ort.__version__})")
    for k, m in median.items():
        print(f"  {k:38s} {m:9.1f}")
    best = min(median["OpenVINO int8 (ONNX Runtime's file)"], median["OpenVINO int8 (NNCF)"])
    print(f"  f32 / OpenVINO f32 {median['pare f32'] / median['OpenVINO f32']:.2f} (target 0.95), int8 / OpenVINO int8 {median['pare int8'] / best:.2f} (target 0.60)")


if __name__ == "__main__":
    main()
