"""What the kernels here ask of a CUDA device: to run the functions of the .cu files, and to multiply matrices.

`CudaDevice` does it through CuPy. Everything else in this package only works out what to run, on which sizes: it can be
followed on any computer by a device that does the same on the processor.
"""

import ctypes
import math
from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np

from bertnp.backend.arrays import backend_of

FLOATS = ("float32", "float64", "bfloat16")
COMPUTED_IN = {"float32": "float32", "float64": "float64", "bfloat16": "float32"}  # the types T -> C of the .cu files
FILES = ("common.cuh", "sums.cu", "normalization.cu", "attention.cu", "losses.cu", "dropout_masks.cu")
NULL = np.uint64(0)  # a pointer to nothing
NAMES_OF_TYPES = {"float32": "float", "float64": "double", "bfloat16": "__nv_bfloat16"}

# numbers that cuBLAS calls types and ways to compute by
CUDA_TYPES = {"float32": 0, "float64": 1, "bfloat16": 14}
COMPUTE = {"float32": 68, "float64": 70, "tf32": 77}
DEFAULT_MATH, TF32_MATH = 0, 3
DEFAULT_ALGORITHM = -1

PREAMBLE = """
template <typename T> struct Computed { typedef float type; };
template <> struct Computed<double> { typedef double type; };
"""


@cache
def source(dtype):
    """The CUDA code of all kernels on rows, for activations of that type."""
    header = "#include <cuda_bf16.h>\n" if dtype == "bfloat16" else ""
    types = f"typedef {NAMES_OF_TYPES[dtype]} T;\ntypedef {NAMES_OF_TYPES[COMPUTED_IN[dtype]]} C;\n"
    folder = Path(__file__).parent
    return header + types + "\n".join((folder / name).read_text(encoding="utf-8") for name in FILES)


ELEMENTWISE = {}  # name -> Elementwise, all there are


class Elementwise:
    """A statement in C++ that is carried out for each element, of arrays that broadcast together.

    inputs, outputs: "T x, T y", T the type of all arrays; C in the statement is the type to compute in. Outputs that
    are not given are made.
    """

    def __init__(self, name, inputs, outputs, statement):
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self.statement = "typedef typename Computed<T>::type C; " + statement
        ELEMENTWISE[name] = self

    def __call__(self, *arguments):
        return device_of(*arguments).elementwise(self)(*arguments)


