"""Every op of pare beside PyTorch's, turn by turn in one run on one thread: prints the ratios of the best times, worst first,
forward and backward, then the ops that have no case or no peer.

usage: ops.py [BUILD] [--seconds S] [--rounds N] [CASE or OP ...]      BUILD = build/release; needs torch (PyPI)

The cases and their inputs are those of benchmarks/ops (`ops --list`), of 10^5 elements and more. A round goes over all cases;
the machine's noise is not the same in all of them, so the ratio is that of the best times of all rounds."""
import os
import subprocess
import sys
import time
import warnings

import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=UserWarning)
NO_PEER = {"observe_fake_quantize": "no op of PyTorch's does both"}


def dropout(x):
    return F.dropout(x, 0.5, True)


def observer(name):
    from torch.ao import quantization
    module = getattr(quantization, name)()
    return lambda x, *state: module(x)


def recurrent(name):
    def run(x, ih, hh):
        h = x.new_zeros(1, x.shape[1], hh.shape[1])
        state = (h, h) if name == "lstm" else h
        return getattr(torch._VF, name)(x, state, [ih, hh], False, 1, 0.0, True, False, False)[0]
    return run


CASES = {
    # Elementwise.
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "pow": torch.pow, "mod": torch.remainder, "fmod": torch.fmod,
    "pow, a square": lambda x, p: torch.pow(x, 2.0), "pow, a number": lambda x, p: torch.pow(x, 2.5), "add, a row": torch.add, "mul, channels": torch.mul,
    "neg": torch.neg, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "abs": torch.abs, "sign": torch.sign,
    "square": torch.square, "reciprocal": torch.reciprocal, "rsqrt": torch.rsqrt, "sin": torch.sin, "cos": torch.cos,
    "tan": torch.tan, "erf": torch.erf, "floor": torch.floor, "ceil": torch.ceil, "round": torch.round,
    "clamp": lambda x: torch.clamp(x, -1, 1), "equal": torch.eq, "not_equal": torch.ne, "less": torch.lt,
    "less_equal": torch.le, "greater": torch.gt, "greater_equal": torch.ge, "logical_and": torch.logical_and,
    "logical_or": torch.logical_or, "logical_xor": torch.logical_xor, "logical_not": torch.logical_not,
    "bitwise_and": torch.bitwise_and, "bitwise_or": torch.bitwise_or, "bitwise_xor": torch.bitwise_xor,
    "bitwise_not": torch.bitwise_not, "where": torch.where, "cast": lambda x: x.to(torch.float64),
    "cast to integers": lambda x: x.to(torch.int32), "detach": lambda x: x.detach(),
    "to_format": lambda x: x.contiguous(memory_format=torch.channels_last),
    # Activations.
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "leaky_relu": F.leaky_relu,
    "elu": F.elu, "selu": F.selu, "celu": F.celu, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "hardtanh": F.hardtanh, "softplus": F.softplus, "softsign": F.softsign, "gelu": F.gelu,
    "gelu, tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish, "log_sigmoid": F.logsigmoid,
    "prelu": lambda x, w: F.prelu(x, w.reshape(-1)),
    # Reductions and order.
    "sum": lambda x: x.sum(1), "mean": lambda x: x.mean(1), "max": lambda x: x.amax(1), "min": lambda x: x.amin(1),
    "prod": lambda x: x.prod(1), "logsumexp": lambda x: x.logsumexp(1), "var": lambda x: x.var(1),
    "std": lambda x: x.std(1), "norm": lambda x: torch.linalg.vector_norm(x, 2, 1), "sum, down": lambda x: x.sum(0),
    "max, down": lambda x: x.amax(0), "var, down": lambda x: x.var(0), "sum of all": lambda x: x.sum(),
    "any": lambda x: x.any(1), "all": lambda x: x.all(1), "argmax": lambda x: x.argmax(1), "argmin": lambda x: x.argmin(1),
    "cumsum": lambda x: x.cumsum(1), "cumprod": lambda x: x.cumprod(1), "cumsum, down": lambda x: x.cumsum(0),
    "softmax": lambda x: x.softmax(1), "log_softmax": lambda x: x.log_softmax(1),
    "sort": lambda x: x.sort(dim=1, stable=True)[0], "sort, one long row": lambda x: x.sort(dim=0, stable=True)[0],
    "topk": lambda x: x.topk(5, 1)[0],
    # Movement: what PyTorch only views is made contiguous, as pare's results are.
    "reshape": lambda x: x.reshape(512, 256), "transpose": lambda x: x.t().contiguous(),
    "transpose, heads": lambda x: x.transpose(1, 2).contiguous(), "concat": lambda a, b: torch.cat([a, b], 1),
    "slice": lambda x: x[:, :, ::2, ::2].contiguous(), "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "expand": lambda x: x.expand(256, 512).contiguous(), "gather": lambda x, i: torch.index_select(x, 0, i),
    "tile": lambda x: x.repeat(2, 2), "flip": lambda x: x.flip(1), "roll": lambda x: x.roll((3, -5), (0, 1)),
    "trilu": torch.tril, "pad_border": lambda x: F.pad(x, (2, 2, 2, 2), "reflect"),
    "pad_border, replicate": lambda x: F.pad(x, (2, 2, 2, 2), "replicate"),
    "range": lambda a, b, c: torch.arange(0, 200000, 1, dtype=torch.float32),
    # Indices.
    "gather_elements": lambda x, i: x.gather(1, i), "gather_elements, down": lambda x, i: x.gather(0, i),
    "scatter_elements": lambda x, i, u: x.scatter(1, i, u), "scatter_elements, down": lambda x, i, u: x.scatter(0, i, u),
    "scatter_elements, add": lambda x, i, u: x.scatter_add(1, i, u),
    "scatter_elements, add, down": lambda x, i, u: x.scatter_add(0, i, u),
    "scatter_elements, max": lambda x, i, u: x.scatter_reduce(1, i, u, "amax"),
    "scatter_elements, max, down": lambda x, i, u: x.scatter_reduce(0, i, u, "amax"),
    "gather_nd": lambda x, i: x[i[:, 0]], "scatter_nd": lambda x, i, u: x.index_put((i[:, 0],), u),
    "one_hot": lambda i: F.one_hot(i, 100),
    # Resolutions.
    "resize, linear": lambda x: F.interpolate(x, size=64, mode="bilinear"),
    "resize, linear, smaller": lambda x: F.interpolate(x, size=23, mode="bilinear"),
    "resize, cubic": lambda x: F.interpolate(x, size=64, mode="bicubic"),
    "resize, nearest": lambda x: F.interpolate(x, size=64, mode="nearest"),
    "depth_to_space": lambda x: F.pixel_shuffle(x, 2), "space_to_depth": lambda x: F.pixel_unshuffle(x, 2),
    "unfold": lambda x: F.unfold(x, 3, padding=1), "fold": lambda x: F.fold(x, 32, 3, padding=1),
    # Contractions.
    "matmul": torch.matmul, "matmul, batch": torch.matmul, "linear": F.linear,
    "conv2d": lambda x, w: F.conv2d(x, w, padding=1), "conv2d, pointwise": F.conv2d,
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    "conv2d, depthwise": lambda x, w: F.conv2d(x, w, padding=1, groups=32),
    # Layers.
    "max_pool2d": lambda x: F.max_pool2d(x, 2), "average_pool2d": lambda x: F.avg_pool2d(x, 2),
    "layer_norm": lambda x, w, b: F.layer_norm(x, (256,), w, b),
    "rms_norm": lambda x, w: F.rms_norm(x, (256,), w, 1e-5), "group_norm": lambda x, w, b: F.group_norm(x, 8, w, b),
    "instance_norm": lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
    "local_response_norm": lambda x: F.local_response_norm(x, 5),
    "global_average_pool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "conv1d": lambda x, w: F.conv1d(x, w, padding=1), "conv1d, depthwise": lambda x, w: F.conv1d(x, w, padding=1, groups=32),
    "conv3d": lambda x, w: F.conv3d(x, w, padding=1),
    "conv_transpose1d": lambda x, w: F.conv_transpose1d(x, w, stride=2, padding=1),
    "conv_transpose2d": lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
    "conv_transpose3d": lambda x, w: F.conv_transpose3d(x, w, stride=2),
    "max_pool1d": lambda x: F.max_pool1d(x, 2), "max_pool3d": lambda x: F.max_pool3d(x, 2),
    "average_pool1d": lambda x: F.avg_pool1d(x, 2), "average_pool3d": lambda x: F.avg_pool3d(x, 2),
    "adaptive_average_pool": lambda x: F.adaptive_avg_pool2d(x, 7),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, 7), "global max pool": lambda x: F.adaptive_max_pool2d(x, 1),
    "batch_norm": lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, True),
    "batch_norm, inference": lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, False), "dropout": dropout,
    # Losses.
    "cross_entropy": F.cross_entropy, "nll": F.nll_loss,
    "kl_div": lambda a, b: F.kl_div(a, b, reduction="batchmean"), "mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss,
    "hinge_embedding": F.hinge_embedding_loss, "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    # Sequences.
    "rnn": recurrent("rnn_tanh"), "lstm": recurrent("lstm"), "gru": recurrent("gru"), "embedding": F.embedding,
    "embedding_bag": lambda i, w: F.embedding_bag(i, w),
    "ctc_loss": lambda x, y, n, m: F.ctc_loss(x, y, n, m, 39),
    # Quantization.
    "fake_quantize": lambda x, s, z: torch.fake_quantize_per_tensor_affine(x, s, z, 0, 255),
    "quantize_linear": lambda x, s, z: torch.quantize_per_tensor(x, s, z, torch.quint8),
    "dequantize_linear": lambda q, s, z: q.dequantize(),
    "observe_min_max": observer("MinMaxObserver"), "observe_histogram": observer("HistogramObserver"),
    "symmetric_scale": lambda x: x.abs().amax(1) / 127,
}


