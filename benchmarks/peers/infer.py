"""Plans of ONNX files beside ONNX Runtime and OpenVINO, turn by turn in one run: median milliseconds, and ratios to the faster peer.

usage: infer.py DATA [BUILD] [--threads T] [--seconds S] [--batch N] [--floor DIR] [--extra DIR] [--second BUILD] [--own] [--dynamic] [MODEL ...]
  DATA = ../shared/data; BUILD = build/release; MODEL: part of a name in the table below, all without
  --floor DIR   where conv_list.py and the program onednn_limit lie: the "floor in sequence"
  --extra DIR   where resnet50.onnx, resnet18.onnx and mobilenet_v2.onnx lie (random weights, as export_torchvision.py makes them)
  --second BUILD  another build of pare, as one against oneDNN 3.2, in the same turns: its time, and its ratio to pare's
  --own         int8 is what each one's own quantizer writes: `pare quantize`'s file in pare, ONNX Runtime's in ONNX Runtime, NNCF's in
                OpenVINO (needs nncf), all calibrated on the same inputs
  --dynamic     models of dense layers, quantized as they run: `pare quantize --dynamic` (a range for each row, and one for all) beside the
                file of ONNX Runtime's quantize_dynamic (weights i8 per channel), in both runtimes
needs onnxruntime, openvino, onnx (PyPI)

bf16 is the f32 file, where the CPU has bf16 and the model is asked for in it.
int8 is the file that ONNX Runtime's quantizer writes (Q/DQ, u8 activations, i8 weights per channel), the same for all three. Files
of opsets below 13 are lifted to it first: the quantizer gives their weights an axis all the same, which no runtime takes there."""
import argparse
import glob
import logging
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

# name, limits of f32, bf16 and int8 to the faster peer (None: not asked), sizes of free axes
MODELS = [
    ("resnet50", 1.05, 1.08, 1.05, {}), ("resnet18", 1.05, 1.08, 0.8, {}),
    ("mobilenetv2_1.0_224_imagenet_fp32", 1.0, 1.0, 0.8, {}), ("squeezenet1.1_imagenet_fp32", 1.0, 1.0, 0.8, {}),
    ("resnet20_cifar10", 0.85, None, 0.6, {}), ("mlperf_tiny_kws_dscnn", 0.85, None, 0.6, {}),
    ("mlperf_tiny_resnet8_cifar10", 0.85, None, 0.6, {}), ("ultraface_slim_320", 0.85, None, 0.6, {}),
    ("yunet_n_320_320", 0.85, None, 0.6, {}), ("ppocr_mobilenetv3_cls", 0.85, None, None, {2: 48, 3: 192}),
    ("tinygpt_shakespeare_opset17", 0.9, None, None, {}), ("dtln_1", 0.9, None, None, {}), ("dtln_2", 0.9, None, None, {}),
]

# Models that --dynamic takes, and the limit of pare's time with a range for each row to ONNX Runtime's with its own file.
DYNAMIC = [("tinygpt_shakespeare_opset17", 0.7, {}), ("dtln_1", None, {}), ("dtln_2", None, {})]


class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def inputs_of(path, batch, free):
    """Random inputs by name; a free first axis is the batch."""
    model = onnx.load(path)
    initializers = {i.name for i in model.graph.initializer}
    rng = np.random.default_rng(0)
    feeds = {}
    for i in model.graph.input:
        if i.name in initializers:
            continue
        shape = [d.dim_value if d.dim_value > 0 else free.get(a, batch) for a, d in enumerate(i.type.tensor_type.shape.dim)]
        if i.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            feeds[i.name] = rng.integers(0, 60, shape).astype(np.int64)
        else:
            feeds[i.name] = rng.standard_normal(shape).astype(np.float32)
    return feeds


OPSET_OF_AXES = 13  # the first whose DequantizeLinear has an axis


def lifted(path, folder):
    """The file itself, or in the first opset that has scales per channel."""
    model = onnx.load(path)
    if next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) >= OPSET_OF_AXES:
        return path
    onnx.save(version_converter.convert_version(model, OPSET_OF_AXES), folder + "/lifted.onnx")
    return folder + "/lifted.onnx"


def random_feeds(feeds):
    rng = np.random.default_rng(1)
    return [{k: rng.standard_normal(v.shape).astype(np.float32) for k, v in feeds.items()} for _ in range(16)]


def quantized(path, feeds, folder, calibration=None):
    """The file that ONNX Runtime's quantizer writes; random inputs calibrate it unless others are given."""
    prepared, file = folder + "/prepared.onnx", folder + "/int8.onnx"
    path = lifted(path, folder)
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
    except Exception:
        prepared = path
    quantize_static(prepared, file, Reader(calibration or random_feeds(feeds)), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8)
    return file


