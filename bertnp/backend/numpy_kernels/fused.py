"""The two halves of an encoder layer around its matrix products, each in one pass."""

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.activations import gelu_block, times_density, twice_cdf
from bertnp.backend.numpy_kernels.blocks import FLOATS, as_rows, block_count, for_blocks, product
from bertnp.backend.numpy_kernels.linear_map import back_to_inputs, weight_gradient
from bertnp.backend.numpy_kernels.normalization import ParameterSums, normalise, normalise_backward
from bertnp.backend.numpy_kernels.regularization import drop


@kernel("gelu_feed_forward", backend="numpy", dtypes=("float32",))
def gelu_feed_forward(x, weight1, bias1, weight2):
    u = product(as_rows(x), weight1)
    if u.flags.c_contiguous:
        hidden, bias = u, bias1
    else:
        hidden, bias = u.T, bias1[:, None]  # few rows: they lie column by column
    a = empty(hidden.shape, u.dtype)

    def work(number, rows):
        block = hidden[rows]
        block += bias if bias.ndim == 1 else bias[rows]
        gelu_block(a[rows], empty(block.shape, u.dtype), block)

    for_blocks(work, *hidden.shape)
    y = product(a if hidden is u else a.T, weight2)
    return y.reshape(*x.shape[:-1], len(weight2)), u.reshape(*x.shape[:-1], len(bias1))


@kernel("gelu_feed_forward_backward", backend="numpy", dtypes=("float32",))
def gelu_feed_forward_backward(dy, x, weight1, weight2, u, out=(None, None)):
    shape = x.shape
    dy, x, u = as_rows(dy), as_rows(x), as_rows(u)
    da = back_to_inputs(dy, weight2)  # (rows, I)
    a, du = empty(u.shape, u.dtype), empty(u.shape, u.dtype)
    partial = np.zeros((block_count(*u.shape), u.shape[1]), u.dtype)

    def work(number, rows):
        block, slope, activation = u[rows], du[rows], a[rows]
        density = empty(block.shape, u.dtype)
        twice_cdf(block, density, slope)
        slope *= 0.5
        np.multiply(slope, block, out=activation)
        times_density(block, density)
        slope += density
        slope *= da[rows]
        np.add.reduce(slope, axis=0, out=partial[number])

    for_blocks(work, *u.shape)
    dweight1, dweight2 = weight_gradient(du, x, out[0]), weight_gradient(dy, a, out[1])
    return back_to_inputs(du, weight1).reshape(shape), dweight1, partial.sum(axis=0), dweight2


@kernel("residual_norm", backend="numpy", dtypes=FLOATS)
def residual_norm(x, bias, residual, norm_weight, norm_bias, keep=None, p=0.0, eps=1e-12):
    shape, ones = x.shape, np.ones_like(norm_weight)
    x, residual = as_rows(x), as_rows(residual)
    keep = None if keep is None else as_rows(keep.astype(bool, copy=False))
    y, x_hat, inv_std = empty(x.shape, x.dtype), empty(x.shape, x.dtype), np.empty((len(x), 1), x.dtype)

    def work(number, rows):
        total = x_hat[rows]
        np.add(x[rows], bias, out=total)
        if keep is not None:
            drop(total, keep[rows], p)
        total += residual[rows]
        normalise(total, y[rows], inv_std[rows], norm_weight, norm_bias, eps, ones)

    for_blocks(work, *x.shape)
    return y.reshape(shape), x_hat.reshape(shape), inv_std.reshape(*shape[:-1], 1)


@kernel("residual_norm_backward", backend="numpy", dtypes=FLOATS)
def residual_norm_backward(dy, x_hat, inv_std, norm_weight, keep=None, p=0.0):
    shape, ones = dy.shape, np.ones_like(norm_weight)
    dy, x_hat, inv_std = as_rows(dy), as_rows(x_hat), as_rows(inv_std)
    keep = None if keep is None else as_rows(keep.astype(bool, copy=False))
    dresidual = empty(dy.shape, dy.dtype)
    dx = dresidual if keep is None else empty(dy.shape, dy.dtype)
    sums = ParameterSums(*dy.shape, dy.dtype)
    partial = np.zeros((block_count(*dy.shape), dy.shape[1]), dy.dtype)

    def work(number, rows):
        scratch = empty(dx[rows].shape, dy.dtype)
        normalise_backward(dresidual[rows], scratch, dy[rows], x_hat[rows], inv_std[rows], norm_weight, ones)
        sums.add(number, dy[rows], x_hat[rows], scratch)
        if keep is not None:
            np.multiply(dresidual[rows], 1.0 / (1.0 - p), out=dx[rows])
            dx[rows] *= keep[rows]
        np.add.reduce(dx[rows], axis=0, out=partial[number])

    for_blocks(work, *dy.shape)
    dnorm_weight, dnorm_bias = sums.total()
    return dx.reshape(shape), partial.sum(axis=0), dresidual.reshape(shape), dnorm_weight, dnorm_bias
