"""Writes golden_{arrange,indexing,scatter,resample}.h: what PyTorch computes for the ops that arrange, index and
resample, and ONNX Runtime for the forms of Resize and GatherND that PyTorch does not have.
Run: python tests/core/make_golden_movement.py"""

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from make_golden import case, short, write

torch.manual_seed(13)
SCRIPT = "make_golden_movement.py"


def values(*shape):
    return short(torch.randn(*shape))


def onnx_node(op, inputs, opset=19, **attributes):
    """What ONNX Runtime gives for one node; inputs are arrays, None for one left out."""
    types = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int64"): TensorProto.INT64}
    names = ["" if x is None else "x%d" % i for i, x in enumerate(inputs)]
    infos = [helper.make_tensor_value_info(n, types[x.dtype], x.shape) for n, x in zip(names, inputs) if n]
    graph = helper.make_graph([helper.make_node(op, names, ["y"], **attributes)], "g", infos,
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {n: x for n, x in zip(names, inputs) if n})[0])


def arrange():
    out = []
    for repeats, shape in [((2, 3), (3, 2)), ((1, 2, 1, 2), (2, 3, 2, 3)), ((2, 1, 3), (1, 2, 2))]:
        out.append(case("tile", repeats, [values(*shape)], lambda t, r=repeats: t.repeat(r)))
    for shifts, axes, shape in [((1,), (0,), (5,)), ((-1, 2), (2, 3), (2, 3, 4, 5)), ((4, 1), (1, 1), (2, 3)),
                                ((-7,), (-1,), (3, 4))]:
        out.append(case("roll", shifts + axes, [values(*shape)], lambda t, s=shifts, a=axes: torch.roll(t, s, a)))
    for upper, f in [(0, torch.tril), (1, torch.triu)]:
        for diagonal in (-2, 0, 1, 9):
            out.append(case("trilu", [upper, diagonal], [values(2, 4, 5)], lambda t, d=diagonal, f=f: f(t, d)))
    for number, mode in enumerate(["reflect", "replicate", "circular"]):
        for pads, shape in [((2, 1), (2, 3, 5)), ((1, 3, 2, 0), (2, 3, 4, 5)), ((1, 0, 0, 1, 1, 1), (1, 2, 2, 3, 2))]:
            count = len(shape)
            before = [0] * count
            after = [0] * count
            for k in range(len(pads) // 2):
                before[-1 - k], after[-1 - k] = pads[2 * k], pads[2 * k + 1]
            out.append(case("pad_border", [number, *before, *after], [values(*shape)],
                            lambda t, p=pads, m=mode: F.pad(t, p, mode=m)))
    write("arrange", out, script=SCRIPT)


def scatter():
    out = []
    places = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.0], [2.0, 0.0, 0.0, 1.0, 2.0]])
    columns = torch.tensor([[4.0, 4.0], [0.0, 1.0], [2.0, 2.0]])
    unique = torch.tensor([[4.0, 3.0], [0.0, 1.0], [2.0, 1.0]])
    x = values(3, 5)
    for axis, index, source in [(1, unique, values(3, 2)), (0, torch.tensor([[2.0, 0.0]]), values(1, 2))]:
        out.append(case("scatter", [axis], [x, source, index],
                        lambda t, s, i, a=axis: t.scatter(a, i.long(), s), differentiate=2))
    for axis, index in [(0, places), (1, columns)]:
        source = values(*index.shape)
        out.append(case("scatter_add", [axis], [x, source, index],
                        lambda t, s, i, a=axis: t.scatter_add(a, i.long(), s), differentiate=2))
        for number, reduce in enumerate(["sum", "prod", "mean", "amax", "amin"]):
            for own in (True, False):
                numbers = [axis, number, own]
                out.append(case("scatter_reduce", numbers, [x, source, index],
                                lambda t, s, i, a=axis, r=reduce, o=own: t.scatter_reduce(a, i.long(), s, r, include_self=o),
                                differentiate=2))
    # Zeros among the factors, equals among the extremes.
    zeros = torch.tensor([0.0, 2.0, 3.0, -1.0])
    index = torch.tensor([0.0, 1.0, 1.0, 2.0, 2.0, 3.0])
    factors = torch.tensor([4.0, 0.0, 5.0, 3.0, 3.0, -1.0])
    for number in (1, 3, 4):
        out.append(case("scatter_reduce", [0, number, 1], [zeros, factors, index],
                        lambda t, s, i, r=["sum", "prod", "mean", "amax", "amin"][number]:
                        t.scatter_reduce(0, i.long(), s, r), differentiate=2))
    write("scatter", out, script=SCRIPT)


