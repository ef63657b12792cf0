"""Padding taken out: which positions of a batch are computed, and where the attention core finds them."""

import numpy as np

import bertnp.functional as F


class Packing:
    """The kept positions of a padded batch, all worked out on the host.

    Everything runs on rows of tokens, (T, H), T the kept positions of the batch. Where attention is padded, it sees
    (B, A, K, D), K the most kept positions of any row, each row's tokens moved to its front.

    keep: (B, S) truth values, which positions are kept
    key_mask: (B, S) truth values, which may be read as keys; or (B, S, S), which query may read which; None: all
    streams, first_example: where dropout masks are drawn, and this batch's place in the global batch
    """

    def __init__(self, keep, key_mask=None, streams=None, first_example=0):
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
        self.readable = self._readable(keep, key_mask, in_front)
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

    def pad_attention(self, probabilities):
        """(B, A, K, K) of the core -> (B, A, S, S), zeros at the positions that were dropped."""
        if self.K == self.S and self.T == self.B * self.S:
            return probabilities
        B, A, K, S = self.B, probabilities.shape[1], self.K, self.S
        per_query = probabilities.transpose(0, 2, 1, 3)  # (B, K, A, K)
        queries = self.pad(self.from_core(per_query))  # (B, S, A·K)
        per_key = queries.reshape(B, S, A, K).transpose(0, 3, 2, 1)  # (B, K, A, S)
        return self.pad(self.from_core(per_key)).reshape(B, S, A, S).transpose(0, 2, 3, 1)

    # dropout masks, one draw for each example, so that they depend on nothing else in the batch

    def draw_tokens(self, width):
        """Draws (T, width) masks: every position of every token is kept or dropped for itself."""

        def draw(dropout):
            keep = np.empty((self.T, width), bool)
            for b, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
                keep[start : start + length] = self._draw(dropout, b, (length, width))
            return keep

        return draw

    def draw_sequences(self, width):
        """Draws (B, width) masks, for one vector a sequence."""

        def draw(dropout):
            return np.stack([self._draw(dropout, b, (width,)) for b in range(self.B)])

        return draw

    def draw_attention(self, heads):
        """Draws (B, A, K, K) masks; an example of n kept tokens draws A·n·n of them, whatever the others' lengths."""

        def draw(dropout):
            keep = np.ones((self.B, heads, self.K, self.K), bool)
            for b, n in enumerate(self.lengths):
                keep[b, :, :n, :n] = self._draw(dropout, b, (heads, n, n))
            return keep

        return draw

    def _draw(self, dropout, b, shape):
        return self.streams.keep(dropout.p, shape, dropout.site, self.first_example + b, self.step)


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
        generator = np.random.Philox(key=[self.seed, 0], counter=[0, site, example, step])
        size = int(np.prod(shape))
        bits = generator.random_raw(-(-size // 4)).astype("<u8", copy=False).view("<u2")
        return (bits[:size] >= round(p * 65536)).reshape(shape)
