"""Writes golden_statistics.h, golden_sort.h and golden_criteria.h: what PyTorch computes for the reductions
beside sum, mean and max, for sort and topk, and for the losses with their options.
Run: python tests/core/make_golden_statistics.py"""

import torch
import torch.nn.functional as F

from make_golden import case, short, write

torch.manual_seed(11)
INF = float("inf")
NAN = float("nan")


def statistics():
    out = []
    shapes = [((3, 7), [1]), ((3, 7), [0]), ((11,), [0]), ((2, 5, 2, 3), [0, 2, 3]),
              ((2, 5, 2, 3), [1]), ((2, 3, 4), [0, 2])]

    def all_shapes(name, numbers, run, make=lambda s: short(torch.randn(s)), differentiate=None):
        for i, (shape, axes) in enumerate(shapes):
            keep = i % 2 == 0
            out.append(case(name, [keep, *numbers, *axes], [make(shape)],
                            lambda t, a=axes, k=keep: run(t, a, k), differentiate))

    def several(f):
        """Of one axis at a time."""
        def run(t, axes, keep):
            for a in sorted(axes, reverse=True):
                t = f(t, a, keep)
            return t
        return run

    special = torch.tensor([[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [NAN, 1.0, 2.0, 0.0],
                            [INF, -INF, 1.0, 0.0], [-INF, -INF, -INF, -INF], [0.0, -0.0, 0.0, 2.0]])
    tame = special[:2]
    all_shapes("min", [], lambda t, a, k: torch.amin(t, dim=a, keepdim=k))
    out.append(case("min", [0, 1], [tame], lambda t: torch.amin(t, dim=[1])))
    out.append(case("min", [0, 1], [special], lambda t: torch.amin(t, dim=[1]), 0))
    out.append(case("argmin", [0, 1], [special], lambda t: torch.argmin(t, 1), 0))
    out.append(case("argmin", [1, 1], [short(torch.randn(2, 5, 3, 3))],
                    lambda t: torch.argmin(t, 1, keepdim=True), 0))
    all_shapes("prod", [], several(lambda t, a, k: torch.prod(t, a, k)))
    for zeros in ([1], [1, 2]):
        x = short(torch.randn(2, 5) + 2)
        x[0, zeros] = 0
        out.append(case("prod", [0, 1], [x], lambda t: torch.prod(t, 1)))
    for correction in (0, 1, 2):
        all_shapes("var", [correction],
                   lambda t, a, k, c=correction: torch.var(t, a, correction=c, keepdim=k))
        all_shapes("std", [correction],
                   lambda t, a, k, c=correction: torch.std(t, a, correction=c, keepdim=k))
    out.append(case("std", [0, 0, 1], [tame], lambda t: torch.std(t, 1, correction=0)))
    one = torch.tensor([[2.0], [-1.0]])
    out.append(case("var", [0, 1, 1], [one], lambda t: torch.var(t, 1, correction=1), 0))
    out.append(case("var", [0, 6, 1], [tame], lambda t: torch.var(t, 1, correction=6), 0))
    for p in (2.0, 1.0, 0.0, 3.0, 0.5, 1.5, -2.0, INF, -INF):
        all_shapes("norm", [p],
                   lambda t, a, k, p=p: torch.linalg.vector_norm(t, p, dim=a, keepdim=k),
                   differentiate=0 if p == 0 else None)
        out.append(case("norm", [0, p, 1], [special],
                        lambda t, p=p: torch.linalg.vector_norm(t, p, dim=1), 0))
    zero = torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, -2.0], [1.0, -3.0, 3.0]])
    for p in (2.0, 1.0, 3.0, 1.5, INF):
        out.append(case("norm", [0, p, 1], [zero],
                        lambda t, p=p: torch.linalg.vector_norm(t, p, dim=1)))
    all_shapes("logsumexp", [], lambda t, a, k: torch.logsumexp(t, a, k))
    out.append(case("logsumexp", [0, 1], [special], lambda t: torch.logsumexp(t, 1), 0))
    # Not of -infinity alone, where PyTorch's slope is NaN in some versions and 0 in others.
    far = torch.tensor([[1000.0, 999.0, -1000.0], [-INF, 0.0, 1.0]])
    out.append(case("logsumexp", [0, 1], [far], lambda t: torch.logsumexp(t, 1)))
    for name, f in (("any", torch.any), ("all", torch.all)):
        all_shapes(name, [], several(f), lambda s: (torch.randn(s) > 0.5).float(), 0)
        out.append(case(name, [0, 1], [special], lambda t, f=f: f(t, 1), 0))
    for name, f in (("cumsum", torch.cumsum), ("cumprod", torch.cumprod)):
        for shape, axis in [((7,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 2, 4), 1),
                            ((2, 3, 2, 4), -1)]:
            x = short(torch.randn(shape))
            out.append(case(name, [0, axis], [x], lambda t, f=f, a=axis: f(t, a)))
        x = torch.tensor([[2.0, 0.0, 3.0, 0.5], [1.0, 3.0, 0.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
        out.append(case(name, [0, 1], [x], lambda t, f=f: f(t, 1)))
    write("statistics", out)


def order():
    """Of each call the values, then the indices."""
    out = []
    special = torch.tensor([[1.0, 3.0, 3.0, 2.0, 3.0], [INF, NAN, -INF, NAN, 1.0],
                            [0.0, -0.0, 2.0, 0.0, -1.0]])
    for x, axis in [(special, 1), (short(torch.randn(3, 6)), 0), (short(torch.randn(2, 5, 2, 3)), 1),
                    (short(torch.randn(2, 5, 2, 3)), -1)]:
        count = 0 if x is special else 1
        for down in (0, 1):
            def values(t, a=axis, d=down):
                return torch.sort(t, dim=a, descending=bool(d), stable=True)
            out.append(case("sort", [axis, down], [x], lambda t: values(t)[0], count))
            out.append(case("sort indices", [axis, down], [x], lambda t: values(t)[1], 0))
            # Which of equal values topk takes PyTorch leaves open: no ties.
            if x is not special:
                def best(t, a=axis, d=down):
                    return torch.topk(t, 2, dim=a, largest=bool(d))
                x = torch.randn(x.shape)
                out.append(case("topk", [2, axis, down], [x], lambda t: best(t)[0], 1))
                out.append(case("topk indices", [2, axis, down], [x], lambda t: best(t)[1], 0))
    write("sort", out)


REDUCTIONS = ["none", "mean", "sum", "batchmean"]


def criteria():
    out = []

    def each(name, numbers, inputs, run, differentiate=None, reductions=("none", "mean", "sum")):
        # One reduction of large inputs is enough.
        for r in reductions if inputs[0].numel() <= 16 else reductions[:1]:
            out.append(case(name, [REDUCTIONS.index(r), *numbers], inputs,
                            lambda *ts, r=r: run(*ts, reduction=r), differentiate))

    def labels(shape, classes, ignore=None):
        t = torch.randint(classes, shape).float()
        if ignore is not None:
            t.reshape(-1)[1] = ignore
        return t

    # numbers: ignored label, smoothing. Inputs: scores, labels, perhaps weights.
    for shape in [(4, 3), (2, 50), (2, 3, 4), (2, 3, 2, 2), (5,)]:
        target = (shape[0], *shape[2:]) if len(shape) > 1 else ()
        classes = shape[1] if len(shape) > 1 else shape[0]
        x = short(torch.randn(shape) * 3)
        log_x = torch.log_softmax(x, 1 if len(shape) > 1 else 0)
        for ignore in (-100, 1, None) if shape == (4, 3) else (1,):
            y = labels(target, classes, ignore if target else None)
            ignore = -100 if ignore is None else ignore
            weights = short(torch.rand(classes) + 0.5)
            # All combinations of one shape are enough.
            for weight in (None, weights) if shape == (4, 3) and ignore != 1 else (weights,):
                given = [] if weight is None else [weight]
                each("nll", [ignore, 0], [log_x, y, *given],
                     lambda a, b, *w, i=ignore, reduction: F.nll_loss(
                         a, b.long(), *w, ignore_index=i, reduction=reduction), 1)
                for smoothing in (0.0, 0.1):
                    each("cross_entropy", [ignore, smoothing], [x, y, *given],
                         lambda a, b, *w, i=ignore, s=smoothing, reduction: F.cross_entropy(
                             a, b.long(), *w, ignore_index=i, label_smoothing=s,
                             reduction=reduction), 1)

    # All samples ignored: a mean over nothing.
    out.append(case("cross_entropy", [1, 2, 0], [torch.randn(2, 4), torch.tensor([2.0, 2.0])],
                    lambda a, b: F.cross_entropy(a, b.long(), ignore_index=2), 0))

    for shape in [(3, 4), (2, 3, 2, 2)]:
        a, b = short(torch.randn(shape)), short(torch.randn(shape) * 2)
        b.reshape(-1)[2] = a.reshape(-1)[2]
        b.reshape(-1)[3] = a.reshape(-1)[3] + 0.5
        b.reshape(-1)[4] = a.reshape(-1)[4] - 1
        each("mse", [], [a, b], F.mse_loss)
        each("l1", [], [a, b], F.l1_loss)
        for size in (1.0, 0.5):
            each("smooth_l1", [size], [a, b],
                 lambda s, t, *, b=size, reduction: F.smooth_l1_loss(s, t, beta=b, reduction=reduction))
            each("huber", [size], [a, b],
                 lambda s, t, *, d=size, reduction: F.huber_loss(s, t, delta=d, reduction=reduction))
        log_a, p = torch.log_softmax(a, 1), torch.softmax(b, 1)
        each("kl_div", [], [log_a, p], F.kl_div, None, REDUCTIONS)
        signs = torch.where(torch.rand(shape) > 0.5, 1.0, -1.0)
        a.reshape(-1)[5], signs.reshape(-1)[5] = 1, -1  # at a margin of 1
        for margin in (1.0, 0.25):
            each("hinge_embedding", [margin], [a, signs],
                 lambda s, t, *, m=margin, reduction: F.hinge_embedding_loss(
                     s, t, margin=m, reduction=reduction), 1)
        q, t = torch.rand(shape) * 0.8 + 0.1, torch.rand(shape)
        each("bce", [], [q, t], F.binary_cross_entropy)
        weight, positive = short(torch.rand(shape) + 0.5), short(torch.rand(shape[-1]) + 0.5)
        each("bce", [1], [q, t, weight], F.binary_cross_entropy, 1)
        logits = short(torch.randn(shape) * 4)
        each("bce_with_logits", [0], [logits, t], F.binary_cross_entropy_with_logits)
        each("bce_with_logits", [1], [logits, t, weight], F.binary_cross_entropy_with_logits, 1)
        each("bce_with_logits", [2], [logits, t, positive],
             lambda x, y, q, reduction: F.binary_cross_entropy_with_logits(
                 x, y, pos_weight=q, reduction=reduction), 1)
        each("bce_with_logits", [3], [logits, t, weight, positive],
             lambda x, y, w, q, reduction: F.binary_cross_entropy_with_logits(
                 x, y, w, pos_weight=q, reduction=reduction), 1)
    edges, hard = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5, 1e-4]), torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    each("bce", [], [edges, hard], F.binary_cross_entropy, 1)
    far = torch.tensor([0.0, 120.0, -120.0, 120.0, -120.0, 1e-4])
    each("bce_with_logits", [0], [far, hard], F.binary_cross_entropy_with_logits)

    # Three tensors.
    a, b = short(torch.randn(6, 4)), short(torch.randn(6, 4))
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, -1.0])
    for margin in (0.0, 0.3):
        each("cosine_embedding", [margin], [a, b, signs],
             lambda x, y, s, *, m=margin, reduction: F.cosine_embedding_loss(
                 x, y, s, margin=m, reduction=reduction), 2)
        u, v = a[:, 0].clone(), b[:, 0].clone()
        v[0] = u[0]
        each("margin_ranking", [margin], [u, v, signs],
             lambda x, y, s, *, m=margin, reduction: F.margin_ranking_loss(
                 x, y, s, margin=m, reduction=reduction), 2)
    each("cosine_embedding", [0.0], [a[0], b[0], torch.tensor(-1.0)],
         lambda x, y, s, reduction: F.cosine_embedding_loss(x, y, s, reduction=reduction), 2)
    c = short(torch.randn(6, 4))
    for margin, p, swap in [(1.0, 2.0, False), (0.5, 1.0, False), (1.0, 3.0, True), (2.0, 2.0, True)]:
        each("triplet_margin", [margin, p, swap], [a, b, c],
             lambda x, y, z, *, m=margin, p=p, s=swap, reduction: F.triplet_margin_loss(
                 x, y, z, margin=m, p=p, swap=s, reduction=reduction))
    write("criteria", out)


if __name__ == "__main__":
    statistics()
    criteria()
    order()