def make(spec):
    kind, shape = spec.split(" ", 1)
    wants = kind.endswith("*")
    kind, _, value = kind.rstrip("*").partition(":")
    shape = [int(n) for n in shape.strip("[]").split(",") if n.strip()]
    floats = {"normal": lambda: torch.randn(shape), "uniform": lambda: torch.rand(shape),
              "positive": lambda: torch.rand(shape) * 2 + 0.1, "zeros": lambda: torch.zeros(shape),
              "ones": lambda: torch.ones(shape), "range": lambda: torch.zeros(shape),
              "sign": lambda: torch.randint(0, 2, shape) * 2.0 - 1, "bool": lambda: torch.randint(0, 2, shape) > 0,
              "int": lambda: torch.randint(0, 1000, shape, dtype=torch.int32), "none": lambda: None,
              "labels": lambda: torch.randint(0, int(value), shape), "const": lambda: torch.full(shape, float(value)),
              "i32": lambda: torch.full(shape, int(value), dtype=torch.int32),
              "counts": lambda: torch.zeros(shape, dtype=torch.int64),
              "u8": lambda: torch.quantize_per_tensor(torch.rand(shape) * 8, 0.03125, 3, torch.quint8),
              "i8": lambda: torch.randint(-128, 128, shape, dtype=torch.int8)}
    tensor = floats[kind]()
    return tensor.requires_grad_() if wants else tensor


