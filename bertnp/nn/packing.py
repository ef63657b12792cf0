"""Padding taken out: which positions of a batch are computed, and where the attention core finds them."""

import math
import threading

import numpy as np

import bertnp.functional as F
from bertnp.backend import as_array, share


class Packing:
    """The kept positions of a padded batch, all worked out on the host.

    Everything runs on rows of tokens, (T, H), T the kept positions of the batch. Where attention is padded, it sees
    (B, A, K, D), K the most kept positions of any row, each row's tokens moved to its front.

    keep: (B, S) truth values, which positions are kept
    key_mask: (B, S) truth values, which may be read as keys; or (B, S, S), which query may read which; None: all
    streams, first_example: where dropout masks are drawn, and this batch's place in the global batch
    causal: whether a query may read no key that stands behind it
    """

    def __init__(self, keep, key_mask=None, streams=None, first_example=0, causal=False):
        self.B, self.S = keep.shape
        self.lengths = keep.sum(axis=1)  # (B,)
        self.K = int(self.lengths.max())
        self.T = int(self.lengths.sum())
        self.rows = np.flatnonzero(keep)  # (T,) places in B·S
        in_front = np.arange(self.K) < self.lengths[:, None]  # (B, K)
        self.slots = np.flatnonzero(in_front)  # (T,) places in B·K
        self.starts = np.cumsum(self.lengths) - self.lengths  # (B,) each sequence's first row
        self.streams = streams
        self.step = streams.step if streams else 0  # of all draws in this forward, whenever the model counts on
        self.first_example = first_example
        self.asked = None  # (R,) the rows of the last layer that are read, where not all are
        self.into_last = None  # then, what went into that layer, and whether dropout ran
        self.readable = self._readable(keep, key_mask, in_front)
        if causal:
            not_behind = np.tril(np.ones((self.K, self.K), bool))
            readable = not_behind if self.readable is None else self.readable & not_behind
            self.readable = np.broadcast_to(readable, (self.B, self.K, self.K))
        self.in_front = in_front

    def _readable(self, keep, key_mask, in_front):
        """Which keys a sequence's own queries may read: (B, 1 or K, K), or None if every one may read all."""
        if key_mask is None or key_mask[keep].all():
            return None
        if key_mask.ndim == 3:
            return key_mask
        readable = in_front.copy()
        readable[in_front] = key_mask[keep]
        return readable[:, None]

    @property
    def mask(self):
        """The same for (B, 1, 1 or K, K), where keys past a sequence's end are none: None if all may be read."""
        mask = self.in_front[:, None] if self.readable is None else self.readable
        return None if mask.all() else mask[:, None]

    def to_core(self, x):
        """(T, n) rows of tokens -> (B, K, n), zeros where a row is shorter than K."""
        if self.T < self.B * self.K:
            x = F.scatter_rows(x, self.slots, self.B * self.K)
        return x.reshape(self.B, self.K, -1)

    def from_core(self, x):
        """(B, K, n) -> (T, n)"""
        x = x.reshape(self.B * self.K, -1)
        return F.gather_rows(x, self.slots) if self.T < self.B * self.K else x

    def pad(self, x):
        """(T, n) rows of tokens -> (B, S, n), zeros at the positions that were dropped."""
        if self.T < self.B * self.S:
            x = F.scatter_rows(x, self.rows, self.B * self.S)
        return x.reshape(self.B, self.S, -1)

    def unpad(self, x):
        """(B, S, n) -> (T, n)"""
        x = x.reshape(self.B * self.S, -1)
        return F.gather_rows(x, self.rows) if self.T < self.B * self.S else x

    def pad_attention(self, probabilities, keys=None):
        """(B, A, K, K) of the core -> (B, A, S, S), zeros at the positions that were dropped.

        keys: the packing of the sequences that were read, where these are others: (B, A, Q, K) -> (B, A, U, S)
        """
        keys = keys or self
        B, A, Q, K = probabilities.shape
        per_query = probabilities.transpose(0, 2, 1, 3)  # (B, Q, A, K)
        queries = self.pad(self.from_core(per_query))  # (B, U, A·K)
        per_key = queries.reshape(B, self.S, A, K).transpose(0, 3, 2, 1)  # (B, K, A, U)
        return keys.pad(keys.from_core(per_key)).reshape(B, keys.S, A, self.S).transpose(0, 2, 3, 1)

    # dropout masks, one draw for each example, so that they depend on nothing else in the batch

    def draw_tokens(self, width):
        """Draws (T, width) masks: every position of every token is kept or dropped for itself."""

        def draw(dropout):
            device = drawn_on(dropout)
            if device is not None:
                return device.draw_rows(dropout.buffer.data, self.starts, self.lengths, width, self.key(dropout))
            keep = np.empty((self.T, width), bool)

            def one(b):
                start, length = int(self.starts[b]), int(self.lengths[b])
                keep[start : start + length] = self._draw(dropout, b, (length, width))

            share(one, self.B, keep.size // self.B)
            return keep

        return draw

    def draw_sequences(self, width):
        """Draws (B, width) masks, for one vector a sequence."""

        def draw(dropout):
            device = drawn_on(dropout)
            if device is not None:
                rows, one_each = np.arange(self.B), np.ones(self.B, int)
                return device.draw_rows(dropout.buffer.data, rows, one_each, width, self.key(dropout))
            return np.stack([self._draw(dropout, b, (width,)) for b in range(self.B)])

        return draw

    def draw_attention(self, heads, keys=None):
        """Draws (B, A, K, K) masks; an example of n kept tokens draws A·n·n of them, whatever the others' lengths.

        keys: the packing of the sequences that are read, where these are others: (B, A, Q, K)
        """
        keys = keys or self

        def draw(dropout):
            device = drawn_on(dropout)
            if device is not None and keys is self:
                return device.draw_heads(dropout.buffer.data, self.lengths, heads, self.key(dropout))
            keep = np.ones((self.B, heads, self.K, keys.K), bool)

            def one(b):
                n, m = int(self.lengths[b]), int(keys.lengths[b])
                keep[b, :, :n, :m] = self._draw(dropout, b, (heads, n, m))

            share(one, self.B, heads * (self.T // self.B) * (keys.T // self.B))
            return keep

        return draw

    def key(self, dropout):
        """What a dropout's masks are drawn by, but for each sequence's own number, and its rate."""
        return self.streams.seed, dropout.site, self.first_example, self.step, dropout.p

    def _draw(self, dropout, b, shape):
        return self.streams.keep(dropout.p, shape, dropout.site, self.first_example + b, self.step)


def drawn_on(dropout):
    """What draws masks on the device that the layer's model is on, or None where the host does."""
    return None if dropout.buffer is None else dropout.buffer.backend.masks


class Queries:
    """Some of a packing's rows: those that are asked for in a model's last layer, where nothing reads the others.

    rows: (R,) sorted row numbers, at least one in each sequence
    lengths: (B,) how many in each sequence   readable: which keys they may read, as a packing's
    Masks are those that all rows would draw, cut to these.
    """

    def __init__(self, packing, rows):
        self.packing, self.rows = packing, rows
        self.sequences = np.searchsorted(packing.starts, rows, side="right") - 1  # (R,) which sequence each is of
        self.inside = rows - packing.starts[self.sequences]  # (R,) its place there
        self.lengths = np.bincount(self.sequences, minlength=packing.B)
        self.places = np.arange(len(rows)) - (np.cumsum(self.lengths) - self.lengths)[self.sequences]
        self.readable = packing.readable
        if self.readable is not None and self.readable.shape[1] > 1:
            self.readable = np.zeros((packing.B, int(self.lengths.max()), packing.K), bool)
            self.readable[self.sequences, self.places] = packing.readable[self.sequences, self.inside]

    def draw_tokens(self, width):
        """Draws (R, width) masks."""
        draw_all = self.packing.draw_tokens(width)

        def draw(dropout):
            every = draw_all(dropout)
            return every[as_array(self.rows, like=every)]

        return draw

    def draw_attention(self, heads):
        """Draws (B, A, Q, K) masks, Q the most rows of any sequence."""

        def draw(dropout):
            every = self.packing.draw_attention(heads)(dropout)  # (B, A, K, K)
            query = np.zeros((self.packing.B, 1, int(self.lengths.max())), int)  # which of the K each of the Q is
            query[self.sequences, 0, self.places] = self.inside
            sequence, head = np.arange(self.packing.B)[:, None, None], np.arange(heads)[:, None]
            return every[tuple(as_array(index, like=every) for index in (sequence, head, query))]

        return draw


class DropoutStreams:
    """Keep-masks from a counter-based generator: the same key gives the same mask, on any thread, process or batch.

    The key is (seed, step, site, example): which dropout of the model, and which place in the global batch. A model
    counts `step` up at each training forward, unless `hold` is set; training sets it itself.

    An element is kept if 16 random bits, as a number, are at least 65536 p (rounded).
    """

    def __init__(self, seed=0):
        self.seed = seed
        self.step = 0
        self.first_example = 0
        self.hold = False

    def keep(self, p, shape, site, example, step=None):
        """Truth values of the given shape, each false with probability p; step None: the one that is counted."""
        step = self.step if step is None else step
        generator = philox([self.seed, 0], [0, site, example, step])
        size = math.prod(shape)
        kept = np.empty(size, bool)
        for start in range(0, size, DRAWN):
            part = kept[start : start + DRAWN]
            bits = generator.random_raw(-(-part.size // 4)).astype("<u8", copy=False).view("<u2")
            np.greater_equal(bits[: part.size], round(p * 65536), out=part)
        return kept.reshape(shape)


DRAWN = 1 << 15  # elements drawn at a time: a multiple of 4, so that no bits are lost between
_own = threading.local()  # .generator of each thread: making one takes longer than most draws


def philox(key, counter):
    """The thread's counter-based generator, set to that key and counter, as np.random.Philox(key=…, counter=…) is."""
    if not hasattr(_own, "generator"):
        _own.generator = np.random.Philox(key=0)
    _own.generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": np.array(counter, np.uint64), "key": np.array(key, np.uint64)},
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,  # nothing is buffered
        "has_uint32": 0,
        "uinteger": 0,
    }
    return _own.generator
