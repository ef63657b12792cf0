"""Dropout in one pass."""

import numpy as np

from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS, elementwise


def drop(x, keep, p):
    """x ← x k / (1 - p) in place"""
    x *= keep
    x *= 1.0 / (1.0 - p)


@kernel("dropout", backend="numpy", dtypes=FLOATS)
def dropout(x, keep=None, p=0.0):
    if keep is None:
        return x

    def block(y, scratch, x, keep):
        np.multiply(x, 1.0 / (1.0 - p), out=y)
        y *= keep

    return elementwise(block, x.shape, x.dtype, x, keep.astype(bool, copy=False))


@kernel("dropout_backward", backend="numpy", dtypes=FLOATS)
def dropout_backward(dy, keep=None, p=0.0):
    return dropout(dy, keep, p)
