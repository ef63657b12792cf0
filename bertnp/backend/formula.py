"""One formula, one name, two bodies: the textbook and, where there is one, a faster kernel."""

import contextlib
import functools
import inspect
import types
from contextvars import ContextVar

from bertnp.backend.arrays import backend_of, is_array

type_name = functools.cache(lambda dtype: dtype.name)  # NumPy puts the name together each time it is asked for

FORMULAS = {}  # name -> Formula, every formula of the library
_plain = ContextVar("plain_formulas", default=False)


class Formula:
    """A documented function whose textbook body a backend may have a faster kernel for.

    f(...)           the kernel of the arrays' own backend, if it has one for their type, else the textbook body
    f.formula(...)   always the textbook body, and those of all formulas it calls
    f.replace(body)  puts another body in the textbook's place, until f.restore()
    """

    def __init__(self, body):
        functools.update_wrapper(self, body)
        self.name = body.__name__
        self.body = self.textbook = body
        self.kernels = {}  # backend name -> (function, names of the float types it takes)
        self.signature = inspect.signature(body)

    def __repr__(self):
        return f"<formula {self.name}{self.signature}>"

    def __call__(self, *args, **kwargs):
        backend = backend_of(*args, *kwargs.values())
        if not _plain.get():
            kernel = self.kernel_for(backend, args, kwargs)
            if kernel is not None:
                return kernel(*args, **kwargs)
        return self.body(*args, **kwargs)

    def kernel_for(self, backend, args, kwargs):
        """The kernel that a call with these arguments runs, or None."""
        if backend.name not in self.kernels or self.name in _switched_off:
            return None
        function, dtypes = self.kernels[backend.name]
        for value in (*args, *kwargs.values()):
            if is_array(value) and value.dtype.kind in "fcV" and type_name(value.dtype) not in dtypes:
                return None
        return function

    def formula(self, *args, **kwargs):
        with plain_formulas():
            return self(*args, **kwargs)

    def replace(self, body):
        """Run `body` in place of the textbook; kernels of this formula, and of all that call it, are off meanwhile."""
        self.body = body
        _find_switched_off()

    def restore(self):
        self.body = self.textbook
        _find_switched_off()

    def calls(self):
        """The formulas that the textbook body calls, directly or through plain helper functions."""
        return _formulas_called(self.textbook, set())


_switched_off = set()


def _formulas_called(function, seen):
    """Formulas named in the code of a function, of the functions inside it and of the package's helpers it calls."""
    found, codes = set(), [function.__code__]
    while codes:
        code = codes.pop()
        codes.extend(c for c in code.co_consts if isinstance(c, types.CodeType))
        for name in code.co_names:
            value = function.__globals__.get(name, FORMULAS.get(name))
            if isinstance(value, Formula):
                found.add(value)
            elif isinstance(value, types.FunctionType) and value not in seen and value.__module__.startswith("bertnp."):
                seen.add(value)
                found |= _formulas_called(value, seen)
    return found


def _find_switched_off():
    """Names of the formulas that are replaced or that, at any depth, call one that is."""
    off = {f.name for f in FORMULAS.values() if f.body is not f.textbook}
    grown = bool(off)
    while grown:
        callers = {f.name for f in FORMULAS.values() if any(g.name in off for g in f.calls())}
        grown = not callers <= off
        off |= callers
    _switched_off.clear()
    _switched_off.update(off)


def formula(body):
    """Declare a function as a formula of the library: its body is the textbook, its name is unique."""
    if body.__name__ in FORMULAS:
        raise ValueError(f"there is a formula {body.__name__!r} already, in {FORMULAS[body.__name__].__module__}")
    FORMULAS[body.__name__] = made = Formula(body)
    return made


def kernel(name, backend, dtypes):
    """Register the decorated function as the fast body of formula `name` for the arrays of one backend.

    dtypes: names of the float types it takes; for others the textbook runs. A kernel takes what the formula takes,
    under the same names, and returns what it returns. Raises ValueError where there is no such formula, where the
    signatures differ, or where the backend has a kernel for it already.
    """

    def register(function):
        if name not in FORMULAS:
            raise ValueError(f"kernel {name!r}: there is no formula of that name")
        target = FORMULAS[name]
        if str(inspect.signature(function)) != str(target.signature):
            raise ValueError(
                f"kernel {name!r} takes {inspect.signature(function)}, its formula takes {target.signature}"
            )
        if backend in target.kernels:
            raise ValueError(f"formula {name!r} has a {backend} kernel already")
        target.kernels[backend] = (function, frozenset(dtypes))
        return function

    return register


@contextlib.contextmanager
def plain_formulas():
    """Inside this block every formula runs its textbook body."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)
