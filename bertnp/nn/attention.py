"""Multi-head attention: of a sequence to itself, and of one to another."""

import numpy as np

import bertnp.functional as F
from bertnp.backend import array_module, as_array, empty, to_numpy
from bertnp.nn.layers import Dropout, Linear
from bertnp.nn.module import Module
from bertnp.nn.parameter import side_by_side


class SelfAttention(Module):
    """Y = merge(attention(split(x W_Qᵀ + b_Q), split(x W_Kᵀ + b_K), split(x W_Vᵀ + b_V)))

    Each head attends for itself, on its D = H/A components (Vaswani et al. 2017, section 3.2.2; the output projection
    is a layer of its own). The three weights lie side by side in the parameter buffer, so one product makes Q, K, V.

    x: (T, H) rows of kept tokens  ->  y: (T, H)   the probabilities after dropout, where asked
    for: (B, A, K, K)

    head_mask: (A,) numbers that the heads' outputs are multiplied by, or None; where there is one, a backward leaves
    its gradient by each sequence in dhead_mask, (B, A) on the host

    Chapter 10, equation 10.5.
    """

    head_mask = None
    dhead_mask = None

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
        y, masking = F.packed_attention(query, key, value, *layout), None
        if self.head_mask is not None:
            masking = y, as_array(np.broadcast_to(self.head_mask, (len(y), self.heads)), like=y, dtype=y.dtype)
            y = F.mask_heads(*masking)
        self.save(x, query, key, value, layout, queries, masking)
        attentions = self.attentions(qkv, packing, keep) if output_attentions else None
        return y, attentions

    def step(self, x, past):
        """One more token of each sequence, which reads those before it and itself. For inference: nothing is saved.

        x: (N, H)   past: the `KeyValues` of those before; it takes in the new ones  ->  y: (N, H)
        """
        weight, bias = self.projections()
        qkv = F.linear(x, weight.data, bias.data)[:, None]  # (N, 1, 3H)
        query, key, value = (F.split_heads(part, self.heads) for part in split(qkv, 3))  # (N, A, 1, D)
        past.append(key, value)
        y, _ = F.attention(query, past.key, past.value)
        return F.merge_heads(y)[:, 0]

    def attentions(self, qkv, packing, keep):
        """The probabilities after dropout, (B, A, K, K)."""
        query, key, value = (F.split_heads(part, self.heads) for part in split(packing.to_core(qkv), 3))
        _, probabilities = F.attention(query, key, value, packing.mask)
        return F.dropout(probabilities, keep, self.dropout.p)

    def backward(self, dy):
        x, query, key, value, layout, queries, masking = self.saved()
        if masking is not None:
            dy, drows = F.mask_heads_backward(dy, *masking)  # drows: (R, A)
            lengths = layout[0]
            self.dhead_mask = np.add.reduceat(to_numpy(drows), np.cumsum(lengths) - lengths)
        joined = empty((len(x), (3 if queries is None else 2) * x.shape[1]), like=x)
        parts = split(joined, 3) if queries is None else (empty(query.shape, like=x), *split(joined, 2))
        put(parts, F.packed_attention_backward(dy, query, key, value, *layout, out=parts))
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


class CrossAttention(SelfAttention):
    """Y = merge(attention(split(x W_Qᵀ + b_Q), split(m W_Kᵀ + b_K), split(m W_Vᵀ + b_V)))

    The queries of one sequence read the keys and values of another, the memory m, as a translation reads its source
    (Vaswani et al. 2017, section 3.2.3): the gradient goes into both.

    x: (R, H) rows of the sequences that read   memory: (T, H) rows of those that are read
    ->  y: (R, H)   the probabilities after dropout, where asked for: (B, A, Q, K)

    Chapter 18, equations 18.3 and 18.6.
    """

    def forward(self, x, memory, packing, of_memory, output_attentions=False):
        """packing, of_memory: those of x and of the memory"""
        query = self.query(x)
        key, value = self.keys_and_values(memory)
        keep, p = self.dropout.keep_mask(packing.draw_attention(self.heads, of_memory)), self.dropout.p
        layout = packing.lengths, of_memory.lengths, self.heads, of_memory.readable, keep, p
        self.save(memory, query, key, value, layout)
        attentions = None
        if output_attentions:
            parts = packing.to_core(query), of_memory.to_core(key), of_memory.to_core(value)
            _, probabilities = F.attention(*(F.split_heads(part, self.heads) for part in parts), of_memory.mask)
            attentions = F.dropout(probabilities, keep, p)
        return F.packed_attention(query, key, value, *layout), attentions

    def remember(self, memory, of_memory):
        """The memory's keys and values, for `step`."""
        parts = (of_memory.to_core(part) for part in self.keys_and_values(memory))
        return KeyValues(*(F.split_heads(part, self.heads) for part in parts))

    def step(self, x, memory, mask):
        """One more token of each sequence, which reads the memory. For inference: nothing is saved.

        x: (N, H), N a multiple of B: so many side by side read the same   memory: `KeyValues` of (B, A, K, D)
        mask: (B, 1, 1, K), or None  ->  y: (N, H)
        """
        query = F.linear(x, self.query.weight.data, self.query.bias.data)
        query = F.split_heads(query.reshape(len(memory.key), -1, x.shape[-1]), self.heads)  # (B, A, N/B, D)
        y, _ = F.attention(query, memory.key, memory.value, mask)
        return F.merge_heads(y).reshape(x.shape)

    def keys_and_values(self, memory):
        """(T, H) each"""
        weight, bias = self.projections(self.key, self.value)
        return split(F.linear(memory, weight.data, bias.data), 2)

    def backward(self, dy):
        """Returns dx and dmemory."""
        memory, query, key, value, layout = self.saved()
        joined = empty((len(memory), 2 * memory.shape[1]), like=memory)
        parts = empty(query.shape, like=query), *split(joined, 2)
        put(parts, F.packed_attention_backward(dy, query, key, value, *layout, out=parts))
        return self.query.backward(parts[0]), self.project_backward(
            joined, memory, *self.projections(self.key, self.value)
        )


class KeyValues:
    """Keys and values that are kept from one token to the next, (N, A, t, D) each; None before the first."""

    def __init__(self, key=None, value=None):
        self.key, self.value = key, value

    def append(self, key, value):
        """Take in those of one more token, (N, A, 1, D)."""
        if self.key is not None:
            xp = array_module(key)
            key, value = xp.concatenate([self.key, key], axis=2), xp.concatenate([self.value, value], axis=2)
        self.key, self.value = key, value

    def select(self, rows):
        """Go on with these rows of N alone; one may come twice."""
        rows = as_array(rows, like=self.key)
        self.key, self.value = self.key[rows], self.value[rows]


def put(places, gradients):
    """Copy gradients that a backward didn't put into these places by itself."""
    for place, gradient in zip(places, gradients, strict=True):
        if gradient is not place:
            place[...] = gradient


def split(x, parts):
    """(..., parts·H) -> views of (..., H)"""
    H = x.shape[-1] // parts
    return tuple(x[..., i * H : (i + 1) * H] for i in range(parts))
