"""Writes golden_{recurrent,embedding,ctc,soft_targets}.h: what PyTorch (of gru's reset before the product: ONNX Runtime) computes for recurrent layers,
embeddings and ctc_loss. Run: python tests/core/make_golden_sequence.py"""

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import helper
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from make_golden import case, short, write

torch.manual_seed(31)


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def recurrent():
    """numbers: hidden, layers, bias, batch_first, bidirectional, states given, relu, then lengths. Inputs: x, states, weights in
    the order of the state_dict. Of all outputs, one behind the other."""
    out = []
    kinds = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    for kind, layer in kinds.items():
        for i, (layers, bias, first, two, given, relu, lengths) in enumerate([
                (1, 1, 0, 0, 0, 0, []), (1, 1, 1, 0, 1, 0, []), (2, 1, 0, 1, 1, 0, []), (1, 0, 0, 1, 1, 1, []),
                (1, 1, 1, 1, 1, 0, [3, 1, 4]), (2, 1, 0, 0, 0, 0, [2, 4, 1]), (1, 1, 0, 0, 2, 0, [])]):
            extra = {"nonlinearity": "relu"} if relu and kind == "rnn" else {}
            net = layer(3, 2, num_layers=layers, bias=bool(bias), batch_first=bool(first), bidirectional=bool(two), **extra)
            steps, batch, rows = 4, 3, layers * (1 + two)
            alone = given == 2  # one sample without an axis of its own
            x = short(torch.randn((steps, 3) if alone else (batch, steps, 3) if first else (steps, batch, 3)))
            states = []
            if given:
                states = [short(torch.randn((rows, 2) if alone else (rows, batch, 2)))
                          for _ in range(2 if kind == "lstm" else 1)]
            weights = [short(p.detach() * 2) for p in net.parameters()]
            names = [n for n, _ in net.named_parameters()]

            def run(x, *rest, net=net, states=states, names=names, kind=kind, lengths=lengths, first=first):
                initial, values = rest[:len(states)], rest[len(states):]
                if lengths:
                    x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=bool(first), enforce_sorted=False)
                args = () if not states else (tuple(initial),) if kind == "lstm" else (initial[0],)
                y, last = torch.func.functional_call(net, dict(zip(names, values)), (x, *args))
                if lengths:
                    y = pad_packed_sequence(y, batch_first=bool(first), total_length=4)[0]
                return flat([y, *(last if kind == "lstm" else [last])])

            out.append(case(kind, [2, layers, bias, first, two, given, relu, *lengths], [x, *states, *weights], run))
    return out


