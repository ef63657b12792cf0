"""The kernels made for CuPy, on the processor: their CUDA code compiled by g++, their cuBLAS calls done by NumPy.

`cuda_kernels()` gives the strict device (see `strict_device`) the kernels registered for CuPy and a device to run them
on, so that formulas, models and whole training steps run through everything but the GPU itself: the Python that works
out sizes and addresses, the arguments of each launch against the function's signature, the code of each thread with
barriers and shuffles, and the numbers cuBLAS is told.

It is stricter than a GPU. A function that writes outside its arrays, writes to what it takes as const, gives other
bits when its threads run in the opposite order, or whose threads part ways before a barrier, is refused.
"""

import contextlib
import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import ml_dtypes  # noqa: F401  (makes NumPy know the name bfloat16)
import numpy as np
from strict_device import BACKEND, StrictArray

import bertnp.functional  # noqa: F401  (declares the formulas, which kernels need)
from bertnp.backend import FORMULAS
from bertnp.backend.cupy_kernels import device as cuda
from bertnp.backend.cupy_kernels import dropout_masks

FOLDER = Path(__file__).parent / "cuda_emulator"
COMPILER = shutil.which("g++") or shutil.which("c++")
GUARD = 256  # bytes before and after each array that must stay as they are
SIGNATURE = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')
LONGER = {"float32": np.float32, "float64": np.float64, "bfloat16": np.float32}


class Fault(AssertionError):
    """Something that goes wrong on a GPU, or may."""


def signatures(dtype):
    """{function: [(C type, is a pointer, is const), ...]} of the .cu files."""
    found = {}
    for name, parameters in SIGNATURE.findall(cuda.source(dtype)):
        found[name] = []
        for parameter in parameters.split(","):
            words = parameter.replace("*", " * ").split()
            kind = " ".join(w for w in words[:-1] if w not in ("const", "*"))
            found[name].append((kind, "*" in words, "const" in words))
    return found


def dtype_of(kind, dtype):
    """The NumPy type of a C type in the version of the code for activations of type `dtype`."""
    kinds = {"T": dtype, "C": cuda.COMPUTED_IN[dtype], "int": "int32", "bool": "bool", "double": "float64",
             "u64": "uint64", "long long": "int64"}  # fmt: skip
    return np.dtype(kinds[kind])


def parameters_of(declaration):
    """[(C type, name), ...] of an Elementwise's "T x, bool keep"."""
    return [tuple(part.split()) for part in declaration.split(",")]


def elementwise_code(kernel):
    """A function that carries out a statement for n elements; pointers to inputs, then to outputs."""
    inputs, outputs = parameters_of(kernel.inputs), parameters_of(kernel.outputs)
    names = {"T": "T", "bool": "bool", "float64": "double"}
    loads = [f"const {names[t]} {name} = (({names[t]}*)p[{i}])[i];" for i, (t, name) in enumerate(inputs)]
    loads += [f"{names[t]}& {name} = (({names[t]}*)p[{len(inputs) + i}])[i];" for i, (t, name) in enumerate(outputs)]
    body = f"for (long long i = 0; i < n; i++) {{ {' '.join(loads)} {kernel.statement} }}"
    return f'extern "C" void each_{kernel.name}(long long n, void** p) {{ {body} }}'


def program(dtype):
    """The whole C++ program for activations of a type."""
    lines = ['#include "emulator.h"', cuda.source(dtype)]
    for name, parameters in signatures(dtype).items():
        values = ", ".join(
            f"*({kind}{'*' if pointer else ''}*)a[{i}]" for i, (kind, pointer, _) in enumerate(parameters)
        )
        lines.append(
            f"static void call_{name}(void** a) {{ {name}({values}); }}\n"
            f'extern "C" int run_{name}(void** a, Three grid, Three block, int descending)\n'
            f"{{ return emulator::run(call_{name}, a, grid, block, descending); }}"
        )
    lines.append(cuda.PREAMBLE)
    lines += [elementwise_code(kernel) for kernel in cuda.ELEMENTWISE.values()]
    return "\n".join(lines)


