"""A plain Llama: RMSNorm, rotary positions (halves, not pairs), grouped-query attention, SwiGLU, tied embeddings.
With experts it is a Mixtral: every layer has several feed-forward networks, and a router picks a few for each token.

Parameter names are those of Hugging Face's LlamaForCausalLM and MixtralForCausalLM, so a state dict is the exported model.

Shapes: B sequences, T positions, N = B·T, d hidden, H query heads, K key-value heads, G = H / K, D head dimension,
F feed-forward width (of one expert), E experts, V vocabulary. PyTorch keeps a linear layer's weight as (out, in).
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass(frozen=True)
class Config:
    """The shape of a model; `hidden` etc. count elements, `active` of the `experts` see a token (0 experts: dense)."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    experts: int = 0
    active: int = 0
    vocabulary: int = 2048
    max_positions: int = 8192
    theta: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self):
        return self.hidden // self.heads


LADDER = {
    "tales-0.3m": Config(hidden=64, layers=4, heads=2, kv_heads=1, ffn=192),
    "tales-1m": Config(hidden=128, layers=4, heads=4, kv_heads=2, ffn=384),
    "tales-1m-distilled": Config(hidden=128, layers=4, heads=4, kv_heads=2, ffn=384),
    # As many active parameters as tales-1m: two experts of half its feed-forward width.
    "tales-moe": Config(hidden=128, layers=4, heads=4, kv_heads=2, ffn=192, experts=8, active=2),
    "tales-5m": Config(hidden=256, layers=6, heads=8, kv_heads=2, ffn=768),
    "tales-25m": Config(hidden=512, layers=8, heads=8, kv_heads=2, ffn=1536),
}


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class _BlockCausalAttention(torch.autograd.Function):
    """Causal softmax attention, a block of queries at a time.

    A block's scores stop at its own last key, so nearly half of the work of a full square is never done,
    and what is in flight stays in the processor's cache.

    q (N, G, T, D), already scaled; k, v (N, T, D); N = B·K. Returns (N, G, T, D).
    """

    BLOCK = 128

    @staticmethod
    def forward(ctx, q, k, v):
        n, groups, length, dim = q.shape
        out = torch.empty_like(q)
        queries, weights = [], []
        for start in range(0, length, _BlockCausalAttention.BLOCK):
            end = min(start + _BlockCausalAttention.BLOCK, length)
            rows = end - start
            block = q[:, :, start:end].reshape(n, groups * rows, dim)
            scores = block @ k[:, :end].transpose(1, 2)  # (N, G·rows, D) @ (N, D, end) -> (N, G·rows, end)
            future = torch.ones(rows, rows, dtype=torch.bool, device=q.device).triu_(1)
            scores.view(n, groups, rows, end)[..., start:].masked_fill_(future, float("-inf"))
            weight = torch.softmax(scores, -1)
            mixed = weight @ v[:, :end]  # (N, G·rows, end) @ (N, end, D) -> (N, G·rows, D)
            out[:, :, start:end] = mixed.view(n, groups, rows, dim)
            queries.append(block)
            weights.append(weight)
        ctx.save_for_backward(k, v, *queries, *weights)
        return out

    @staticmethod
    def backward(ctx, d_out):
        k, v, *saved = ctx.saved_tensors
        queries, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        n, groups, length, dim = d_out.shape
        d_q, d_k, d_v = torch.empty_like(d_out), torch.zeros_like(k), torch.zeros_like(v)
        for i, (block, weight) in enumerate(zip(queries, weights)):
            start, end = i * _BlockCausalAttention.BLOCK, weight.shape[-1]
            rows = end - start
            d_mixed = d_out[:, :, start:end].reshape(n, groups * rows, dim)
            d_v[:, :end] += weight.transpose(1, 2) @ d_mixed  # (N, end, G·rows) @ (N, G·rows, D)
            d_weight = d_mixed @ v[:, :end].transpose(1, 2)  # (N, G·rows, D) @ (N, D, end)
            d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype)
            d_q[:, :, start:end] = (d_scores @ k[:, :end]).view(n, groups, rows, dim)
            d_k[:, :end] += d_scores.transpose(1, 2) @ block  # (N, end, G·rows) @ (N, G·rows, D)
        return d_q, d_k, d_v


def causal_attention(q, k, v):
    """q (B, K, G, T, D), k and v (B, K, T, D) -> (B, K, G, T, D); scores are scaled by 1/sqrt(D)."""
    b, kv, groups, length, dim = q.shape
    if q.is_cuda:
        k, v = (x.unsqueeze(2).expand_as(q).flatten(1, 2) for x in (k, v))
        return F.scaled_dot_product_attention(q.flatten(1, 2), k, v, is_causal=True).view(q.shape)
    q = (q * dim**-0.5).flatten(0, 1)
    return _BlockCausalAttention.apply(q, k.flatten(0, 1), v.flatten(0, 1)).view(b, kv, groups, length, dim)


