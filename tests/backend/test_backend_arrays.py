"""Which backend an array belongs to, and how arrays are made, moved and combined."""

import importlib.util
import math

import numpy as np
import pytest
from strict_device import BACKEND as STRICT
from strict_device import nosync

import bertnp
import bertnp.functional as F
from bertnp.backend import (
    add_at,
    array_module,
    arrays,
    as_array,
    backend_of,
    erf,
    get_backend,
    is_array,
    to,
    to_numpy,
    use,
)

HOST = get_backend("numpy")
x = np.array([[1.5, -2.0, 0.25], [0.0, 3.0, -1.0]], np.float32)


@pytest.fixture(autouse=True)
def default_device(monkeypatch):
    """The device of new models, as if none had been chosen; what a test chooses does not outlast it."""
    monkeypatch.delenv("BERTNP_DEVICE", raising=False)
    monkeypatch.setattr(arrays, "_default", None)


def one_line(error):
    text = str(error.value)
    assert text and "\n" not in text
    return text


# which backend


def test_the_array_decides():
    on_device = STRICT.asarray(x)
    assert backend_of(x) is HOST and array_module(x) is np
    assert backend_of(on_device) is STRICT and array_module(on_device) is STRICT.xp
    use("strict")
    assert array_module(x) is np


def test_subclasses_of_arrays_are_found(tmp_path):
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "w+", shape=(2, 3))
    assert is_array(mapped) and backend_of(mapped) is HOST


def test_numbers_and_lists_are_no_arrays():
    for value in (1.0, 2, True, None, "x", [1.0], (x,), np.float32(1), 1j):
        assert not is_array(value)
    assert is_array(x) and is_array(STRICT.asarray(x)) and is_array(np.zeros(()))


def test_host_integers_and_truth_values_may_stand_beside_device_arrays():
    on_device = STRICT.asarray(x)
    ids, mask = np.arange(3), np.ones(3, bool)
    assert backend_of(ids, on_device, mask) is STRICT
    assert backend_of(on_device, None, 1.0, ids) is STRICT
    assert backend_of(ids.astype(np.uint8), on_device) is STRICT
    assert backend_of(ids, mask) is HOST
    assert backend_of(ids, x) is HOST
    assert backend_of(STRICT.asarray(ids), on_device) is STRICT


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_floats_of_two_devices_are_refused(dtype):
    on_device = STRICT.asarray(x)
    for pair in ((x.astype(dtype), on_device), (on_device, x.astype(dtype))):
        with pytest.raises(TypeError, match=r"two devices in one call: .* move one with to\(\)") as error:
            backend_of(*pair)
        one_line(error)
    with pytest.raises(TypeError, match="two devices"):
        F.linear(x, STRICT.asarray(x), bias=STRICT.asarray(x[0]))
    with pytest.raises(TypeError, match="two devices"):
        F.linear(STRICT.asarray(x), weight=STRICT.asarray(x), bias=x[0])


def test_a_call_without_arrays_is_refused():
    with pytest.raises(TypeError, match="expected an array, got float, list") as error:
        backend_of(1.0, [2.0])
    one_line(error)
    with pytest.raises(TypeError, match="expected an array, got nothing"):
        backend_of()
    with pytest.raises(TypeError, match="expected an array, got float"):
        F.gelu(1.0)


# where new models are created


def test_names_and_aliases():
    assert get_backend("cpu") is get_backend("CPU") is get_backend("numpy") is HOST
    assert get_backend("strict") is STRICT
    assert get_backend(STRICT) is STRICT


def test_default_is_the_host_until_told_otherwise(monkeypatch):
    assert get_backend() is HOST
    assert use("strict") is STRICT and get_backend() is STRICT and get_backend(None) is STRICT
    assert use("cpu") is HOST and get_backend() is HOST
    assert bertnp.use is use


def test_environment_names_the_default(monkeypatch):
    monkeypatch.setenv("BERTNP_DEVICE", "strict")
    assert get_backend() is STRICT
    use("cpu")
    assert get_backend() is HOST  # use() outranks the environment


def test_empty_environment_is_none(monkeypatch):
    monkeypatch.setenv("BERTNP_DEVICE", "")
    assert get_backend() is HOST


