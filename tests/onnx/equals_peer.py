"""Whether pare gives what ONNX Runtime gives, for every model of a folder.
Run: python equals_peer.py <pare_onnx_equals_peer> <folder of models> <folder for the cases>
Ends with 77 (skipped) where ONNX Runtime or the models are missing."""

import pathlib
import subprocess
import sys

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

SIZES = {"ppocr_mobilenetv3_cls": [2, 3, 48, 192]}
VOCABULARY = 65  # of tinygpt


def example(model, inputs):
    rng = np.random.default_rng(7)
    for given in inputs:
        shape = SIZES.get(model) or [d if isinstance(d, int) and d > 0 else 2 for d in given.shape]
        if given.type == "tensor(int64)":
            yield rng.integers(0, VOCABULARY, shape)
        else:
            yield rng.standard_normal(shape).astype(np.float32)


def main():
    program, models, cases = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    files = sorted(models.glob("*.onnx"))
    if not files:
        print(f"skipped: no models in {models}")
        sys.exit(77)
    cases.mkdir(parents=True, exist_ok=True)
    failed = []
    for file in files:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        inputs = list(example(file.stem, session.get_inputs()))
        names = [given.name for given in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, inputs)))
        case = cases / f"{file.stem}.npz"
        np.savez(case, **{f"in{k}": v for k, v in enumerate(inputs)}, **{f"out{k}": v for k, v in enumerate(outputs)})
        print(file.stem, flush=True)
        written = cases / f"{file.stem}.written.onnx"
        if subprocess.run([program, str(file), str(case), "2e-4", str(written)]).returncode != 0:
            failed.append(file.stem)
            continue
        try:
            onnx.checker.check_model(str(written), full_check=True)
            session = ort.InferenceSession(str(written), options, providers=["CPUExecutionProvider"])
            if [i.name for i in session.get_inputs()] != names:
                raise ValueError(f"inputs {[i.name for i in session.get_inputs()]}")
            again = session.run(None, dict(zip(names, inputs)))
            for k, (got, wanted) in enumerate(zip(again, outputs, strict=True)):
                distance = np.abs(got - wanted).max() / max(1e-3, np.abs(wanted).max())
                print(f"ONNX Runtime on what pare wrote: output {k}: {distance:.2e} of the largest element")
                if got.shape != wanted.shape or not distance <= 2e-4:
                    raise ValueError(f"output {k} differs")
        except Exception as error:
            print(error)
            failed.append(file.stem + " as written")
    print("differ:", ", ".join(failed) or "none", f"of {len(files)}")
    sys.exit(1 if failed else 0)


main()
