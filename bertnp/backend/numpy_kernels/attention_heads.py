"""Attention inside each sequence of a packed batch, a few heads at a time: no score leaves the cache."""

import math

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import FORMULAS, kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS, block_count, rows_of_block
from bertnp.backend.threads import share

ONE_THREAD = 1 << 18  # multiply-adds: BLAS does a product of this size on the calling thread
ONE_THREAD_VECTOR = 9216  # the same for a matrix of so many elements times a vector
MANY_SHORT = 16, 1 << 14  # sequences at least, padded scores at most: quicker all together than one by one
SAFE = 60.0  # exp of scores up to this size neither overflows nor vanishes, in float32


def are_many_and_short(query_lengths, lengths, heads):
    least, most = MANY_SHORT
    return len(lengths) >= least and len(lengths) * heads * int(query_lengths.max() * lengths.max()) <= most


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
        self.heads, self.dtype = heads, query.dtype
        self.query, self.key, self.value = (self.by_head(x) for x in (query, key, value))
        self.mask = None if mask is None else mask.astype(bool, copy=False)
        self.keep = None if keep is None else keep.astype(bool, copy=False)
        self.kept = 1.0 / (1.0 - p) if keep is not None else 1.0
        self.scale = 1.0 / math.sqrt(query.shape[1] // heads)
        self.ones = np.ones(int(lengths.max(initial=1)), query.dtype)
        self.work = []  # (sequence, its queries, its keys, some heads): what one thread does at a time
        self.scores = int(query_lengths @ lengths) * heads
        first_query = first_key = 0
        for b, (queries, keys) in enumerate(zip(query_lengths.tolist(), lengths.tolist(), strict=True)):
            if queries and keys:
                together = -(-heads // min(heads, block_count(heads, queries * keys)))
                for head in range(0, heads, together):
                    rows = slice(first_query, first_query + queries)
                    columns = slice(first_key, first_key + keys)
                    self.work.append((b, rows, columns, slice(head, min(head + together, heads))))
            first_query += queries
            first_key += keys

    def by_head(self, x):
        """(rows, H) -> the view (A, rows, D)"""
        return x.reshape(len(x), self.heads, -1).transpose(1, 0, 2)

    def each(self, function):
        """Call function(sequence, queries, keys, heads) for all work, on all cores."""
        share(lambda number: function(*self.work[number]), len(self.work), self.scores // max(len(self.work), 1))

    def transposed(self, x, factor=1.0):
        """(g, n, D) -> a copy (g, D, n), times a factor: products run faster with it"""
        g, n, D = x.shape
        return np.multiply(x.swapaxes(-1, -2), factor, out=empty((g, D, n), x.dtype))

    def query_blocks(self, rows, columns):
        """Slices of a sequence's query rows whose scores fit into a block, and the same counted from the first."""
        queries = rows.stop - rows.start
        step = rows_of_block(columns.stop - columns.start)
        for start in range(0, queries, step):
            stop = min(start + step, queries)
            yield slice(rows.start + start, rows.start + stop), slice(start, stop)

    def probabilities(self, b, query, scaled_keys, inside):
        """softmax of the scores of some queries, (g, q, D) with scaled_keys (g, D, n) -> (g, q, n)"""
        n = scaled_keys.shape[-1]
        scores = empty((*query.shape[:2], n), self.dtype)
        small_products(query, scaled_keys, scores)
        mask = None
        if self.mask is not None:
            mask = self.mask[b] if self.mask.shape[1] == 1 else self.mask[b, inside]
            mask = mask[:, :n]
        if not (scores.max() <= SAFE and scores.min() >= -SAFE):
            if mask is not None:
                np.copyto(scores, np.finfo(self.dtype).min, where=~mask)
            scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        if mask is not None:
            scores *= mask
        total = self.sums(scores)
        if mask is not None:
            total += total == 0
        scores *= np.divide(1.0, total, out=total)[..., None]
        return scores

    def sums(self, scores):
        """Σ over the keys, (g, q, n) -> (g, q)"""
        _, q, n = scores.shape
        return np.matmul(scores, self.ones[:n]) if q * n <= ONE_THREAD_VECTOR else np.vecdot(scores, self.ones[:n])

    def dropped(self, b, heads, inside, columns):
        """The keep-mask of this work's probabilities, (g, q, n)"""
        return self.keep[b, heads, inside, : columns.stop - columns.start]


@kernel("packed_attention", backend="numpy", dtypes=FLOATS)
def packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    if are_many_and_short(query_lengths, lengths, heads):
        textbook = FORMULAS["packed_attention"].textbook
        return textbook(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    core = Core(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    y = empty(query.shape, query.dtype) if query_lengths.all() and lengths.all() else np.zeros_like(query)
    results = core.by_head(y)

    def work(b, rows, columns, some):
        scaled_keys, values = core.transposed(core.key[some, columns], core.scale), core.value[some, columns]
        for places, inside in core.query_blocks(rows, columns):
            weights = core.probabilities(b, core.query[some, places], scaled_keys, inside)
            if keep is not None:
                weights *= core.dropped(b, some, inside, columns)
            small_products(weights, values, results[some, places])
            if keep is not None:
                results[some, places] *= core.kept

    core.each(work)
    return y


@kernel("packed_attention_backward", backend="numpy", dtypes=FLOATS)
def packed_attention_backward(
    dy, query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0, out=None
):
    if are_many_and_short(query_lengths, lengths, heads):
        textbook = FORMULAS["packed_attention_backward"].textbook
        return textbook(dy, query, key, value, query_lengths, lengths, heads, mask, keep, p, out)
    core = Core(query, key, value, query_lengths, lengths, heads, mask, keep, p)
    if out is None:
        out = tuple(empty(x.shape, x.dtype) for x in (query, key, value))
    if not (query_lengths.all() and lengths.all()):
        for gradient in out:
            gradient[...] = 0
    dy, dquery, dkey, dvalue = (core.by_head(x) for x in (dy, *out))

    def work(b, rows, columns, some):
        keys, scaled_keys = core.key[some, columns], core.transposed(core.key[some, columns], core.scale)
        scaled_values = core.transposed(core.value[some, columns], core.scale)
        for places, inside in core.query_blocks(rows, columns):
            first = inside.start == 0
            queries, g = core.query[some, places], dy[some, places]
            probabilities = core.probabilities(b, queries, scaled_keys, inside)
            slopes, kept = empty(probabilities.shape, core.dtype), probabilities
            if keep is not None:
                g = g * core.kept
                mask = core.dropped(b, some, inside, columns)
                kept = np.multiply(probabilities, mask, out=empty(probabilities.shape, core.dtype))
            small_products(g, scaled_values, slopes)  # of the probabilities after dropout, times the scale
            if keep is not None:
                slopes *= mask
            add_products(kept.swapaxes(-1, -2), g, dvalue[some, columns], first)
            slopes -= np.vecdot(slopes, probabilities)[..., None]
            slopes *= probabilities
            small_products(slopes, keys, dquery[some, places])
            add_products(slopes.swapaxes(-1, -2), queries, dkey[some, columns], first)

    core.each(work)
    return out


def add_products(a, b, out, first):
    """out = a b for the first block of queries; out += a b for the others"""
    if first:
        small_products(a, b, out)
    else:
        more = empty(out.shape, out.dtype)
        small_products(a, b, more)
        out += more