class Peer:
    def __init__(self, name, specs):
        self.run = CASES[name]
        self.inputs = [make(s) for s in specs]
        self.wanted = [t for t in self.inputs if t is not None and t.requires_grad]
        self.gradient = None

    def forward(self):
        with torch.no_grad():
            start = time.perf_counter()
            self.run(*self.inputs)
            return time.perf_counter() - start

    def backward(self):
        y = self.run(*self.inputs)
        if self.gradient is None:
            self.gradient = torch.randn_like(y)
        start = time.perf_counter()
        y.backward(self.gradient)
        seconds = time.perf_counter() - start
        for t in self.wanted:
            t.grad = None
        return seconds


def main():
    arguments = sys.argv[1:]
    def option(name, value):
        if name not in arguments:
            return value
        at = arguments.index(name)
        value = float(arguments[at + 1])
        del arguments[at:at + 2]
        return value
    seconds, rounds = option("--seconds", 0.1), int(option("--rounds", 3))
    folder = arguments.pop(0) if arguments and os.path.isdir(arguments[0]) else "build/release"
    binary = os.path.join(folder, "benchmarks", "ops")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    missing = [row[1] for row in rows if not row[0]]
    rows = [row for row in rows if row[0] and (not arguments or row[0] in arguments or row[1] in arguments)]
    pare = subprocess.Popen([binary, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(which, count, name):
        print(which, count, name, file=pare.stdin, flush=True)
        return min(float(t) for t in pare.stdout.readline().split())

    best = {}
    for _ in range(rounds):
        for name, op, mode, *specs in rows:
            if name not in CASES:
                continue
            peer = Peer(name, specs)
            for which in ["forward"] + (["backward"] if peer.wanted else []):
                theirs = getattr(peer, which)
                theirs(), ask(which, 1, name)
                once = max(theirs(), ask(which, 1, name), 1e-6)
                count = max(2, min(50, int(seconds / 8 / once)))
                key = name if which == "forward" else name + ", backward"
                ours, other = best.get(key, (1e9, 1e9))
                end = time.time() + seconds
                while time.time() < end:
                    ours = min(ours, ask(which, count, name))
                    other = min([other] + [theirs() for _ in range(count)])
                best[key] = ours, other
    pare.stdin.close()
    pare.wait()

    print(f"PyTorch {torch.__version__}, one thread, microseconds (best of {rounds} rounds, turn by turn)")
    print(f"{'case':36s} {'pare':>10s} {'PyTorch':>10s} {'ratio':>6s}")
    for name, (ours, other) in sorted(best.items(), key=lambda item: -item[1][0] / item[1][1]):
        print(f"{name:36s} {ours * 1e6:10.1f} {other * 1e6:10.1f} {ours / other:6.2f}")
    for name in [row[0] for row in rows if row[0] not in CASES]:
        print(f"{name:36s} no peer{': ' + NO_PEER[name] if name in NO_PEER else ''}")
    for name in missing:
        print(f"{name:36s} no case")


if __name__ == "__main__":
    main()
