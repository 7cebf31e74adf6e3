#!/usr/bin/env python3
# Writes golden_observers.h: what PyTorch's observers make of four batches.
# Run: /opt/venv/bin/python tests/quantize/make_golden_observers.py
import pathlib
import warnings

import torch
from torch.ao.quantization import observer as ob

warnings.filterwarnings("ignore")
torch.manual_seed(7)
batches = [torch.randn(200) * (1 + i) + 0.25 for i in range(4)]
batches[2][17] = 40.0  # an outlier that a search should cut off
relu = [torch.relu(b) for b in batches]
# Mass in the middle and thin tails, for the search to cut: 50·u⁹ + 0.3.
u = (torch.arange(20010, dtype=torch.float64) % 2001) / 1000 - 1
tails = [(50 * u * (u * u) ** 4 + 0.3).float()]
weight = torch.randn(6, 20)
weight[2] = 0


def number(value):
    text = f"{float(value):.9g}"
    return text + ("F" if "." in text or "e" in text else ".0F")


def numbers(values):
    return ", ".join(map(number, values))


def row(name, o, data):
    for batch in data:
        o(batch)
    scale, zero = o.calculate_qparams()
    low, high = o.min_val, o.max_val
    if isinstance(o, ob.HistogramObserver):
        low, high = o._non_linear_param_search()
    return f'    {{"{name}", {number(low)}, {number(high)}, {number(scale)}, {int(zero)}}},\n'


affine = dict(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
text = "// What PyTorch " + torch.__version__ + "'s observers make of kBatches; written by make_golden_observers.py.\n"
text += "#pragma once\n\n#include <cstdint>\n\n// clang-format off\nnamespace pare::golden {\n\n"
text += "inline constexpr float kBatches[4][200] = {\n" + "".join(f"    {{{numbers(b)}}},\n" for b in batches) + "};\n\n"
text += "struct ObserverRow { const char* name; float min, max, scale; std::int32_t zero_point; };\n"
for label, data in (("Plain", batches), ("Relu", relu), ("Tails", tails)):
    text += f"inline constexpr ObserverRow k{label}[] = {{\n"
    text += row("min_max", ob.MinMaxObserver(**affine), data)
    text += row("moving_average", ob.MovingAverageMinMaxObserver(averaging_constant=0.01, **affine), data)
    text += row("histogram", ob.HistogramObserver(bins=2048, **affine), data)
    text += "};\n"
channel = ob.PerChannelMinMaxObserver(
    ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127
)
channel(weight)
text += "\ninline constexpr float kWeight[] = {" + numbers(weight.flatten()) + "};\n"
text += "inline constexpr float kWeightScales[] = {" + numbers(channel.calculate_qparams()[0]) + "};\n"
text += "\n}  // namespace pare::golden\n// clang-format on\n"
pathlib.Path(__file__).with_name("golden_observers.h").write_text(text)
