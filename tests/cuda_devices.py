"""What stands for a CUDA device in tests: the emulated one, on any computer with a compiler, and a GPU.

Tests that take the parameter `device` of `by_device` run on both; on the GPU they are marked `gpu`.
"""

import contextlib
import importlib.util

import pytest
from emulated_cuda import cuda_kernels
from strict_device import BACKEND

from bertnp.backend import get_backend, is_array

EMULATED, GPU = "emulated", "cuda"
by_device = pytest.mark.parametrize(
    "device", [pytest.param(EMULATED, marks=pytest.mark.compiler), pytest.param(GPU, marks=pytest.mark.gpu)]
)


def gpu_missing():
    """Why there is no GPU to test on, or None."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    import cupy

    return None if cupy.is_available() else "CuPy finds no CUDA device"


def backend_of_device(device):
    return BACKEND if device == EMULATED else get_backend("cuda")


def on(device, value):
    """An array on that device; what is no array comes back as it is."""
    return backend_of_device(device).asarray(value) if is_array(value) else value


def kernels_of(device):
    """A block in which the device has its kernels."""
    return cuda_kernels() if device == EMULATED else contextlib.nullcontext()