class CudaDevice:
    """A CUDA device through CuPy.

    tf32: whether products of float32 matrices round what goes into them to 10 bits after the point (the format
    TensorFloat-32), which is several times as fast; sums stay float32
    """

    def __init__(self, cupy):
        self.cupy = cupy
        self._tf32 = False
        self._functions, self._elementwise = {}, {}
        self._alpha = {}

    def launch(self, name, dtype, blocks, threads, arguments):
        """Run a function of the .cu files in its version for a type."""
        function = self._functions.get((name, dtype))
        if function is None:
            function = self._functions[name, dtype] = self._module(dtype).get_function(name)
        function(blocks, threads, arguments)

    @cache  # noqa: B019  (there is one device for the whole program)
    def _module(self, dtype):
        return self.cupy.RawModule(code=source(dtype), options=("--std=c++17",))

    def elementwise(self, kernel):
        """CuPy's kernel for an `Elementwise`."""
        made = self._elementwise.get(kernel.name)
        if made is None:
            made = self._elementwise[kernel.name] = self.cupy.ElementwiseKernel(
                kernel.inputs, kernel.outputs, kernel.statement, f"bertnp_{kernel.name}", preamble=PREAMBLE
            )
        return made

    def pointer(self, array):
        return array.data.ptr

    @property
    def tf32(self):
        return self._tf32

    @tf32.setter
    def tf32(self, on):
        from cupy_backends.cuda.libs import cublas

        self._tf32 = bool(on)
        # for products of the textbook bodies, too
        cublas.setMathMode(self.cupy.cuda.device.get_cublas_handle(), TF32_MATH if on else DEFAULT_MATH)

    def multiply(self, plan, a, b, out):
        """One product by cublasGemmEx; pointers are numbers."""
        from cupy_backends.cuda.libs import cublas

        alpha, beta = self._factors(plan.alpha, plan.scalar)
        cublas.gemmEx(
            self.cupy.cuda.device.get_cublas_handle(), plan.transa, plan.transb, plan.m, plan.n, plan.k, alpha,
            a, plan.type_a, plan.lda, b, plan.type_b, plan.ldb, beta, out, plan.type_out, plan.ldc, plan.compute,
            DEFAULT_ALGORITHM,
        )  # fmt: skip

    def multiply_batch(self, plan, a, b, out, count):
        """`count` products by cublasGemmBatchedEx; a, b and out are addresses of pointers on the device."""
        from cupy_backends.cuda.libs import cublas

        handle = self.cupy.cuda.device.get_cublas_handle()
        cublas.setStream(handle, self.cupy.cuda.get_current_stream().ptr)
        alpha, beta = self._factors(plan.alpha, plan.scalar)
        status = self._gemm_batched(cublas.getVersion(handle))(
            handle, plan.transa, plan.transb, plan.m, plan.n, plan.k, alpha, a, plan.type_a, plan.lda,
            b, plan.type_b, plan.ldb, beta, out, plan.type_out, plan.ldc, count, plan.compute, DEFAULT_ALGORITHM,
        )  # fmt: skip
        if status:
            raise RuntimeError(f"cublasGemmBatchedEx failed with status {status}")

    @cache  # noqa: B019
    def _gemm_batched(self, version):
        return gemm_batched(version // 10000 if version >= 100_000 else version // 1000)

    def _factors(self, alpha, scalar):
        """Addresses of alpha and of a zero, as the type that the product is computed in."""
        if (alpha, scalar) not in self._alpha:
            values = np.array([alpha, 0.0], scalar)
            self._alpha[alpha, scalar] = values, values.ctypes.data, values.ctypes.data + values.itemsize
        return self._alpha[alpha, scalar][1:]


def gemm_batched(major):
    """cublasGemmBatchedEx of the cuBLAS that CuPy has loaded; CuPy itself offers it for float32 and float64 alone."""
    import os

    name = f"cublas64_{major}.dll" if os.name == "nt" else f"libcublas.so.{major}"
    function = ctypes.CDLL(name).cublasGemmBatchedEx
    number, pointer = ctypes.c_int, ctypes.c_void_p
    matrix = [pointer, number, number]  # pointers, type, leading dimension
    function.argtypes = [pointer, *[number] * 5, pointer, *matrix, *matrix, pointer, *matrix, number, number, number]
    function.restype = number
    return function


def device_of(*arrays):
    return backend_of(*arrays).device


def launch(like, name, blocks, threads, *arguments):
    """Run the function `name` in its version for the type of `like`.

    blocks, threads: numbers, or tuples of them   arguments: arrays; whole numbers (as int), other numbers (as C), NumPy
    scalars (as they are), None (a null pointer)
    """
    blocks, threads = as_tuple(blocks), as_tuple(threads)
    if 0 in blocks:
        return
    dtype = like.dtype.name
    number = np.dtype(COMPUTED_IN[dtype]).type

    def convert(value):
        if value is None:
            return NULL
        if isinstance(value, int):
            return np.int32(value)
        return number(value) if isinstance(value, float) else value

    device_of(like).launch(name, dtype, blocks, threads, tuple(convert(value) for value in arguments))


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def threads_for(n):
    """Threads of a block that works on a row of n elements: a power of two, each with four elements or more to do."""
    return min(1024 if n > 8192 else 256, max(32, 1 << max(0, (n // 4 - 1).bit_length())))


def computed_type(dtype):
    """The type C for activations of type T: that of statistics and of gradients of parameters."""
    return np.dtype(COMPUTED_IN[np.dtype(dtype).name])


def empty(shape, like, dtype=None):
    return backend_of(like).empty(shape, dtype or like.dtype)


def as_rows(x):
    """(..., n) -> (rows, n), side by side in memory"""
    return contiguous(x.reshape(-1, x.shape[-1]))


def contiguous(x):
    return x if x.flags.c_contiguous else backend_of(x).xp.ascontiguousarray(x)


def on_device(values, like, dtype=None):
    """Ids, labels or masks beside `like`, side by side in memory."""
    return contiguous(backend_of(like).asarray(values, dtype=dtype))


KEPT = 256  # small arrays of the host whose copies on the device are kept
SMALL = 1 << 15  # bytes
_kept = OrderedDict()


def small_on_device(values, like, dtype):
    """The same for an array of the host that comes again and again, such as the lengths of a batch in every layer.

    Copies are found by what is in them, and never written to.
    """
    if not isinstance(values, np.ndarray) or values.nbytes > SMALL:
        return on_device(values, like, dtype)
    backend = backend_of(like)
    values = np.ascontiguousarray(values, dtype)
    key = backend.name, values.dtype.name, values.shape, values.tobytes()
    if key in _kept:
        _kept.move_to_end(key)
    else:
        _kept[key] = backend.asarray(values)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    return _kept[key]


def column_sums(a, b=None, c=None):
    """[Σ a b where b is given, Σ a, Σ c where c is given] over the rows of a, b, c: (rows, n), as C: (n,) each"""
    rows, n = a.shape
    made = 1 + (b is not None) + (c is not None)
    rows_a_block = max(32, 8 * math.ceil(math.sqrt(rows) / 8))
    blocks = -(-rows // rows_a_block)
    if not blocks:
        return list(backend_of(a).xp.zeros((made, n), dtype=computed_type(a.dtype)))
    partial = empty((blocks, made, n), a, computed_type(a.dtype))
    launch(a, "column_sums", (-(-n // 32), blocks), (32, 8), a, b, c, partial, rows, n, rows_a_block)
    if blocks == 1:
        return [partial[0, k] for k in range(made)]
    sums = empty((made, n), a, partial.dtype)
    launch(a, "sum_rows", -(-made * n // 128), 128, partial, sums, blocks, made * n)
    return [sums[k] for k in range(made)]