def reset_before_product():
    """GRU with linear_before_reset = 0 in ONNX Runtime: numbers: direction (0 forward, 1 reverse, 2 both), then lengths. Inputs:
    x, h0, and of each direction weight_ih, weight_hh, bias_ih, bias_hh in PyTorch's order of gates."""
    out = []
    for direction, lengths in [(0, []), (1, [4, 2, 3]), (2, [1, 4, 2])]:
        count = 2 if direction == 2 else 1
        x, h0 = short(torch.randn(4, 3, 3)), short(torch.randn(count, 3, 2))
        weights = [[short(torch.randn(s)) for s in ((6, 3), (6, 2), (6,), (6,))] for _ in range(count)]
        order = [2, 3, 0, 1, 4, 5]  # r z n to z r h
        feed = {
            "x": x, "w": torch.stack([w[0][order] for w in weights]), "r": torch.stack([w[1][order] for w in weights]),
            "b": torch.stack([torch.cat([w[2][order], w[3][order]]) for w in weights]), "h0": h0,
        }
        feed = {k: v.numpy() for k, v in feed.items()}
        feed["lengths"] = np.array(lengths or [4] * 3, np.int32)
        node = helper.make_node("GRU", ["x", "w", "r", "b", "lengths", "h0"], ["y", "h"], hidden_size=2,
                                direction=["forward", "reverse", "bidirectional"][direction])
        kinds = {"lengths": onnx.TensorProto.INT32}
        graph = helper.make_graph(
            [node], "gru",
            [helper.make_tensor_value_info(k, kinds.get(k, onnx.TensorProto.FLOAT), v.shape) for k, v in feed.items()],
            [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, None) for k in ("y", "h")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        y, h = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
        y = torch.tensor(y).permute(0, 2, 1, 3)
        out.append(case("gru_reset", [direction, *lengths], [x, h0, *sum(weights, [])],
                        lambda *a, y=y, h=h: flat([y, torch.tensor(h)]), 0))
    return out


def embeddings():
    """embedding: numbers: padding row, by frequency; inputs: weight, indices. embedding_bag: numbers: mode (0 sum, 1 mean, 2 max),
    padding row, by frequency, last offset included, has offsets, has weights."""
    out = []
    indices = torch.tensor([[1, 3, 0, 3], [4, 3, 1, 2]])
    weight = short(torch.randn(5, 3))
    for padding, frequent in [(None, 0), (3, 0), (1, 1)]:
        out.append(case("embedding", [-1 if padding is None else padding, frequent], [weight, indices.float()],
                        lambda w, i, p=padding, f=frequent: F.embedding(i.long(), w, p, scale_grad_by_freq=bool(f)), 1))
    modes = ["sum", "mean", "max"]
    flat_indices = torch.tensor([1.0, 3, 0, 3, 4, 3, 1])
    for m, mode in enumerate(modes):
        for padding, frequent, last, listed in [(None, 0, 0, 0), (3, 0, 0, 0), (3, 0, 0, 1), (None, 1, 1, 1)]:
            frequent = frequent and mode != "max"
            x = flat_indices if listed else indices.float()
            offsets = [torch.tensor([0.0, 3, 3, 4] + ([7.0] if last else []))] if listed else []

            def run(w, x, *o, mode=mode, p=padding, f=frequent, last=last):
                return F.embedding_bag(x.long(), w, o[0].long() if o else None, mode=mode, scale_grad_by_freq=bool(f),
                                       include_last_offset=bool(last), padding_idx=p)
            out.append(case("embedding_bag", [m, -1 if padding is None else padding, frequent, last, listed, 0],
                            [weight, x, *offsets], run, 1))
    for listed in (0, 1):
        x = flat_indices if listed else indices.float()
        offsets = [torch.tensor([0.0, 3, 3, 4])] if listed else []
        out.append(case("embedding_bag", [0, 3, 0, 0, listed, 1], [weight, short(torch.randn(x.shape)), x, *offsets],
                        lambda w, s, x, *o: F.embedding_bag(x.long(), w, o[0].long() if o else None, mode="sum",
                                                            per_sample_weights=s, padding_idx=3), 2))
    return out


REDUCTIONS = ["none", "mean", "sum"]


def ctc():
    """Of scores, through log_softmax: PyTorch's gradient is that of both. numbers: reduction, blank, zero_infinity, rows (targets
    [N, S] or in a row), then input lengths and target lengths."""
    out = []
    scores = short(torch.randn(6, 3, 4) * 2)
    rows = torch.tensor([[1.0, 2, 2], [3, 1, 1], [2, 2, 2]])
    problems = [(0, rows, [6, 5, 6], [3, 2, 1]), (0, rows, [6, 6, 4], [3, 0, 2]),
                (3, torch.tensor([[0.0, 1, 0], [2, 2, 0], [1, 0, 2]]), [6, 4, 5], [3, 2, 3])]
    for blank, targets, inputs, lengths in problems:
        for packed in (0, 1):
            t = torch.cat([targets[i, :n] for i, n in enumerate(lengths)]) if packed else targets
            for r, reduction in enumerate(REDUCTIONS):
                out.append(case("ctc_loss", [r, blank, 0, 1 - packed, *inputs, *lengths], [scores, t],
                                lambda x, t, i=inputs, n=lengths, b=blank, red=reduction: F.ctc_loss(
                                    torch.log_softmax(x, 2), t.long(), torch.tensor(i), torch.tensor(n), b, red), 1))
    # The first target needs five steps (a blank between equal labels), and has four.
    hopeless = [[4, 6, 6], [3, 2, 1]]
    targets = torch.tensor([[2.0, 2, 2], [1, 3, 0], [1, 0, 0]])
    for r, reduction in enumerate(REDUCTIONS):
        out.append(case("ctc_loss", [r, 0, 1, 1, *hopeless[0], *hopeless[1]], [scores, targets],
                        lambda x, t, red=reduction: F.ctc_loss(torch.log_softmax(x, 2), t.long(), torch.tensor(hopeless[0]),
                                                               torch.tensor(hopeless[1]), 0, red, True), 1))
        out.append(case("ctc_loss", [r, 0, 0, 1, *hopeless[0], *hopeless[1]], [scores, targets],
                        lambda x, t, red=reduction: F.ctc_loss(torch.log_softmax(x, 2), t.long(), torch.tensor(hopeless[0]),
                                                               torch.tensor(hopeless[1]), 0, red, False), 0))
    return out


def soft_targets():
    """cross_entropy of probabilities: numbers: reduction, smoothing; inputs: scores, targets, perhaps weights. kl_div of
    log-probabilities: numbers: reduction (3: batchmean)."""
    out = []
    for shape in [(3, 4), (2, 3, 2, 2), (4,)]:
        axis = 1 if len(shape) > 1 else 0
        x, t = short(torch.randn(shape) * 2), torch.softmax(torch.randn(shape), axis)
        for r, reduction in enumerate(REDUCTIONS):
            for smoothing, weighted in [(0.0, False), (0.1, True)]:
                weight = [short(torch.rand(shape[axis]) + 0.5)] if weighted else []
                out.append(case("cross_entropy", [r, smoothing], [x, t, *weight],
                                lambda a, b, *w, s=smoothing, red=reduction: F.cross_entropy(
                                    a, b, *w, label_smoothing=s, reduction=red), 2))
    for shape in [(3, 4), (2, 3, 2, 2)]:
        log_a, log_b = torch.log_softmax(torch.randn(shape), 1), torch.log_softmax(torch.randn(shape), 1)
        for r, reduction in enumerate([*REDUCTIONS, "batchmean"]):
            out.append(case("kl_div", [r], [log_a, log_b],
                            lambda a, b, red=reduction: F.kl_div(a, b, reduction=red, log_target=True)))
    return out


if __name__ == "__main__":
    # A table takes long to compile: one for each test.
    for topic, cases in [("recurrent", recurrent() + reset_before_product()), ("embedding", embeddings()), ("ctc", ctc()),
                         ("soft_targets", soft_targets())]:
        write(topic, cases, script="make_golden_sequence.py")