def indexing():
    out = []
    for axis, index, shape in [(0, [[2, 0, 1, 1, 2], [0, 0, 2, 1, 1]], (3, 5)), (1, [[4, 4], [0, 1], [2, 3]], (3, 5)),
                               (-1, [[[1, 0]], [[3, 3]]], (2, 3, 4))]:
        out.append(case("gather_elements", [axis], [values(*shape), torch.tensor(index).float()],
                        lambda t, i, a=axis: torch.gather(t, a, i.long()), differentiate=1))
    for batch, index, shape in [(0, [[0, 4], [2, 1]], (3, 5)), (0, [[[2], [0]]], (3, 5)), (1, [[[2], [0]], [[1], [1]]], (2, 3, 4)),
                                (0, [[1, -1]], (2, 3, 4))]:
        x, i = values(*shape), torch.tensor(index)
        y = onnx_node("GatherND", [x.numpy(), i.numpy()], batch_dims=batch)
        out.append(case("gather_nd", [batch], [x, i.float()], lambda t, j, y=y: y, differentiate=0))
    for number, reduction in enumerate(["none", "add", "mul", "max", "min"]):
        x, i, u = values(3, 4), torch.tensor([[2], [0], [2]]), values(3, 4)
        y = onnx_node("ScatterND", [x.numpy(), i.numpy(), u.numpy()], opset=18, reduction=reduction)
        out.append(case("scatter_nd", [number], [x, i.float(), u], lambda t, j, s, y=y: y, differentiate=0))
        i, u = torch.tensor([[2, 1, 0], [2, 1, 1]]), values(2, 3)
        y = onnx_node("ScatterElements", [x.numpy(), i.numpy(), u.numpy()], opset=18, axis=0, reduction=reduction)
        out.append(case("scatter_elements", [0, number], [x, i.float(), u], lambda t, j, s, y=y: y, differentiate=0))
    labels = torch.tensor([[3.0, 0.0], [1.0, 2.0]])
    out.append(case("one_hot", [4, -1, 0, 1], [labels], lambda t: F.one_hot(t.long(), 4), differentiate=0))
    out.append(case("one_hot", [5, 1, -2, 3], [labels], lambda t: F.one_hot(t.long(), 5).movedim(-1, 1) * 5 - 2,
                    differentiate=0))
    write("indexing", out, script=SCRIPT)


MODES = ["nearest", "linear", "cubic"]
COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def resize_case(x, mode, coordinates, nearest="round_prefer_floor", sizes=None, scales=None, coefficient=-0.75,
                exclude=0, antialias=0):
    inputs = [x.numpy(), None, None if scales is None else np.array(scales, np.float32)]
    if sizes is not None:
        inputs.append(np.array(sizes, np.int64))
    y = onnx_node("Resize", inputs, mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest,
                  cubic_coeff_a=coefficient, exclude_outside=exclude, antialias=antialias)
    numbers = [MODES.index(mode), COORDINATES.index(coordinates), NEAREST.index(nearest), coefficient, exclude,
               antialias, scales is not None, *(sizes or scales)]
    return case("resize", numbers, [x], lambda t, y=y: y, differentiate=0)


def resize(out):
    x = values(1, 2, 4, 5)
    for mode in MODES:
        for coordinates in COORDINATES:
            out.append(resize_case(x, mode, coordinates, sizes=[1, 2, 7, 3]))
            out.append(resize_case(x, mode, coordinates, scales=[1.0, 1.0, 0.6, 2.3]))
        out.append(resize_case(x, mode, "pytorch_half_pixel", sizes=[1, 2, 1, 1]))
        out.append(resize_case(x, mode, "align_corners", sizes=[1, 2, 1, 8]))
    for nearest in NEAREST:
        out.append(resize_case(x, "nearest", "half_pixel", nearest, sizes=[1, 2, 8, 3]))
        out.append(resize_case(x, "nearest", "asymmetric", nearest, scales=[1.0, 1.0, 2.0, 0.5]))
    for exclude in (0, 1):
        out.append(resize_case(x, "cubic", "half_pixel", sizes=[1, 2, 9, 3], coefficient=-0.5, exclude=exclude))
    for mode in ("linear", "cubic"):
        for exclude in (0, 1):
            out.append(resize_case(values(1, 1, 9, 10), mode, "half_pixel", sizes=[1, 1, 4, 3], antialias=1,
                                   exclude=exclude))


def gradients(run, x):
    """0 where PyTorch's gradient is not that of its own values: some of its backward kernels copy where the forward
    follows the scale (case's argument differentiate)."""
    leaf = x.clone().requires_grad_()
    y = run(leaf)
    given = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    (gradient,) = torch.autograd.grad(y, leaf, given)
    return None if torch.allclose((y * given).sum(), (leaf * gradient).sum(), rtol=1e-3, atol=1e-4) else 0


