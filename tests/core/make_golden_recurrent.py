"""Writes golden_{recurrent_options,max_norm}.h: recurrent layers with ONNX's options as ONNX Runtime computes them (gradients: PyTorch's, of a loop whose
results are checked against ONNX Runtime's), PyTorch's LSTM with a projection, and embedding with max_norm.
Run: python tests/core/make_golden_recurrent.py"""

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import helper
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from make_golden import case, short, write

torch.manual_seed(77)

HIDDEN, STEPS, BATCH, IN = 2, 4, 3, 3
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
ORDER = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}  # ours in ONNX's
USUAL = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
WORDS = ["Tanh", "Sigmoid", "Relu", "Softsign", "Softplus", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid",
         "Elu"]
DIRECTIONS = ["forward", "reverse", "bidirectional"]
NUMBERS = {"Affine": (1.0, 0.0), "LeakyRelu": (0.01,), "ThresholdedRelu": (1.0,), "ScaledTanh": (1.0, 1.0), "HardSigmoid": (0.2, 0.5),
           "Elu": (1.0,)}
FUNCTIONS = {
    "Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "Relu": F.relu, "Softsign": F.softsign, "Softplus": F.softplus,
    "Affine": lambda x, a, b: a * x + b, "LeakyRelu": F.leaky_relu, "ThresholdedRelu": lambda x, a: torch.where(x > a, x, 0 * x),
    "ScaledTanh": lambda x, a, b: a * torch.tanh(b * x), "HardSigmoid": lambda x, a, b: (a * x + b).clamp(0, 1), "Elu": F.elu,
}


def functions_of(words, alpha, beta):
    alpha, beta = list(alpha), list(beta)
    out = []
    for word in words:
        numbers = list(NUMBERS.get(word, ()))
        for i, given in enumerate((alpha, beta)[:len(numbers)]):
            if given:
                numbers[i] = given.pop(0)
        out.append(lambda x, f=FUNCTIONS[word], n=tuple(numbers): f(x, *n))
    return out


def one_direction(kind, x, weights, functions, state, lengths, reverse, options):
    """y [T, N, H] and the last states, as ONNX's formulas say, in our layout of weights."""
    w, r, bw, br = weights
    clip = options.get("clip", 0)

    def bounded(v):
        return v.clamp(-clip, clip) if clip else v

    rows, last = [[None] * STEPS for _ in range(BATCH)], []
    for n in range(BATCH):
        h, c = state[0][n], state[1][n] if kind == "LSTM" else None
        places = range(lengths[n])
        for t in reversed(places) if reverse else places:
            a = w @ x[t, n] + bw
            b = r @ h + br
            if kind == "RNN":
                h = functions[0](bounded(a + b))
            elif kind == "LSTM":
                f, g, o = functions
                p = options["peepholes"].chunk(3) if "peepholes" in options else None
                i_, f_, g_, o_ = (a + b).chunk(4)
                i = f(bounded(i_ + p[0] * c if p else i_))
                keep = 1 - i if options.get("input_forget") else f(bounded(f_ + p[1] * c if p else f_))
                c = keep * c + i * g(bounded(g_))
                h = f(bounded(o_ + p[2] * c if p else o_)) * o(c)
            else:
                f, g = functions
                (ar, az, an), (hr, hz, _) = a.chunk(3), b.chunk(3)
                rr, z = f(bounded(ar + hr)), f(bounded(az + hz))
                rn, bn = r[2 * HIDDEN:], br[2 * HIDDEN:]
                n_ = rr * (rn @ h + bn) if options.get("linear_before_reset") else rn @ (rr * h) + bn
                h = (1 - z) * g(bounded(an + n_)) + z * h
            rows[n][t] = h
        last.append((h, c))
    zero = torch.zeros(HIDDEN)
    y = torch.stack([torch.stack([rows[n][t] if rows[n][t] is not None else zero for n in range(BATCH)]) for t in range(STEPS)])
    return y, [torch.stack([s[k] for s in last]) for k in range(2 if kind == "LSTM" else 1)]


def runtime(kind, direction, words, alpha, beta, attributes, feed):
    names = ("x", "w", "r", "b", "lengths", "h0", "c0", "p")[:8 if kind == "LSTM" else 6]
    node = helper.make_node(kind, [n if n in feed else "" for n in names],
                            ["y", "h", "c"][:3 if kind == "LSTM" else 2], hidden_size=HIDDEN, direction=direction, activations=words,
                            **({"activation_alpha": alpha} if alpha else {}), **({"activation_beta": beta} if beta else {}), **attributes)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feed.items()],
        [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, None) for k in node.output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


