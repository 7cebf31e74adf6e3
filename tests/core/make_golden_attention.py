"""Writes golden_feature_norm.h and golden_attention.h: what PyTorch computes for layer, rms, group, instance and local
response normalization and for attention. Run: python tests/core/make_golden_attention.py"""

import torch
import torch.nn.functional as F

from make_golden import case, short, write

torch.manual_seed(31)
SCRIPT = "make_golden_attention.py"


def feature_norm():
    out = []
    # numbers: axis, epsilon. Of x, x and weight, all three.
    for shape, axes in [((3, 7), 1), ((1, 2, 40), 1), ((2, 5, 4), 2), ((6,), 1), ((2, 3, 2, 4), 3)]:
        x = short(torch.randn(shape) * 2 + 1)
        normalized = shape[-axes:]
        w, b = short(torch.rand(normalized) + 0.5), short(torch.randn(normalized))
        out.append(case("layer_norm", [-axes, 1e-5], [x, w, b], lambda x, w, b, n=normalized: F.layer_norm(x, n, w, b)))
        out.append(case("layer_norm", [-axes, 0.1], [x, w], lambda x, w, n=normalized: F.layer_norm(x, n, w, eps=0.1)))
        out.append(case("layer_norm", [-axes, 1e-5], [x], lambda x, n=normalized: F.layer_norm(x, n)))
        out.append(case("rms_norm", [-axes, 2.0 ** -23], [x, w], lambda x, w, n=normalized: F.rms_norm(x, n, w)))
        out.append(case("rms_norm", [-axes, 0.1], [x], lambda x, n=normalized: F.rms_norm(x, n, eps=0.1)))
    # A mean that is large beside the deviation.
    far = short(torch.randn(2, 32)) + 1000
    out.append(case("layer_norm", [-1, 1e-5], [far], lambda x: F.layer_norm(x, (32,)), 0))
    # numbers: groups, epsilon.
    for shape, groups in [((2, 6, 5), 3), ((2, 4, 3, 3), 1), ((3, 6), 2), ((1, 4, 2, 3, 2), 4), ((1, 36, 2), 3)]:
        x = short(torch.randn(shape) * 2 - 1)
        w, b = short(torch.rand(shape[1]) + 0.5), short(torch.randn(shape[1]))
        out.append(case("group_norm", [groups, 1e-5], [x, w, b], lambda x, w, b, g=groups: F.group_norm(x, g, w, b)))
        out.append(case("group_norm", [groups, 0.1], [x], lambda x, g=groups: F.group_norm(x, g, eps=0.1)))
    # numbers: epsilon.
    for shape in [(2, 3, 5), (1, 9, 2, 3), (1, 2, 2, 3, 2)]:
        x = short(torch.randn(shape) * 2 - 1)
        w, b = short(torch.rand(shape[1]) + 0.5), short(torch.randn(shape[1]))
        out.append(case("instance_norm", [1e-5], [x, w, b], lambda x, w, b: F.instance_norm(x, weight=w, bias=b)))
        out.append(case("instance_norm", [0.1], [x], lambda x: F.instance_norm(x, eps=0.1)))
    # numbers: size, alpha, beta, k.
    for shape, size, alpha, beta, k in [((2, 7, 3), 5, 1.0, 0.75, 1.0), ((2, 6, 2, 3), 4, 0.5, 0.5, 2.0), ((1, 3, 4), 9, 1.0, 0.75, 1.0),
                                        ((1, 5, 2, 2, 2), 1, 2.0, 1.0, 1.0), ((1, 4, 3, 3), 2, 1e-4, 0.75, 1.0), ((1, 20, 2), 3, 2.0, 0.75, 0.5)]:
        x = short(torch.randn(shape) * 2)
        out.append(case("local_response_norm", [size, alpha, beta, k], [x],
                        lambda x, s=size, a=alpha, b=beta, k=k: F.local_response_norm(x, s, a, b, k)))
    write("feature_norm", out, script=SCRIPT)


def attention():
    out = []

    def add(q, k, v, mask=None, causal=False, scale=None, grouped=False):
        inputs = [q, k, v]
        kind = 0
        if mask is not None:
            kind = 2 if mask.dtype == torch.bool else 1
            inputs.append(mask.float())

        def run(q, k, v, m=None):
            if kind == 2:
                m = mask
            if causal and m is not None:
                later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
                m = m & later if kind == 2 else m.masked_fill(~later, float("-inf"))
                return F.scaled_dot_product_attention(q, k, v, m, scale=scale, enable_gqa=grouped)
            return F.scaled_dot_product_attention(q, k, v, m, is_causal=causal, scale=scale, enable_gqa=grouped)

        # numbers: causal, scale, grouped, kind of mask.
        out.append(case("scaled_dot_product_attention", [causal, scale or 0, grouped, kind], inputs, run, 4 if kind == 1 else 3))

    def qkv(q, k=None, width=None):
        k = k or q
        width = width or q[-1]
        return [short(torch.randn(q)), short(torch.randn(k)), short(torch.randn(*k[:-1], width))]

    add(*qkv((2, 3, 5, 4)))
    add(*qkv((2, 3, 5, 4)), causal=True)
    add(*qkv((1, 2, 5, 4), (1, 2, 3, 4), 6), causal=True)
    add(*qkv((1, 2, 3, 4), (1, 2, 7, 4), 6), causal=True)
    add(*qkv((1, 2, 3, 4), (1, 2, 7, 4), 1), scale=0.25)
    add(*qkv((5, 4), (7, 4), 3))
    add(*qkv((2, 5, 4), (2, 6, 4)), mask=short(torch.randn(5, 6)))
    add(*qkv((2, 2, 3, 4)), mask=short(torch.randn(2, 1, 1, 3)))
    add(*qkv((2, 2, 3, 4)), mask=short(torch.randn(1, 2, 3, 1)), causal=True)
    add(*qkv((2, 2, 5, 4)), mask=torch.rand(2, 1, 5, 5) > 0.3)
    # The second query sees nothing.
    nothing = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    add(*qkv((1, 2, 3, 4)), mask=nothing)
    add(*qkv((1, 4, 3, 4), (1, 2, 5, 4)), grouped=True)
    add(*qkv((2, 6, 3, 2), (2, 1, 3, 2), 3), grouped=True, causal=True)
    # More than one block of queries.
    add(*[t * 0.5 for t in qkv((1, 1, 70, 3), (1, 1, 67, 3), 2)], causal=True)
    write("attention", out, script=SCRIPT)


if __name__ == "__main__":
    feature_norm()
    attention()
