"""Writes golden_convolution.h: PyTorch's convolutions over one to three axes, transposed ones, einsum and bilinear.
Run: python tests/core/make_golden_convolution.py"""

import torch
import torch.nn.functional as F

from make_golden import case, short, write

torch.manual_seed(29)
out = []
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def rand(*shape):
    return short(torch.randn(shape))


def conv(n, x, weight, stride, padding, dilation, groups):
    """With a bias, and one per axis of each setting."""
    numbers = [*stride, *padding, *padding, *dilation, groups]
    out.append(case("conv%dd" % n, numbers, [rand(*x), rand(*weight), rand(weight[0])],
                    lambda a, w, b: CONV[n](a, w, b, stride, padding, dilation, groups)))


def transpose(n, x, weight, stride, padding, output_padding, dilation, groups):
    numbers = [*stride, *padding, *padding, *output_padding, *dilation, groups]
    out.append(case("conv_transpose%dd" % n, numbers, [rand(*x), rand(*weight), rand(weight[1] * groups)],
                    lambda a, w, b: TRANSPOSE[n](a, w, b, stride, padding, output_padding, groups, dilation)))


conv(1, (2, 3, 9), (4, 3, 3), [2], [1], [1], 1)
conv(1, (2, 4, 9), (6, 2, 3), [1], [2], [2], 2)
conv(1, (1, 3, 8), (6, 1, 4), [3], [0], [1], 3)
conv(3, (1, 2, 4, 5, 4), (3, 2, 3, 2, 3), [1, 2, 1], [1, 0, 1], [1, 1, 1], 1)
conv(3, (1, 4, 3, 4, 5), (4, 2, 2, 2, 2), [1, 1, 2], [0, 1, 1], [2, 1, 2], 2)
conv(3, (2, 2, 3, 3, 3), (2, 1, 3, 3, 3), [2, 1, 1], [1, 1, 1], [1, 1, 1], 2)

transpose(1, (2, 3, 5), (3, 4, 3), [2], [1], [1], [1], 1)
transpose(1, (2, 4, 4), (4, 2, 3), [3], [0], [2], [2], 2)
transpose(1, (1, 3, 4), (3, 1, 4), [2], [1], [0], [1], 3)
transpose(2, (2, 3, 3, 4), (3, 2, 3, 3), [2, 2], [1, 1], [1, 1], [1, 1], 1)
transpose(2, (1, 4, 3, 3), (4, 3, 2, 3), [1, 2], [0, 1], [0, 1], [2, 1], 2)
transpose(2, (1, 3, 4, 3), (3, 1, 4, 4), [2, 2], [1, 1], [0, 0], [1, 1], 3)
transpose(2, (1, 2, 3, 3), (2, 3, 2, 2), [1, 1], [0, 0], [1, 1], [2, 2], 1)
transpose(3, (1, 2, 2, 3, 2), (2, 3, 3, 2, 2), [2, 1, 2], [1, 0, 0], [1, 0, 1], [1, 1, 1], 1)
transpose(3, (1, 4, 2, 2, 2), (4, 1, 2, 2, 2), [1, 2, 1], [0, 0, 1], [0, 1, 0], [1, 1, 2], 2)

EINSUMS = [
    ("ij->ji", (3, 4)), ("ij->", (3, 4)), ("ij", (3, 4)), ("ba", (3, 4)), ("ii", (4, 4)), ("ii->i", (4, 4)),
    ("iji->j", (3, 4, 3)), ("iij->ji", (3, 3, 2)), ("iii->i", (3, 3, 3)), ("...ij->...ji", (2, 3, 4)), ("b...a->ab...", (2, 3, 4)),
    ("ij,jk", (3, 4), (4, 5)), ("ij,jk->ki", (3, 4), (4, 5)), ("i,i", (5,), (5,)), ("i,j", (3,), (4,)),
    ("ij,ij->ij", (3, 4), (3, 4)), ("ij,kj->ik", (3, 4), (5, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)), ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ("abc,cd->abd", (2, 3, 4), (4, 5)), ("abc,bcd->ad", (2, 3, 4), (3, 4, 5)), ("ij,k->jk", (3, 4), (2,)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("...i,i->...", (2, 3, 4), (4,)), ("i...,i...->...", (3, 2), (3, 1)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)), ("i,i,i->i", (4,), (4,), (4,)),
    ("ii,ij->j", (3, 3), (3, 2)), ("ij,i->", (3, 4), (3,)), ("Ab,bC", (2, 3), (3, 4)), (" i j , j -> i ", (3, 4), (4,)),
]
for equation, *shapes in EINSUMS:
    out.append(case("einsum " + equation, [], [rand(*s) for s in shapes], lambda *t: torch.einsum(equation, *t)))

for lead in ((4,), (2, 3), ()):
    out.append(case("bilinear", [], [rand(*lead, 3), rand(*lead, 5), rand(4, 3, 5), rand(4)], F.bilinear))
out.append(case("addmm", [0.5, 2.0], [rand(3), rand(2, 4), rand(4, 3)],
                lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2.0)))
out.append(case("baddbmm", [1.0, -1.0], [rand(2, 1, 3), rand(2, 3, 4), rand(2, 4, 3)],
                lambda c, a, b: torch.baddbmm(c, a, b, beta=1.0, alpha=-1.0)))
out.append(case("outer", [], [rand(3), rand(4)], torch.outer))
out.append(case("dot", [], [rand(7), rand(7)], torch.dot))
write("convolution", out, script="make_golden_convolution.py")
