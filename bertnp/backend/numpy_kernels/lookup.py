"""Rows of tables, and the sums of gradients that go back to them."""

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.formula import kernel
from bertnp.backend.numpy_kernels.blocks import FLOATS


def take_rows(x, index):
    """x[index] for an array of row numbers"""
    index = np.asarray(index)
    if index.size and (index.min() < -len(x) or index.max() >= len(x)):
        return x[index]  # raises, and says which
    return np.take(x, index, axis=0, out=empty((*index.shape, *x.shape[1:]), x.dtype), mode="wrap")


@kernel("embedding", backend="numpy", dtypes=FLOATS)
def embedding(ids, table, padding_idx=None):
    return take_rows(table, ids)


@kernel("embedding_backward", backend="numpy", dtypes=FLOATS)
def embedding_backward(dy, ids, table, padding_idx=None, out=None):
    dtable = np.zeros_like(table) if out is None else out
    dy, ids = dy.reshape(-1, dy.shape[-1]), np.asarray(ids).reshape(-1)
    order = np.argsort(ids, kind="stable")
    if padding_idx is not None:
        order = order[ids[order] != padding_idx]
    if not order.size:
        return dtable
    ids = ids[order]
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))  # of each word's rows, in the sorted order
    counts = np.diff(np.append(starts, len(ids)))
    once = starts[counts == 1]
    dtable[ids[once]] += dy[order[once]]
    several = counts > 1
    for start, count in zip(starts[several].tolist(), counts[several].tolist(), strict=True):
        dtable[ids[start]] += dy[order[start : start + count]].sum(axis=0)
    return dtable


@kernel("gather_rows", backend="numpy", dtypes=FLOATS)
def gather_rows(x, index):
    return take_rows(x, index)


@kernel("gather_rows_backward", backend="numpy", dtypes=FLOATS)
def gather_rows_backward(dy, index, n):
    return scatter_rows(dy, index, n)


@kernel("scatter_rows", backend="numpy", dtypes=FLOATS)
def scatter_rows(x, index, n):
    y = empty((n, *x.shape[1:]), x.dtype)
    y[...] = 0
    y[index] = x
    return y


@kernel("scatter_rows_backward", backend="numpy", dtypes=FLOATS)
def scatter_rows_backward(dy, index):
    return take_rows(dy, index)
