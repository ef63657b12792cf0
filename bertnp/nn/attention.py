"""Multi-head self-attention."""

import bertnp.functional as F
from bertnp.backend import array_module
from bertnp.nn.layers import Dropout, Linear
from bertnp.nn.module import Module
from bertnp.nn.parameter import side_by_side


class SelfAttention(Module):
    """Y = merge(attention(split(x W_Qᵀ + b_Q), split(x W_Kᵀ + b_K), split(x W_Vᵀ + b_V)))

    Each head attends for itself, on its D = H/A components (Vaswani et al. 2017, section 3.2.2; the output projection
    is a layer of its own). The three weights lie side by side in the parameter buffer, so one product makes Q, K, V.

    x: (T, H) rows of kept tokens  ->  y: (T, H)   the probabilities after dropout, where asked
    for: (B, A, K, K)
    """

    def __init__(self, size, heads, p):
        self.query = Linear(size, size)
        self.key = Linear(size, size)
        self.value = Linear(size, size)
        self.dropout = Dropout(p)
        self.heads = heads

    def projections(self):
        """The weights of query, key and value as one (3H, H) parameter, and their biases as one (3H,)."""
        parts = (self.query, self.key, self.value)
        return side_by_side([part.weight for part in parts]), side_by_side([part.bias for part in parts])

    def forward(self, x, packing, output_attentions=False):
        weight, bias = self.projections()
        qkv = packing.to_core(F.linear(x, weight.data, bias.data))  # (B, K, 3H)
        query, key, value = (F.split_heads(part, self.heads) for part in _thirds(qkv))  # (B, A, K, D) each
        keep, p = self.dropout.keep_mask(packing.draw_attention(self.heads)), self.dropout.p
        context, probabilities = F.attention(query, key, value, packing.mask, keep, p)
        self.save(x, packing, query, key, value, probabilities, keep)
        attentions = F.dropout(probabilities, keep, p) if output_attentions else None
        return packing.from_core(F.merge_heads(context)), attentions

    def backward(self, dy):
        x, packing, query, key, value, probabilities, keep = self.saved()
        dcontext = F.merge_heads_backward(packing.to_core(dy), self.heads)  # (B, A, K, D)
        gradients = F.attention_backward(dcontext, query, key, value, probabilities, keep, self.dropout.p)
        dqkv = array_module(dy).concatenate([F.split_heads_backward(g) for g in gradients], axis=-1)  # (B, K, 3H)
        dqkv = packing.from_core(dqkv)  # (T, 3H)
        weight, bias = self.projections()
        dx, dweight, dbias = F.linear_backward(dqkv, x, weight.data)
        weight.add_grad(dweight)
        bias.add_grad(dbias)
        return dx


def _thirds(qkv):
    """(B, K, 3H) -> three views of (B, K, H)"""
    H = qkv.shape[-1] // 3
    return qkv[..., :H], qkv[..., H : 2 * H], qkv[..., 2 * H :]
