"""Which array library, on which device: the one place that knows.

The array decides: code asks `array_module(x)` and calls the functions of the library that x belongs to.
`use`, `BERTNP_DEVICE` and `--device` only say where new models are created.
"""

import importlib.util
import os

import numpy as np

from bertnp.backend import buffers


class Backend:
    """An array library on a device: name, array_type, xp and the methods that the two below have.

    masks: a module that draws dropout masks on the device, or None where the host draws them
    has_bfloat16: whether models may be of that type
    """

    masks = None
    has_bfloat16 = False

    def empty(self, shape, dtype):
        return self.xp.empty(shape, dtype=dtype)

    def synchronize(self):
        """Wait until the device has done all that it was given."""

    def __deepcopy__(self, memo):
        return self  # a copied model stands on the same device


class NumpyBackend(Backend):
    """Arrays in the computer's own memory."""

    name = "numpy"
    array_type = np.ndarray
    xp = np

    def asarray(self, values, dtype=None):
        return np.asarray(values, dtype=dtype)

    def to_numpy(self, array):
        return array

    def empty(self, shape, dtype):
        return buffers.empty(shape, dtype)

    def zeros_aligned(self, size, dtype):
        """A flat array of zeros that starts on a 64-byte boundary (a cache line, an AVX-512 register)."""
        dtype = np.dtype(dtype)
        raw = np.zeros(size * dtype.itemsize + 64, np.uint8)
        start = -raw.ctypes.data % 64
        return raw[start : start + size * dtype.itemsize].view(dtype)

    def erf(self, x):
        from scipy.special import erf

        return erf(x).astype(x.dtype, copy=False)  # SciPy answers float16 in double precision

    def add_at(self, target, index, values):
        np.add.at(target, index, values)


class CupyBackend(Backend):
    """Arrays on a CUDA device, through CuPy.

    What comes from the host goes through pinned memory, without waiting for the device: CuPy sees to that.
    """

    name = "cupy"
    has_bfloat16 = True

    def __init__(self):
        if importlib.util.find_spec("cupy") is None:
            raise ValueError(
                "device 'cuda' needs CuPy, which is not installed: pip install 'bertnp[cuda12]' or 'bertnp[cuda13]'"
            )
        import cupy
        import cupyx
        import cupyx.scipy.special

        if not cupy.is_available():
            raise ValueError("device 'cuda' was asked for, but CuPy finds no CUDA device on this machine")
        from bertnp.backend.cupy_kernels import dropout_masks
        from bertnp.backend.cupy_kernels.device import CudaDevice

        self.xp = cupy
        self.array_type = cupy.ndarray
        self.device = CudaDevice(cupy)
        self.masks = dropout_masks
        self._scatter_add = cupyx.scatter_add
        self._erf = cupyx.scipy.special.erf

    def asarray(self, values, dtype=None):
        return self.xp.asarray(values, dtype=dtype)

    def to_numpy(self, array):
        return computed(array.get())

    def zeros_aligned(self, size, dtype):
        return self.xp.zeros(size, dtype)  # CuPy's allocations start on 512-byte boundaries

    def synchronize(self):
        self.xp.cuda.get_current_stream().synchronize()

    def held_bytes(self):
        """Memory of the device that is held, in use or free to be used again."""
        return self.xp.get_default_memory_pool().total_bytes()

    def erf(self, x):
        return self._erf(x).astype(x.dtype, copy=False)  # CuPy answers float16 in double precision

    def add_at(self, target, index, values):
        self._scatter_add(target, index, values)


_FACTORIES = {"numpy": NumpyBackend, "cupy": CupyBackend}
_ALIASES = {"cpu": "numpy", "cuda": "cupy", "gpu": "cupy"}
_backends = {"numpy": NumpyBackend()}
_by_type = {np.ndarray: _backends["numpy"]}
_default = None


def register_backend(backend):
    """Make a Backend object known; returns it."""
    _backends[backend.name] = backend
    _by_type[backend.array_type] = backend
    return backend


