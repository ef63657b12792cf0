"""Fast bodies of formulas for NumPy arrays: the same numbers, in blocks that stay in the cache, without temporaries."""

import math

import numpy as np

from bertnp.backend.formula import kernel
from bertnp.backend.gelu_polynomial import COEFFICIENTS

BLOCK = 1 << 15  # elements: 128 KiB of float32, so that a block and its scratch fit into a core's cache
Q = [np.float32(c) for c in COEFFICIENTS]
INV_SQRT_2PI = np.float32(1 / math.sqrt(2 * math.pi))


def blocks(out, *inputs):
    """Pieces of the flattened arrays, at most BLOCK elements each: (out, *inputs) of one piece after the other."""
    flat = [array.reshape(-1) for array in (out, *inputs)]
    for start in range(0, out.size, BLOCK):
        yield [array[start : start + BLOCK] for array in flat]


def twice_cdf(x, square, out):
    """out = 2 Φ(x) = 1 + tanh(x Q(x²)), and square = x²"""
    np.multiply(x, x, out=square)
    np.multiply(square, Q[-1], out=out)
    for coefficient in Q[-2:0:-1]:
        out += coefficient
        out *= square
    out += Q[0]
    out *= x
    np.tanh(out, out=out)
    out += np.float32(1)


@kernel("gelu", backend="numpy", dtypes=("float32",))
def gelu(x):
    y = np.empty(x.shape, np.float32)
    scratch = np.empty(min(BLOCK, x.size), np.float32)
    for y_block, x_block in blocks(y, x):
        twice_cdf(x_block, scratch[: x_block.size], y_block)
        y_block *= x_block
        y_block *= np.float32(0.5)
    return y


@kernel("gelu_backward", backend="numpy", dtypes=("float32",))
def gelu_backward(dy, x):
    dx = np.empty(x.shape, np.float32)
    scratch = np.empty(min(BLOCK, x.size), np.float32)
    for dx_block, dy_block, x_block in blocks(dx, dy, x):
        density = scratch[: x_block.size]
        twice_cdf(x_block, density, dx_block)
        density *= np.float32(-0.5)
        np.exp(density, out=density)
        density *= INV_SQRT_2PI
        density *= x_block
        dx_block *= np.float32(0.5)
        dx_block += density
        dx_block *= dy_block
    return dx
