"""The optimiser's step in one pass over memory, and the length of a gradient; the host waits for neither."""

import math

import numpy as np

from bertnp.backend.cupy_kernels.device import Elementwise, contiguous, empty, launch
from bertnp.backend.formula import kernel

FLOATS = ("float32", "float64")  # parameters and gradients are of no other type, whatever activations are

adam_step = Elementwise(
    "adamw",
    "T theta, T g, T m, T v, T scale, T beta1, T rest1, T beta2, T rest2, T over_root, T eps, T rate, T keep",
    "T new_theta, T new_m, T new_v",
    "T slope = g * scale; T mean = beta1 * m + rest1 * slope; T square = beta2 * v + rest2 * (slope * slope); "
    "new_m = mean; new_v = square; new_theta = theta * keep - rate * (mean / (sqrt(square) * over_root + eps));",
)


@kernel("adamw", backend="cupy", dtypes=FLOATS)
def adamw(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0,
          out=None):  # fmt: skip
    beta1, beta2 = betas
    correction1 = 1.0 - beta1**step if bias_correction else 1.0
    correction2 = 1.0 - beta2**step if bias_correction else 1.0
    if out is None:
        out = tuple(empty(parameter.shape, parameter) for _ in range(3))
    if isinstance(scale, np.generic):
        scale = float(scale)
    adam_step(
        parameter, gradient, mean, variance, scale, beta1, 1.0 - beta1, beta2, 1.0 - beta2,
        1.0 / math.sqrt(correction2), eps, lr / correction1, 1.0 - lr * weight_decay, *out,
    )  # fmt: skip
    return out


@kernel("clip_scale", backend="cupy", dtypes=FLOATS)
def clip_scale(gradient, max_norm, eps=1e-6):
    gradient = contiguous(gradient)
    blocks = min(1024, max(1, -(-gradient.size // 4096)))
    sums = empty((blocks,), gradient)
    scale, norm = empty((), gradient), empty((), gradient)
    launch(gradient, "squares", blocks, 256, gradient, sums, np.int64(gradient.size))
    launch(gradient, "clip_scale", 1, 1, sums, blocks, float(max_norm), float(eps), scale, norm)
    return scale, norm
