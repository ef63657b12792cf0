"""Layer normalisation in one pass over the rows."""

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS, as_rows, block_count, for_blocks, row_sums


def normalise(x_hat, y, inv_std, weight, bias, eps, ones):
    """y = γ x̂ + β for a block of rows; x_hat holds x before and x̂ after, y and inv_std are written"""
    H = len(weight)
    mean = row_sums(x_hat, ones)
    mean *= 1.0 / H
    x_hat -= mean[:, None]
    variance = np.vecdot(x_hat, x_hat)
    variance *= 1.0 / H
    variance += eps
    np.sqrt(variance, out=variance)
    np.divide(1.0, variance, out=inv_std[:, 0])
    x_hat *= inv_std
    np.multiply(x_hat, weight, out=y)
    y += bias


def normalise_backward(dx, scratch, dy, x_hat, inv_std, weight, ones):
    """dx = (g - mean(g) - x̂ mean(g x̂)) / √(σ² + ε),  g = γ dy, for a block of rows"""
    H = len(weight)
    np.multiply(dy, weight, out=dx)
    mean, along = row_sums(dx, ones), np.vecdot(dx, x_hat)
    mean *= 1.0 / H
    along *= 1.0 / H
    np.multiply(x_hat, along[:, None], out=scratch)
    dx -= scratch
    dx -= mean[:, None]
    dx *= inv_std


class ParameterSums:
    """dγ = Σ dy x̂ and dβ = Σ dy: sums of each block, added up in the blocks' order."""

    def __init__(self, rows, H, dtype):
        self.partial = np.zeros((2, block_count(rows, H), H), dtype)

    def add(self, number, dy, x_hat, scratch):
        np.multiply(dy, x_hat, out=scratch)
        np.add.reduce(scratch, axis=0, out=self.partial[0, number])
        np.add.reduce(dy, axis=0, out=self.partial[1, number])

    def total(self):
        return tuple(self.partial.sum(axis=1))


@kernel("layer_norm", backend="numpy", dtypes=FLOATS)
def layer_norm(x, weight, bias, eps=1e-12):
    rows_of_x, ones = as_rows(x), np.ones_like(weight)
    y, x_hat = empty(rows_of_x.shape, x.dtype), empty(rows_of_x.shape, x.dtype)
    inv_std = np.empty((len(y), 1), x.dtype)

    def work(number, rows):
        x_hat[rows] = rows_of_x[rows]
        normalise(x_hat[rows], y[rows], inv_std[rows], weight, bias, eps, ones)

    for_blocks(work, *y.shape)
    return y.reshape(x.shape), x_hat.reshape(x.shape), inv_std.reshape(*x.shape[:-1], 1)


@kernel("layer_norm_backward", backend="numpy", dtypes=FLOATS)
def layer_norm_backward(dy, x_hat, inv_std, weight):
    shape, ones = dy.shape, np.ones_like(weight)
    dy, x_hat, inv_std = as_rows(dy), as_rows(x_hat), as_rows(inv_std)
    dx = empty(dy.shape, dy.dtype)
    sums = ParameterSums(*dy.shape, dy.dtype)

    def work(number, rows):
        scratch = empty(dx[rows].shape, dy.dtype)
        normalise_backward(dx[rows], scratch, dy[rows], x_hat[rows], inv_std[rows], weight, ones)
        sums.add(number, dy[rows], x_hat[rows], scratch)

    for_blocks(work, *dy.shape)
    return dx.reshape(shape), *sums.total()
