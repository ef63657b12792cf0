"""A strict stand-in for a CUDA device: what it accepts on any computer runs on CuPy, without hidden copies or waiting.

Importing this module makes the backend "strict" known, so that models can be created with device="strict". Its arrays
live in host memory but are no NumPy arrays, and its functions are those of CuPy: names and parameters are checked
against the installed CuPy (which needs no GPU for that), or else against reference/cupy_names.json, which
`python tests/strict_device.py` writes anew.

It refuses what CuPy refuses and, on purpose, also what CuPy lets pass although it is wrong or slow there:
- host arrays and lists anywhere, as operands, indices or values: CuPy computes on the host or copies in silence
- repeated indices in an assignment: which value wins is undefined; indices out of range: CuPy wraps them around
- memory of empty() that is read before it is written: it holds NaN here

`nosync()` turns everything that makes the host wait for the device into an error, `no_float64()` every result in
double precision, `synchronisations()` counts the waits.
"""

import contextlib
import importlib.util
import inspect
import json
import operator
import re
from pathlib import Path

import numpy as np

from bertnp.backend import computed, register_backend

NAMES_FILE = Path(__file__).parent / "reference" / "cupy_names.json"

# functions whose result has a size that depends on values, or that answer on the host
WAITING = {
    *("allclose", "argwhere", "array_equal", "array_equiv", "bincount", "compress", "dump", "dumps", "extract"),
    *("flatnonzero", "histogram", "in1d", "intersect1d", "isin", "item", "nonzero", "setdiff1d", "setxor1d"),
    *("tobytes", "tofile", "tolist", "trim_zeros", "union1d", "unique"),
}
# parameters that take an array where CuPy's functions have them; a list there would be copied, or is refused
ARRAY_PARAMETERS = {"a", "arr", "array", "ary", "b", "condition", "indices", "m", "obj", "prototype", "v", "x", "y"}
UFUNC_KEYWORDS = {"out", "dtype", "casting"}
SCALARS = (bool, int, float, complex, np.generic)
# attributes that exist on both sides and mean different things
UNLIKE_NUMPY = {"base", "ctypes", "data", "device", "flat"}


# the names that CuPy has


def cupy_names():
    """What the installed CuPy offers, by module: {name: parameters}, see `parameters_of`."""
    import cupy

    def public(namespace):
        names = [n for n in sorted(dir(namespace)) if not n.startswith("_")]
        return {name: parameters_of(getattr(namespace, name), cupy.ufunc) for name in names}

    return {
        "version": cupy.__version__,
        "cupy": public(cupy),
        "linalg": public(cupy.linalg),
        "ndarray": public(cupy.ndarray),
        "Generator": public(cupy.random.Generator),
    }


def parameters_of(value, ufunc_type):
    """The parameters' names of a function, "ufunc", "value" where it is no function, None where nobody can tell."""
    if isinstance(value, ufunc_type):
        return "ufunc"
    if isinstance(value, type) or not callable(value):
        return "value"
    try:
        marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        parameters = inspect.signature(value).parameters.values()
        return [marks.get(p.kind, "") + p.name for p in parameters if p.name != "self"]
    except (TypeError, ValueError):  # compiled methods: their docstrings begin with the signature
        first_line = (value.__doc__ or "").split("\n")[0]
        match = re.search(rf"\b{value.__name__}\((.*)\)", first_line)
        if match is None:
            return None
        parameters = re.split(r",\s*(?![^()]*\))", match[1])
        return [p.split("=")[0].split(":")[0].split()[-1] for p in parameters if p and p != "self"]


def stored_names():
    return json.loads(NAMES_FILE.read_text(encoding="utf-8"))


def write_names():
    """Write reference/cupy_names.json from the installed CuPy."""
    tables = [
        f"{json.dumps(part)}: "
        + (
            json.dumps(names)
            if part == "version"
            else "{\n"
            + ",\n".join(f"{json.dumps(name)}: {json.dumps(parameters)}" for name, parameters in names.items())
            + "\n}"
        )
        for part, names in cupy_names().items()
    ]
    NAMES_FILE.write_text("{\n" + ",\n".join(tables) + "\n}\n", encoding="utf-8", newline="\n")


