"""Dynamically quantized LSTM and GRU: pare beside PyTorch and ONNX Runtime, each with its own quantizer, in turns.

usage: dynamic_lstm.py [BUILD] [--rounds 5] [--seconds 1] [--steps 50] [--threads 1]
  BUILD = build/release (its bin/pare)
needs numpy, torch, onnx, onnxruntime (PyPI)

A layer of 128 inputs and 256 units over 50 steps, batch 1, with PyTorch's weights: times are medians of the rounds' medians, ratios those
of the same round. Files are float and int8; closeness is the SQNR of the int8 outputs against PyTorch's float ones."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from onnxruntime.quantization import quantize_dynamic

INPUT, HIDDEN = 128, 256
GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}  # PyTorch's in ONNX's order


def write_onnx(kind, net, steps, path):
    def permuted(name):
        parts = np.split(getattr(net, name).detach().numpy(), len(GATES[kind]))
        return np.concatenate([parts[g] for g in GATES[kind]])[None]
    bias = np.concatenate([permuted("bias_ih_l0"), permuted("bias_hh_l0")], 1)
    tensors = [onnx.numpy_helper.from_array(a, n) for n, a in
               [("W", permuted("weight_ih_l0")), ("R", permuted("weight_hh_l0")), ("B", bias)]]
    attributes = {"hidden_size": HIDDEN} | ({"linear_before_reset": 1} if kind == "GRU" else {})
    node = helper.make_node(kind, ["x", "W", "R", "B"], ["y"], **attributes)
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [info("x", TensorProto.FLOAT, (steps, 1, INPUT))],
                              [info("y", TensorProto.FLOAT, (steps, 1, 1, HIDDEN))], tensors)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)


def median_of(run, seconds):
    for _ in range(5):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def sqnr(wanted, found):
    return 10 * np.log10((wanted**2).sum() / ((wanted - found)**2).sum())


def networks(kind, options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    net = getattr(torch.nn, kind)(INPUT, HIDDEN).eval()
    quantized = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(net), {type(net)}, dtype=torch.qint8)[0]
    return net, quantized, torch.randn(options.steps, 1, INPUT)


def measure_peer(options):
    """In a process of its own: prints the median time of one peer."""
    peer, kind, path = options.peer
    net, quantized, x = networks(kind, options)
    with torch.no_grad():
        if peer == "runtime":
            runs = session(path, options.threads)
            print(median_of(lambda: runs.run(None, {"x": x.numpy()}), options.seconds))
        else:
            chosen = net if peer == "float" else quantized
            print(median_of(lambda: chosen(x), options.seconds))


def measure(kind, options, folder):
    pare = os.path.join(options.build, "bin", "pare")
    net, quantized, x = networks(kind, options)
    paths = {n: os.path.join(folder, f"{kind}.{n}.onnx") for n in ("float", "pare", "runtime")}
    write_onnx(kind, net, options.steps, paths["float"])
    subprocess.run([pare, "quantize", paths["float"], "-o", paths["pare"], "--dynamic", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    quantize_dynamic(paths["float"], paths["runtime"])
    sessions = {n: session(paths[n], options.threads) for n in ("float", "runtime")}  # for closeness
    np.save(os.path.join(folder, "x.npy"), x.numpy())

    def bench(path):
        found = subprocess.run([pare, "bench", path, "--threads", str(options.threads), "--seconds", str(options.seconds), "--json"],
                               check=True, capture_output=True)
        return json.loads(found.stdout)["median_ms"]

    def peer(*which):
        found = subprocess.run([sys.executable, __file__, "--peer", which[0], kind, which[-1], "--steps", str(options.steps), "--threads",
                                str(options.threads), "--seconds", str(options.seconds)], check=True, capture_output=True)
        return float(found.stdout.split()[-1])

    rows = {
        "pare float": lambda: bench(paths["float"]),
        "pare dynamic int8": lambda: bench(paths["pare"]),
        "PyTorch float": lambda: peer("float"),
        "PyTorch dynamic int8": lambda: peer("int8"),
        "ONNX Runtime float": lambda: peer("runtime", paths["float"]),
        "ONNX Runtime dynamic int8": lambda: peer("runtime", paths["runtime"]),
    }
    times = {name: [] for name in rows}
    for _ in range(options.rounds):
        for name, run in rows.items():
            times[name].append(run())
    with torch.no_grad():
        exact = net(x)[0].numpy().ravel()
        closeness = {"PyTorch dynamic int8": sqnr(exact, quantized(x)[0].numpy().ravel())}
    for name, key in (("ONNX Runtime dynamic int8", "runtime"), ("ONNX Runtime float", "float")):
        closeness[name] = sqnr(exact, sessions[key].run(None, {"x": x.numpy()})[0].ravel())
    for name, key in (("pare dynamic int8", "pare"), ("pare float", "float")):
        subprocess.run([pare, "run", paths[key], "--input", os.path.join(folder, "x.npy"), "--output", folder, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)
        closeness[name] = sqnr(exact, np.load(os.path.join(folder, "y.npy")).ravel())
    print(f"{kind} {INPUT} -> {HIDDEN}, {options.steps} steps, batch 1, {options.threads} thread(s)")
    own = np.array(times["pare dynamic int8"])
    for name, values in times.items():
        ratio = float(np.median(own / np.array(values)))
        db = f"{closeness[name]:6.1f} dB" if name in closeness else ""
        print(f"  {name:26s} {np.median(values):8.3f} ms   pare's int8 / this {ratio:6.3f}   {db}")
    sizes = {n: os.path.getsize(p) for n, p in paths.items()}
    print(f"  files: float {sizes['float']}, pare int8 {sizes['pare']} ({sizes['pare'] / sizes['float']:.3f}), "
          f"ONNX Runtime int8 {sizes['runtime']} ({sizes['runtime'] / sizes['float']:.3f})")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", nargs="?", default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.peer:
        measure_peer(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind in GATES:
            measure(kind, options, folder)


if __name__ == "__main__":
    main()
