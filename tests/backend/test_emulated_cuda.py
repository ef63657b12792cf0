"""The emulated device itself: right kernels run, and mistakes that a GPU may pass over in silence are refused."""

import numpy as np
import pytest
from cuda_devices import EMULATED, on
from emulated_cuda import EmulatedDevice, Fault, cuda_kernels, rounded_to_tf32
from strict_device import BACKEND

from bertnp.backend.cupy_kernels import device as cuda
from bertnp.backend.cupy_kernels.device import launch
from bertnp.backend.cupy_kernels.products import Plan, StackProducts, heads_of, layout, multiply, stack_of

pytestmark = pytest.mark.compiler
CODE = """
typedef float T;
typedef float C;
#define ALL_LANES 0xffffffffu

extern "C" __global__ void turned_round(const T* x, T* y, int n)
{
    __shared__ T copy[64];
    copy[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = copy[n - 1 - threadIdx.x];
}
extern "C" __global__ void without_barrier(const T* x, T* y, int n)
{
    __shared__ T copy[64];
    copy[threadIdx.x] = x[threadIdx.x] + blockIdx.x;
    y[blockIdx.x * n + threadIdx.x] = copy[n - 1 - threadIdx.x];
}
extern "C" __global__ void all_add_to_one(T* y) { y[0] = y[0] * 2 + threadIdx.x; }
extern "C" __global__ void one_too_far(T* y, int n) { if (threadIdx.x == 0) y[n] = 1; }
extern "C" __global__ void writes_what_is_const(const T* x, T* y) { ((T*)x)[0] = 5; y[0] = 1; }
extern "C" __global__ void some_wait(T* y) { if (threadIdx.x < 40) __syncthreads(); y[0] = 1; }
extern "C" __global__ void half_a_warp(T* y)
{
    if (threadIdx.x % 32 < 16) y[threadIdx.x] = __shfl_xor_sync(ALL_LANES, y[threadIdx.x], 1);
}
extern "C" __global__ void neighbours(T* y) { y[threadIdx.x] += __shfl_xor_sync(ALL_LANES, y[threadIdx.x], 1); }
extern "C" __global__ void numbers(T* y, C a, int b, long long c) { y[0] = a + b + c; }
"""


@pytest.fixture(scope="module")
def device():
    made = EmulatedDevice()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "source", lambda dtype: CODE)
        made.library("float32")
    return made


@pytest.fixture
def run(device, monkeypatch):
    monkeypatch.setattr(BACKEND, "device", device)
    return lambda name, *arguments, blocks=1, threads=64: launch(arguments[0], name, blocks, threads, *arguments)


def there(values=None):
    return on(EMULATED, np.arange(64, dtype=np.float32) if values is None else values)


def test_barriers_and_shuffles(run):
    y = there()
    run("turned_round", there(), y, 64)
    np.testing.assert_array_equal(y.get(), np.arange(64)[::-1])
    run("neighbours", y)
    np.testing.assert_array_equal(y.get(), np.repeat(np.arange(64)[::-1].reshape(-1, 2).sum(axis=1), 2))


MISTAKES = {
    "without_barrier": ((there, there, lambda: 32), "depends on the order in which its threads run"),
    "all_add_to_one": ((there,), "depends on the order in which its threads run"),
    "one_too_far": ((there, lambda: 64), "writes outside its arrays"),
    "writes_what_is_const": ((there, there), "writes to an array that it takes as const"),
    "some_wait": ((there,), "wait for each other in vain"),
    "half_a_warp": ((there,), "wait for each other in vain"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_kernels_are_found(run, name):
    arguments, message = MISTAKES[name]
    with pytest.raises(Fault, match=message):
        run(name, *(make() for make in arguments), **({"threads": 32} if name == "without_barrier" else {}))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((2.0, 3), "takes 4 arguments, got 3"),
        ((2.0, 3, 4), "expects a number of type int64, got .*4"),
        ((2, 3, np.int64(4)), "expects a number of type float32, got .*2"),
        ((np.float16(2), 3, np.int64(4)), "expects a number of type float32"),
        ((2.0, 3.0, np.int64(4)), "expects a number of type int32"),
    ],
)
def test_arguments_are_held_against_the_signature(run, arguments, message):
    with pytest.raises(Fault, match=message):
        run("numbers", there(), *arguments, threads=32)
    run("numbers", y := there(), 2.0, 3, np.int64(4), threads=32)
    assert y.get()[0] == 9


def test_arrays_of_another_type_or_with_gaps_are_refused(run):
    for wrong in (there(np.zeros(64)), there(np.zeros(128, np.float32))[::2]):
        with pytest.raises(Fault, match="expects float32 without gaps"):
            run("turned_round", there(), wrong, 64)
    with pytest.raises(Fault, match="no whole warps"):
        run("turned_round", there(), there(), 64, threads=48)


# products


def test_layouts():
    x = np.zeros((6, 8), np.float32)
    assert layout(x) == (0, 8) and layout(x.T) == (1, 8)
    assert layout(x[:, 2:5]) == (0, 8) and layout(x[:, 2:5].T) == (1, 8) and layout(x[::2]) == (0, 16)
    assert layout(x[:, ::2]) is None and layout(x[:1]) == (0, 8) and layout(x[:, :1]) is not None


def test_a_wrong_plan_is_found():
    with cuda_kernels() as device:
        a = on(EMULATED, np.ones((2, 3), np.float32))
        good = {"transa": 0, "transb": 0, "m": 2, "n": 2, "k": 3, "alpha": 1.0, "type_a": 0, "lda": 2, "type_b": 0,
                "ldb": 3, "type_out": 0, "ldc": 2, "compute": cuda.COMPUTE["float32"], "scalar": "float32"}  # fmt: skip
        out = on(EMULATED, np.zeros((2, 2), np.float32))
        pointers = [device.pointer(x) for x in (a, a, out)]
        device.multiply(Plan(**good), *pointers)
        assert (out.get() == 3).all()
        for change in ({"lda": 1}, {"ldc": 1}, {"type_out": 1}, {"type_a": 14}, {"compute": cuda.COMPUTE["float64"]}):
            with pytest.raises(Fault, match="leading dimension|does not multiply"):
                device.multiply(Plan(**{**good, **change}), *pointers)


def test_products_where_they_lie():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(10, 36))
    with cuda_kernels() as device:
        x = on(EMULATED, wide)
        q, k = heads_of(x[:, 12:24], 2, 3), heads_of(x[:, 24:], 2, 3)  # (5, 4) each
        scores = on(EMULATED, np.zeros((2, 3, 5, 5)))
        s = stack_of(scores)
        StackProducts(q, k, s).multiply(q, k.T, s, 0.5)
        parts = [wide[:, i : i + 12].reshape(2, 5, 3, 4).transpose(0, 2, 1, 3) for i in (12, 24)]
        np.testing.assert_allclose(scores.get(), parts[0] @ parts[1].swapaxes(-1, -2) * 0.5, rtol=1e-12)
        assert device.calls == {"products of a stack": 1}
        with pytest.raises(ValueError, match=r"expected \(r, n\), \(n, c\) and \(r, c\)"):
            multiply(x, x)


def test_tf32_keeps_ten_bits():
    x = np.array([1 + 2.0**-10, 1 + 2.0**-11, 1 + 3 * 2.0**-11, -3.0000001], np.float32)
    np.testing.assert_array_equal(rounded_to_tf32(x), np.array([1 + 2.0**-10, 1, 1 + 2.0**-9, -3], np.float32))
