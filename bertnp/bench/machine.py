"""Where it was measured: processor, cores, versions, BLAS, and the peak of matrix products."""

import os
import platform
import statistics
import sys
import time

import numpy as np

from bertnp import blas
from bertnp.backend import share


def describe_machine(threads):
    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def processor_name():
    """The processor as the system calls it, with family and model, since a virtual machine may hide the name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            found = dict(line.split(":", 1) for line in file if line.count(":") == 1)
    except (OSError, ValueError):
        return platform.processor() or platform.machine()
    found = {name.strip(): value.strip() for name, value in found.items()}
    name = found.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{what} {found[key]}" for what, key in (("family", "cpu family"), ("model", "model")) if key in found]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def blas_description():
    """The library NumPy multiplies matrices with, its kernels and threads, as far as can be known."""
    build = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    found = {
        "library": " ".join(str(build[key]) for key in ("name", "version") if build.get(key)) or "unknown",
        "kernels": blas.kernels(),
    }
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return found
    pools = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    if pools:
        found |= {"kernels": pools[0].get("architecture", found["kernels"]), "threads": pools[0]["num_threads"]}
    return found


def matrix_peak(seconds=1.0):
    """The most operations a second that a float32 product reaches here: the best median over a few large shapes.

    A product of (m, k) by (k, n) is 2 m k n operations.

    Chapter 19, equation 19.1.
    """
    rng = np.random.default_rng(0)
    best = 0.0
    shapes = ((1024, 768, 3072), (1024, 3072, 768), (2048, 2048, 2048))
    for m, k, n in shapes:
        a, b = rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((k, n), dtype=np.float32)
        out = np.empty((m, n), np.float32)
        np.matmul(a, b, out=out)
        times = []
        while len(times) < 5 or sum(times) < seconds / len(shapes):
            began = time.perf_counter()
            np.matmul(a, b, out=out)
            times.append(time.perf_counter() - began)
        best = max(best, 2 * m * k * n / statistics.median(times))
    return best


def memory_rate(size=1 << 25, times=4):
    """The most bytes a second that a copy of a large float32 array reads and writes here, on all cores.

    size: elements; the array should be larger than what the processor keeps in its caches
    """
    source, target = np.ones(size, np.float32), np.ones(size, np.float32)

    def copy(number):
        part = slice(number * size // 16, (number + 1) * size // 16)
        np.copyto(target[part], source[part])

    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        share(copy, 16)
        best = min(best, time.perf_counter() - began)
    return 2 * source.nbytes / best


def attainable(intensity, peak, rate):
    """The roofline: min(peak, intensity × rate) operations a second                                Williams et al. 2009

    intensity: operations for each byte that is read or written; a number or an array
    peak: operations a second, at most   rate: bytes a second, at most

    Chapter 19, equation 19.2.
    """
    return np.minimum(peak, intensity * rate)


if __name__ == "__main__":
    sys.exit("run by `bertnp bench`")
