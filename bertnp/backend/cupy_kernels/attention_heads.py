"""Attention by products of stacks: each head of each sequence is multiplied where it lies in the packed rows.

Sequences of unequal lengths are moved to the front of rows of one length first, as in the textbook body.
"""

import math

import numpy as np

from bertnp.backend.arrays import backend_of, to_numpy
from bertnp.backend.cupy_kernels.device import (
    FLOATS,
    as_rows,
    computed_type,
    empty,
    launch,
    on_device,
    small_on_device,
    threads_for,
)
from bertnp.backend.cupy_kernels.products import StackProducts, heads_of, layout, stack_of
from bertnp.backend.formula import kernel


class Core:
    """The heads of a batch as stacks, and what their queries may read.

    rows: (query, key, value), (B·Q, H) and twice (B·K, H), each sequence's at the front of its own
    """

    def __init__(self, query, key, value, query_lengths, lengths, heads, mask, keep, p):
        query_lengths, lengths = to_numpy(query_lengths), to_numpy(lengths)
        self.B, self.A = len(lengths), heads
        self.Q, self.K = int(query_lengths.max(initial=0)), int(lengths.max(initial=0))
        self.query_lengths, self.key_lengths = query_lengths, lengths
        self.rows = [self.front(x, n) for x, n in ((query, query_lengths), (key, lengths), (value, lengths))]
        self.like = self.rows[0]
        self.scale = 1.0 / math.sqrt(query.shape[1] // heads)
        self.lengths = None if (lengths == self.K).all() else small_on_device(lengths, query, "int32")
        self.mask = None if mask is None else small_on_device(mask, query, bool)
        self.keep = None if keep is None else on_device(keep, query, bool)
        self.kept = 1.0 / (1.0 - p) if keep is not None else 1.0

    def front(self, x, lengths):
        """(T, H) -> (B·K, H), as it lies where all lengths are alike"""
        if not (layout(x) and x.strides[1] == x.itemsize):
            x = as_rows(x)
        longest = int(lengths.max())
        if len(x) == self.B * longest:
            return x
        rows = backend_of(x).xp.zeros((self.B * longest, x.shape[1]), dtype=x.dtype)
        rows[places_in_front(lengths, x)] = x
        return rows

    def stacks(self, *rows):
        return [heads_of(x, self.B, self.A) for x in rows]

    def empty_scores(self):
        """(B, A, Q, K) of the type that is computed in"""
        return empty((self.B, self.A, self.Q, self.K), self.like, computed_type(self.like.dtype))

    def as_activations(self, scores):
        """Where to put what is made of scores: their own place, if they are of the type of activations."""
        return scores if scores.dtype == self.like.dtype else empty(scores.shape, self.like)

    def launch(self, name, before, after):
        mask_rows = 1 if self.mask is None else self.mask.shape[1]
        launch(
            self.like, name, self.B * self.A * self.Q, threads_for(self.K), *before, self.lengths, self.mask,
            self.keep, self.kept, *after, self.A, self.Q, self.K, mask_rows,
        )  # fmt: skip


def nothing_to_do(query, key):
    return 0 in query.shape or 0 in key.shape


@kernel("packed_attention", backend="cupy", dtypes=FLOATS)
def packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    if nothing_to_do(query, key):
        return backend_of(query).xp.zeros(query.shape, dtype=query.dtype)
    core = Core(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    scores = core.empty_scores()
    weights, y = core.as_activations(scores), empty(core.rows[0].shape, query)
    q, k, v, of_y = core.stacks(*core.rows, y)
    s, w = stack_of(scores), stack_of(weights)
    products = StackProducts(q, k, v, of_y, s, w)
    products.multiply(q, k.T, s, core.scale)
    core.launch("attention_weights", (scores,), (weights,))
    products.multiply(w, v, of_y)
    return back(y, core.query_lengths, core.Q)


@kernel("packed_attention_backward", backend="cupy", dtypes=FLOATS)
def packed_attention_backward(
    dy, query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0, out=None
):
    given = out
    if out is None:
        out = tuple(empty(x.shape, x) for x in (query, key, value))
    if nothing_to_do(query, key):
        for gradient in out:
            gradient[...] = 0
        return out
    core = Core(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    dy = core.front(dy, core.query_lengths)
    # where all lengths are alike, the gradients are computed where they are wanted
    gradients = [g if len(g) == len(x) and layout(g) == (0, g.strides[0] // g.itemsize) else empty(x.shape, x)
                 for g, x in zip(out, core.rows, strict=True)]  # fmt: skip
    scores, slopes = core.empty_scores(), core.empty_scores()
    weights, dscores = core.as_activations(scores), core.as_activations(slopes)
    q, k, v, g, dq, dk, dv = core.stacks(*core.rows, dy, *gradients)
    s, w, sl, ds = (stack_of(x) for x in (scores, weights, slopes, dscores))
    products = StackProducts(q, k, v, g, dq, dk, dv, s, w, sl, ds)
    products.multiply(q, k.T, s, core.scale)
    products.multiply(g, v.T, sl)
    core.launch("attention_weights_backward", (scores, slopes), (weights, dscores))
    products.multiply(w.T, g, dv)
    products.multiply(ds, k, dq, core.scale)
    products.multiply(ds.T, q, dk, core.scale)
    longest = (core.Q, core.K, core.K)
    every_length = (core.query_lengths, core.key_lengths, core.key_lengths)
    for place, gradient, lengths_of, n in zip(out, gradients, every_length, longest, strict=True):
        if gradient is not place:
            place[...] = back(gradient, lengths_of, n)
    return out if given is None else given


def back(x, lengths, n):
    """(B·n, H) -> (T, H)"""
    return x if (lengths == n).all() else x[places_in_front(lengths, x)]


def places_in_front(lengths, like):
    """Where the rows of packed sequences stand among B·n, each sequence's at the front of its own."""
    return small_on_device(np.flatnonzero(np.arange(lengths.max()) < lengths[:, None]), like, "int32")


@kernel("softmax", backend="cupy", dtypes=FLOATS)
def softmax(x):
    y = empty(x.shape, x)
    rows = as_rows(x)
    launch(rows, "softmax", len(rows), threads_for(rows.shape[1]), rows, y, rows.shape[1])
    return y


@kernel("softmax_backward", backend="cupy", dtypes=FLOATS)
def softmax_backward(dy, y):
    dx = empty(y.shape, y)
    dy, y = as_rows(dy), as_rows(y)
    launch(y, "softmax_backward", len(y), threads_for(y.shape[1]), dy, y, dx, y.shape[1])
    return dx
