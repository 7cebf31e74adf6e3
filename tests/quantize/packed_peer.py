"""Files whose weights are packed (`pare quantize --opset 21` and 25): their sizes, what pare computes from them, and ONNX Runtime beside it.
Run: python packed_peer.py <pare> <folder of data>
Ends with 77 (skipped) where ONNX Runtime or the data are missing. ONNX Runtime that has no INT2 is told and left out."""

import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PARE, DATA = sys.argv[1], pathlib.Path(sys.argv[2])
MODEL = DATA / "models" / "resnet20_cifar10.onnx"
TRAINING, TEST = DATA / "cifar10" / "cifar10_train_first10000.bin", DATA / "cifar10" / "cifar10_test_A_5000.bin"
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
ort.set_default_logger_severity(4)
failed = []


def pictures(file, count):
    records = np.fromfile(file, np.uint8, count * 3073).reshape(count, 3073)[:, 1:].reshape(count, 3, 32, 32)
    return ((records.astype(np.float32) / 255 - MEAN[:, None, None]) / DEVIATION[:, None, None]).astype(np.float32)


def pare(*arguments):
    subprocess.run([PARE, *map(str, arguments), "--quiet", "--threads", "1"], check=True, stdout=subprocess.DEVNULL)


def by_pare(file, x, folder, *options):
    pare("run", file, "--input", x, "--output", folder / "out", *options)
    (result,) = (folder / "out").glob("*.npy")
    y = np.load(result)
    result.unlink()
    return y


def by_onnxruntime(file, x, optimized):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def sqnr(wanted, found):
    return 10 * np.log10(float((wanted ** 2).sum()) / max(1e-30, float(((wanted - found) ** 2).sum())))


def check(what, fine):
    if not fine:
        print("FAIL", what, flush=True)
        failed.append(what)


def weight_types(file):
    """Of initializers of two axes or more."""
    model = onnx.load(file)
    return {onnx.TensorProto.DataType.Name(t.data_type) for t in model.graph.initializer if len(t.dims) >= 2}


def main():
    for file in (MODEL, TRAINING, TEST):
        if not file.exists():
            print(f"skipped: no {file}")
            return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        np.save(folder / "calibration.npy", pictures(TRAINING, 32))
        x = pictures(TEST, 64)
        np.save(folder / "x.npy", x)
        print(f"{'weights':>8} {'opset':>6} {'bytes':>8}  {'of INT8':>7}  ONNX Runtime beside pare's interpreter, dB")
        for bits, by_opset in {4: {21: "INT4", 25: "INT4"}, 3: {21: "INT4"}, 2: {21: "INT4", 25: "INT2"}, 6: {25: "INT8"}}.items():
            plain, wanted = None, None
            for opset, weights in {0: "INT8", **by_opset}.items():
                file = folder / f"w{bits}.{opset}.onnx"
                pare("quantize", MODEL, "-o", file, "--calibration", folder / "calibration.npy", "--bits", bits, "--activation-bits", max(4, bits),
                     "--config", "portable", *(["--opset", opset] if opset else []))
                onnx.checker.check_model(str(file), full_check=True)
                check(f"{bits} bits, opset {opset}: {weight_types(file)}", weight_types(file) == {weights})
                y, planned = by_pare(file, folder / "x.npy", folder, "--reference"), by_pare(file, folder / "x.npy", folder)
                size = file.stat().st_size
                if opset == 0:
                    plain, wanted = size, (y, planned)
                check(f"{bits} bits, opset {opset}: other outputs than INT8's", np.array_equal(y, wanted[0]) and np.array_equal(planned, wanted[1]))
                beside = []
                for optimized in (False, True):
                    label = "optimized" if optimized else "as it stands"
                    try:
                        theirs = by_onnxruntime(file, x, optimized)
                    except Exception as error:  # of INT2, by what it is built with
                        check(f"{bits} bits, opset {opset}: ONNX Runtime refuses it: {error}", weights == "INT2")
                        beside.append(f"{label}: {ort.__version__} does not run {weights}")
                        continue
                    beside.append(f"{label} {sqnr(y, theirs):.1f}")
                    check(f"{bits} bits, opset {opset}: {label}, {sqnr(y, theirs):.1f} dB", sqnr(y, theirs) > 25)
                print(f"{bits:>8} {opset or '-':>6} {size:>8}  {size / plain:>7.3f}  {', '.join(beside)}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
