"""The optimiser's step in one pass over memory, and the length of a gradient."""

import math

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS, for_blocks

DOT = 1 << 13  # elements of one dot product: BLAS does so few on the calling thread


@kernel("adamw", backend="numpy", dtypes=FLOATS)
def adamw(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0,
          out=None):  # fmt: skip
    beta1, beta2 = betas
    scale = float(scale)
    correction1 = 1.0 - beta1**step if bias_correction else 1.0
    correction2 = 1.0 - beta2**step if bias_correction else 1.0
    shape = parameter.shape
    inputs = [x.reshape(-1) for x in (parameter, gradient, mean, variance)]
    out = tuple(empty(shape, parameter.dtype) for _ in range(3)) if out is None else out
    results = [x.reshape(-1) for x in out]

    def work(number, part):
        theta, g, m, v = (x[part] for x in inputs)
        new_theta, new_m, new_v = (x[part] for x in results)
        scratch = empty(g.shape, g.dtype)
        np.multiply(g, scale * (1.0 - beta1), out=scratch)
        np.multiply(m, beta1, out=new_m)
        new_m += scratch
        np.multiply(g, scale * math.sqrt(1.0 - beta2), out=scratch)
        scratch *= scratch
        np.multiply(v, beta2, out=new_v)
        new_v += scratch
        np.sqrt(new_v, out=scratch)
        scratch *= 1.0 / math.sqrt(correction2)
        scratch += eps
        np.divide(new_m, scratch, out=scratch)
        scratch *= lr / correction1
        np.multiply(theta, 1.0 - lr * weight_decay, out=new_theta)
        new_theta -= scratch

    for_blocks(work, parameter.size, 1)
    return out


@kernel("clip_scale", backend="numpy", dtypes=FLOATS)
def clip_scale(gradient, max_norm, eps=1e-6):
    whole = gradient.size // DOT
    lines = gradient[: whole * DOT].reshape(whole, DOT)
    squares = np.zeros(whole + 1)  # of each line, and of the rest, in double precision

    def work(number, rows):
        squares[:whole][rows] = np.vecdot(lines[rows], lines[rows])

    for_blocks(work, whole, DOT)
    rest = gradient[whole * DOT :]
    squares[whole] = np.vecdot(rest, rest)
    norm = math.sqrt(squares.sum())
    as_scalar = gradient.dtype.type
    return as_scalar(max_norm / max(norm + eps, max_norm)), as_scalar(norm)
