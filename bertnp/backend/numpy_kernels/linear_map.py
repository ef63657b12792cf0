"""Matrix products with a bias."""

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS, as_rows, column_sums, for_blocks, product


@kernel("product", backend="numpy", dtypes=FLOATS)
def product_of_rows(x, weight):
    return product(as_rows(x), weight).reshape(*x.shape[:-1], len(weight))


@kernel("product_backward", backend="numpy", dtypes=FLOATS)
def product_backward(dy, x, weight, out=None):
    rows, inputs = as_rows(dy), as_rows(x)
    return back_to_inputs(rows, weight).reshape(x.shape), weight_gradient(rows, inputs, out)


def back_to_inputs(dy, weight):
    """dx = dy W"""
    return np.matmul(dy, weight, out=empty((len(dy), weight.shape[1]), dy.dtype))


def weight_gradient(dy, x, out=None):
    """dW = dyᵀ x"""
    return np.matmul(dy.T, x, out=empty((dy.shape[1], x.shape[1]), dy.dtype) if out is None else out)


@kernel("linear", backend="numpy", dtypes=FLOATS)
def linear(x, weight, bias):
    y = product(as_rows(x), weight)
    if y.flags.c_contiguous:
        for_blocks(lambda number, rows: np.add(y[rows], bias, out=y[rows]), *y.shape)
    else:
        columns = y.T  # (m, rows)
        columns += bias[:, None]
    return y.reshape(*x.shape[:-1], len(bias))


@kernel("linear_backward", backend="numpy", dtypes=FLOATS)
def linear_backward(dy, x, weight, out=None):
    rows, inputs = as_rows(dy), as_rows(x)
    return back_to_inputs(rows, weight).reshape(x.shape), weight_gradient(rows, inputs, out), column_sums(rows)