def get_backend(name=None):
    """The backend of that name ('numpy' or 'cpu', 'cupy' or 'cuda'); None: where new models are created.

    A backend itself is handed back. Raises ValueError for an unknown name, or where the device cannot be had.
    """
    if name is None:
        return _default or use(os.environ.get("BERTNP_DEVICE") or "numpy")
    if not isinstance(name, str):
        if name not in _backends.values():
            raise TypeError(f"a device is named 'cpu' or 'cuda', got {type(name).__name__}: {name!r}")
        return name
    key = _ALIASES.get(name.lower(), name.lower())
    if key not in _backends:
        if key not in _FACTORIES:
            raise ValueError(f"unknown device {name!r}; known: cpu (numpy), cuda (cupy)")
        register_backend(_FACTORIES[key]())
    return _backends[key]


def use(name):
    """Create new models on this device from now on ('numpy' or 'cpu', 'cupy' or 'cuda'). Existing arrays stay."""
    global _default
    _default = get_backend(name)
    return _default


def is_array(value):
    """True for an array of any backend; Python numbers, NumPy scalars and lists are none."""
    return _find_backend(value) is not None


def _find_backend(value):
    backend = _by_type.get(type(value))
    if backend is None:
        for array_type, candidate in _by_type.items():  # subclasses, such as np.memmap
            if isinstance(value, array_type):
                return candidate
        if type(value).__module__.partition(".")[0] == "cupy":
            return get_backend("cupy")
    return backend


def backend_of(*values):
    """The one backend that the arrays among `values` belong to; None and numbers are passed over.

    Host arrays of integers and truth values (ids, labels, masks) may stand beside device arrays: they do not count
    where another array decides. Raises TypeError where arrays of two backends meet, or where there is no array.
    """
    found = host = None
    for value in values:
        if value is None or isinstance(value, (bool, int, float, complex, str)):
            continue
        backend = _find_backend(value)
        if backend is None:
            continue
        if backend.name == "numpy" and value.dtype.kind in "biu":
            host = backend
        elif found is None:
            found = backend
        elif backend is not found:
            raise TypeError(f"arrays of two devices in one call: {found.name} and {backend.name}; move one with to()")
    if found is None and host is None:
        raise TypeError(f"expected an array, got {', '.join(type(v).__name__ for v in values) or 'nothing'}")
    return found or host


def array_module(*arrays):
    """The library the arrays belong to (numpy, cupy): `xp = array_module(x)`."""
    return backend_of(*arrays).xp


def to_numpy(array):
    """The array in the computer's memory, as a NumPy array; bfloat16 comes as float32.

    Anything that is no device array goes to np.asarray.
    """
    backend = _find_backend(array)
    return np.asarray(array) if backend is None else backend.to_numpy(array)


def to(array, device):
    """The array on that device ('numpy' or 'cpu', 'cupy' or 'cuda'); the same object if it is there already."""
    backend, target = _find_backend(array), get_backend(device)
    return array if backend is target else target.asarray(to_numpy(array))


def float_type(name):
    """The NumPy type of a float type's name, or of a type: float32, float64, and bfloat16 through ml_dtypes."""
    if not isinstance(name, str) or name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise ValueError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


def computed(x):
    """What is in bfloat16 as float32; anything else as it is."""
    return x.astype(np.float32) if x.dtype.name == "bfloat16" else x


def as_array(values, like, dtype=None):
    """`values` (ids, labels, masks, targets from the host) as an array beside `like`, on its device."""
    return backend_of(like).asarray(values, dtype=dtype)


def empty(shape, like, dtype=None):
    """An array beside `like`, of its dtype unless another is given, with whatever is in its memory."""
    return backend_of(like).empty(shape, dtype or like.dtype)


def erf(x):
    """The error function, erf(x) = 2/√π ∫₀ˣ exp(-t²) dt, of an array of any backend."""
    return backend_of(x).erf(x)


def add_at(target, index, values):
    """target[index] += values in place, with repeated indices adding up (plain indexing keeps only the last)."""
    backend_of(target, values).add_at(target, index, values)
