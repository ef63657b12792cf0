"""Multi-head self-attention."""

import bertnp.functional as F
from bertnp.backend import empty
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
        qkv = F.linear(x, weight.data, bias.data)  # (T, 3H)
        keep, p = self.dropout.keep_mask(packing.draw_attention(self.heads)), self.dropout.p
        layout = packing.lengths, packing.lengths, self.heads, packing.readable, keep, p
        y = F.packed_attention(*thirds(qkv), *layout)
        self.save(x, qkv, layout)
        attentions = self.attentions(qkv, packing, keep) if output_attentions else None
        return y, attentions

    def attentions(self, qkv, packing, keep):
        """The probabilities after dropout, (B, A, K, K)."""
        query, key, value = (F.split_heads(part, self.heads) for part in thirds(packing.to_core(qkv)))
        _, probabilities = F.attention(query, key, value, packing.mask)
        return F.dropout(probabilities, keep, self.dropout.p)

    def backward(self, dy):
        x, qkv, layout = self.saved()
        dqkv = empty(qkv.shape, like=qkv)
        parts = thirds(dqkv)
        gradients = F.packed_attention_backward(dy, *thirds(qkv), *layout, out=parts)
        for part, gradient in zip(parts, gradients, strict=True):
            if gradient is not part:
                part[...] = gradient
        weight, bias = self.projections()
        dx, dweight, dbias = F.linear_backward(dqkv, x, weight.data, weight.grad_space())
        weight.add_grad(dweight)
        bias.add_grad(dbias)
        return dx


def thirds(qkv):
    """(..., 3H) -> three views of (..., H)"""
    H = qkv.shape[-1] // 3
    return qkv[..., :H], qkv[..., H : 2 * H], qkv[..., 2 * H :]