def compiled(text):
    """The shared library of a program, compiled once for each text."""
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir()))
    name = hashlib.sha256((text + headers).encode()).hexdigest()[:20]
    folder = Path(tempfile.gettempdir()) / f"bertnp-emulated-{name}"
    library = folder / "kernels.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            code, made = Path(work) / "kernels.cc", Path(work) / "kernels.so"
            code.write_text(text, encoding="utf-8")
            # no fused multiply-adds: NumPy has none either
            options = ["-O1", "-std=c++17", "-U_FORTIFY_SOURCE", "-ffp-contract=off", "-shared", "-fPIC", "-w"]
            done = subprocess.run([COMPILER, *options, f"-I{FOLDER}", "-o", made, code], capture_output=True, text=True)
            if done.returncode:
                raise Fault(f"the CUDA code does not compile: {done.stderr[:2000]}")
            made.replace(library)
    return ctypes.CDLL(str(library))


def host(array):
    """The memory behind an array of the device."""
    if not isinstance(array, StrictArray):
        raise Fault(f"expected an array on the device, got a {type(array).__name__}")
    return array._host


class Three(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]

    @classmethod
    def of(cls, sizes, limits):
        sizes = (*sizes, *[1] * (3 - len(sizes)))
        for size, limit in zip(sizes, limits, strict=True):
            if not 1 <= size <= limit:
                raise Fault(f"a grid or block of {sizes}")
        return cls(*sizes)


class Guarded:
    """The memory of some arrays, copied to a place with guards around it; arrays that overlap stay together."""

    def __init__(self, arrays):
        bounds = sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays if a.nbytes)
        self.spans = []
        for low, high in bounds:
            if self.spans and low < self.spans[-1][1]:
                self.spans[-1][1] = max(high, self.spans[-1][1])
            else:
                self.spans.append([low, high])
        self.copies = [np.full(high - low + 2 * GUARD, 0xFF, np.uint8) for low, high in self.spans]
        for (low, high), copy in zip(self.spans, self.copies, strict=True):
            ctypes.memmove(copy.ctypes.data + GUARD, low, high - low)

    def address(self, array):
        for (low, high), copy in zip(self.spans, self.copies, strict=True):
            if low <= array.ctypes.data < high:
                return copy.ctypes.data + GUARD + array.ctypes.data - low
        return 0  # an array of no elements

    def check(self, function):
        for copy in self.copies:
            if (copy[:GUARD] != 0xFF).any() or (copy[-GUARD:] != 0xFF).any():
                raise Fault(f"{function} writes outside its arrays")

    def unchanged(self, array):
        address = self.address(array)
        return address == 0 or ctypes.string_at(address, array.nbytes) == array.tobytes()

    def copy_back(self):
        for (low, high), copy in zip(self.spans, self.copies, strict=True):
            ctypes.memmove(low, copy.ctypes.data + GUARD, high - low)


