"""The stand-in device itself: planted faults are refused, valid CuPy code runs and gives NumPy's numbers."""

import copy
import math
import operator

import numpy as np
import pytest
import strict_device
from strict_device import no_float64, nosync, synchronisations

from bertnp.backend import get_backend

BACKEND = get_backend("strict")
xp = BACKEND.xp
REFUSALS = (TypeError, ValueError, AttributeError, RuntimeError, IndexError)

host = np.arange(12, dtype=np.float32).reshape(3, 4) / 7
rows = np.array([2, 0])


def device(values=host):
    return BACKEND.asarray(values)


def refused(fault):
    with pytest.raises(REFUSALS) as raised:
        fault()
    assert not isinstance(raised.value, AssertionError)
    return str(raised.value)


def assign(target, index, value):
    target[index] = value


# each would fail, be copied in silence, or be wrong on a real device
FAULTS = {
    # host arrays among device arrays
    "device + host": lambda: device() + host,
    "host + device": lambda: host + device(),
    "host @ device": lambda: host @ device().T,
    "device += host": lambda: operator.iadd(device(), host),
    "host += device": lambda: operator.iadd(host.copy(), device()),
    "device + list": lambda: device() + [1.0, 2.0, 3.0, 4.0],
    "device == host": lambda: device() == host,
    "xp.add(device, host)": lambda: xp.add(device(), host),
    "xp.exp(host)": lambda: xp.exp(host),
    "xp.sum(host), which CuPy answers with NumPy's": lambda: xp.sum(host),
    "xp.sum(list)": lambda: xp.sum([1.0, 2.0]),
    "xp.exp(list)": lambda: xp.exp([1.0, 2.0]),
    "xp.concatenate of both": lambda: xp.concatenate([device(), host]),
    "xp.where with a host mask": lambda: xp.where(host > 1, device(), 0.0),
    "xp.asarray(host)": lambda: xp.asarray(host),
    "xp.array(list)": lambda: xp.array([1.0, 2.0]),
    "out= on the host": lambda: xp.exp(device(), out=host.copy()),
    "np.exp(device)": lambda: np.exp(device()),
    "np.sum(device)": lambda: np.sum(device()),
    "np.concatenate of devices": lambda: np.concatenate([device(), device()]),
    "np.asarray(device)": lambda: np.asarray(device()),
    "host[...] = device": lambda: assign(host.copy(), ..., device()),
    # indices and assignment
    "a host index": lambda: device()[rows],
    "a list index": lambda: device()[[2, 0]],
    "xp.take with a list": lambda: xp.take(device(), [2, 0], axis=0),
    "method take with a host index": lambda: device().take(rows, axis=0),
    "device[...] = host": lambda: assign(device(), ..., host),
    "device[0] = list": lambda: assign(device(), 0, [1.0, 2.0, 3.0, 4.0]),
    "repeated indices in an assignment": lambda: assign(device(), device(np.array([1, 1])), device(host[:2])),
    "repeated pairs of indices": lambda: assign(
        device(), (device(np.array([1, 2, 1])), device(np.array([0, 0, 0]))), 1.0
    ),
    "one row under its two numbers": lambda: assign(device(), device(np.array([2, -1])), device(host[:2])),
    "an index out of range, which CuPy wraps around": lambda: device()[device(np.array([3]))],
    "fill with a host array": lambda: device().fill(host[0, :1]),
    # what CuPy does not have
    "ufunc where=": lambda: xp.exp(device(), where=device() > 1),
    "sum initial=": lambda: xp.sum(device(), initial=1.0),
    "method max initial=": lambda: device().max(axis=-1, initial=0.0),
    "method sum where=": lambda: device().sum(where=device() > 1),
    "a sixth position in sum": lambda: xp.sum(device(), None, None, None, False, 0),
    "zeros like=": lambda: xp.zeros(3, like=device()),
    "argsort stable=": lambda: xp.argsort(device(), stable=True),
    "xp.errstate": lambda: xp.errstate(all="ignore"),
    "xp.vecdot": lambda: xp.vecdot(device(), device()),
    "xp.matvec": lambda: xp.matvec(device(), device()[0]),
    "xp.block": lambda: xp.block([[device(), device()]]),
    "xp.insert": lambda: xp.insert(device(), 0, 1.0),
    "xp.scatter_add": lambda: xp.scatter_add(device(), 0, 1.0),
    "xp.random's global state": lambda: xp.random.rand(3),
    "Generator.normal": lambda: xp.random.default_rng(0).normal(size=3),
    "Generator.permutation": lambda: xp.random.default_rng(0).permutation(3),
    "Generator.choice": lambda: xp.random.default_rng(0).choice(3),
    "linalg.multi_dot": lambda: xp.linalg.multi_dot([device(), device().T]),
    "array attribute ctypes": lambda: device().ctypes,
    "array attribute data as a buffer": lambda: memoryview(device().data),
    "array attribute flat": lambda: device().flat,
    "erf of complex numbers": lambda: BACKEND.erf(device(host.astype(complex))),
    "a device number where Python wants an index": lambda: range(device(rows)[0]),
    "a device array as a dictionary's key": lambda: {device(): 1},
}

