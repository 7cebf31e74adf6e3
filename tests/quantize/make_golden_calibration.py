#!/usr/bin/env python3
# Writes golden_calibration.h: what ONNX Runtime's calibrators (and NumPy's percentiles) choose, and
# the scales of PyTorch's observers in all their settings.
# Run: /opt/venv/bin/python tests/quantize/make_golden_calibration.py
import contextlib
import io
import pathlib
import warnings

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization.calibrate import HistogramCollector
from torch.ao.quantization import observer as ob

warnings.filterwarnings("ignore")
N, BINS = 20000, 2048


# As in calibration_test.cpp: quantiles of distributions, in double precision.
def laplace():
    u = (np.arange(N) + 0.5) / N
    return (np.where(u < 0.5, np.log(2 * u), -np.log(2 - 2 * u)) * 0.7 + 0.2).astype(np.float32)


def exponential():
    u = (np.arange(N) + 0.5) / N
    return np.where(u < 0.4, 0, -np.log(1 - (u - 0.4) / 0.6)).astype(np.float32)


def mixture():
    u = (np.arange(N) + 0.5) / N * 2 - 1
    return (1.5 * u + 18 * u**41 - 2 * (u < -0.999)).astype(np.float32)


def number(value):
    text = f"{float(value):.9g}"
    return text + ("F" if "." in text or "e" in text else ".0F")


def threshold(x, method, symmetric, percentile=99.99):
    collector = HistogramCollector(method, symmetric, BINS, 128, percentile, "same")
    with contextlib.redirect_stdout(io.StringIO()):
        collector.collect({"x": [x]})
        result = collector.compute_collection_result()["x"]
    return [float(v) for v in result.range_value] if hasattr(result, "range_value") else list(map(float, result[:2]))


text = f"// Ranges of ONNX Runtime {onnxruntime.__version__} and scales of PyTorch {torch.__version__}; "
text += "written by make_golden_calibration.py.\n#pragma once\n\n#include <cstdint>\n\n"
text += "// clang-format off\nnamespace pare::golden {\n\n"
text += "struct Calibrated { const char* data; const char* method; bool symmetric; double percentile; float min, max; };\n"
text += "inline constexpr Calibrated kOnnxRuntime[] = {\n"
numpy_rows = ""
for make in (laplace, exponential, mixture):
    x = make()
    for symmetric in (False, True):
        for percentile in (99.0, 99.9, 99.99):
            low, high = threshold(x, "percentile", symmetric, percentile)
            text += f'    {{"{make.__name__}", "percentile", {str(symmetric).lower()}, {percentile}, {number(low)}, {number(high)}}},\n'
    for percentile in (99.0, 99.9, 99.99):
        cut = (100 - percentile) / 2
        low, high = np.percentile(x.astype(np.float64), [cut, 100 - cut])
        numpy_rows += f'    {{"{make.__name__}", "percentile", false, {percentile}, {number(low)}, {number(high)}}},\n'
        high = np.percentile(np.abs(x.astype(np.float64)), percentile)
        numpy_rows += f'    {{"{make.__name__}", "percentile", true, {percentile}, {number(-high)}, {number(high)}}},\n'
    low, high = threshold(x, "entropy", True)
    text += f'    {{"{make.__name__}", "entropy", true, 0, {number(low)}, {number(high)}}},\n'
text += "};\ninline constexpr Calibrated kNumPy[] = {\n" + numpy_rows + "};\n\n"

text += "struct Rule { float min, max; bool symmetric; std::int64_t qmin, qmax; float scale; std::int32_t zero_point; };\n"
text += "inline constexpr Rule kRules[] = {\n"
for low, high in ((-1.3, 2.7), (0.0, 6.0), (-4.0, 0.5), (0.25, 0.75), (-3e-5, 2e-5), (0.0, 0.0), (-2.0, -1.0)):
    for symmetric in (False, True):
        for dtype, qmin, qmax in (
            (torch.quint8, 0, 255), (torch.quint8, 0, 127), (torch.qint8, -128, 127),
            (torch.qint8, -64, 63), (torch.qint8, -127, 127), (torch.quint8, 0, 15),
        ):
            if symmetric and dtype == torch.quint8 and qmax != 255:
                continue  # refused, or with a zero point that is not the middle
            scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
            # The default bounds take another path than stated ones.
            bounds = {} if (qmin, qmax) in ((0, 255), (-128, 127)) else dict(quant_min=qmin, quant_max=qmax)
            o = ob.MinMaxObserver(dtype=dtype, qscheme=scheme, **bounds)
            o(torch.tensor([low, high], dtype=torch.float32))
            s, z = o.calculate_qparams()
            text += (f"    {{{number(low)}, {number(high)}, {str(symmetric).lower()}, {qmin}, {qmax}, "
                     f"{number(s)}, {int(z)}}},\n")
text += "};\n\n"


def array(name, values, kind="float"):
    body = ", ".join(map(number, values)) if kind == "float" else ", ".join(str(int(v)) for v in values)
    return f"inline constexpr {kind} {name}[] = {{{body}}};\n"


torch.manual_seed(11)
weights = [torch.randn(5, 12) * (1 + i) + 0.3 for i in range(3)]
weights[0][2] = weights[1][2] = weights[2][2] = 0.5  # a constant channel
text += array("kWeights", torch.stack(weights).flatten())
channels = dict(ch_axis=0, dtype=torch.qint8)
for name, observer, data in (
    ("Symmetric", ob.PerChannelMinMaxObserver(qscheme=torch.per_channel_symmetric, **channels), weights[:1]),
    ("Affine", ob.PerChannelMinMaxObserver(qscheme=torch.per_channel_affine, **channels), weights[:1]),
    ("Moving", ob.MovingAveragePerChannelMinMaxObserver(averaging_constant=0.1, qscheme=torch.per_channel_symmetric, **channels), weights),
    ("PerTensor", ob.MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric), weights[:1]),
):
    for w in data:
        observer(w)
    s, z = observer.calculate_qparams()
    text += array(f"k{name}Scales", s.flatten()) + array(f"k{name}ZeroPoints", z.flatten(), "std::int32_t")
text += "\n}  // namespace pare::golden\n// clang-format on\n"
pathlib.Path(__file__).with_name("golden_calibration.h").write_text(text)
