"""Products of matrices by cuBLAS, on arrays as they lie in memory: nothing is copied to be transposed or put in order.

cuBLAS takes matrices column by column. A matrix that lies row by row is the same memory as its transpose column by
column, so that y = a b is computed as yᵀ = bᵀ aᵀ: the two change places, and each keeps its flag.
"""

from dataclasses import dataclass

import numpy as np

from bertnp.backend.arrays import backend_of
from bertnp.backend.cupy_kernels.device import COMPUTE, CUDA_TYPES, contiguous, device_of


@dataclass(frozen=True)
class Plan:
    """What cuBLAS is told of a product, in its own letters."""

    transa: int
    transb: int
    m: int
    n: int
    k: int
    alpha: float
    type_a: int
    lda: int
    type_b: int
    ldb: int
    type_out: int
    ldc: int
    compute: int
    scalar: str  # the type of alpha


def layout(x):
    """Whether a matrix (the last two axes) lies column by column in memory, and how many elements apart its lines
    are: (0 or 1, distance), or None where no line is without gaps.
    """
    (rows, columns), (down, across) = x.shape[-2:], (stride // x.itemsize for stride in x.strides[-2:])
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return 0, max(down, columns) if rows > 1 else columns
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return 1, max(across, rows) if columns > 1 else rows
    return None


def plan(a, b, out, alpha, tf32):
    """The Plan of out = alpha a b for matrices, each with a layout; that of out is row by row."""
    (of_a, distance_a), (of_b, distance_b), (of_out, distance) = layout(a), layout(b), layout(out)
    if of_out != 0:
        raise ValueError("products are put where rows lie without gaps")
    (rows, inner), columns = a.shape[-2:], b.shape[-1]
    if b.shape[-2] != inner or out.shape[-2:] != (rows, columns):
        raise ValueError(f"expected (r, n), (n, c) and (r, c), got {a.shape}, {b.shape} and {out.shape}")
    scalar = "float64" if a.dtype == np.float64 else "float32"
    compute = "tf32" if tf32 and a.dtype == np.float32 else scalar
    return Plan(
        transa=of_b, transb=of_a, m=columns, n=rows, k=inner, alpha=float(alpha), type_a=CUDA_TYPES[b.dtype.name],
        lda=distance_b, type_b=CUDA_TYPES[a.dtype.name], ldb=distance_a, type_out=CUDA_TYPES[out.dtype.name],
        ldc=distance, compute=COMPUTE[compute], scalar=scalar,
    )  # fmt: skip


def multiply(a, b, out=None, dtype=None):
    """a b for matrices of one type, put in `out` or in a new array of type `dtype` (default: theirs)."""
    if out is None:
        out = backend_of(a).empty((a.shape[0], b.shape[1]), dtype or a.dtype)
    if 0 in out.shape:
        return out
    if a.shape[1] == 0:
        out[...] = 0
        return out
    a, b = (x if layout(x) else contiguous(x) for x in (a, b))
    device = device_of(a)
    device.multiply(plan(a, b, out, 1.0, device.tf32), *(device.pointer(x) for x in (b, a, out)))
    return out


class Stack:
    """Matrices of one size inside an array: `places` says how many elements after the array's first each begins.

    example: the array's view of the first of them
    """

    def __init__(self, array, example, places):
        self.array, self.example, self.places = array, example, places

    @property
    def T(self):
        return Stack(self.array, self.example.T, self.places)

    def addresses(self):
        """Of each matrix, in bytes."""
        return device_of(self.array).pointer(self.array) + self.places * self.array.itemsize


def heads_of(x, B, heads):
    """(B·n, A·D) rows of B sequences of n -> a Stack of (n, D), one for each head of each sequence"""
    n, D = len(x) // B, x.shape[1] // heads
    row = x.strides[0] // x.itemsize
    places = np.arange(B)[:, None] * (n * row) + np.arange(heads) * D
    return Stack(x, x[:n, :D], places.reshape(-1))


def stack_of(x):
    """(..., r, c), without gaps -> a Stack of (r, c)"""
    r, c = x.shape[-2:]
    first = x.reshape(-1, r, c)[0]
    return Stack(x, first, np.arange(x.size // (r * c)) * (r * c))


class StackProducts:
    """Products of stacks, matrix by matrix; all their addresses go to the device in one copy."""

    def __init__(self, *stacks):
        self.stacks = stacks
        table = np.stack([stack.addresses() for stack in stacks]).astype(np.int64)  # (stacks, count)
        self.count = table.shape[1]
        self.device = device_of(stacks[0].array)
        self.table = backend_of(stacks[0].array).asarray(table)
        self.rows = {id(stack.array): number for number, stack in enumerate(stacks)}

    def multiply(self, a, b, out, alpha=1.0):
        """out = alpha a b; each is one of the stacks or its transpose"""
        how = plan(a.example, b.example, out.example, alpha, self.device.tf32)
        start = self.device.pointer(self.table)
        places = (start + self.rows[id(stack.array)] * self.count * 8 for stack in (b, a, out))
        self.device.multiply_batch(how, *places, self.count)