WAITS = {
    "float()": lambda: float(device()[0, 0]),
    "int()": lambda: int(device()[0, 0]),
    "complex()": lambda: complex(device()[0, 0]),
    "if": lambda: 1 if device()[0, 0] > 0 else 0,
    "math.sqrt": lambda: math.sqrt(device()[0, 0]),
    "item": lambda: device()[0, 0].item(),
    "tolist": lambda: device().tolist(),
    "tobytes": lambda: device().tobytes(),
    "get": lambda: device().get(),
    "to_numpy": lambda: BACKEND.to_numpy(device()),
    "xp.asnumpy": lambda: xp.asnumpy(device()),
    "an f-string": lambda: f"{device()[0, 0]:.3f}",
    "a truth mask as index": lambda: device()[device() > 1],
    "assignment under a truth mask": lambda: assign(device(), device() > 1, 0.0),
    "nonzero": lambda: device().nonzero(),
    "xp.flatnonzero": lambda: xp.flatnonzero(device()),
    "xp.where(condition)": lambda: xp.where(device() > 1),
    "xp.unique": lambda: xp.unique(device()),
    "xp.bincount": lambda: xp.bincount(device(rows)),
    "xp.allclose": lambda: xp.allclose(device(), device()),
    "in": lambda: 0.0 in device()[0],
    "max() of a row": lambda: max(device()[0]),
}