def onnx_case(kind, direction=0, words=None, alpha=(), beta=(), clip=0.0, input_forget=0, peepholes=0, linear=0, lengths=None, scale=1.0):
    """numbers: direction, clip, input_forget, peepholes, linear_before_reset, count of words, words by number, count of alphas, alphas,
    betas, count of lengths, lengths. Inputs: x, h0, c0 of an lstm, peepholes, then the weights by direction; results flat."""
    count = 2 if direction == 2 else 1
    words = words or USUAL[kind] * count
    gates, cell = GATES[kind], kind == "LSTM"
    x = short(torch.randn(STEPS, BATCH, IN) * scale)
    states = [short(torch.randn(count, BATCH, HIDDEN)) for _ in range(2 if cell else 1)]
    p = [short(torch.randn(count, 3 * HIDDEN))] if peepholes else []
    weights = [short(torch.randn(s)) for _ in range(count)
               for s in ((gates * HIDDEN, IN), (gates * HIDDEN, HIDDEN), (gates * HIDDEN,), (gates * HIDDEN,))]
    steps = lengths or [STEPS] * BATCH
    options = {k: v for k, v in dict(clip=clip, input_forget=input_forget, linear_before_reset=linear).items() if v}

    def run(x, *rest):
        state, rest = rest[:len(states)], rest[len(states):]
        hole, rest = rest[:len(p)], rest[len(p):]
        ys, lasts = [], []
        each = len(USUAL[kind])
        used = words if len(words) == each * count else words * count
        all_functions = functions_of(used, alpha, beta) if used is words else functions_of(words, alpha, beta) * count
        for d in range(count):
            extra = {**options, **({"peepholes": hole[0][d]} if p else {})}
            y, last = one_direction(kind, x, rest[4 * d:4 * d + 4], all_functions[d * each:(d + 1) * each], [s[d] for s in state], steps,
                                    direction == 1 or d == 1, extra)
            ys.append(y)
            lasts.append(last)
        y = torch.cat(ys, 2)
        return torch.cat([y.reshape(-1), *(torch.stack([l[k] for l in lasts]).reshape(-1) for k in range(len(states)))])

    order = [g * HIDDEN + k for g in ORDER[kind] for k in range(HIDDEN)]
    pick = [0, 1, 4, 5, 2, 3]  # i f o to i o f
    w = [weights[4 * d:4 * d + 4] for d in range(count)]
    feed = {"x": x, "w": torch.stack([d[0][order] for d in w]), "r": torch.stack([d[1][order] for d in w]),
            "b": torch.stack([torch.cat([d[2][order], d[3][order]]) for d in w]), "h0": states[0]}
    feed = {k: v.numpy() for k, v in feed.items()}
    if cell:
        feed["c0"] = states[1].numpy()
    if p:
        feed["p"] = p[0][:, pick].numpy()
    if lengths:
        feed["lengths"] = np.array(lengths, np.int32)
    attributes = {k: v for k, v in options.items()}
    each = len(USUAL[kind])
    sent = words if len(words) == each * count else words * count
    repeat = 1 if sent is words else count
    found = runtime(kind, DIRECTIONS[direction], sent, list(alpha) * repeat, list(beta) * repeat, attributes, feed)
    flat = torch.cat([torch.tensor(found[0]).permute(0, 2, 1, 3).reshape(-1), *(torch.tensor(f).reshape(-1) for f in found[1:])])
    inputs = [x, *states, *p, *weights]
    error = (run(*inputs) - flat).abs().max().item()
    assert error < 1e-5, (kind, direction, words, options, error)

    def golden(*leaves):  # the values are ONNX Runtime's, the gradients those of the loop
        y = run(*leaves)
        return flat + (y - y.detach())

    numbers = [direction, clip, input_forget, peepholes, linear, len(words), *(WORDS.index(v) for v in words), len(alpha), *alpha,
               len(beta), *beta, len(lengths or []), *(lengths or [])]
    return case(kind.lower(), numbers, inputs, golden)


