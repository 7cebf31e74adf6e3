"""Every exported sample of the contract through onnx.checker and ONNX Runtime, compared with pare.

python tests/io/check_onnx_peer.py build/release/tests/io/pare_onnx_contract_test
"""
import os
import subprocess
import sys
import tempfile

SKIPPED = 77
NOT_COMPARED = [
    "cast, to u8",  # of negative numbers, which is undefined in C
    "lstm, lengths and both directions, batch first",  # ONNX Runtime's last cells are not PyTorch's
    # ONNX Runtime dies on recurrent layers without samples, and of none of the steps gives zeros as last states.
    *(f"{op}, {what}" for op in ("rnn", "lstm", "gru") for what in ("no samples", "no steps")),
    "one_hot, truth values",  # no kernel, and the evaluator fails
]
TOLERANCE = {"float16": 2e-3}  # relative to the largest value; others 1e-4


class Difference(Exception):
    pass


def load(data, kind):
    names = sorted((n for n in data.files if n.startswith(kind)), key=lambda n: int(n[len(kind):]))
    return [data[n] for n in names]


def main():
    try:
        import numpy as np
        import onnx
        import onnxruntime
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        print(f"skipped: {error}; PARE_PEER_PYTHON names a Python with onnx and onnxruntime")
        return SKIPPED
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1

    def results(path, feed):
        """ONNX Runtime's, or the reference evaluator's where it has no kernel for the call."""
        try:
            return onnxruntime.InferenceSession(path, options).run(None, feed), "runtime"
        except Exception as error:
            try:
                with np.errstate(all="ignore"):
                    return ReferenceEvaluator(onnx.load(path)).run(None, feed), "reference"
            except Exception:
                raise error from None

    bad, count = [], {"runtime": 0, "reference": 0, "not run": 0}
    # In memory: each file is flushed to the disk otherwise.
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        environment = dict(os.environ, PARE_ONNX_PEER=folder)
        subprocess.run([sys.argv[1], "--gtest_filter=OnnxContract.WriteForPeers"], env=environment,
                       check=True, stdout=subprocess.DEVNULL)
        for line in open(os.path.join(folder, "list.txt")):
            name, title = line.rstrip("\n").split(" ", 1)
            if any(title.startswith(start) for start in NOT_COMPARED):
                continue
            path = os.path.join(folder, name + ".onnx")
            data = np.load(os.path.join(folder, name + ".npz"))
            try:
                onnx.checker.check_model(path, full_check=True)
                feed = dict(zip([i.name for i in onnx.load(path).graph.input], load(data, "in")))
                found, by = results(path, feed)
                count[by] += 1
                for k, (got, wanted) in enumerate(zip(found, load(data, "out"), strict=True)):
                    got = np.asarray(got)
                    if got.shape != wanted.shape or got.dtype != wanted.dtype:
                        raise Difference(f"output {k}: {got.dtype}{got.shape} for {wanted.dtype}{wanted.shape}")
                    finite = wanted[np.isfinite(wanted)] if wanted.dtype.kind == "f" else wanted
                    largest = float(np.abs(finite.astype(np.float64)).max()) if finite.size else 0.0
                    allowed = TOLERANCE.get(str(wanted.dtype), 1e-4) * largest if wanted.dtype.kind == "f" else 0
                    if not np.allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=0,
                                       atol=allowed, equal_nan=True):
                        worst = np.nanmax(np.abs(got.astype(np.float64) - wanted.astype(np.float64)))
                        raise Difference(f"output {k} differs by {worst:.3g} of {largest:.3g} ({by})")
            except Exception as error:  # each is one line of the report
                if not isinstance(error, Difference) and any(v.size == 0 for v in load(data, "in")):
                    count["not run"] += 1  # peers refuse many calls of empty tensors
                    continue
                bad.append(f"{title}\n    {type(error).__name__}: {str(error).strip()[:300]}")
    print("\n".join(bad))
    print(f"{count['runtime']} samples as ONNX Runtime, {count['reference']} as the reference evaluator, "
          f"{count['not run']} of empty tensors not run, {len(bad)} wrong")
    return int(bool(bad) or count["runtime"] < 100)


if __name__ == "__main__":
    sys.exit(main())
