"""Weights as codes or in 16 bits: a plan of pare beside its float plan and beside ONNX Runtime's float kernel and MatMulNBits, one thread.

usage: weight_only.py DATA [BUILD] [--rounds 5] [--seconds 1] [--nets tinygpt]
  DATA = ../shared/data (tinygpt); BUILD = build/release
needs numpy, onnx, onnxruntime (PyPI)

A linear layer of 4096 by 4096 with 1, 8 and 128 rows, and tinygpt. Every file is written by `pare quantize --weight-only`; ONNX Runtime
gets what --matmul-nbits makes of it. Rounds are interleaved, a round gives the median of its runs, the table the medians of the rounds, the least
of all runs (what counts where others use the machine), and ratios to the float plan of pare. MiB: packed weights and constants of the plan."""
import argparse
import glob
import json
import os
import subprocess
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

FORMS = {"f32": None, "8 bits": ["--bits", "8", "--group", "32"], "4 bits": ["--bits", "4", "--group", "32"],
         "4 bits affine": ["--bits", "4", "--group", "32", "--affine"], "2 bits": ["--bits", "2", "--group", "32"],
         "bf16": ["--weights", "bf16"], "f16": ["--weights", "f16"]}


def linear(path, rows, size=4096):
    rng = np.random.default_rng(0)
    w = (rng.standard_normal((size, size)) / np.sqrt(size)).astype(np.float32)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, size])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, size])],
                              [helper.make_tensor("w", TensorProto.FLOAT, w.shape, w.tobytes(), raw=True)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("build", nargs="?", default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--nets", default="", help="a part of the names to run; all without")
    arguments = parser.parse_args()
    pare = os.path.join(arguments.build, "bin", "pare")
    environment = dict(os.environ, OMP_NUM_THREADS="1")

    def command(*words):
        done = subprocess.run([pare, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout

    def session(path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def time_of(run):
        seconds, times = time.perf_counter() + arguments.seconds, []
        while time.perf_counter() < seconds or len(times) < 10:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return 1e3 * float(np.median(times)), 1e3 * min(times)

    with tempfile.TemporaryDirectory() as folder:
        nets = {}
        for rows in (1, 8, 128):
            nets[f"linear 4096x4096, {rows} rows"] = path = os.path.join(folder, f"linear_{rows}.onnx")
            linear(path, rows)
        nets.update({"tinygpt": p for p in glob.glob(arguments.data + "/**/*tinygpt*.onnx", recursive=True)[:1]})
        for title, source in nets.items():
            if arguments.nets not in title:
                continue
            files, sessions, feeds, rows = {}, {}, {}, {name: [] for name in FORMS}
            ort = {name: [] for name in FORMS}
            for name, flags in FORMS.items():
                files[name] = source
                peer = source
                if flags is not None:
                    files[name] = os.path.join(folder, "q_" + name.replace(" ", "_") + ".onnx")
                    command("quantize", source, "-o", files[name], "--weight-only", *flags, "--quiet")
                    peer = files[name]
                    if "--bits" in flags:
                        peer = os.path.join(folder, "n_" + name.replace(" ", "_") + ".onnx")
                        command("quantize", source, "-o", peer, "--weight-only", *flags, "--matmul-nbits", "--quiet")
                try:
                    sessions[name] = session(peer)
                except Exception as error:  # a type that it has no kernel for
                    print(f"ONNX Runtime, {name}: {str(error)[:100]}")
                    continue
                rng = np.random.default_rng(1)
                feeds[name] = {i.name: (rng.standard_normal([d if isinstance(d, int) else 1 for d in i.shape]).astype(np.float32)
                                        if "float" in i.type else np.zeros([d if isinstance(d, int) else 1 for d in i.shape], np.int64))
                               for i in sessions[name].get_inputs()}
            memory = {}
            for _ in range(arguments.rounds):
                for name in FORMS:
                    report = json.loads(command("bench", files[name], "--threads", "1", "--seconds", str(arguments.seconds), "--json", "--quiet"))
                    rows[name].append((report["median_ms"], report["min_ms"]))
                    memory[name] = (report["weight_bytes"] + report["constant_bytes"]) / 2**20
                    if name in sessions:
                        ort[name].append(time_of(lambda: sessions[name].run(None, feeds[name])))
            def both(times):
                return (float(np.median([m for m, _ in times])), min(m for _, m in times)) if times else (float("nan"),) * 2
            base = both(rows["f32"])
            print(f"\n{title}\n{'':16}{'pare ms':>10}{'least':>9}{'of f32':>8}{'MiB':>8}{'ORT ms':>10}{'least':>9}{'pare/ORT':>10}{'of least':>10}")
            for name in FORMS:
                mine, his = both(rows[name]), both(ort[name])
                print(f"{name:16}{mine[0]:10.3f}{mine[1]:9.3f}{mine[0] / base[0]:8.2f}{memory[name]:8.2f}{his[0]:10.3f}{his[1]:9.3f}"
                      f"{mine[0] / his[0]:10.2f}{mine[1] / his[1]:10.2f}", flush=True)


if __name__ == "__main__":
    main()
