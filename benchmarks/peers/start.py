"""What a model costs before it is warm, beside ONNX Runtime: loading, compiling and the first run, and the peak of resident memory.

usage: start.py MODEL.onnx [BUILD] [--runs N]        BUILD = build/release
needs onnxruntime (PyPI)

Each run is a process of its own, turn by turn, on one thread. The medians of `pare bench MODEL` and of a Python process that makes a
session and runs it; from the memory of the latter that of a process that only imports onnxruntime is subtracted."""
import argparse
import json
import os
import statistics
import subprocess
import sys

PEER = """
import resource, sys, time
import numpy as np
import onnxruntime as ort
if len(sys.argv) > 1:
    start = time.perf_counter()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    feeds = {i.name: np.ones([d if isinstance(d, int) else 1 for d in i.shape], np.int64 if "int64" in i.type else np.float32)
             for i in session.get_inputs()}
    session.run(None, feeds)
    seconds = time.perf_counter() - start
    for _ in range(5):
        session.run(None, feeds)
    print(seconds * 1e3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peer(*args):
    out = subprocess.run([sys.executable, "-c", PEER, *args], capture_output=True, text=True, check=True).stdout.split()
    return [float(v) for v in out]


def pare(binary, model):
    """Milliseconds until the first result, peak kilobytes."""
    child = subprocess.Popen([binary, "bench", model, "--threads", "1", "--seconds", "1", "--json", "--quiet"], stdout=subprocess.PIPE)
    text = child.stdout.read()
    _, _, usage = os.wait4(child.pid, 0)
    bench = json.loads(text)
    return bench["load_ms"] + bench["compile_ms"] + bench["first_run_ms"], usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("build", nargs="?", default="build/release")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    binary = os.path.join(args.build, "bin", "pare")
    imported = statistics.median(peer()[0] for _ in range(args.runs))
    ours, theirs = [], []
    for _ in range(args.runs):
        ours.append(pare(binary, args.model))
        theirs.append(peer(args.model))
    time_ours, time_theirs = (statistics.median(r[0] for r in rows) for rows in (ours, theirs))
    peak_ours, peak_theirs = statistics.median(r[1] for r in ours), statistics.median(r[1] for r in theirs) - imported
    print(f"{os.path.basename(args.model)}: first result after {time_ours:.0f} ms, ONNX Runtime {time_theirs:.0f} ms "
          f"(ratio {time_ours / time_theirs:.2f}); peak {peak_ours / 1024:.0f} MiB, ONNX Runtime {peak_theirs / 1024:.0f} MiB "
          f"(without {imported / 1024:.0f} of Python and the import)")


if __name__ == "__main__":
    main()