CUPY = stored_names() if importlib.util.find_spec("cupy") is None else cupy_names()


# waiting for the device, and double precision

_waits = 0
_refusing_waits = 0
_refusing_float64 = 0


def synchronisations():
    """How often the host has waited for the device so far."""
    return _waits


def _wait(what):
    global _waits
    if _refusing_waits:
        raise RuntimeError(f"{what} makes the host wait for the device, inside nosync()")
    _waits += 1


@contextlib.contextmanager
def nosync():
    """Inside this block, whatever makes the host wait for the device raises RuntimeError."""
    global _refusing_waits
    _refusing_waits += 1
    try:
        yield
    finally:
        _refusing_waits -= 1


@contextlib.contextmanager
def no_float64():
    """Inside this block, a result in double precision raises TypeError."""
    global _refusing_float64
    _refusing_float64 += 1
    try:
        yield
    finally:
        _refusing_float64 -= 1


# from the device to the host's memory behind it, and back


def _inside(value, where):
    """The host values behind device arrays, also those in tuples and lists; host arrays are refused."""
    if isinstance(value, StrictArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"{where}: got a host array of shape {value.shape}, expected one on the device")
    if isinstance(value, (tuple, list)):
        return type(value)(_inside(v, where) for v in value)
    return value


def _on_device(value, where):
    """NumPy's result as the device gives it: every array and scalar is a device array."""
    if isinstance(value, (np.ndarray, np.generic)) and (
        value.dtype.kind in "biufc" or value.dtype.name == "bfloat16"
    ):
        if _refusing_float64 and value.dtype in (np.float64, np.complex128):
            raise TypeError(f"{where} gave {value.dtype}, inside no_float64()")
        return StrictArray(np.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(_on_device(v, where) for v in value)
    return value


def _index(key, where):
    def one(k):
        if isinstance(k, StrictArray):
            if k._host.dtype == bool:
                _wait(f"{where} with a truth mask")
            return k._host
        if isinstance(k, (np.ndarray, list)):
            raise TypeError(f"{where}: a host array or list as index is copied to the device in silence")
        return k

    return tuple(one(k) for k in key) if isinstance(key, tuple) else one(key)


def _check_call(where, parameters, args, kwargs):
    """Refuse keywords, numbers of arguments and lists that CuPy's function does not take."""
    if parameters == "ufunc":
        unknown = set(kwargs) - UFUNC_KEYWORDS
        named = [("a", value) for value in args]
    elif isinstance(parameters, list):
        plain = [p for p in parameters if not p.startswith("*")]
        unknown = set() if any(p.startswith("**") for p in parameters) else set(kwargs) - set(plain)
        if len(args) > len(plain) and not any(p.startswith("*") for p in parameters):
            raise TypeError(f"{where} takes {len(plain)} arguments in CuPy, got {len(args)}")
        named = [*zip(plain, args, strict=False), *kwargs.items()]
    else:
        return
    if unknown:
        raise TypeError(f"{where} has no parameter {', '.join(sorted(unknown))} in CuPy")
    for name, value in named:
        if name in ARRAY_PARAMETERS and isinstance(value, (list, tuple)):
            raise TypeError(f"{where}: got a {type(value).__name__} for {name}, expected an array on the device")


def _function(where, parameters, function):
    """CuPy's function of that name, computed by NumPy's."""
    name = where.rpartition(".")[2]

    def call(*args, **kwargs):
        _check_call(where, parameters, args, kwargs)
        if name in WAITING or (name == "where" and len(args) == 1):
            _wait(where)
        inside = [_inside(v, where) for v in args]
        result = function(*inside, **{k: _inside(v, where) for k, v in kwargs.items()})
        return kwargs["out"] if kwargs.get("out") is not None else _on_device(result, where)

    return call


# the array


class StrictArray:
    """An array on the stand-in device; `.get()` copies it to the host."""

    __slots__ = ("_host", "__weakref__")
    __hash__ = None
    __array_ufunc__ = None  # NumPy's functions and operators refuse it

    def __init__(self, host):
        object.__setattr__(self, "_host", host)

    def __array__(self, *args, **kwargs):
        raise TypeError("a device array does not turn into a NumPy array by itself: use to_numpy()")

    def __array_function__(self, function, *rest):
        raise TypeError(f"numpy.{function.__name__} was given a device array: call it in array_module(x)")

    def get(self):
        _wait("get()")
        return self._host.copy()

    def __copy__(self):
        return StrictArray(self._host.copy())

    def __deepcopy__(self, memo):
        return StrictArray(self._host.copy())

    def __bool__(self):
        _wait("bool()")
        return bool(self._host)

    def __int__(self):
        _wait("int()")
        return int(self._host)

    def __float__(self):
        _wait("float()")
        return float(self._host)

    def __complex__(self):
        _wait("complex()")
        return complex(self._host)

    def __format__(self, specification):
        _wait("formatting")
        return format(self._host.item() if self._host.ndim == 0 else str(self._host), specification)

    def __repr__(self):  # counts no wait, so that failing tests can show what they compared
        return f"strict {self._host!r}"

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (_on_device(row, "iteration") for row in self._host)

    def __getitem__(self, key):
        return _on_device(self._host[_index(key, "indexing")], "indexing")

    def __setitem__(self, key, value):
        key = _index(key, "assignment by index")
        if not isinstance(value, (StrictArray, *SCALARS)):
            raise TypeError(f"assignment by index: got a {type(value).__name__}, expected a device array or a number")
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(k, np.ndarray) and k.dtype != bool for k in parts):
            places = np.arange(self._host.size).reshape(self._host.shape)[key]
            if np.unique(places).size != places.size:
                raise ValueError("repeated indices in x[index] = values: which value wins is undefined on the device")
        self._host[key] = _inside(value, "assignment by index")

    def __getattr__(self, name):
        if name.startswith("_") or name not in CUPY["ndarray"] or name in UNLIKE_NUMPY:
            raise AttributeError(f"a device array has no {name!r} (CuPy {CUPY['version']})")
        value = getattr(self._host, name)
        if callable(value):
            return _function(f"ndarray.{name}", CUPY["ndarray"][name], value)
        return _on_device(value, name)

    def __setattr__(self, name, value):
        if name not in ("shape", "real", "imag"):
            raise AttributeError(f"{name!r} of a device array cannot be set (CuPy {CUPY['version']})")
        setattr(self._host, name, _inside(value, name))