# CuPy code: (what it does with x, of library xp), which must give NumPy's numbers without waiting
VALID = {
    "operators with numbers": lambda xp, x: 2 * x + 1.5 - x / 3 + x**2 - (-x) + abs(x) + x // 2 + x % 2,
    "NumPy scalars": lambda xp, x: x * np.float32(2) + np.float32(1) * x,
    "matmul and T": lambda xp, x: x @ x.T,
    "in place": lambda xp, x: operator.iadd(x * 1, x),
    "in place on a 0-d array": lambda xp, x: operator.imul(x.sum(), 2),
    "comparison": lambda xp, x: (x > 1) & ~(x <= 1) | (x == 0) ^ (x != 0),
    "softmax": lambda xp, x: xp.exp(x - x.max(axis=-1, keepdims=True)) / xp.exp(x).sum(axis=-1, keepdims=True),
    "0-d results": lambda xp, x: x.sum() * x.mean() / (xp.sqrt(x.max()) + 1),
    "where": lambda xp, x: xp.where(x > 1, x, xp.finfo(x.dtype).min),
    "where with an array": lambda xp, x: xp.where(x > 1, x, xp.zeros_like(x)),
    "slices and None": lambda xp, x: x[1:, ::2][:, None, :] + x[:2, ..., 0][:, None, None],
    "a row by number": lambda xp, x: x[1] + x[-1, 2],
    "index arrays of the device": lambda xp, x: x[xp.arange(2), xp.arange(2) + 1],
    "assignment by distinct indices": lambda xp, x: _assigned(x * 1, xp.arange(2), x[:2] * 3),
    "assignment to a slice": lambda xp, x: _assigned(x * 1, (slice(None), 0), 0),
    "shapes": lambda xp, x: x.reshape(2, 6).reshape(-1, 3).transpose(1, 0).swapaxes(0, 1)[None].squeeze(0),
    "astype": lambda xp, x: x.astype(xp.float64).astype(np.float32, copy=False),
    "concatenate": lambda xp, x: xp.concatenate([x, x], axis=-1),
    "stack": lambda xp, x: xp.stack((x, x)),
    "split": lambda xp, x: xp.concatenate(xp.split(x, [1, 3], axis=1), axis=1),
    "out=": lambda xp, x: xp.exp(x, out=xp.empty_like(x)),
    "einsum": lambda xp, x: xp.einsum("ij,kj->ik", x, x),
    "argsort": lambda xp, x: xp.argsort(x, axis=-1),
    "cumsum": lambda xp, x: xp.cumsum(x, axis=0),
    "clip, repeat, tile": lambda xp, x: xp.tile(xp.repeat(xp.clip(x, 0.3, 1.0), 2, axis=0), (1, 2)),
    "linalg.norm": lambda xp, x: xp.linalg.norm(x),
    "zeros, ones, full, arange": lambda xp, x: (
        xp.zeros((3, 4), dtype=x.dtype)
        + xp.ones((4,), x.dtype)
        + xp.full((3, 1), 2, x.dtype)
        + xp.arange(4, dtype="f4")
    ),
    "real": lambda xp, x: x.real.max(),
    "iteration over rows": lambda xp, x: sum(row * 2 for row in x),
    "asarray of a device array": lambda xp, x: xp.asarray(x, dtype=x.dtype),
    "rounding": lambda xp, x: xp.rint(x) + x.round(),
}


def _assigned(target, index, value):
    target[index] = value
    return target


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_refused(name):
    refused(FAULTS[name])


@pytest.mark.parametrize("name", WAITS)
def test_waits_are_counted_and_refused_inside_nosync(name):
    before = synchronisations()
    WAITS[name]()
    assert synchronisations() > before
    with nosync(), pytest.raises(RuntimeError, match=r"wait for the device, inside nosync\(\)"):
        WAITS[name]()


@pytest.mark.parametrize("name", VALID)
def test_valid_uses_give_the_numbers_of_numpy(name):
    expected = VALID[name](np, host.copy())
    x = device()
    with nosync():
        result = VALID[name](xp, x)
    assert isinstance(result, BACKEND.array_type)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    np.testing.assert_array_equal(result.get(), expected)


def test_host_and_device_share_no_memory():
    values = host.copy()
    x = BACKEND.asarray(values)
    values[...] = 0
    copied = BACKEND.to_numpy(x)
    np.testing.assert_array_equal(copied, host)
    copied[...] = 0
    np.testing.assert_array_equal(x.get(), host)


def test_asarray_keeps_what_is_on_the_device():
    x = device()
    assert BACKEND.asarray(x) is x and BACKEND.asarray(x, dtype=np.float32) is x
    assert BACKEND.asarray(x, dtype=np.float64).dtype == np.float64
    assert BACKEND.asarray([1, 0], dtype=bool).dtype == bool
    assert BACKEND.asarray(host[:, ::2]).shape == (3, 2)


def test_views_share_memory_on_the_device():
    x = device()
    x[1:][...] = 5
    x.reshape(-1)[0] = 7
    np.testing.assert_array_equal(x.get()[1:], 5)
    assert x.get()[0, 0] == 7


