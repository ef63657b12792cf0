"""Attention inside each sequence of a packed batch, a few heads at a time: no score leaves the cache."""

import math

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import BLOCK, FLOATS, row_sums
from bertnp.backend.threads import share

ONE_THREAD = 1 << 18  # multiply-adds: BLAS does a product of this size on the calling thread
SAFE = 60.0  # exp of scores up to this size neither overflows nor vanishes, in float32


def small_products(a, b, out):
    """out = a b for stacks of matrices, in slices of rows so small that BLAS does each on the calling thread"""
    rows = a.shape[-2]
    slices = -(-rows // max(4, ONE_THREAD // (a.shape[-1] * b.shape[-1])))
    step = -(-rows // slices)
    for start in range(0, rows, step):
        np.matmul(a[..., start : start + step, :], b, out=out[..., start : start + step, :])


class Core:
    """Where every sequence's heads stand in the packed rows, and the probabilities of some of them."""

    def __init__(self, query, key, value, query_lengths, lengths, heads, mask, keep, p):
        self.query, self.key, self.value = query, key, value
        self.heads, self.D = heads, query.shape[1] // heads
        self.mask = None if mask is None else mask.astype(bool, copy=False)
        self.keep = None if keep is None else keep.astype(bool, copy=False)
        self.kept = 1.0 / (1.0 - p) if keep is not None else 1.0
        self.scale = 1.0 / math.sqrt(self.D)
        self.work = []  # (sequence, its queries, its keys, some heads): what one thread does at a time
        first_query = first_key = 0
        for b, (queries, keys) in enumerate(zip(query_lengths.tolist(), lengths.tolist(), strict=True)):
            if queries and keys:
                together = max(1, min(heads, BLOCK // (queries * keys)))
                for head in range(0, heads, together):
                    rows = slice(first_query, first_query + queries)
                    columns = slice(first_key, first_key + keys)
                    self.work.append((b, rows, columns, slice(head, min(head + together, heads))))
            first_query += queries
            first_key += keys

    def of_heads(self, x, rows, heads):
        """(rows, H) -> the view (heads, rows, D) of some heads"""
        x = x[rows]
        return x.reshape(len(x), self.heads, self.D).transpose(1, 0, 2)[heads]

    def each(self, function):
        """Call function(sequence, queries, keys, heads) for all work, on all cores."""
        share(lambda number: function(*self.work[number]), len(self.work))

    def transposed(self, x):
        """(g, n, D) -> a copy (g, D, n): products run faster with it"""
        copy = empty((x.shape[0], x.shape[2], x.shape[1]), x.dtype)
        copy[...] = x.swapaxes(-1, -2)
        return copy

    def query_blocks(self, queries, keys):
        """Slices of a sequence's queries, counted from its first, whose scores fit into a block."""
        step = max(1, BLOCK // keys)
        return [slice(start, min(start + step, queries)) for start in range(0, queries, step)]

    def exponentials(self, b, query, key, key_transposed, queries):
        """exp of the scaled scores of some queries (g, q, D), shifted where they are large: (g, q, n); and its sums."""
        scores = empty((len(query), query.shape[1], key.shape[1]), query.dtype)
        small_products(query, key_transposed, scores)
        mask = None
        if self.mask is not None:
            mask = self.mask[b] if self.mask.shape[1] == 1 else self.mask[b, queries]
            mask = mask[:, : key.shape[1]]
        largest = math.sqrt(np.vecdot(query, query).max()) * math.sqrt(np.vecdot(key, key).max())
        if not largest <= SAFE:  # |q·k| <= |q||k|
            if mask is not None:
                np.copyto(scores, np.finfo(scores.dtype).min, where=~mask)
            scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        if mask is not None:
            scores *= mask
        total = row_sums(scores, np.ones(scores.shape[-1], scores.dtype))
        total += total == 0
        return scores, total

    def dropped(self, b, heads, queries, keys):
        """The keep-mask of this work's probabilities, (g, q, n)"""
        return self.keep[b, heads, queries, :keys]


@kernel("packed_attention", backend="numpy", dtypes=FLOATS)
def packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    core = Core(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    y = empty(query.shape, query.dtype) if query_lengths.all() and lengths.all() else np.zeros_like(query)

    def work(b, rows, columns, some):
        k, v = core.of_heads(key, columns, some), core.of_heads(value, columns, some)
        q = core.of_heads(query, rows, some) * core.scale
        k_transposed = core.transposed(k)
        result = core.of_heads(y, rows, some)
        for queries in core.query_blocks(q.shape[1], k.shape[1]):
            weights, total = core.exponentials(b, q[:, queries], k, k_transposed, queries)
            if keep is not None:
                weights *= core.dropped(b, some, queries, k.shape[1])
            small_products(weights, v, result[:, queries])
            np.divide(core.kept, total, out=total)
            result[:, queries] *= total[..., None]

    core.each(work)
    return y


@kernel("packed_attention_backward", backend="numpy", dtypes=FLOATS)
def packed_attention_backward(
    dy, query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0, out=None
):
    core = Core(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    if out is None:
        out = [empty(x.shape, x.dtype) for x in (query, key, value)]
    dquery, dkey, dvalue = out
    if not (query_lengths.all() and lengths.all()):
        for gradient in out:
            gradient[...] = 0

    def work(b, rows, columns, some):
        k, v = core.of_heads(key, columns, some), core.of_heads(value, columns, some)
        q = core.of_heads(query, rows, some) * core.scale
        g = core.of_heads(dy, rows, some) * core.kept
        k_transposed, v_transposed = core.transposed(k), core.transposed(v)
        dq, dk, dv = (
            core.of_heads(gradient, place, some)
            for gradient, place in ((dquery, rows), (dkey, columns), (dvalue, columns))
        )
        for queries in core.query_blocks(q.shape[1], k.shape[1]):
            probabilities, total = core.exponentials(b, q[:, queries], k, k_transposed, queries)
            probabilities *= np.divide(1.0, total, out=total)[..., None]
            slopes, kept = empty(probabilities.shape, dy.dtype), probabilities
            small_products(g[:, queries], v_transposed, slopes)  # of the probabilities after dropout, over 1 - p
            if keep is not None:
                mask = core.dropped(b, some, queries, k.shape[1])
                slopes *= mask
                kept = np.multiply(probabilities, mask, out=empty(slopes.shape, dy.dtype))
            add_products(kept.swapaxes(-1, -2), g[:, queries], dv, queries.start == 0)
            slopes -= np.vecdot(slopes, probabilities)[..., None]
            slopes *= probabilities
            small_products(slopes, k, dq[:, queries])
            dq[:, queries] *= core.scale
            add_products(slopes.swapaxes(-1, -2), q[:, queries], dk, queries.start == 0)

    core.each(work)
    return dquery, dkey, dvalue


def add_products(a, b, out, first):
    """out = a b for the first block of queries; out += a b for the others"""
    if first:
        small_products(a, b, out)
    else:
        more = empty(out.shape, out.dtype)
        small_products(a, b, more)
        out += more
