"""How OpenBLAS, NumPy's library for matrix products, runs on this processor.

OpenBLAS looks at the processor once, when NumPy is loaded. One that it doesn't know gets its AVX2 kernels ("Haswell"),
even if it has AVX-512: large products then take about twice as long (on a recent AMD processor 213 against 395
GFLOP/s). So, on Linux and x86-64, where the processor has AVX-512 and NumPy brings its own OpenBLAS, whose only AVX-512
kernels are called SkylakeX:

* before NumPy is loaded (`import bertnp` comes first) OPENBLAS_CORETYPE=SkylakeX is set;
* after that, if OpenBLAS has taken AVX2 kernels, it is told to choose again, by functions it exports but doesn't
  document. That is done only where no other thread runs, looked at afterwards (name, result and speed of a product),
  and undone if anything is amiss. Where it can't be done, a warning says how to get there.

OpenBLAS's threads go on running for some 30 ms after a product, waiting for the next, and keep the cores from what is
done between products. So, if NumPy is not loaded yet, OPENBLAS_THREAD_TIMEOUT is set, too: they wait a quarter of a
millisecond.

A user's own OPENBLAS_CORETYPE or OPENBLAS_THREAD_TIMEOUT is never touched. BERTNP_BLAS=off turns all of this off.

This module must not import NumPy.
"""

import ctypes
import os
import platform
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"
BETTER = "SkylakeX"
TIMEOUT, SHORT = "OPENBLAS_THREAD_TIMEOUT", "19"  # 2 ** 19 ticks of the processor's clock
WORSE = ("haswell", "zen", "sandybridge", "nehalem", "prescott", "core2", "generic")
FLAGS = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}  # what the SkylakeX kernels need
SIZE = 384  # of the product that is timed


def off():
    return os.environ.get("BERTNP_BLAS", "").lower() == "off"


def wanted():
    """Whether the choice of kernels is ours: not turned off, not the user's, and a processor with AVX-512."""
    if off() or os.environ.get(VARIABLE):
        return False
    return sys.platform == "linux" and platform.machine() == "x86_64" and FLAGS <= processor_flags()


def processor_flags(path="/proc/cpuinfo"):
    """What the first processor can do, in Linux's words."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "flags":
                    return set(value.split())
    except OSError:
        pass
    return set()


def library_file():
    """The OpenBLAS that NumPy brings with it, or None."""
    spec = find_spec("numpy")
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parents[1] / "numpy.libs"
    return next(iter(sorted(folder.glob("libscipy_openblas*"))), None) if folder.is_dir() else None


def before_numpy():
    """Settings for a NumPy that is not loaded yet."""
    if "numpy" in sys.modules or off() or not library_file():
        return
    os.environ.setdefault(TIMEOUT, SHORT)
    if wanted():
        os.environ[VARIABLE] = BETTER


def after_numpy():
    """Look at what a loaded NumPy has chosen, and choose again where that is better."""
    if not wanted():
        return
    blas = Library.find()
    if blas is None or blas.kernels().lower() not in WORSE:
        return
    if threading.active_count() == 1 and blas.can_choose():
        blas.choose_better()
        return
    warnings.warn(
        f"NumPy multiplies matrices with OpenBLAS's {blas.kernels()} kernels, though this processor has AVX-512: "
        f"import bertnp before numpy, or set {VARIABLE}={BETTER}, and they are up to twice as fast (BERTNP_BLAS=off: "
        "no more of this)",
        stacklevel=3,
    )


def without_choices(environment):
    """A process's environment without what was chosen here, for a child that is to choose for itself."""
    chosen = {VARIABLE: BETTER, TIMEOUT: SHORT}
    return {name: value for name, value in environment.items() if chosen.get(name) != value}


def kernels():
    """The name of the kernels OpenBLAS runs ("SkylakeX", "Haswell", ...); None where NumPy has another library."""
    blas = Library.find()
    return blas and blas.kernels()


@contextmanager
def threads(count):
    """Inside this block OpenBLAS works with so many threads; another library isn't touched.

    Small products gain nothing from a second thread, and lose much where other programs want the processor, too.
    """
    before = set_threads(count)
    try:
        yield
    finally:
        if before is not None:
            set_threads(before)


def set_threads(count):
    """Let OpenBLAS work with so many threads from now on; returns how many they were, None for another library."""
    blas = Library.find()
    if blas is None or None in (get := blas.function("openblas_get_num_threads"),
                                put := blas.function("openblas_set_num_threads")):  # fmt: skip
        return None
    before = get()
    put(count)
    return before


class Library:
    """The loaded OpenBLAS of a NumPy wheel, whose functions have names of the wheel's own."""

    def __init__(self, handle):
        self.handle = handle

    @classmethod
    def find(cls):
        path = library_file() if "numpy" in sys.modules else None
        try:
            return path and cls(ctypes.CDLL(str(path)))
        except OSError:
            return None

    def function(self, name):
        for full in (f"scipy_{name}64_", f"scipy_{name}", f"{name}64_", name):
            if hasattr(self.handle, full):
                return getattr(self.handle, full)
        return None

    def kernels(self):
        name = self.function("openblas_get_corename")
        if name is None:
            return "unknown"
        name.restype = ctypes.c_char_p
        return name().decode(errors="replace")

    def can_choose(self):
        names = ("gotoblas_dynamic_quit", "gotoblas_dynamic_init", "openblas_get_corename",
                 "openblas_get_num_threads", "openblas_set_num_threads")  # fmt: skip
        return None not in [self.function(name) for name in names]

    def choose(self, kernels):
        """Let OpenBLAS choose anew, as if it were loaded with this in the environment; no product may be running."""
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = kernels
        try:
            self.function("gotoblas_dynamic_quit")()
            self.function("gotoblas_dynamic_init")()
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before

    def choose_better(self):
        """Change to the AVX-512 kernels; back again, and False, unless they are right and faster."""
        old, threads = self.kernels(), self.function("openblas_get_num_threads")()
        self.function("openblas_set_num_threads")(1)  # several threads on a busy machine would blur the times
        try:
            seconds, product = timed_product()
            self.choose(BETTER)
            if self.kernels().lower() == BETTER.lower():
                new_seconds, new_product = timed_product()
                if abs(new_product - product).max() < 1e-3 and new_seconds < seconds:
                    return True
            self.choose(old)
            return False
        finally:
            self.function("openblas_set_num_threads")(threads)


def timed_product():
    """Seconds of a matrix product, the best of a dozen, and its result."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, SIZE, SIZE), dtype=np.float32)
    best, product = float("inf"), a @ b
    for _ in range(12):
        began = time.perf_counter()
        product = a @ b
        best = min(best, time.perf_counter() - began)
    return best, product
