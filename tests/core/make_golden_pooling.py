"""Writes golden_pooling.h: PyTorch's pooling over one to three axes, adaptive and power-average pooling.
Run: python tests/core/make_golden_pooling.py"""

import torch
import torch.nn.functional as F

from make_golden import case, short, write

torch.manual_seed(23)
out = []
SHAPES = {1: (1, 2, 9), 2: (1, 2, 5, 6), 3: (1, 1, 4, 5, 3)}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def numbers(n, kernel, stride, padding, count=True, ceil=False, dilation=1, divisor=0):
    return [kernel] * n + [stride] * n + [padding] * 2 * n + [count, ceil] + [dilation] * n + [divisor]


def ties(shape):
    """Few distinct values, so that the first of equals matters."""
    return torch.randint(-2, 3, shape).float()


for n in (1, 2, 3):
    for ceil in (False, True):
        for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (2, 3, 1), (3, 1, 0)):
            out.append(case("max_pool%dd" % n, numbers(n, kernel, stride, padding, ceil=ceil), [ties(SHAPES[n])],
                            lambda t: MAX[n](t, kernel, stride, padding, ceil_mode=ceil)))
            for count in (True, False):
                out.append(case("average_pool%dd" % n, numbers(n, kernel, stride, padding, count, ceil),
                                [short(torch.randn(SHAPES[n]))],
                                lambda t: AVERAGE[n](t, kernel, stride, padding, ceil, count)))
            if n > 1 and ceil:
                out.append(case("average_pool%dd" % n, numbers(n, kernel, stride, padding, False, ceil, divisor=7),
                                [short(torch.randn(SHAPES[n]))],
                                lambda t: AVERAGE[n](t, kernel, stride, padding, ceil, False, 7)))
        out.append(case("max_pool%dd" % n, numbers(n, 2, 2, 1, ceil=ceil, dilation=3), [ties(SHAPES[n])],
                        lambda t: MAX[n](t, 2, 2, 1, 3, ceil_mode=ceil)))
nan = ties((1, 2, 5, 5))
nan[0, 0, 1, 1] = nan[0, 1, 3, 2] = nan[0, 1, 3, 3] = float("nan")
nan[0, 0, 4, 4] = -float("inf")
out.append(case("max_pool2d", numbers(2, 3, 2, 1), [nan], lambda t: F.max_pool2d(t, 3, 2, 1)))

ADAPTIVE = {
    "adaptive_average_pool": {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d},
    "adaptive_max_pool": {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d},
}
for name, functions in ADAPTIVE.items():
    for output in ([4], [1], [9], [12], [3, 4], [2, 5], [1, 1], [None, 3], [4, 8], [2, 4, 2], [3, None, 1], [1, 1, 1]):
        n = len(output)
        x = ties(SHAPES[n]) if "max" in name else short(torch.randn(SHAPES[n]))
        out.append(case(name, [n] + [-1 if o is None else o for o in output], [x],
                        lambda t: functions[n](t, output[0] if n == 1 else output)))

# The power, then the pooling's numbers.
for p in (1.0, 2.0, 3.0):
    for ceil in (False, True):
        x = short(torch.rand(SHAPES[1])) + 0.125
        out.append(case("lp_pool1d", [p] + numbers(1, 3, 2, 0, ceil=ceil), [x],
                        lambda t: F.lp_pool1d(t, p, 3, 2, ceil)))
        x = short(torch.rand(SHAPES[2])) + 0.125
        out.append(case("lp_pool2d", [p] + numbers(2, 2, 3, 0, ceil=ceil), [x],
                        lambda t: F.lp_pool2d(t, p, 2, 3, ceil)))
x = torch.randn(SHAPES[1])
x[0, 0, :3] = 0  # a window of zeros: no gradient
out.append(case("lp_pool1d", [2.0] + numbers(1, 3, 3, 0), [x], lambda t: F.lp_pool1d(t, 2.0, 3, 3)))
# ceil_mode: one window that is larger than the padded picture.
for n in (1, 2, 3):
    for kernel, stride, padding in ((10, 9, 0), (10, 10, 1), (7, 12, 2)):
        out.append(case("max_pool%dd" % n, numbers(n, kernel, stride, padding, ceil=True), [ties(SHAPES[n])],
                        lambda t: MAX[n](t, kernel, stride, padding, ceil_mode=True)))
        for count in (True, False) if n < 3 else ():  # PyTorch has no gradient of three axes
            out.append(case("average_pool%dd" % n, numbers(n, kernel, stride, padding, count, True),
                            [short(torch.randn(SHAPES[n]))], lambda t: AVERAGE[n](t, kernel, stride, padding, True, count)))
out.append(case("max_pool1d", numbers(1, 4, 7, 1, ceil=True, dilation=4), [ties(SHAPES[1])],
                lambda t: F.max_pool1d(t, 4, 7, 1, 4, ceil_mode=True)))
x = short(torch.rand(SHAPES[1])) + 0.125
out.append(case("lp_pool1d", [2.0] + numbers(1, 12, 5, 0, ceil=True), [x], lambda t: F.lp_pool1d(t, 2.0, 12, 5, True)))
x = short(torch.rand(SHAPES[2])) + 0.125
out.append(case("lp_pool2d", [2.0] + numbers(2, 8, 4, 0, ceil=True), [x], lambda t: F.lp_pool2d(t, 2.0, 8, 4, True)))
write("pooling", out, script="make_golden_pooling.py")