def interpolate(out):
    names = ["nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic"]
    spatial = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
    sizes = {1: (6,), 2: (4, 5), 3: (3, 2, 4)}
    targets = {1: [(9,), (4,)], 2: [(7, 3), (8, 10), (1, 1)], 3: [(5, 4, 2)]}
    scales = {1: [2.0, 0.7], 2: [2.0, 1.3], 3: [1.5]}
    for mode in names:
        for rank in [spatial[mode]] if mode in spatial else [1, 2, 3]:
            for align in [0] if mode.startswith("nearest") else [0, 1]:
                run = dict(mode=mode, **({"align_corners": bool(align)} if not mode.startswith("nearest") else {}))
                for size in targets[rank]:
                    out.append(case("interpolate", [names.index(mode), align, 0, 0, *size], [values(1, 2, *sizes[rank])],
                                    lambda t, s=size, r=run: F.interpolate(t, size=s, **r)))
                for scale in scales[rank]:
                    out.append(case("interpolate", [names.index(mode), align, 0, 1, scale], [values(1, 2, *sizes[rank])],
                                    lambda t, s=scale, r=run: F.interpolate(t, scale_factor=s, **r)))
    # Scales that are not the ratio of the sizes: axes that stay as long as they are, or double.
    near = {1: [(1.1,), (2.1,)], 2: [(1.15, 1.1), (2.2, 1.1), (1.2, 2.1), (1.1, 1.6)], 3: [(1.1, 2.2, 1.2)]}
    kept = {1: (9,), 2: (4, 8), 3: (5, 3, 4)}
    for mode in names:
        for rank in [spatial[mode]] if mode in spatial else [1, 2, 3]:
            for align in [0] if mode.startswith("nearest") else [0, 1]:
                run = dict(mode=mode, **({"align_corners": bool(align)} if not mode.startswith("nearest") else {}))
                for scale in near[rank]:
                    f = lambda t, s=scale, r=run: F.interpolate(t, scale_factor=s, **r)
                    x = values(1, 2, *kept[rank])
                    out.append(case("interpolate", [names.index(mode), align, 0, 1, *scale], [x], f, gradients(f, x)))
            if mode in ("bilinear", "bicubic"):
                for scale in near[rank]:
                    f = lambda t, s=scale, m=mode: F.interpolate(t, scale_factor=s, mode=m, antialias=True)
                    x = values(1, 2, *kept[rank])
                    out.append(case("interpolate", [names.index(mode), 0, 1, 1, *scale], [x], f, gradients(f, x)))
    for mode in ("bilinear", "bicubic"):
        for size in [(3, 4), (12, 3)]:
            out.append(case("interpolate", [names.index(mode), 0, 1, 0, *size], [values(1, 2, 9, 8)],
                            lambda t, s=size, m=mode: F.interpolate(t, size=s, mode=m, antialias=True)))


def resample():
    out = []
    resize(out)
    interpolate(out)
    x = values(2, 8, 2, 3)
    out.append(case("depth_to_space", [2, 1], [x], lambda t: F.pixel_shuffle(t, 2)))
    out.append(case("depth_to_space", [3, 1], [values(1, 18, 1, 2)], lambda t: F.pixel_shuffle(t, 3)))
    y = onnx_node("DepthToSpace", [x.numpy()], blocksize=2, mode="DCR")
    out.append(case("depth_to_space", [2, 0], [x], lambda t, y=y: y, differentiate=0))
    x = values(2, 2, 4, 6)
    out.append(case("space_to_depth", [2, 1], [x], lambda t: F.pixel_unshuffle(t, 2)))
    y = onnx_node("SpaceToDepth", [x.numpy()], blocksize=2)
    out.append(case("space_to_depth", [2, 0], [x], lambda t, y=y: y, differentiate=0))
    for kernel, stride, dilation, padding in [((3, 3), (1, 1), (1, 1), (0, 0)), ((2, 3), (2, 1), (1, 2), (1, 2)),
                                              ((2, 2), (3, 3), (1, 1), (4, 5))]:
        settings = dict(kernel_size=kernel, stride=stride, dilation=dilation, padding=padding)
        numbers = [*kernel, *stride, *dilation, *padding]
        x = values(2, 2, 5, 6)
        out.append(case("unfold", numbers, [x], lambda t, s=settings: F.unfold(t, **s)))
        columns = torch.randn(F.unfold(x, **settings).shape)
        out.append(case("fold", [5, 6, *numbers], [short(columns)], lambda t, s=settings: F.fold(t, (5, 6), **s)))
    write("resample", out, script=SCRIPT)


arrange()
indexing()
scatter()
resample()
