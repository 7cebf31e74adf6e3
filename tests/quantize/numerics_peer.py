"""Whether the interpreter computes what ONNX Runtime's CPU kernels compute from the exported file, node by node on the
interpreter's own values.
Run: python numerics_peer.py <pare_quantize_peer_cases>
QuantizeLinear, DequantizeLinear and what only moves codes: equal bits. Float operators between them: to rounding. What
lies between DequantizeLinear and QuantizeLinear: equal codes, but that ONNX Runtime sums dequantized floats where pare
sums integers, so that next to a tie a code may be the neighbouring one.
Ends with 77 (skipped) where ONNX or ONNX Runtime are missing."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper
except ImportError as error:
    print(f"skipped: {error}; PARE_PEER_PYTHON names a Python with onnx and onnxruntime")
    sys.exit(77)

EXACT = {"QuantizeLinear", "DequantizeLinear", "Cast", "Reshape", "Transpose", "Slice", "Concat", "Identity", "Flatten",
         "Squeeze", "Unsqueeze", "Expand", "Gather", "Relu", "Clip", "Min", "Max", "MaxPool", "DepthToSpace", "SpaceToDepth",
         "Tile", "Split", "GatherElements"}
PACKED = {getattr(onnx.TensorProto, name) for name in ("INT4", "UINT4", "INT2", "UINT2") if hasattr(onnx.TensorProto, name)}
FLOATS = 2e-5  # of the largest element: sums of some hundred products in another order
TIE = 1e-3  # of a step: how near to a tie a code that differs has to be

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 4
options.intra_op_num_threads = 1


class Difference(Exception):
    pass


class NodeRunner:
    """Runs single nodes of a model; sessions are kept for the node's second operand set. Codes of fewer than 8 bits, which NumPy has
    not, stay initializers."""

    def __init__(self, model):
        self.model, self.sessions = model, {}
        self.packed = {t.name: t for t in model.graph.initializer if t.data_type in PACKED}

    def __call__(self, index, node, values):
        names = [n for n in dict.fromkeys(node.input) if n and n not in self.packed]
        if index not in self.sessions:
            infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(values[n].dtype), values[n].shape)
                     for n in names]
            graph = helper.make_graph([node], "node", infos, [onnx.ValueInfoProto(name=n) for n in node.output if n],
                                      [self.packed[n] for n in node.input if n in self.packed])
            single = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
            self.sessions[index] = onnxruntime.InferenceSession(single.SerializeToString(), options)
        found = self.sessions[index].run(None, {n: values[n] for n in names})
        return dict(zip([n for n in node.output if n], found))


def same(found, wanted, node, exact):
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise Difference(f"{node.op_type} '{node.name}': {found.dtype}{found.shape} for {wanted.dtype}{wanted.shape}")
    if exact or wanted.dtype.kind != "f":
        if not np.array_equal(found, wanted, equal_nan=wanted.dtype.kind == "f"):
            k = int(np.argmax((found != wanted).ravel()))
            raise Difference(f"{node.op_type} '{node.name}': {wanted.ravel()[k]} is {found.ravel()[k]} there")
        return
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    largest = np.abs(a[finite]).max() if finite.any() else 0.0
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        raise Difference(f"{node.op_type} '{node.name}': other infinities")
    worst = np.abs(a[finite] - b[finite]).max() if finite.any() else 0.0
    if worst > FLOATS * largest:
        raise Difference(f"{node.op_type} '{node.name}' differs by {worst:.3g} of {largest:.3g}")


def near_ties(node, theirs, ours, real, scale):
    """How many codes differ; Difference if one does away from a tie or by more than 1."""
    differ = theirs.astype(np.int64) != ours.astype(np.int64)
    if not differ.any():
        return 0
    if np.abs(theirs.astype(np.int64) - ours.astype(np.int64)).max() > 1:
        raise Difference(f"QuantizeLinear '{node.name}': codes differ by more than 1")
    quotient = real.astype(np.float64)[differ] / float(scale)
    distance = np.abs(quotient - np.floor(quotient) - 0.5).max()
    if distance > TIE:
        raise Difference(f"QuantizeLinear '{node.name}': a code differs {distance:.3g} steps from a tie")
    return int(differ.sum())


def compare(path, counts):
    model = onnx.load(path + ".onnx")
    onnx.checker.check_model(model, full_check=True)
    data = np.load(path + ".npz")
    ours = {n: data[n] for n in data.files}
    ours.update({t.name: numpy_helper.to_array(t) for t in model.graph.initializer})
    own_steps = set()  # values inside of what is one op in pare
    theirs = {}  # values since the last dequantization, by their own kernels alone
    run = NodeRunner(model)
    for index, node in enumerate(model.graph.node):
        try:
            found = run(index, node, ours)
        except Exception as error:
            if index in run.sessions:  # cubic and linear resizing of volumes
                counts["refused"] += 1
                return
            raise error
        own = found
        if any(n in theirs for n in node.input) and node.op_type != "DequantizeLinear":
            own = run(index, node, {n: theirs.get(n, ours[n]) for n in node.input if n})
        for name, value in found.items():
            if name in ours:
                same(value, ours[name], node, node.op_type in EXACT and own_steps.isdisjoint(node.input))
            else:
                ours[name] = value
                own_steps.add(name)
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
            if node.op_type == "QuantizeLinear" and own is not found:
                counts["codes"] += value.size
                counts["next to a tie"] += near_ties(node, own[name], ours[name], ours[node.input[0]], ours[node.input[1]])
            elif node.op_type != "DequantizeLinear":
                theirs[name] = own[name]
            if node.op_type == "DequantizeLinear":
                theirs[name] = ours[name]


def main():
    counts = {"codes": 0, "next to a tie": 0, "refused": 0}
    bad, number = [], 0
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        print(subprocess.run([sys.argv[1], folder], check=True, capture_output=True, text=True).stdout.strip())
        for line in open(os.path.join(folder, "list.txt"), encoding="utf-8"):
            name, title = line.rstrip("\n").split(" ", 1)
            number += 1
            try:
                compare(os.path.join(folder, name), counts)
            except Exception as error:  # each is one line of the report
                bad.append(f"{title}\n    {type(error).__name__}: {str(error).strip()[:300]}")
    print("\n".join(bad))
    share = counts["next to a tie"] / max(1, counts["codes"])
    print(f"{number} graphs, {len(bad)} wrong, {counts['refused']} that ONNX Runtime does not run; {counts['codes']} codes behind float operators, "
          f"{counts['next to a tie']} ({100 * share:.4f} %) of them the neighbour's next to a tie")
    print(", ".join(f"{op} {n}" for op, n in sorted(counts.items()) if op[0].isupper()))
    return int(bool(bad) or number < 100 or counts["refused"] > number / 50 or share > 0.001)


if __name__ == "__main__":
    sys.exit(main())
