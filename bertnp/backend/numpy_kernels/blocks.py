"""Cutting arrays into blocks, and what several kernels do inside one."""

import numpy as np

from bertnp.backend.buffers import empty
from bertnp.backend.threads import share

BLOCK = 1 << 17  # elements: half a megabyte of float32, so that a block and its scratch fit into a core's second cache
WORTH_SHARING = 1 << 16  # elements: waking another thread takes as long as working on fewer alone
FLOATS = ("float32", "float64")


def for_blocks(function, rows, width):
    """Call function(number of the block, slice of its rows) for `rows` rows of `width` elements, on all cores."""
    count = block_count(rows, width)

    def work(number):
        function(number, slice(number * rows // count, (number + 1) * rows // count))

    share(work, count)


def block_count(rows, width):
    """How many blocks: one if the array is small, else an even number of equal ones, however many threads there are."""
    size = rows * width
    if size <= WORTH_SHARING:
        return min(rows, 1)
    return min(rows, 2 * -(-size // (2 * BLOCK)))


def rows_of_block(width):
    """How many rows of `width` elements make a block."""
    return max(1, BLOCK // max(width, 1))


def elementwise(function, shape, dtype, *inputs):
    """A new array, block by block: function(block of the result, scratch of its size, blocks of the inputs)."""
    if len(shape) == 2 and all(array.flags.fnc for array in inputs):  # they lie column by column
        return elementwise(function, shape[::-1], dtype, *(array.T for array in inputs)).T
    out = empty(shape, dtype)
    flat = [array.reshape(-1) for array in (out, *inputs)]

    def work(number, part):
        blocks = [array[part] for array in flat]
        function(blocks[0], empty(blocks[0].shape, dtype), *blocks[1:])

    for_blocks(work, out.size, 1)
    return out


def as_rows(x):
    """(..., n) -> (rows, n): a view where memory allows it."""
    return x.reshape(-1, x.shape[-1])


def column_sums(x):
    """Σ over the rows of x: (rows, n)  ->  (n,), in an order that does not depend on the threads"""
    partial = np.empty((block_count(*x.shape), x.shape[1]), x.dtype)
    for_blocks(lambda number, rows: np.add.reduce(x[rows], axis=0, out=partial[number]), *x.shape)
    return partial.sum(axis=0)


def row_sums(x, ones):
    """Σ over the last axis by one dot product a row, twice as fast as x.sum(axis=-1); ones: (n,)"""
    return np.vecdot(x, ones)


def product(x, weight, out=None):
    """x Wᵀ for rows x: (rows, n)   weight: (m, n)  ->  (rows, m), by BLAS on all cores

    Few rows go faster as (W xᵀ)ᵀ; the result then lies in memory column by column.
    """
    if len(x) <= FEW_ROWS and out is None:
        return np.matmul(weight, x.T, out=empty((len(weight), len(x)), x.dtype)).T
    return np.matmul(x, weight.T, out=empty((len(x), len(weight)), x.dtype) if out is None else out)


FEW_ROWS = 256