def _add_operators():
    def binary(name, function, swapped=False):
        def operate(self, other):
            if not isinstance(other, (StrictArray, *SCALARS)):
                raise TypeError(f"{name}: got a {type(other).__name__} beside a device array")
            other = _inside(other, name)
            return _on_device(function(other, self._host) if swapped else function(self._host, other), name)

        setattr(StrictArray, name, operate)

    def in_place(name, function):
        def operate(self, other):
            if not isinstance(other, (StrictArray, *SCALARS)):
                raise TypeError(f"{name}: got a {type(other).__name__} beside a device array")
            function(self._host, _inside(other, name))
            return self

        setattr(StrictArray, name, operate)

    def unary(name, function):
        setattr(StrictArray, name, lambda self: _on_device(function(self._host), name))

    names = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift", "xor", "and", "or")
    for name in names:
        function = getattr(operator, f"{name}_" if name in ("and", "or") else name)
        binary(f"__{name}__", function)
        binary(f"__r{name}__", function, swapped=True)
        if name != "matmul":  # CuPy's arrays have no @= of their own: it makes a new array
            in_place(f"__i{name}__", getattr(operator, f"i{name}"))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        binary(f"__{name}__", getattr(operator, name))
    for name in ("neg", "pos", "abs", "invert"):
        unary(f"__{name}__", getattr(operator, name))


