"""Writes golden_gpt.h: PyTorch's results for the GPT and the transformer classifier with weights that both sides
compute. Run with PyTorch installed: python tests/models/make_gpt.py"""
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent


def noise(number, shape):
    count = int(np.prod(shape))
    i = np.arange(count, dtype=np.uint64)
    mixed = (i * 2654435761 + number * 40503) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return torch.tensor(((mixed >> 16).astype(np.float64) / 65536 - 0.5).astype(np.float32)).reshape(shape)


def fill(module):
    for number, (name, value) in enumerate(sorted(module.state_dict().items()), 1):
        v = noise(number, value.shape)
        if value.dim() > 1:
            v = v * np.float32(4 / np.sqrt(value.numel() // value.shape[0]))
        elif ("norm" in name or "ln_" in name) and name.endswith("weight"):
            v = v + 1
        value.copy_(v)
    return sorted(module.state_dict())


class Attention(nn.Module):  # as nanoGPT's model.py
    def __init__(self, width, heads, bias):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        self.heads = heads

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = (part.view(n, t, self.heads, c // self.heads).transpose(1, 2) for part in self.c_attn(x).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n, t, c))


class MLP(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = Attention(width, heads, bias)
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = MLP(width, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary, block, layers, heads, width, bias, tied):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(vocabulary, width), wpe=nn.Embedding(block, width),
            h=nn.ModuleList([Block(width, heads, bias) for _ in range(layers)]), ln_f=nn.LayerNorm(width, bias=bias)))
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.transformer.wte.weight = self.lm_head.weight

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe(torch.arange(tokens.shape[1]))
        for block in t.h:
            x = block(x)
        return self.lm_head(t.ln_f(x))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.position = nn.Embedding(6, 8)
        layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8), enable_nested_tensor=False)
        self.fc = nn.Linear(8, 3)

    def forward(self, tokens, padding):
        x = self.embedding(tokens) + self.position(torch.arange(tokens.shape[1]))
        if padding is None:
            return self.fc(self.encoder(x).mean(1))
        nothing = tokens == padding
        y = self.encoder(x, src_key_padding_mask=nothing) * (~nothing).float()[:, :, None]
        return self.fc(y.sum(1) / (~nothing).sum(1, keepdim=True).clamp(min=1))


def line(t):
    return ", ".join(repr(np.float32(v).item()) + "F" for v in t.detach().reshape(-1).tolist())


def main():
    tokens = (torch.arange(10).reshape(2, 5) * 7) % 11
    padded = tokens.clone()
    padded[1, 3:] = 0
    out = ["// PyTorch %s's results for the GPT and the transformer classifier; written by make_gpt.py." % torch.__version__.split("+")[0],
           "// clang-format off", "#pragma once", "", "#include <string>", "#include <vector>", "", "namespace pare::test::golden {", ""]
    for name, bias, tied in (("gpt", True, False), ("gpt_tied", False, True)):
        net = GPT(11, 6, 2, 2, 8, bias, tied)
        with torch.no_grad():
            names = fill(net)
        logits = net(tokens)
        loss = F.cross_entropy(logits.reshape(-1, 11), ((tokens + 1) % 11).reshape(-1))
        loss.backward()
        out.append("inline const std::vector<std::string> %s_state{%s};" % (name, ", ".join('"%s"' % n for n in names)))
        out.append("inline const std::vector<float> %s_logits{%s};" % (name, line(logits)))
        out.append("inline const std::vector<float> %s_wte_gradient{%s};" % (name, line(net.transformer.wte.weight.grad)))
        out.append("inline const std::vector<float> %s_attn_gradient{%s};" % (name, line(net.transformer.h[0].attn.c_attn.weight.grad)))
    net = Classifier().eval()
    with torch.no_grad():
        names = fill(net)
        out.append("inline const std::vector<std::string> classifier_state{%s};" % ", ".join('"%s"' % n for n in names))
        out.append("inline const std::vector<float> classifier_logits{%s};" % line(net(tokens, None)))
        out.append("inline const std::vector<float> classifier_padded_logits{%s};" % line(net(padded, 0)))
    out += ["", "}  // namespace pare::test::golden"]
    (HERE / "golden_gpt.h").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