class EmulatedDevice:
    """Does what `cupy_kernels.device.CudaDevice` does; `calls` counts launches and products by name."""

    def __init__(self):
        self.tf32 = False
        self.calls = Counter()
        self._libraries, self._signatures = {}, {}

    def library(self, dtype):
        if dtype not in self._libraries:
            self._libraries[dtype], self._signatures[dtype] = compiled(program(dtype)), signatures(dtype)
        return self._libraries[dtype]

    def launch(self, name, dtype, blocks, threads, arguments):
        self.calls[name] += 1
        function = getattr(self.library(dtype), f"run_{name}")
        parameters = self._signatures[dtype][name]
        if len(arguments) != len(parameters):
            raise Fault(f"{name} takes {len(parameters)} arguments, got {len(arguments)}")
        values = [self._checked(name, dtype, *pair) for pair in zip(arguments, parameters, strict=True)]
        grid, block = Three.of(blocks, (2**31 - 1, 65535, 65535)), Three.of(threads, (1024, 1024, 64))
        if np.prod(threads) % 32 and np.prod(threads) != 1 or np.prod(threads) > 1024:
            raise Fault(f"{name}: {threads} threads are no whole warps, or too many")
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        results = []
        for descending in (0, 1):
            memory = Guarded(arrays)
            cells = [ctypes.c_void_p(memory.address(v)) if isinstance(v, np.ndarray) else v for v in values]
            pointers = (ctypes.c_void_p * len(cells))(*[
                ctypes.addressof(c) if isinstance(c, ctypes.c_void_p) else c.ctypes.data for c in cells
            ])  # fmt: skip
            status = function(pointers, grid, block, descending)
            if status:
                raise Fault(f"{name}: its threads wait for each other in vain (blocks {blocks}, threads {threads})")
            memory.check(name)
            results.append(memory)
        if any((a != b).any() for a, b in zip(results[0].copies, results[1].copies, strict=True)):
            raise Fault(f"{name}: what it computes depends on the order in which its threads run")
        written = [v for v, (_, _, const) in zip(values, parameters, strict=True)
                   if isinstance(v, np.ndarray) and not const]  # fmt: skip
        for value, (_, _, const) in zip(values, parameters, strict=True):
            if const and isinstance(value, np.ndarray) and not any(np.shares_memory(value, w) for w in written):
                if not results[0].unchanged(value):
                    raise Fault(f"{name} writes to an array that it takes as const")
        results[0].copy_back()

    def _checked(self, name, dtype, value, parameter):
        """An argument as NumPy has it: an array, or an array of one element that holds a number."""
        kind, pointer, _ = parameter
        expected = dtype_of(kind, dtype)
        if pointer and isinstance(value, np.uint64) and value == 0:
            return np.zeros(1, np.uint64)[:0].view(expected)  # its address is 0 for `Guarded`
        if pointer:
            array = host(value)
            if array.dtype != expected or not array.flags.c_contiguous:
                raise Fault(f"{name} expects {expected} without gaps, got {array.dtype}, strides {array.strides}")
            return array
        if not isinstance(value, np.generic) or value.dtype != expected:
            raise Fault(f"{name} expects a number of type {expected}, got {value!r} ({type(value).__name__})")
        return _Cell(value)

    def elementwise(self, kernel):
        inputs, outputs = parameters_of(kernel.inputs), parameters_of(kernel.outputs)

        def call(*arguments):
            self.calls[kernel.name] += 1
            if len(arguments) not in (len(inputs), len(inputs) + len(outputs)):
                raise Fault(f"{kernel.name} takes {len(inputs)} inputs and perhaps {len(outputs)} outputs")
            arrays = [a for a in arguments if isinstance(a, StrictArray)]
            pairs = list(zip(arguments, [*inputs, *outputs], strict=False))
            types = {host(a).dtype for a, (kind, _) in pairs if kind == "T" and isinstance(a, StrictArray)}
            if len(types) != 1:
                raise Fault(f"{kernel.name}: its T is {types or 'nothing'}")
            (dtype,) = types
            kinds = {"T": dtype, "bool": np.dtype(bool), "float64": np.dtype(np.float64)}
            for value, (kind, name) in pairs:
                if isinstance(value, StrictArray) and host(value).dtype != kinds[kind]:
                    raise Fault(f"{kernel.name}: {name} is {host(value).dtype}, expected {kinds[kind]}")
                if not isinstance(value, (StrictArray, int, float)):
                    raise Fault(f"{kernel.name}: {name} is a {type(value).__name__}")
            shape = np.broadcast_shapes(*(a.shape for a in arrays))
            values = [host(a) if isinstance(a, StrictArray) else np.asarray(a) for a in arguments[: len(inputs)]]
            copies = [np.ascontiguousarray(np.broadcast_to(v.astype(kinds[kind]), shape))
                      for v, (kind, _) in zip(values, inputs, strict=True)]  # fmt: skip
            given = arguments[len(inputs) :] or tuple(BACKEND.empty(shape, kinds[kind]) for kind, _ in outputs)
            results = [np.empty(shape, kinds[kind]) for kind, _ in outputs]
            pointers = (ctypes.c_void_p * (len(copies) + len(results)))(*[a.ctypes.data for a in (*copies, *results)])
            size = int(np.prod(shape, dtype=np.int64))
            getattr(self.library(dtype.name), f"each_{kernel.name}")(ctypes.c_longlong(size), pointers)
            for place, result in zip(given, results, strict=True):
                if place.shape != shape:
                    raise Fault(f"{kernel.name}: a result of shape {shape} for a place of shape {place.shape}")
                host(place)[...] = result
            return given[0] if len(given) == 1 else given

        return call

    def pointer(self, array):
        return host(array).ctypes.data

    def multiply(self, plan, a, b, out):
        self.calls["product"] += 1
        self._gemm(plan, a, b, out)

    def multiply_batch(self, plan, a, b, out, count):
        self.calls["products of a stack"] += 1
        tables = (np.frombuffer((ctypes.c_int64 * count).from_address(place), np.int64) for place in (a, b, out))
        for places in zip(*tables, strict=True):
            self._gemm(plan, *map(int, places))

    def _gemm(self, plan, a, b, out):
        """out = alpha op(a) op(b), all column by column, as cuBLAS does it."""
        dtypes = {number: name for name, number in cuda.CUDA_TYPES.items()}
        known = {(cuda.COMPUTE["float32"], "float32", "float32"), (cuda.COMPUTE["tf32"], "float32", "float32"),
                 (cuda.COMPUTE["float64"], "float64", "float64"), (cuda.COMPUTE["float32"], "bfloat16", "bfloat16"),
                 (cuda.COMPUTE["float32"], "bfloat16", "float32")}  # fmt: skip
        type_a, type_b, type_out = (dtypes[t] for t in (plan.type_a, plan.type_b, plan.type_out))
        if type_a != type_b or (plan.compute, type_a, type_out) not in known:
            raise Fault(f"cuBLAS does not multiply {type_a} by {type_b} into {type_out} by way {plan.compute}")

        def matrix(address, name, rows, columns, distance):
            if distance < max(1, rows):
                raise Fault(f"a leading dimension of {distance} for {rows} rows")
            dtype = np.dtype(name)
            memory = (ctypes.c_char * (((columns - 1) * distance + rows) * dtype.itemsize)).from_address(address)
            flat = np.frombuffer(memory, dtype)
            strides = (dtype.itemsize, distance * dtype.itemsize)
            return np.lib.stride_tricks.as_strided(flat, (rows, columns), strides)

        m, n, k = plan.m, plan.n, plan.k
        left = matrix(a, type_a, *((k, m) if plan.transa else (m, k)), plan.lda)
        right = matrix(b, type_b, *((n, k) if plan.transb else (k, n)), plan.ldb)
        left, right = (x.astype(LONGER[type_a]) for x in (left, right))
        if plan.compute == cuda.COMPUTE["tf32"]:
            left, right = rounded_to_tf32(left), rounded_to_tf32(right)
        result = (left.T if plan.transa else left) @ (right.T if plan.transb else right) * plan.alpha
        matrix(out, type_out, m, n, plan.ldc)[...] = result


def rounded_to_tf32(x):
    """float32 with 10 bits after the point."""
    bits = x.view(np.uint32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


class _Cell:
    """A number in memory."""

    def __init__(self, value):
        self._array = np.array([value])
        self.ctypes = self._array.ctypes


DEVICE = EmulatedDevice()


@contextlib.contextmanager
def cuda_kernels():
    """Inside this block the strict device has the kernels made for CuPy; gives the `EmulatedDevice`."""
    BACKEND.device, BACKEND.masks = DEVICE, dropout_masks
    for formula in FORMULAS.values():
        if "cupy" in formula.kernels:
            formula.kernels[BACKEND.name] = formula.kernels["cupy"]
    DEVICE.calls.clear()
    DEVICE.tf32 = False
    try:
        yield DEVICE
    finally:
        BACKEND.device = BACKEND.masks = None
        for formula in FORMULAS.values():
            if "cupy" in formula.kernels:
                formula.kernels.pop(BACKEND.name, None)
