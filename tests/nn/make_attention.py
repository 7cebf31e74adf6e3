"""Writes golden_attention.h: PyTorch's results for attention and transformer layers and for normalization layers, with
weights that both sides compute. Run with PyTorch installed: python tests/nn/make_attention.py"""
import pathlib

import numpy as np
import torch
import torch.nn as nn

HERE = pathlib.Path(__file__).parent


def noise(number, shape):
    count = int(np.prod(shape))
    i = np.arange(count, dtype=np.uint64)
    mixed = (i * 2654435761 + number * 40503) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return torch.tensor(((mixed >> 16).astype(np.float64) / 65536 - 0.5).astype(np.float32)).reshape(shape)


def fill(module):
    state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    for number, (name, value) in enumerate(sorted(state.items()), 1):
        v = noise(number, value.shape)
        if value.dim() > 1:
            v = v * np.float32(4 / np.sqrt(value.numel() // value.shape[0]))
        elif name.endswith("running_var") or ("norm" in name and name.endswith("weight")) or name == "weight":
            v = v + 1
        value.copy_(v)
    return sorted(state)


def line(values):
    return ", ".join(np.format_float_scientific(np.float32(v), unique=True, trim="-") + "F" if "e" in repr(float(v)) else
                     repr(np.float32(v).item()) + "F" for v in values)


cases = []


def add(name, module, *outputs_of):
    with torch.no_grad():
        names = fill(module)
        outputs = torch.cat([o.reshape(-1) for o in outputs_of[0](module)])
    cases.append((name, names, outputs))


X = noise(1000, (5, 2, 8)) * 2
Y = noise(1001, (6, 2, 8)) * 2
K = noise(1002, (6, 2, 5)) * 2
V = noise(1003, (6, 2, 3)) * 2
PADDING = torch.tensor([[0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 1]], dtype=torch.bool)
HIDDEN = noise(1004, (5, 6)) > 0.2
HIDDEN[:, 0] = False
ADDED = noise(1005, (4, 5, 6))
LATER = torch.ones(5, 5, dtype=torch.bool).triu(1)


def mha(**options):
    return nn.MultiheadAttention(8, 2, **options).eval()


add("self", mha(), lambda m: m(X, X, X))
add("self, no bias", mha(bias=False), lambda m: m(X, X, X))
add("cross", mha(), lambda m: m(X, Y, Y, key_padding_mask=PADDING, attn_mask=HIDDEN))
add("widths", mha(kdim=5, vdim=3), lambda m: m(X, K, V, attn_mask=ADDED, average_attn_weights=False))
add("more keys", mha(add_bias_kv=True, add_zero_attn=True),
    lambda m: m(X, Y, Y, key_padding_mask=PADDING, attn_mask=HIDDEN, average_attn_weights=False))
add("batch first", mha(batch_first=True),
    lambda m: m(X.transpose(0, 1).contiguous(), Y.transpose(0, 1).contiguous(), Y.transpose(0, 1).contiguous()))
add("single", mha(), lambda m: m(X[:, 0], Y[:, 0], Y[:, 0], key_padding_mask=PADDING[0]))
add("causal", mha(), lambda m: m(X, X, X, attn_mask=LATER))

for first in (False, True):
    for activation in ("relu", "gelu"):
        options = dict(dim_feedforward=12, activation=activation, norm_first=first, batch_first=first)
        order = (lambda t: t.transpose(0, 1).contiguous()) if first else (lambda t: t)
        label = f"{activation}, {'first' if first else 'last'}"
        add("encoder layer, " + label, nn.TransformerEncoderLayer(8, 2, **options).eval(),
            lambda m, o=order: [m(o(X), src_mask=LATER, src_key_padding_mask=PADDING[:, :5])])
        add("decoder layer, " + label, nn.TransformerDecoderLayer(8, 2, **options).eval(),
            lambda m, o=order: [m(o(X), o(Y), tgt_mask=LATER, memory_key_padding_mask=PADDING)])
plain = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, bias=False)
add("encoder", nn.TransformerEncoder(plain, 2, enable_nested_tensor=False).eval(), lambda m: [m(X)])
layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, norm_first=True)
add("encoder, norm", nn.TransformerEncoder(layer, 2, nn.LayerNorm(8), enable_nested_tensor=False).eval(),
    lambda m: [m(X, mask=LATER)])
layer = nn.TransformerDecoderLayer(8, 2, dim_feedforward=12, norm_first=True)
add("decoder, norm", nn.TransformerDecoder(layer, 2, nn.LayerNorm(8)).eval(), lambda m: [m(X, Y, tgt_mask=LATER)])

P = noise(1006, (2, 4, 3, 5)) * 3
add("LayerNorm", nn.LayerNorm((3, 5)), lambda m: [m(P)])
add("LayerNorm, no bias", nn.LayerNorm(5, bias=False), lambda m: [m(P)])
add("LayerNorm, plain", nn.LayerNorm(5, eps=0.1, elementwise_affine=False), lambda m: [m(P)])
add("RMSNorm", nn.RMSNorm(5), lambda m: [m(P)])
add("RMSNorm, plain", nn.RMSNorm((3, 5), eps=0.1, elementwise_affine=False), lambda m: [m(P)])
add("GroupNorm", nn.GroupNorm(2, 4), lambda m: [m(P)])
add("GroupNorm, plain", nn.GroupNorm(4, 4, affine=False), lambda m: [m(P)])
add("InstanceNorm2d", nn.InstanceNorm2d(4), lambda m: [m(P), m(P[0])])
add("InstanceNorm1d, affine", nn.InstanceNorm1d(4, affine=True), lambda m: [m(P.flatten(2)), m(P.flatten(2)[0])])


def moved(m, x=P):
    m.train()
    first = m(x)
    m.eval()
    return [first, m.running_mean, m.running_var, m(x)]


add("InstanceNorm2d, tracked", nn.InstanceNorm2d(4, affine=True, track_running_stats=True, momentum=0.3), moved)
add("InstanceNorm3d", nn.InstanceNorm3d(4), lambda m: [m(P.unsqueeze(2))])
add("BatchNorm3d", nn.BatchNorm3d(4, momentum=0.3), lambda m: moved(m, P.unsqueeze(2)))
add("LocalResponseNorm", nn.LocalResponseNorm(3, alpha=0.5, k=2.0), lambda m: [m(P)])


def write():
    lines = ["// PyTorch %s's results for attention and normalization layers; written by make_attention.py." % torch.__version__.split("+")[0],
             "// clang-format off", "#pragma once", "", "#include <string>", "#include <vector>", "", "namespace pare::test {", "",
             "struct LayerGolden {", "  const char* name;", "  std::vector<std::string> state;  ///< sorted",
             "  std::vector<float> outputs;", "};", "", "inline std::vector<LayerGolden> layer_goldens() {", "  return {"]
    for name, names, outputs in cases:
        lines.append('      {"%s",' % name)
        lines.append("       {%s}," % ", ".join('"%s"' % n for n in names))
        lines.append("       {%s}}," % line(outputs.tolist()))
    lines += ["  };", "}", "", "}  // namespace pare::test"]
    (HERE / "golden_attention.h").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
