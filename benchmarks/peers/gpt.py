"""PyTorch's side of train.py's gpt: tinygpt's shape (4 layers, 4 heads, width 128, 64 characters of 65), batch 16."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.heads = heads

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = (p.view(n, t, self.heads, c // self.heads).transpose(1, 2) for p in self.c_attn(self.ln_1(x)).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(65, 128), nn.Embedding(64, 128)
        self.h, self.ln_f = nn.Sequential(*[Block(128, 4) for _ in range(4)]), nn.LayerNorm(128)
        self.lm_head = nn.Linear(128, 65, bias=False)

    def forward(self, tokens):
        return self.lm_head(self.ln_f(self.h(self.wte(tokens) + self.wpe.weight)))


def training_step(fused):
    net = GPT()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=fused)
    x, y = torch.randint(0, 65, (16, 64)), torch.randint(0, 65, (16 * 64,))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(net(x).view(-1, 65), y).backward()
        optimizer.step()
    return step