_add_operators()


# the library


class Library:
    """A module of CuPy: its names, computed by the NumPy module beside it."""

    def __init__(self, name, table, numpy_module):
        self._name, self._table, self._numpy_module = name, table, numpy_module

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._table:
            raise AttributeError(f"module {self._name!r} has no {name!r} (CuPy {CUPY['version']})")
        value = getattr(self._numpy_module, name)
        if isinstance(value, (type, np.dtype)) or not callable(value):
            return value
        return _function(f"{self._name}.{name}", self._table[name], value)


class Generator:
    """cupy.random.Generator, which lacks much of NumPy's."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def __getattr__(self, name):
        if name.startswith("_") or name not in CUPY["Generator"]:
            raise AttributeError(f"cupy.random.Generator has no {name!r} (CuPy {CUPY['version']})")
        draw = getattr(self._rng, name)

        def call(*args, dtype=None, **kwargs):
            if dtype is None:
                return _on_device(draw(*args, **kwargs), name)
            if name == "uniform":  # NumPy's takes no dtype
                return _on_device(draw(*args, **kwargs).astype(dtype), name)
            return _on_device(draw(*args, dtype=dtype, **kwargs), name)

        return call


class RandomModule:
    Generator = Generator
    default_rng = Generator


class Add:
    """The ufunc cupy.add with its method at()."""

    def __call__(self, *args, **kwargs):
        return _function("cupy.add", "ufunc", np.add)(*args, **kwargs)

    def at(self, target, index, values):
        values = _inside(values, "add.at")
        np.add.at(_inside(target, "add.at"), _index(index, "add.at"), values)


class CupyStandIn(Library):
    """`xp` of the strict device."""

    random = RandomModule
    add = Add()
    linalg = Library("cupy.linalg", CUPY["linalg"], np.linalg)

    def __init__(self):
        super().__init__("cupy", CUPY["cupy"], np)

    def empty(self, shape, dtype=float, order="C"):
        """Memory as it happens to be: NaN, or 99, so that nobody can count on it."""
        garbage = {"f": np.nan, "c": np.nan, "i": 99, "u": 99, "b": True, "V": np.nan}[np.dtype(dtype).kind]
        return _on_device(np.full(shape, garbage, dtype, order), "cupy.empty")

    def empty_like(self, prototype, dtype=None, order="K", subok=None, shape=None):
        _check_call("cupy.empty_like", CUPY["cupy"]["empty_like"], [prototype], {})
        _inside(prototype, "cupy.empty_like")
        return self.empty(prototype.shape if shape is None else shape, dtype or prototype.dtype)

    def asnumpy(self, array):
        return array.get()


class StrictBackend:
    """Arrays on the stand-in device."""

    name = "strict"
    array_type = StrictArray
    xp = CupyStandIn()
    device = masks = None  # see emulated_cuda
    has_bfloat16 = True

    def asarray(self, values, dtype=None):
        """The only way from the host to the device; it copies, as a real one must."""
        if isinstance(values, StrictArray):
            return values if dtype is None or values.dtype == dtype else values.astype(dtype)
        return _on_device(np.array(values, dtype=dtype), "asarray")

    def to_numpy(self, array):
        return computed(array.get())

    def zeros_aligned(self, size, dtype):
        return self.xp.zeros(size, dtype)

    def empty(self, shape, dtype):
        return self.xp.empty(shape, dtype)

    def erf(self, x):
        from scipy.special import erf

        host = _inside(x, "erf")
        if host.dtype.kind != "f":
            raise TypeError(f"erf: got {host.dtype}, CuPy's takes float16, float32 and float64")
        return _on_device(erf(host).astype(host.dtype, copy=False), "erf")

    def add_at(self, target, index, values):
        self.xp.add.at(target, index, values)


BACKEND = register_backend(StrictBackend())


if __name__ == "__main__":
    write_names()
