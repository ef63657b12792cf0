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

    Chapter 10, equation 10.5.
    """

    def __init__(self, size, heads, p):
        self.query = Linear(size, size)
        self.key = Linear(size, size)
        self.value = Linear(size, size)
        self.dropout = Dropout(p)
        self.heads = heads

    def projections(self, *parts):
        """The weights of query, key and value (or those of them named) as one parameter, and their biases as one."""
        parts = parts or (self.query, self.key, self.value)
        return side_by_side([part.weight for part in parts]), side_by_side([part.bias for part in parts])

    def forward(self, x, packing, output_attentions=False, queries=None):
        """queries: the rows that ask, as `Queries`; None: all of them"""
        if queries is None:
            weight, bias = self.projections()
            qkv = F.linear(x, weight.data, bias.data)  # (T, 3H)
            query, key, value = split(qkv, 3)
        else:
            weight, bias = self.projections(self.key, self.value)
            asking = F.gather_rows(x, queries.rows)  # (R, H)
            query = F.linear(asking, self.query.weight.data, self.query.bias.data)
            key, value = split(F.linear(x, weight.data, bias.data), 2)  # (T, H) each
        of_queries = queries or packing
        keep, p = self.dropout.keep_mask(of_queries.draw_attention(self.heads)), self.dropout.p
        layout = of_queries.lengths, packing.lengths, self.heads, of_queries.readable, keep, p
        self.save(x, query, key, value, layout, queries)
        attentions = self.attentions(qkv, packing, keep) if output_attentions else None
        return F.packed_attention(query, key, value, *layout), attentions

    def attentions(self, qkv, packing, keep):
        """The probabilities after dropout, (B, A, K, K)."""
        query, key, value = (F.split_heads(part, self.heads) for part in split(packing.to_core(qkv), 3))
        _, probabilities = F.attention(query, key, value, packing.mask)
        return F.dropout(probabilities, keep, self.dropout.p)

    def backward(self, dy):
        x, query, key, value, layout, queries = self.saved()
        joined = empty((len(x), (3 if queries is None else 2) * x.shape[1]), like=x)
        parts = split(joined, 3) if queries is None else (empty(query.shape, like=x), *split(joined, 2))
        gradients = F.packed_attention_backward(dy, query, key, value, *layout, out=parts)
        for part, gradient in zip(parts, gradients, strict=True):
            if gradient is not part:
                part[...] = gradient
        if queries is None:
            return self.project_backward(joined, x, *self.projections())
        dx = self.project_backward(joined, x, *self.projections(self.key, self.value))
        asking = F.gather_rows(x, queries.rows)
        dasking = self.project_backward(parts[0], asking, self.query.weight, self.query.bias)
        dx += F.gather_rows_backward(dasking, queries.rows, len(x))
        return dx

    def project_backward(self, dy, x, weight, bias):
        dx, dweight, dbias = F.linear_backward(dy, x, weight.data, weight.grad_space())
        weight.add_grad(dweight)
        bias.add_grad(dbias)
        return dx


def split(x, parts):
    """(..., parts·H) -> views of (..., H)"""
    H = x.shape[-1] // parts
    return tuple(x[..., i * H : (i + 1) * H] for i in range(parts))