def test_memory_of_empty_is_no_zeros():
    assert np.isnan(xp.empty((2, 3)).get()).all()
    assert np.isnan(xp.empty_like(device()).get()).all()
    assert xp.empty(3, dtype=np.int64).get().all()
    refused(lambda: xp.empty_like(host))


def test_double_precision_is_refused_on_request():
    x = device()
    leaks = {
        "a NumPy scalar": lambda: x * np.sqrt(2),
        "zeros without dtype": lambda: xp.zeros(3),
        "empty without dtype": lambda: xp.empty(3),
        "the mean of integers": lambda: device(rows).mean(),
        "an integer mask": lambda: x * device(np.ones((3, 4), np.int64)),
        "doubles from the host": lambda: device(host.astype(np.float64)),
        "complex doubles": lambda: x * 1j * np.float64(1),
        "random numbers": lambda: xp.random.default_rng(0).random(3),
    }
    for name, leak in leaks.items():
        leak()
        with no_float64(), pytest.raises(TypeError, match="inside no_float64"):
            print(name, leak())
    with no_float64():
        x * math.sqrt(2) + xp.zeros(3, dtype=np.float32)[:, None] + x * device(host > 1)
        xp.random.default_rng(0).random(3, dtype=np.float32)
    x * np.sqrt(2)


def test_random_generator_draws_the_types_asked_for():
    rng = xp.random.default_rng(0)
    assert rng.random(3, dtype=np.float32).dtype == np.float32
    assert rng.uniform(size=3, dtype=np.float32).dtype == np.float32
    assert rng.standard_normal(3).shape == (3,)


def test_repeated_indices_add_up_in_add_at():
    target = xp.zeros((3, 4), dtype=np.float32)
    with nosync():
        BACKEND.add_at(target, device(np.array([1, 1, 2])), device())
    np.testing.assert_allclose(target.get(), [host[0] * 0, host[0] + host[1], host[2]])
    refused(lambda: BACKEND.add_at(target, rows, device()[:2]))
    refused(lambda: BACKEND.add_at(target, device(rows), host[:2]))
    refused(lambda: BACKEND.add_at(host.copy(), device(rows), device()[:2]))


def test_refusals_leave_the_array_as_it_was():
    x = device()
    refused(lambda: assign(x, device(np.array([1, 1])), 0.0))
    refused(lambda: operator.iadd(x, host))
    np.testing.assert_array_equal(x.get(), host)


def test_blocks_end_with_an_error_too():
    with pytest.raises(ZeroDivisionError), nosync(), no_float64():
        _ = 1 / 0
    assert float(device().astype(np.float64).sum()) > 0


def test_copying_needs_no_host():
    x = device()
    with nosync():
        copies = [copy.copy(x), copy.deepcopy(x)]
        x[...] = 0
    for y in copies:
        np.testing.assert_array_equal(y.get(), host)


def test_stored_names_are_those_of_the_installed_cupy():
    pytest.importorskip("cupy")
    stored, installed = strict_device.stored_names(), strict_device.cupy_names()
    if stored["version"] != installed["version"]:
        pytest.skip(f"names are stored of CuPy {stored['version']}, installed is {installed['version']}")
    assert stored == installed


def test_names_that_the_faults_rest_on_are_stored():
    """Where no CuPy is installed the stored table decides: it must know the same gaps."""
    names = strict_device.stored_names()
    assert names["cupy"]["sum"] == ["a", "axis", "dtype", "out", "keepdims"]
    assert names["cupy"]["exp"] == "ufunc" and names["cupy"]["float32"] == "value"
    assert names["ndarray"]["max"] == ["axis", "out", "keepdims"]
    assert not {"errstate", "vecdot", "matvec", "unstack", "block", "insert", "scatter_add"} & set(names["cupy"])
    assert not {"normal", "permutation", "shuffle", "choice"} & set(names["Generator"])
