"""Dynamically quantized files beside ONNX Runtime: what pare writes runs there with the same numbers, and what its quantizer writes runs in
pare on integers.
Run: python dynamic_peer.py <pare> [<folder of models>]
Ends with 77 (skipped) where ONNX Runtime is missing; tinygpt is looked at where it is in the folder."""

import json
import logging
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

logging.disable(logging.WARNING)
PARE = sys.argv[1]
failed = []


def layer(rng, file):
    """x [N, 5, 37] · W [37, 50] + b."""
    weight = rng.standard_normal((37, 50)).astype(np.float32)
    bias = rng.standard_normal(50).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["xW"], name="product"), helper.make_node("Add", ["xW", "b"], ["y"], name="sum")], "layer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 5, 37])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 5, 50])],
        [numpy_helper.from_array(weight, "W"), numpy_helper.from_array(bias, "b")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


def by_onnxruntime(file, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def by_pare(file, x, folder, *options):
    np.save(folder / "x.npy", x)
    subprocess.run([PARE, "run", str(file), "--input", str(folder / "x.npy"), "--output", str(folder / "out"), "--quiet", *options], check=True,
                   stdout=subprocess.DEVNULL)
    (result,) = (folder / "out").glob("*.npy")
    y = np.load(result)
    result.unlink()
    return y


def kernels(file, *options):
    out = subprocess.run([PARE, "bench", str(file), "--seconds", "0.01", "--threads", "1", "--steps", "--json", "--quiet", *options], check=True,
                         capture_output=True, text=True).stdout
    return [step["kernel"] for step in json.loads(out)["steps"]]


def check(what, fine):
    print("ok  " if fine else "FAIL", what, flush=True)
    if not fine:
        failed.append(what)


def quantized_files(model, folder):
    """By pare with a range for each row and for the tensor, and by ONNX Runtime, per channel and per tensor, weights i8 and u8."""
    files = {}
    for name, options in {"rows": [], "one range": ["--one-range"], "one range, s7": ["--one-range", "--config", "portable"]}.items():
        files[name] = folder / f"{name}.onnx"
        subprocess.run([PARE, "quantize", str(model), "-o", str(files[name]), "--dynamic", "--quiet", *options], check=True, stdout=subprocess.DEVNULL)
        onnx.checker.check_model(str(files[name]), full_check=True)
    for name, options in {"peer": {}, "peer per channel": {"per_channel": True}, "peer u8": {"weight_type": QuantType.QUInt8}}.items():
        files[name] = folder / f"{name}.onnx"
        quantize_dynamic(str(model), str(files[name]), **options)
    return files


def sqnr(wanted, found):
    return 10 * np.log10(float((wanted ** 2).sum()) / max(1e-30, float(((wanted - found) ** 2).sum())))


def main():
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        layer(rng, folder / "layer.onnx")
        x = (rng.standard_normal((4, 5, 37)) * 3 + 0.5).astype(np.float32)
        floating = by_onnxruntime(folder / "layer.onnx", x)
        for kind, file in quantized_files(folder / "layer.onnx", folder).items():
            there = by_onnxruntime(file, x)
            for options in ([], ["--reference"]):
                here = by_pare(file, x, folder, *options)
                apart = float(np.abs(here - there).max() / np.abs(there).max())
                check(f"one layer, {kind}{' (interpreter)' if options else ''}: {apart:.1e} apart", apart < 2e-6)
            level = sqnr(floating, there)
            check(f"one layer, {kind}: {level:.1f} dB from the float layer", 25 < level < 60)
        check("rows are nearer to the float layer than one range",
              sqnr(floating, by_pare(folder / "rows.onnx", x, folder)) > sqnr(floating, by_pare(folder / "one range.onnx", x, folder)))

        model = pathlib.Path(sys.argv[2]) / "tinygpt_shakespeare_opset17.onnx" if len(sys.argv) > 2 else None
        if model is None or not model.exists():
            print("tinygpt is not there")
        else:
            tokens = rng.integers(0, 65, (3, 64))
            floating = by_onnxruntime(model, tokens)
            for kind, file in quantized_files(model, folder).items():
                there, here = by_onnxruntime(file, tokens), by_pare(file, tokens, folder)
                # A last bit before a rounding moves a code, and those behind it.
                check(f"tinygpt, {kind}: {sqnr(there, here):.1f} dB from ONNX Runtime, {sqnr(floating, there):.1f} of it from float",
                      sqnr(there, here) > sqnr(floating, there) + 6)
                if kind not in ("peer u8",):  # zero points of weights
                    found = [k for k in kernels(file) if k.startswith(("avx", "portable")) and "u8" in k or k in ("avx512_vnni", "avx2_vnni", "portable")]
                    check(f"tinygpt, {kind}: {len(found)} products on integers", len(found) == 25)
    print("differ:", ", ".join(failed) or "none")
    sys.exit(1 if failed else 0)


main()