def rotary_tables(config, length, dtype=torch.float32, device=None):
    """cos and sin of position · theta^(−2i/D), each (length, D/2)."""
    i = torch.arange(0, config.head_dim, 2, dtype=torch.float64, device=device)
    angle = torch.outer(torch.arange(length, dtype=torch.float64, device=device), config.theta ** (-i / config.head_dim))
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x, cos, sin):
    """Turns element i of a head with element i + D/2. x (…, T, D)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        d, kv_width = config.hidden, config.kv_heads * config.head_dim
        self.config = config
        self.q_proj = nn.Linear(d, d, bias=False)
        self.k_proj = nn.Linear(d, kv_width, bias=False)
        self.v_proj = nn.Linear(d, kv_width, bias=False)
        self.o_proj = nn.Linear(d, d, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        kv, dim = self.config.kv_heads, self.config.head_dim
        q = self.q_proj(x).view(b, t, kv, -1, dim).permute(0, 2, 3, 1, 4)  # x (B,T,d) @ Wq' (d,d) -> (B,K,G,T,D)
        k = self.k_proj(x).view(b, t, kv, dim).transpose(1, 2)  # x (B,T,d) @ Wk' (d,K·D) -> (B,K,T,D)
        v = self.v_proj(x).view(b, t, kv, dim).transpose(1, 2)  # x (B,T,d) @ Wv' (d,K·D) -> (B,K,T,D)
        mixed = causal_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        return self.o_proj(mixed.permute(0, 3, 1, 2, 4).reshape(b, t, -1))  # (B,T,H·D) @ Wo' (d,d) -> (B,T,d)


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.ffn, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.ffn, bias=False)
        self.down_proj = nn.Linear(config.ffn, config.hidden, bias=False)

    def forward(self, x):
        # x (B,T,d) @ (d,F) twice -> (B,T,F), @ (F,d) -> (B,T,d)
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Expert(nn.Module):
    """FeedForward under Mixtral's names: w1 the gate, w3 up, w2 down."""

    def __init__(self, config):
        super().__init__()
        self.w1 = nn.Linear(config.hidden, config.ffn, bias=False)
        self.w2 = nn.Linear(config.ffn, config.hidden, bias=False)
        self.w3 = nn.Linear(config.hidden, config.ffn, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Experts(nn.Module):
    """A router's `active` likeliest experts for each token, weighted by a softmax over their scores alone."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.gate = nn.Linear(config.hidden, config.experts, bias=False)
        self.experts = nn.ModuleList(Expert(config) for _ in range(config.experts))
        self.balance = None  # of the last call while training
        self.margin = None  # of the last call otherwise: smallest gap between a chosen expert's score and the next one's

    def forward(self, x):
        tokens = x.flatten(0, -2)  # (N, d)
        scores = self.gate(tokens)  # (N, d) @ (d, E) -> (N, E)
        best = scores.topk(self.config.active, -1)
        weights, chosen = best.values.softmax(-1), best.indices  # (N, active)
        out = torch.zeros_like(tokens)
        for e, expert in enumerate(self.experts):
            row, slot = (chosen == e).nonzero(as_tuple=True)
            out = out.index_add(0, row, expert(tokens[row]) * weights[row, slot, None])
        if self.training:
            # Switch Transformer's loss: 1 where all experts get the same share of tokens and of probability.
            share = torch.bincount(chosen.flatten(), minlength=self.config.experts) / chosen.numel()
            self.balance = self.config.experts * (share * scores.softmax(-1).mean(0)).sum()
        elif self.config.active < self.config.experts:
            ranked = scores.topk(self.config.active + 1, -1).values
            self.margin = float((ranked[:, -2] - ranked[:, -1]).min())
        return out.view_as(x)


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.input_layernorm = RMSNorm(config.hidden, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden, config.norm_eps)
        if config.experts:
            self.block_sparse_moe = Experts(config)
        else:
            self.mlp = FeedForward(config)

    def forward(self, x, cos, sin, dropout):
        x = x + F.dropout(self.self_attn(self.input_layernorm(x), cos, sin), dropout, self.training)
        feed_forward = self.block_sparse_moe if self.config.experts else self.mlp
        return x + F.dropout(feed_forward(self.post_attention_layernorm(x)), dropout, self.training)


class Llama(nn.Module):
    """ids (B, T) -> logits (B, T, V)."""

    def __init__(self, config, dropout=0.0):
        super().__init__()
        self.config, self.dropout = config, dropout
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(config.vocabulary, config.hidden)
        self.model.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.model.norm = RMSNorm(config.hidden, config.norm_eps)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.02)
        for name, weight in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "w2.weight")):
                nn.init.zeros_(weight)  # every layer starts as the identity
            elif name.endswith(("proj.weight", "w1.weight", "w3.weight", "gate.weight")):
                nn.init.normal_(weight, std=0.5 * weight.shape[1] ** -0.5)

    def hidden_states(self, ids):
        """[embedding, after layer 1, …, after layer L, after the final norm], each (B, T, d)."""
        x = self.model.embed_tokens(ids)
        cos, sin = rotary_tables(self.config, ids.shape[1], x.dtype, x.device)
        states = [x]
        for layer in self.model.layers:
            states.append(layer(states[-1], cos, sin, self.dropout))
        return [*states, self.model.norm(states[-1])]

    def routing_margin(self):
        """Smallest gap, in the last call, between the score of an expert that was chosen and the next one's; infinite if dense."""
        return min((layer.block_sparse_moe.margin for layer in self.model.layers if self.config.experts), default=float("inf"))

    def balance(self):
        """Mean load-balancing loss of the layers in the last call; 1 is even."""
        return sum(layer.block_sparse_moe.balance for layer in self.model.layers) / self.config.layers

    def forward(self, ids):
        return self.hidden_states(ids)[-1] @ self.model.embed_tokens.weight.T  # (B,T,d) @ E' (d,V) -> (B,T,V)
