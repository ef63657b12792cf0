"""Dropout masks drawn on the device: bit for bit those that `nn.DropoutStreams` draws on the host."""

import numpy as np

from bertnp.backend.arrays import backend_of
from bertnp.backend.cupy_kernels.device import empty, launch, small_on_device

AT_A_TIME = 16  # elements that one call of the generator decides


def draw(name, keep, largest, like, *arguments, key):
    threads = 128
    blocks = -(-largest // (AT_A_TIME * threads))
    seed, site, first_example, step, p = key
    numbers = (np.uint64(value) for value in (seed, site, first_example, step))
    sequences = arguments[-1]
    launch(like, name, (blocks, sequences), threads, keep, *arguments[:-1], *numbers, round(p * 65536))
    return keep


def draw_rows(like, starts, lengths, width, key):
    """A mask (T, width): sequence b has lengths[b] rows, from starts[b] on.

    like: an array of the device   starts, lengths: (B,) host integers
    key: (seed, site, the first sequence's place in the global batch, step, rate of dropout)
    """
    keep = empty((int(lengths.sum()), width), like, bool)
    places = (small_on_device(values, like, "int32") for values in (starts, lengths))
    return draw("draw_rows", keep, int(lengths.max()) * width, like, *places, width, len(lengths), key=key)


def draw_heads(like, lengths, heads, key):
    """A mask (B, A, K, K), of which sequence b has lengths[b] rows and columns of its own; the rest is kept."""
    B, K = len(lengths), int(lengths.max())
    shape = (B, heads, K, K)
    keep = empty(shape, like, bool) if (lengths == K).all() else backend_of(like).xp.ones(shape, dtype=bool)
    lengths_there = small_on_device(lengths, like, "int32")
    return draw("draw_heads", keep, heads * K * K, like, lengths_there, heads, K, B, key=key)