def quantized_by_pare(build, path, feeds, folder):
    file, inputs = folder + "/pare_int8.onnx", []
    for name in feeds:
        np.save(f"{folder}/{len(inputs)}.npy", np.concatenate([f[name] for f in random_feeds(feeds)]))
        inputs += ["--calibration", f"{name}={folder}/{len(inputs)}.npy"]
    subprocess.run([os.path.join(build, "bin", "pare"), "quantize", path, "-o", file, "--quiet", *inputs], check=True, stdout=subprocess.DEVNULL)
    return file


def quantized_by_nncf(path, feeds):
    """A model of OpenVINO's."""
    import nncf
    nncf.set_log_level(logging.ERROR)
    calibration = random_feeds(feeds)
    return nncf.quantize(ov.Core().read_model(path), nncf.Dataset(calibration), subset_size=len(calibration))


def ort_run(path, feeds, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def openvino_run(model, feeds, threads, precision="f32"):
    """Of a file, or of a model of OpenVINO's."""
    if isinstance(model, str):
        model = ov.Core().read_model(model)
    model.reshape({k: list(v.shape) for k, v in feeds.items()})
    compiled = ov.Core().compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    for name, value in feeds.items():
        request.set_tensor(name, ov.Tensor(np.ascontiguousarray(value)))
    return request.infer


class Pare:
    """A process with plans of one build."""

    def __init__(self, build):
        self.process = subprocess.Popen([os.path.join(build, "benchmarks", "infer_runs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def open(self, key, path, feeds, threads, folder, precision="f32"):
        files = []
        for k, (_, value) in enumerate(feeds.items()):
            files.append(f"{folder}/{key}{k}.npy")
            np.save(files[-1], value)
        return self.ask(" ".join(["open", key, path, str(threads), precision] + files))

    def times(self, key, count):
        return [float(t) for t in self.ask(f"run {key} {count}").split()]

    def steps(self, key):
        print(f"steps {key}", file=self.process.stdin, flush=True)
        lines = []
        while (line := self.process.stdout.readline()) != "end\n":
            lines.append(line)
        return "".join(lines)


def floor_of(folder, path, feeds, kind, threads):
    shape = next(iter(feeds.values())).shape[1:]
    layers = subprocess.run([sys.executable, folder + "/conv_list.py", path, ",".join(map(str, shape))], capture_output=True, text=True, check=True)
    out = subprocess.run([folder + "/onednn_limit", kind], input=layers.stdout, capture_output=True, text=True, check=True,
                         env={**os.environ, "OMP_NUM_THREADS": str(threads)}).stdout
    return out.strip().splitlines()[-1]


def peer_runs(name, file, feeds, threads, precision, openvino_model=None):
    """A function for each runtime that takes the file; the others say why not. ONNX Runtime has no bf16 on CPUs. OpenVINO may have another model."""
    runs = {}
    peers = {"ONNX Runtime": ort_run, "OpenVINO": openvino_run} if precision == "f32" else {
        "OpenVINO": lambda *given: openvino_run(*given, precision)}
    for peer, opened in peers.items():
        try:
            runs[peer] = opened(openvino_model or file if peer == "OpenVINO" else file, feeds, threads)
        except Exception as error:
            print(f"{name}: {peer} {str(error).splitlines()[0][:200]}", flush=True)
    return runs


def turn_by_turn(key, builds, runs, seconds):
    """Median milliseconds of each build's plan and of each peer."""
    for run in runs.values():
        for _ in range(3):
            run()
    for build in builds.values():
        build.times(key, 3)
    times = {k: [] for k in [*builds, *runs]}
    end = time.time() + seconds
    while time.time() < end:
        per_turn = max(1, min(50, int(0.05 / max(1e-6, np.median(times["pare"] or [0.01])))))
        for k, build in builds.items():
            times[k] += build.times(key, per_turn)
        for k, run in runs.items():
            for _ in range(per_turn):
                start = time.perf_counter()
                run()
                times[k].append(time.perf_counter() - start)
    return {k: float(np.median(t)) * 1e3 for k, t in times.items()}


def measure(name, path, limits, free, args, builds, folder):
    feeds = inputs_of(path, args.batch, free)
    files = {"f32": path}
    if limits["bf16"] is not None:
        files["bf16"] = path
    if limits["int8"] is not None:
        files["int8"] = quantized(path, feeds, folder)
    for kind, file in files.items():
        key = f"{name}.{kind}"
        precision = "bf16" if kind == "bf16" else "f32"
        own = args.own and kind == "int8"
        mine = quantized_by_pare(args.build, path, feeds, folder) if own else file
        opened = {k: build.open(key, mine, feeds, args.threads, folder, precision) for k, build in builds.items()}
        failed = [f"{k}: {answer}" for k, answer in opened.items() if not answer.startswith("ok")]
        if failed:
            print(f"{name:36s} {kind:5s} {'; '.join(failed)}", flush=True)
            continue
        runs = peer_runs(name, file, feeds, args.threads, precision, quantized_by_nncf(path, feeds) if own else None)
        median = turn_by_turn(key, builds, runs, args.seconds)
        text = "  ".join(f"{k} {v:8.3f}" for k, v in median.items())
        if runs:
            text += f"   ratio {median['pare'] / min(median[k] for k in runs):.2f} (target {limits[kind]})"
        if "second" in median:
            text += f"   second to pare {median['second'] / median['pare']:.2f}"
        print(f"{name:36s} {'own' if own else kind:5s} {text}", flush=True)
        if args.floor:
            print(f"    floor: {floor_of(args.floor, path, feeds, 'u8' if kind == 'int8' else kind, args.threads)}", flush=True)
        if args.steps:
            print(builds["pare"].steps(key))


class OnePlan:
    """A plan of a build, whatever key it is asked for by."""

    def __init__(self, build, key):
        self.build, self.key = build, key

    def times(self, _, count):
        return self.build.times(self.key, count)


def measure_dynamic(name, path, limit, free, args, build, folder):
    feeds = inputs_of(path, args.batch, free)
    files = {"rows": folder + "/rows.pare", "one range": folder + "/one.onnx", "peer's file": folder + "/peer.onnx"}
    for kind, options in {"rows": [], "one range": ["--one-range"]}.items():
        subprocess.run([os.path.join(args.build, "bin", "pare"), "quantize", path, "-o", files[kind], "--dynamic", "--quiet", *options], check=True,
                       stdout=subprocess.DEVNULL)
    logging.disable(logging.WARNING)
    quantize_dynamic(path, files["peer's file"], per_channel=True)
    plans = {"pare": "rows", "pare, one range": "one range", "pare, peer's file": "peer's file"}
    for kind in files:
        answer = build.open(f"{name}.{kind.replace(' ', '_')}", files[kind], feeds, args.threads, folder)
        if not answer.startswith("ok"):
            print(f"{name:36s} {kind}: {answer[:200]}", flush=True)
            plans = {k: v for k, v in plans.items() if v != kind}
    builds = {k: OnePlan(build, f"{name}.{kind.replace(' ', '_')}") for k, kind in plans.items()}
    runs = {"ONNX Runtime": ort_run(files["peer's file"], feeds, args.threads), "ONNX Runtime, one range": ort_run(files["one range"], feeds, args.threads),
            "ONNX Runtime f32": ort_run(path, feeds, args.threads)}
    median = turn_by_turn("", builds, runs, args.seconds)
    text = "  ".join(f"{k} {v:.3f}" for k, v in median.items())
    print(f"{name:36s} dynamic {text}   ratio {median['pare'] / median['ONNX Runtime']:.2f}" + (f" (target {limit})" if limit else "") +
          f"   size {os.path.getsize(files['rows']) / os.path.getsize(path):.3f}", flush=True)
    if args.steps:
        print(build.steps(f"{name}.rows"))


def main():
    ort.set_default_logger_severity(3)
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("build", nargs="?", default="build/release")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--floor")
    parser.add_argument("--extra")
    parser.add_argument("--second")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--dynamic", action="store_true")
    args = parser.parse_intermixed_args()  # names of models may follow options
    builds = {"pare": Pare(args.build)}
    if args.second:
        builds["second"] = Pare(args.second)
    inside = ", ".join(f"{k} with oneDNN {build.ask('version')}" for k, build in builds.items())
    print(f"batch {args.batch}, {args.threads} threads, milliseconds ({inside}, ONNX Runtime {ort.__version__}, "
          f"OpenVINO {ov.__version__.split('-')[0]})")
    for name, limit, free in DYNAMIC if args.dynamic else []:
        path = os.path.join(args.data, "models", name + ".onnx")
        if (args.models and not any(m in name for m in args.models)) or not os.path.exists(path):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                measure_dynamic(name, path, limit, free, args, builds["pare"], folder)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error)[:200]}", flush=True)
    for name, f32, bf16, int8, free in [] if args.dynamic else MODELS:
        if args.models and not any(m in name for m in args.models):
            continue
        found = [p for d in [os.path.join(args.data, "models"), args.extra] if d for p in glob.glob(f"{d}/{name}.onnx")]
        if not found:
            print(f"{name:36s} no file")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                measure(name, found[0], {"f32": f32, "bf16": bf16, "int8": int8}, free, args, builds, folder)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error)[:200]}", flush=True)


if __name__ == "__main__":
    main()
