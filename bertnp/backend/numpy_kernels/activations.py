"""GELU in float32, Φ by one tanh and a polynomial, and ReLU."""

import math

import numpy as np

from bertnp.backend.formula import kernel
from bertnp.backend.gelu_polynomial import COEFFICIENTS
from bertnp.backend.numpy_kernels.blocks import FLOATS, elementwise

Q = [float(c) for c in COEFFICIENTS]
INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)


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
    out += 1.0


def gelu_block(y, scratch, x):
    """y = x Φ(x)"""
    twice_cdf(x, scratch, y)
    y *= x
    y *= 0.5


def gelu_backward_block(dx, scratch, dy, x):
    """dx = dy (Φ(x) + x φ(x))"""
    twice_cdf(x, scratch, dx)
    times_density(x, scratch)
    dx *= 0.5
    dx += scratch
    dx *= dy


def times_density(x, square):
    """square = x φ(x), made from x² in place"""
    square *= -0.5
    np.exp(square, out=square)
    square *= INV_SQRT_2PI
    square *= x


@kernel("relu", backend="numpy", dtypes=FLOATS)
def relu(x):
    return elementwise(lambda y, scratch, x: np.maximum(x, 0, out=y), x.shape, x.dtype, x)


@kernel("relu_backward", backend="numpy", dtypes=FLOATS)
def relu_backward(dy, y):
    return elementwise(lambda dx, scratch, dy, y: np.multiply(dy, y > 0, out=dx), dy.shape, dy.dtype, dy, y)


@kernel("gelu", backend="numpy", dtypes=("float32",))
def gelu(x):
    return elementwise(gelu_block, x.shape, x.dtype, x)


@kernel("gelu_backward", backend="numpy", dtypes=("float32",))
def gelu_backward(dy, x):
    return elementwise(gelu_backward_block, x.shape, x.dtype, dy, x)