def test_unknown_devices_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"unknown device 'tpu'; known: cpu \(numpy\), cuda \(cupy\)") as error:
        use("tpu")
    one_line(error)
    with pytest.raises(TypeError, match="a device is named 'cpu' or 'cuda', got int: 5") as error:
        get_backend(5)
    one_line(error)
    assert get_backend() is HOST
    monkeypatch.setattr(arrays, "_default", None)
    monkeypatch.setenv("BERTNP_DEVICE", "tpu")
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        get_backend()


@pytest.mark.parametrize("name", ["cuda", "gpu", "cupy", "CUDA"])
def test_cuda_without_cupy_says_what_to_install(name, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *rest: None if n == "cupy" else find_spec(n, *rest))
    monkeypatch.delitem(arrays._backends, "cupy", raising=False)
    with pytest.raises(ValueError, match=r"CuPy, which is not installed: pip install 'bertnp\[cuda12\]'") as error:
        use(name)
    one_line(error)
    assert get_backend() is HOST


def test_cuda_without_a_device_says_so(monkeypatch):
    cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy, "is_available", lambda: False)
    monkeypatch.delitem(arrays._backends, "cupy", raising=False)
    with pytest.raises(ValueError, match="finds no CUDA device on this machine") as error:
        get_backend("cuda")
    one_line(error)
    assert "cupy" not in arrays._backends and get_backend() is HOST


# making and moving arrays


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_zeros_aligned_start_on_a_cache_line(dtype, device):
    backend = get_backend(device)
    for size in (0, 1, 3, 16, 1000, 4099):
        zeros = backend.zeros_aligned(size, np.dtype(dtype))
        assert zeros.shape == (size,) and zeros.dtype == dtype and is_array(zeros)
        assert not to_numpy(zeros).any()
        if device == "numpy" and size > 0:
            assert zeros.ctypes.data % 64 == 0 and zeros.flags.c_contiguous and zeros.flags.writeable
        zeros[...] = 1
        assert to_numpy(zeros).sum() == size


def test_to_moves_there_and_back():
    on_device = to(x, "strict")
    assert isinstance(on_device, STRICT.array_type) and on_device.dtype == np.float32
    back = to(on_device, "cpu")
    assert type(back) is np.ndarray and back.dtype == np.float32
    np.testing.assert_array_equal(back, x)


def test_to_hands_back_what_is_there_already():
    on_device = to(x, STRICT)
    with nosync():
        assert to(x, "cpu") is x and to(on_device, "strict") is on_device


def test_to_numpy_takes_anything():
    assert to_numpy(x) is x
    for values in ([1, 2], (1.0, 2.0), 3, np.float32(1.5), STRICT.asarray(x), STRICT.asarray(x).sum()):
        assert type(to_numpy(values)) is np.ndarray
    np.testing.assert_array_equal(to_numpy([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    assert bertnp.to_numpy is to_numpy and bertnp.to is to


def test_as_array_puts_values_beside_others(device):
    like = get_backend(device).asarray(x)
    for values in ([1, 0, 2], np.array([1, 0, 2])):
        result = as_array(values, like=like)
        assert backend_of(result) is get_backend(device) and result.dtype == np.int64
        np.testing.assert_array_equal(to_numpy(result), [1, 0, 2])
    assert as_array([1, 0], like=like, dtype=np.float32).dtype == np.float32
    assert as_array(like, like=like) is like


# the two functions that array libraries spell differently


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-15), ("float32", 2e-7), ("float16", 1e-3)])
def test_erf(dtype, tolerance, device):
    values = np.linspace(-6, 6, 101).reshape(1, 101).astype(dtype)
    with nosync():
        result = erf(get_backend(device).asarray(values))
    assert result.dtype == dtype and result.shape == values.shape
    expected = [[math.erf(v) for v in values[0].tolist()]]
    np.testing.assert_allclose(to_numpy(result), expected, rtol=tolerance, atol=tolerance / 100)


def test_add_at_adds_repeated_indices_up(device):
    backend = get_backend(device)
    target = backend.asarray(np.ones((4, 2), np.float32))
    values = backend.asarray(np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    with nosync():
        assert add_at(target, backend.asarray(np.array([2, 0, 2])), values) is None
    np.testing.assert_array_equal(to_numpy(target), [[4, 5], [1, 1], [7, 9], [1, 1]])


def test_add_at_refuses_two_devices():
    with pytest.raises(TypeError, match="two devices"):
        add_at(STRICT.asarray(x), STRICT.asarray(np.array([0])), x[:1])