def onnx_cases():
    out = []
    for word in WORDS:  # with the numbers that ONNX has by default written out: runtimes differ there
        numbers = NUMBERS.get(word, ())
        out.append(onnx_case("RNN", words=[word], alpha=numbers[:1], beta=numbers[1:]))
    out += [
        onnx_case("RNN", 2, ["Affine", "ThresholdedRelu"], (0.5, 0.25), (0.125,), lengths=[2, 4, 1]),
        onnx_case("RNN", 1, ["ScaledTanh"], (1.5,), (0.75,), clip=0.5, lengths=[3, 1, 4]),
        onnx_case("RNN", 2, clip=0.75),
        onnx_case("RNN", 0, ["Relu"], clip=1.0),
        onnx_case("LSTM", clip=0.5, scale=2.0),
        onnx_case("LSTM", 0, ["HardSigmoid", "Relu", "Softsign"], (0.25,), (0.5,)),
        onnx_case("LSTM", 1, ["Sigmoid", "ScaledTanh", "Affine"], (1.5, 0.5), (0.75, 0.25), lengths=[4, 1, 2]),
        onnx_case("LSTM", 2, ["Sigmoid", "Elu", "LeakyRelu", "HardSigmoid", "Tanh", "Softplus"], (0.5, 0.125, 0.25), (0.375,)),
        onnx_case("LSTM", 0, peepholes=1),
        onnx_case("LSTM", 2, peepholes=1, lengths=[2, 4, 1]),
        onnx_case("LSTM", 1, peepholes=1, clip=0.75),
        onnx_case("LSTM", 0, input_forget=1),
        onnx_case("LSTM", 2, ["HardSigmoid", "Tanh", "Relu"] * 2, (0.25, 0.375), (0.5, 0.625), input_forget=1, clip=1.5),
        onnx_case("LSTM", 0, peepholes=1, input_forget=1, lengths=[4, 3, 2]),
    ]
    for linear in (0, 1):
        out += [
            onnx_case("GRU", 0, clip=0.5, linear=linear),
            onnx_case("GRU", 1, ["HardSigmoid", "Softsign"], (0.25,), (0.5,), linear=linear, lengths=[1, 4, 3]),
            onnx_case("GRU", 2, ["Sigmoid", "Elu", "Softsign", "ScaledTanh"], (0.5, 1.25), (0.75,), linear=linear),
            onnx_case("GRU", 2, ["Sigmoid", "Relu"] * 2, clip=0.875, linear=linear, lengths=[2, 3, 4]),
        ]
    return out


def projections():
    """PyTorch's LSTM: numbers: hidden, proj_size, layers, bias, batch_first, bidirectional, states given, then lengths."""
    out = []
    for hidden, size, layers, bias, first, two, given, lengths in [
            (3, 2, 1, 1, 0, 0, 0, []), (4, 1, 2, 1, 1, 1, 1, []), (3, 2, 1, 0, 1, 1, 1, [3, 1, 4]), (5, 3, 2, 1, 0, 0, 1, [2, 4, 1])]:
        net = torch.nn.LSTM(IN, hidden, num_layers=layers, bias=bool(bias), batch_first=bool(first), bidirectional=bool(two), proj_size=size)
        rows = layers * (1 + two)
        x = short(torch.randn((BATCH, STEPS, IN) if first else (STEPS, BATCH, IN)))
        states = [short(torch.randn(rows, BATCH, n)) for n in (size, hidden)] if given else []
        names = [n for n, _ in net.named_parameters()]
        weights = [short(v.detach() * 2) for v in net.parameters()]

        def run(x, *rest, net=net, states=states, names=names, lengths=lengths, first=first):
            initial, values = rest[:len(states)], rest[len(states):]
            if lengths:
                x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=bool(first), enforce_sorted=False)
            y, last = torch.func.functional_call(net, dict(zip(names, values)), (x, *((tuple(initial),) if states else ())))
            if lengths:
                y = pad_packed_sequence(y, batch_first=bool(first), total_length=STEPS)[0]
            return torch.cat([y.reshape(-1), *(s.reshape(-1) for s in last)])

        out.append(case("projected", [hidden, size, layers, bias, first, two, given, *lengths], [x, *states, *weights], run))
    return out


def renormalized():
    """numbers: max_norm, norm_type, padding row, bag (0: embedding, 1: embedding_bag of sums). Inputs: weight, indices. Results: what
    is read; as a second case of the same numbers the weight afterwards."""
    out = []
    weight = short(torch.randn(6, 3) * 2)
    indices = torch.tensor([[1, 3, 0, 3], [4, 3, 1, 1]])
    for norm, kind, padding, bag in [(1.0, 2.0, -1, 0), (1.5, 1.0, 3, 0), (0.75, float("inf"), -1, 0), (2.0, 3.0, -1, 1), (100.0, 2.0, -1, 0),
                                     (0.0, 2.0, -1, 0)]:
        after = weight.clone()
        torch.embedding_renorm_(after, indices, norm, kind)

        def run(w, i, after=after, padding=padding, bag=bag):
            # The gradient is that of the table as it then is.
            w = after + (w - w.detach())
            p = None if padding < 0 else padding
            return F.embedding_bag(i.long(), w, mode="sum", padding_idx=p) if bag else F.embedding(i.long(), w, p)

        numbers = [norm, kind, padding, bag]
        with torch.no_grad():
            table = weight.clone()
            p = None if padding < 0 else padding
            direct = (F.embedding_bag(indices, table, mode="sum", padding_idx=p, max_norm=norm, norm_type=kind) if bag else
                      F.embedding(indices, table, p, max_norm=norm, norm_type=kind))
        assert torch.equal(table, after) and torch.equal(direct, run(weight, indices.float()))
        out.append(case("max_norm", numbers, [weight, indices.float()], run, 1))
        out.append(case("max_norm_after", numbers, [weight, indices.float()], lambda w, i, after=after: after, 0))
    return out


if __name__ == "__main__":
    write("recurrent_options", onnx_cases() + projections(), script="make_golden_recurrent.py")
    write("max_norm", renormalized(), script="make_golden_recurrent.py")
